"""The folder of a protocol's run: what it is of, which folds are done, whose they are."""

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from xser.corpora.cache import write_json
from xser.evaluation.protocols.claims import CLAIM, Claimed, claim, release
from xser.evaluation.protocols.data import Selection
from xser.evaluation.protocols.plan import SHOWN, Plan
from xser.evaluation.report import command_line, read_json

PROTOCOL, RESULTS, PREDICTIONS = "protocol.json", "results.json", "predictions.jsonl"
SETUP = "setup"  # the name to release when whoever wrote protocol.json and data was stopped
COMPARED = ("protocol", "system", "tower", "rows", "emotion_map", "options", "evaluation")
WAIT = 2.0  # seconds between looks at a folder that another machine sets up


def folder_of(output: Path, name: str) -> Path:
    """Where a fold's files are; any name makes a folder of its own."""
    return output / f"fold-{quote(name, safe='')}"


def is_done(output: Path, name: str) -> bool:
    """Whether a fold was tested."""
    return (folder_of(output, name) / RESULTS).is_file()


def describe_protocol(plan: Plan, about: Mapping) -> dict:
    """What protocol.json holds; `about` adds system, options and where the rows come from."""
    return {
        "command": command_line(),
        "protocol": plan.protocol.name,
        "convention": plan.protocol.convention,
        **about,
        "rows": plan.digest(),
        "classes": list(plan.classes),
        "left_out": plan.left_out,
        "relabelled": plan.relabelled,
        "missing": plan.missing,
        "notes": plan.notes,
        "folds": [
            {
                "name": fold.name,
                "development": fold.development,
                "gaps": fold.gaps,
                "parts": plan.counts(fold),
            }
            for fold in plan.folds
        ],
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("xser", "torch", "transformers", "scikit-learn")},
        },
    }


def set_up(output: Path, description: dict, prepare: Callable[[], Selection | None]) -> Selection | None:
    """Write protocol.json, or check that the one that is there says the same; one machine at a time.

    Args:
        output: folder of the run.
        description: of `describe_protocol`.
        prepare: makes what train.py and eval.py read, unless it is there; what it gives is given back.

    Raises:
        ValueError: `output` is of another protocol, other rows or other options; what differs is named.
    """
    path, waiting = output / PROTOCOL, False
    while True:
        try:
            with claim(output / CLAIM):
                if path.is_file():
                    refuse_other(path, description)
                else:
                    write_json(path, description)
                return prepare()
        except Claimed as claimed:
            if not waiting:
                print(
                    f"{output} is being set up, {claimed} (free it by --release {SETUP} if that was stopped); waiting"
                )
            waiting = True
            time.sleep(WAIT)


def refuse_other(path: Path, description: dict) -> None:
    """Refuse a run that is not the one that `path`, a protocol.json, is of."""
    there, now = read_json(path), json.loads(json.dumps(description))
    differ = [line for name in COMPARED for line in _differences(name, there.get(name), now.get(name))]
    if differ:
        raise ValueError(
            f"{path.parent} was begun otherwise: {'; '.join(differ[:SHOWN])}"
            f"{f'; and {len(differ) - SHOWN} more' if len(differ) > SHOWN else ''}; give the same, or another --output"
        )


def _differences(name: str, there: object, now: object) -> list[str]:
    if isinstance(there, dict) and isinstance(now, dict):
        keys = sorted({*there, *now})
        return [line for key in keys for line in _differences(f"{name}.{key}", there.get(key), now.get(key))]
    if there == now:
        return []
    if name == "rows":
        return ["the corpus holds other utterances, labels or speakers now"]
    return [f"{name} was {there!r} and is {now!r}"]


def free(output: Path, names: Sequence[str]) -> None:
    """Take away claims of folds (or of the setup) that were forgotten."""
    for name in names:
        release((output if name == SETUP else folder_of(output, name)) / CLAIM)
        print(f"{name} is free")
