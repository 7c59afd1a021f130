"""The items of `data` and `iterations`: what is heard, and what is predicted, one after the other."""

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from xser.corpora.loading import NAMES
from xser.training.options import Loader

MFCC, PREVIOUS, NEW, TEACHER = "mfcc", "previous", "new", "teacher"
CLUSTERS, REGRESSION, MASKED_REGRESSION = OBJECTIVES = ("clusters", "regression", "masked_regression")


@dataclass(frozen=True)
class Source:
    """One item of `data`."""

    corpus: str | None = None
    folder: str | None = None
    split: str | None = None
    weight: float = 1.0
    limit: int | None = None
    speeds: tuple[float, ...] = (1.0,)
    leave_out_speakers: tuple[str, ...] = ()
    options: dict | None = None

    def __post_init__(self):
        if (self.corpus is None) == (self.folder is None):
            raise ValueError(f"an item of data is {self}: give it corpus or folder, one of the two")
        for name in ("split", "leave_out_speakers", "options"):
            if self.folder is not None and getattr(self, name):
                raise ValueError(f"data: {name} is given for the folder {self.folder}: a plain folder has none")
        if not 0 < check_number(self.weight, "weight") < float("inf"):
            raise ValueError(f"data: weight of {self.name} is {self.weight}; it must be above 0")
        if self.limit is not None and check_whole_number(self.limit, "limit") < 1:
            raise ValueError(f"data: limit of {self.name} is {self.limit}; it must be at least 1")
        for name in ("speeds", "leave_out_speakers"):
            if not isinstance(getattr(self, name), (list, tuple)):
                raise ValueError(f"data: {name} of {self.name} is {getattr(self, name)!r}; give a list")
        if self.options is not None and not isinstance(self.options, dict):
            raise ValueError(f"data: options of {self.name} is {self.options!r}; give a mapping")
        object.__setattr__(self, "speeds", tuple(self.speeds))
        object.__setattr__(self, "leave_out_speakers", tuple(map(str, self.leave_out_speakers)))
        for speed in self.speeds:
            if not 0.5 <= check_number(speed, "speeds") <= 2 or abs(100 * speed - round(100 * speed)) > 1e-6:
                raise ValueError(f"data: speeds of {self.name} has {speed}; give 0.5 to 2, in hundredths")
        if not self.speeds or len(set(self.speeds)) < len(self.speeds):
            raise ValueError(f"data: speeds of {self.name} is {list(self.speeds)}; give each speed once")

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.corpus or self.folder) + (f" ({self.split})" if self.split else "")


@dataclass(frozen=True)
class Iteration:
    """One item of `iterations`: what is predicted, by which objective, from which weights, and for how long.

    Args:
        targets: `mfcc`, `previous` (the tower of the iteration before), `teacher` (the run's), or a folder or id of
            an audio tower.
        layer: of that tower, one or a list, 0 (before the first layer) to its number of layers; the teacher's are
            `teacher_layers`.
        objective: `clusters`, `regression` or `masked_regression`; the run's where it is not given.
        clusters: k of k-means, of each layer; `clusters` alone uses it.
        cache_states: keep the states of a folder's or id's layers on disk; for the teacher's, the run's counts.
        start: `new` weights, those of the `previous` iteration, or a folder's.
        max_steps, max_minutes, learning_rate: instead of the run's.
    """

    targets: str = MFCC
    layer: int | tuple[int, ...] | None = None
    objective: str | None = None
    clusters: int = 100
    cache_states: bool = False
    start: str = NEW
    max_steps: int | None = None
    max_minutes: float | None = None
    learning_rate: float | None = None

    def __post_init__(self):
        if self.targets == MFCC and self.layer is not None:
            raise ValueError(f"iterations: layer is {self.layer}, but targets are from mfcc, which has no layers")
        if self.targets == TEACHER and self.layer is not None:
            raise ValueError(f"iterations: layer is {self.layer}, but the teacher's are given as teacher_layers")
        if self.targets not in (MFCC, TEACHER):
            if self.layer is None:
                raise ValueError(f"iterations: targets are from {self.targets!r}: give the layer, 0 or more")
            check_layers(self.layers, "iterations: layer")
        if self.objective not in (None, *OBJECTIVES):
            raise ValueError(f"iterations: objective is {self.objective!r}; it must be one of {list(OBJECTIVES)}")
        if not isinstance(self.cache_states, bool):
            raise ValueError(f"iterations: cache_states is {self.cache_states!r}; it must be true or false")
        if not 2 <= check_whole_number(self.clusters, "clusters") <= 65_535:
            raise ValueError(f"iterations: clusters is {self.clusters}; it must be from 2 to 65,535")
        for name in ("max_steps", "max_minutes", "learning_rate"):
            value, check = getattr(self, name), check_whole_number if name == "max_steps" else check_number
            if value is not None and not check(value, name) > 0:
                raise ValueError(f"iterations: {name} is {value}; it must be above 0")

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that targets are from, in order; none of `mfcc`."""
        return tuple(self.layer) if isinstance(self.layer, (list, tuple)) else (self.layer,) * (self.layer is not None)


def check_layers(layers: Sequence[int], name: str) -> None:
    """`ValueError` where there are none, one is below 0 or no whole number, or one is named twice."""
    for layer in layers:
        if check_whole_number(layer, name) < 0:
            raise ValueError(f"{name} is {list(layers)}; give 0 or more")
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(f"{name} is {list(layers)}; give at least one, and each once")


def check_number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is {value!r}; it must be a number")
    return value


def check_whole_number(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is {value!r}; it must be a whole number")
    return value


def from_mapping(cls: type, values: dict, where: str):
    """`cls(**values)`; a key that it does not have is an error that names the nearest one."""
    names = [each.name for each in dataclasses.fields(cls)]
    for key in values:
        if key not in names:
            nearest = difflib.get_close_matches(str(key), names, n=1, cutoff=0)
            raise ValueError(f"{where}: unknown key {key!r}; the nearest is {nearest[0]!r}")
    return cls(**{key: value for key, value in values.items() if value is not None})


def _yaml(text: object, where: str) -> object:
    if not isinstance(text, str):
        return text
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is {text!r}, which is not YAML or JSON: {error}") from error


def source_item(item: object) -> dict:
    """An item of `data` as a mapping; a plain text is a corpus where `load_corpus` knows it, else a folder."""
    if isinstance(item, str) and not item.lstrip().startswith("{"):
        folder = Path(item).expanduser()
        prepared = ("metadata.csv", "dataset_dict.json", "state.json")
        is_corpus = item in NAMES or any((folder / name).is_file() for name in prepared)
        return {"corpus" if is_corpus or not folder.is_dir() else "folder": item}
    value = _yaml(item, "an item of data")
    if not isinstance(value, dict):
        raise ValueError(f"an item of data is {item!r}; give a name, a folder or {{corpus: …}} or {{folder: …}}")
    return value


def iteration_item(item: object) -> dict:
    """An item of `iterations` as a flat mapping: `targets: {from: X, layer: L}` becomes `targets` and `layer`."""
    value = _yaml(item, "an item of iterations")
    if not isinstance(value, dict):
        raise ValueError(f"an item of iterations is {item!r}; give {{targets: {{from: mfcc}}, clusters: 100}}")
    targets = value.get("targets")
    if isinstance(targets, dict):
        if "from" not in targets or set(targets) - {"from", "layer"}:
            raise ValueError(
                f"iterations: targets is {targets}; give {{from: mfcc}}, {{from: teacher}} or "
                "{from: FOLDER, layer: 3}"
            )
        value = {**value, "targets": targets["from"], "layer": targets.get("layer")}
    return value
