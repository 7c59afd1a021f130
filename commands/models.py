"""Which model a command uses, and how it is loaded."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "XSER_MODEL"
DEFAULT = "xser-nemo"  # of the shipped models, the one that is trained on recordings of people
CHECKPOINTS = "checkpoints"
ABOUT = {
    "xser-nemo": "trained on six actors who speak Polish; CC BY-NC-SA 4.0",
    "xser-tiny": "trained on synthetic English; for trying things out",
}


def find_model(given: str | None = None) -> str:
    """Folder or Hub id of the model to use: `given`, else $XSER_MODEL, else the shipped model for real voices.

    Shipped models are looked for in `checkpoints/`, beside the package and in the working directory.

    Raises:
        ValueError: a folder that holds no model, or none is given and none is found.
    """
    given = given or os.environ.get(VARIABLE)
    if given is not None:
        return _checked(given)
    for root in (Path(__file__).resolve().parents[1], Path.cwd()):
        folder = root / CHECKPOINTS / DEFAULT
        if (folder / "config.json").is_file():
            return str(folder)
    raise ValueError(
        f"no model is found here: give --model FOLDER (or an id on the Hub), or set {VARIABLE}; "
        f"{DEFAULT} lies in {CHECKPOINTS}/ of XSER's repository"
    )


def about(model: str) -> str:
    """A model's name, and what a shipped one was trained on."""
    name = Path(model).name if Path(model).is_dir() else model
    return f"{name} ({ABOUT[name]})" if name in ABOUT and Path(model).is_dir() else name


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


__all__ = ["about", "checked_device", "find_model", "load_pipeline", "quiet"]
