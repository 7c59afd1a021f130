"""Where a pretrained backbone lies on disk: the folders that a Hub id is looked for in before the Hub is asked.

place_of("openai/whisper-base")   # DIR/whisper-base, where XSER_BACKBONES=DIR holds it; else the id itself
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "XSER_BACKBONES"
CACHE = "XSER_CACHE"  # of the package; ~/.cache/xser without it
FOLDERS = {  # Hub id -> folder, of those that `xser backbones` gets
    "openai/whisper-base": "whisper-base",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m-instruct",
}


def default_root() -> Path:
    """Where `xser backbones` puts them, unless XSER_BACKBONES or `--output` names another folder."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "xser").expanduser() / "backbones"


def backbone_roots() -> list[Path]:
    """Folders that are searched, in this order: $XSER_BACKBONES, that of `xser backbones`.

    Raises:
        ValueError: XSER_BACKBONES is no folder.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return [default_root()]
    if not Path(given).expanduser().is_dir():
        raise ValueError(
            f"{VARIABLE} is {given!r}, which is no folder: it must hold transformers folders such as "
            f"{', '.join(FOLDERS.values())}; get them by: {command_for(next(iter(FOLDERS)), given)}"
        )
    return [Path(given).expanduser(), default_root()]


def place_of(id_or_path) -> str:
    """The folder to load a backbone from, or its Hub id where no folder holds it.

    A folder stands for itself. An id is looked for as `ROOT/OWNER/NAME`, those of `FOLDERS` under these names, too.

    Raises:
        ValueError: XSER_BACKBONES is no folder.
    """
    name = str(id_or_path)
    if Path(name).is_dir() or name.count("/") != 1:
        return name
    folders = [root / part for root in backbone_roots() for part in (FOLDERS.get(name), name) if part is not None]
    return next((str(folder) for folder in folders if (folder / "config.json").is_file()), name)


def command_for(id_or_path: str, output: str | None = None) -> str:
    """The command that gets a backbone."""
    if id_or_path not in FOLDERS:
        return f"hf download {id_or_path}"
    return "xser backbones" + ("" if output is None else f" --output {output}")


def searched() -> str:
    """Where a Hub id is looked for, in words."""
    given = os.environ.get(VARIABLE)
    own = [f"{VARIABLE} ({given or 'not set'})", str(default_root())]
    return ", ".join([*own, "the Hub's cache", "the Hub"])


@contextmanager
def must_be_found(what: str, id_or_path) -> Iterator[None]:
    """Say what is missing, where it was looked for and how to get it, where loading inside finds no files.

    Args:
        what: the part that it is, such as "audio tower".

    Raises:
        OSError: neither a folder nor the Hub has it.
    """
    name = str(id_or_path)
    try:
        yield
    except OSError as error:
        if Path(place_of(name)).is_dir():
            raise
        if name.count("/") != 1 or name.startswith((".", "/", "~")):
            raise OSError(f"the {what} {name} is not found: it is no folder, and no id on the Hub") from error
        said = " ".join(str(error).split())
        raise OSError(
            f"the {what} {name} is not found. It was looked for in: {searched()}. Get it by: {command_for(name)}. "
            f"(The last of them: {said[:160]}{'…' if len(said) > 160 else ''})"
        ) from error


__all__ = [
    "FOLDERS",
    "VARIABLE",
    "backbone_roots",
    "command_for",
    "default_root",
    "must_be_found",
    "place_of",
    "searched",
]
