"""What a model was made of, and on what terms: NOTICE, training.yaml and the card of its folder and of all before it.

`training.yaml` is a list of stages (`data`, `command`, `seed`), or the config of a run whose `parent` is that of the
checkpoint that the run went on from: a list, a config, or the folder that holds it. Of a model on new backbones,
`parents` has theirs by their options. Any depth is followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from xser.backbone_places_xser import place_of
from xser.evaluation.report import read_json, without_folders, without_place
from xser.publishing.licenses import HUB_LICENSES, OTHER, Terms, terms_in
from xser.publishing.problems import PublishError, has_secret
from xser.publishing.strict_yaml import front_matter, load, plain

NOTICE, TRAINING, CARD = "NOTICE", "training.yaml", "README.md"
LICENSES = ("LICENSE", "LICENSE.md", "LICENSE.txt")
RUN_CONFIG = "config.yaml"  # beside final/, of a run that left no training.yaml
LICENSE_FIELDS = ("license", "licence")
BACKBONES = ("audio_model_id", "text_model_id")  # of a config
SOURCES = ("parent", "model", "audio_model", "text_model")  # of the record of a run
STAGE = ("data", "command", "seed")
ROOT = Path(__file__).parent.parent
LOCAL = ("checkpoints", "runs", "data", "models", "model", "output", "outputs", "results", "..", ".", "~")


@dataclass
class Provenance:
    """Of one model: `terms` of all that it was made of, `own` the licences that it names itself, and its own card."""

    notice: str | None = None
    training: object = None
    card: dict = field(default_factory=dict)
    terms: list[Terms] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
    stages: list[dict] = field(default_factory=list)
    base_models: list[str] = field(default_factory=list)


def read_provenance(folder: Path) -> Provenance:
    """What the folder of a model says, and those of all that it was trained from, as far as they are on this machine.

    Raises:
        PublishError: a record cannot be read; it is named.
    """
    training = read_training(folder)
    record = _with_parents(training, folder, set())
    whole = Provenance(training=_cleaned(record), card=_card(folder / CARD))
    notices = []
    for part in _folders(folder, training, set()):
        said = []
        if (notice := _read(part / NOTICE)) is not None:
            notices.append(notice.strip())
            said += terms_in(notice, _label(part / NOTICE, folder))
        for name in LICENSES:
            if (text := _read(part / name)) is not None:
                said += terms_in(text, _label(part / name, folder))[:1]  # a licence's text names others, too
        if part == folder:
            whole.own = {term.license for term in [*said, *_field(training, folder)] if term.license is not None}
        elif isinstance(license := _card(part / CARD).get("license"), str):
            said += _structured(license, _label(part / CARD, folder))
        of_part = record if part == folder else read_training(part)
        for where, text in _texts(of_part, _label(part / TRAINING, folder)):
            said += _structured(text, where) if where.endswith(LICENSE_FIELDS) else terms_in(text, where)
        whole.terms += said
        whole.base_models += _base_models(of_part)
    merged = [notice for index, notice in enumerate(notices) if not any(notice in other for other in notices[:index])]
    whole.notice = "\n\n".join(merged) + "\n" if merged else None
    whole.stages = _stages(record, folder / TRAINING)
    whole.base_models = list(dict.fromkeys(whole.base_models))
    return whole


def is_hub_id(name: str) -> bool:
    """Whether a backbone or checkpoint is named by its id on the Hub, and not by a folder of this machine."""
    parts = Path(name).parts
    if len(parts) != 2 or name.count("/") != 1 or parts[0] in LOCAL:
        return False
    return not any((base / name).exists() for base in (Path(), ROOT))


def _label(file: Path, folder: Path) -> str:
    """A file by its name; one of a checkpoint before, with that folder's name."""
    return file.name if file.parent == folder else f"{file.parent.name}/{file.name}"


def _read(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PublishError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as such"
        ) from error


def _card(path: Path) -> dict:
    text = _read(path)
    return {} if text is None else plain(front_matter(text, path.name))


def read_training(folder: Path) -> object:
    """The record of a folder, that of its run where it has none, or None."""
    is_of_a_run = (folder.parent / "environment.json").is_file()
    for path in (folder / TRAINING, *([folder.parent / RUN_CONFIG] if is_of_a_run else [])):
        if (text := _read(path)) is not None:
            return plain(load(text, path.name))
    return None


def _folders(folder: Path, training: object, seen: set[Path]) -> Iterator[Path]:
    """The folder, and those of checkpoints and backbones before it that are on this machine; each once."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    yield folder
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    named = [config.get(key) for key in BACKBONES] if isinstance(config, dict) else []
    named += [run.get(key) for run in _runs(training) for key in SOURCES]
    for name in named:
        source = _local_folder(name, folder) if isinstance(name, str) else None
        if source is not None:
            yield from _folders(source, read_training(source), seen)


def _with_parents(training: object, folder: Path, seen: set[Path]) -> object:
    """The record of a run with that of the checkpoint that it went on from in it, where that one has a folder here."""
    seen.add(folder.resolve())
    if not isinstance(training, dict):
        return training
    named = training.get("parent", training.get("model"))
    parent = named
    if isinstance(named, str):
        source = _local_folder(named, folder)
        is_new = source is not None and source.resolve() not in seen
        parent = _with_parents(read_training(source), source, seen) if is_new else None
    elif isinstance(named, dict):
        parent = _with_parents(named, folder, seen)
    return training if parent is None else {**training, "parent": parent}


def _local_folder(name: str, folder: Path) -> Path | None:
    """The folder of a checkpoint or backbone, or of what the Hub's cache has of it; nothing is fetched."""
    found = [base / Path(name).expanduser() for base in (Path(), folder.parent, ROOT)]
    if is_hub_id(name):
        found.append(Path(place_of(name)))
        cached = try_to_load_from_cache(name, "config.json", cache_dir=constants.HF_HUB_CACHE)
        found += [Path(cached).parent] if isinstance(cached, str) else []
    return next((path for path in found if (path / "config.json").is_file()), None)


def _field(training: object, folder: Path) -> list[Terms]:
    """The licence that the model's own record has in a field."""
    fields = training if isinstance(training, dict) else {}
    licenses = [fields[key] for key in LICENSE_FIELDS if isinstance(fields.get(key), str)]
    return [term for license in licenses for term in _structured(license, TRAINING)]


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    """Every text in a record, with the path of keys to it."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{where}: {key}" if where.endswith(TRAINING) else f"{where}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{where}[{index}]")


def _structured(license: str, where: str) -> list[Terms]:
    """The terms of a field that holds a licence: by the Hub's name, or in words."""
    name = license.strip().lower()
    return [Terms(name, license, where)] if name in HUB_LICENSES and name != OTHER else terms_in(license, where)


def _stages(training: object, path: Path) -> list[dict]:
    """The record as stages of `data`, `command` and `seed`, the oldest first."""
    if training is None or isinstance(training, str):
        return []
    if isinstance(training, dict) and (training.get("data") is not None or _before(training)):
        before = [stage for record in _before(training) for stage in _stages(record, path)]
        before = [stage for index, stage in enumerate(before) if stage not in before[:index]]
        data = str(training.get("data", "data that the record does not name"))
        others = [str(training[key]) for key in ("asr_data",) if training.get(key)]
        origin = training.get("model")
        data = ", ".join(str(without_place(one)) for one in (data, *others))
        data += f"; from {without_place(origin)}" if isinstance(origin, str) else ""
        command = training.get("command") or f"python train.py {TRAINING}"
        command = " ".join(map(str, command)) if isinstance(command, list) else str(command)
        return [*before, {"data": data, "command": without_folders(command), "seed": training.get("seed")}]
    if isinstance(training, list) and all(isinstance(stage, dict) and set(STAGE) <= set(stage) for stage in training):
        return [{key: _cut(stage[key]) for key in STAGE} for stage in training]
    raise PublishError(
        f"{path} must be a list of stages, each with data, command and seed, or the config of a run, with data"
    )


def _base_models(training: object) -> list[str]:
    """Ids on the Hub that the records of a run and of those before it name."""
    named = [run.get(key) for run in _runs(training) for key in SOURCES[1:]]
    return [name for name in named if isinstance(name, str) and is_hub_id(name)]


def _runs(training: object) -> Iterator[dict]:
    """The config of a run, and those of all runs before it that it holds."""
    if isinstance(training, dict):
        yield training
        for record in _before(training):
            yield from _runs(record)


def _before(training: dict) -> list:
    """The records that the config of a run holds: of the checkpoint or of the backbones that it went on from."""
    parents = training.get("parents")
    records = [training.get("parent"), *(parents.values() if isinstance(parents, dict) else ())]
    return [record for record in records if record is not None]


def _cleaned(value: object) -> object:
    """A record without folders of this machine, and without tokens."""
    if isinstance(value, dict):
        return {
            key: _cleaned(item)
            for key, item in value.items()
            if not (str(key).endswith("token") and isinstance(item, str) and (has_secret(item) or key == "hub_token"))
        }
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return _cut(value)


def _cut(value: object) -> object:
    return without_folders(str(without_place(value))) if isinstance(value, str) else value
