"""Which model a command uses, and how it is loaded."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xser.commands.at_hand import FIELDS, missing_backbones

VARIABLE = "XSER_MODEL"
CHECKPOINTS = "checkpoints"
DEFAULTS = ("xser-base", "xser-nemo")  # shipped models for real voices, the better one first
ABOUT = {  # of shipped models whose config does not say what they were trained on
    "xser-nemo": "trained on six actors who speak Polish; CC BY-NC-SA 4.0",
    "xser-tiny": "trained on synthetic English; for trying things out",
}


@dataclass(frozen=True)
class Choice:
    """A model to use, and why it is no better one; as text, one line for the user."""

    model: str
    note: str | None = None

    def __str__(self) -> str:
        return about(self.model) + (f"; {self.note}" if self.note else "")


def choose_model(given: str | None = None) -> Choice:
    """The model to use: `given`, else $XSER_MODEL, else the first shipped one for real voices whose parts are here.

    Shipped models are looked for in `checkpoints/`, beside the package and in the working directory.

    Raises:
        ValueError: a folder that holds no model; none is given and none is found; XSER_BACKBONES is no folder.
    """
    given = given or os.environ.get(VARIABLE)
    if given is not None:
        return Choice(_checked(given))
    note = None
    for name in DEFAULTS:
        folder = _shipped(name)
        if folder is None:
            continue
        missing = missing_backbones(_config(folder))
        if not missing:
            return Choice(str(folder), note)
        note = f"{name} is not used: {' and '.join(missing)} not found, get them by xser backbones"
    raise ValueError(
        f"no model is found here: give --model FOLDER (or an id on the Hub), or set {VARIABLE}; "
        f"{DEFAULTS[-1]} lies in {CHECKPOINTS}/ of XSER's repository" + (f"; {note}" if note else "")
    )


def find_model(given: str | None = None) -> str:
    """Folder or Hub id of the model that `choose_model` chooses."""
    return choose_model(given).model


def about(model: str) -> str:
    """A model's name; of a folder also what it was trained on, and its backbones where it is thin."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    config = _config(folder)
    named = config.get("trained_on")
    known = f"trained on {', '.join(named)}" if named else ABOUT.get(folder.name)
    backbones = f"on {' and '.join(str(config.get(field)) for field in FIELDS)}" if config.get("thin") else None
    facts = [fact for fact in (known, backbones) if fact]
    return f"{folder.name} ({'; '.join(facts)})" if facts else folder.name


def _shipped(name: str) -> Path | None:
    folders = [root / CHECKPOINTS / name for root in (Path(__file__).resolve().parents[1], Path.cwd())]
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def _config(folder: Path) -> dict:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): give the folder of a saved model") from error
    return config if isinstance(config, dict) else {}


def load_pipeline(model: str, device: str = "cpu"):
    """The `XSERPipeline` of a model folder or Hub id.

    Raises:
        ValueError, OSError: it is no XSER model, or is not found.
    """
    from xser import XSERForEmotionDescription, XSERPipeline, XSERProcessor

    loaded = XSERForEmotionDescription.from_pretrained(model).to(checked_device(device)).eval()
    return XSERPipeline(model=loaded, processor=XSERProcessor.from_pretrained(model), device=loaded.device)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the loading bars of transformers, and the pipeline's warnings, which the command gives itself."""
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in ("transformers", "xser.pipeline_xser")]
    levels, had_bars = [logger.level for logger in loggers], transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if had_bars:
            transformers_logging.enable_progress_bar()


def checked_device(device: str) -> str:
    """`device`, where torch has it; else a `ValueError` that says which there are."""
    import torch

    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if torch.mps.is_available() else [])]
    kind, _, index = device.partition(":")
    number = int(index) if index.isdecimal() else None
    is_there = kind in there and (not index or (number is not None and _count(kind) > number))
    if not is_there:
        raise ValueError(f"--device is {device!r}; this machine has {there}")
    return device


def _count(kind: str) -> int:
    import torch

    return torch.cuda.device_count() if kind == "cuda" else 1


def _checked(given: str) -> str:
    folder = Path(given).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"--model {given} holds no config.json: give the folder of a saved model, such as final/")
        return str(folder)
    is_hub_id = given.count("/") <= 1 and not given.startswith((".", "/", "~"))
    if folder.exists() or not is_hub_id or given.startswith(f"{CHECKPOINTS}/"):
        raise ValueError(f"--model {given} is no folder: give the folder of a saved model, or an id on the Hub")
    return given


__all__ = ["Choice", "about", "checked_device", "choose_model", "find_model", "load_pipeline", "quiet"]
