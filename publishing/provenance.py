"""What a model was made of, and on what terms: NOTICE, training.yaml and the card of its folder and of all before it.

`training.yaml` is a list of stages (`data`, `command`, `seed`), or the config of a run whose `parent` is that of the
checkpoint that the run went on from: a list, a config, or the folder that holds it. Any depth is followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xser.evaluation.report import told, without_folders
from xser.publishing.licenses import HUB_LICENSES, OTHER, Terms, contradicted, implied, nearest, terms_in
from xser.publishing.problems import Problem, PublishError, has_secret
from xser.publishing.strict_yaml import front_matter, load, plain

NOTICE, TRAINING, CARD = "NOTICE", "training.yaml", "README.md"
LICENSES = ("LICENSE", "LICENSE.md", "LICENSE.txt")
RUN_CONFIG = "config.yaml"  # beside final/, of a run that left no training.yaml
STAGE = ("data", "command", "seed")
ROOT = Path(__file__).parent.parent
LOCAL = ("checkpoints", "runs", "data", "models", "model", "output", "outputs", "results", "..", ".", "~")


@dataclass(frozen=True)
class License:
    """The Hub's name of a licence; of `other` also its own name, and where its text is."""

    id: str | None = None
    name: str | None = None
    link: str | None = None
    where: str = ""


@dataclass
class Provenance:
    """Of one model: `terms` of all that it was made of, oldest last, and what its own card says."""

    notice: str | None = None
    training: object = None
    card: dict = field(default_factory=dict)
    terms: list[Terms] = field(default_factory=list)
    stages: list[dict] = field(default_factory=list)
    base_models: list[str] = field(default_factory=list)


def read_provenance(folder: Path) -> Provenance:
    """What the folder of a model says, and those of the checkpoints that it was trained from, as far as they are here.

    Raises:
        PublishError: a record cannot be read; it is named.
    """
    training = read_training(folder)
    whole = Provenance(notice=_read(folder / NOTICE), training=_cleaned(training), card=_card(folder / CARD), terms=[])
    notices = []
    for part in _folders(folder, training, set()):
        if (notice := _read(part / NOTICE)) is not None:
            notices.append(notice.strip())
            whole.terms += terms_in(notice, _label(part / NOTICE, folder))
        for name in LICENSES:
            if (text := _read(part / name)) is not None:
                whole.terms += terms_in(text, _label(part / name, folder))[:1]  # a licence's text names others, too
        card = whole.card if part == folder else _card(part / CARD)
        if part != folder and isinstance(card.get("license"), str):
            whole.terms += _structured(card["license"], _label(part / CARD, folder))
        record = read_training(part)
        for where, text in _texts(record, _label(part / TRAINING, folder)):
            whole.terms += (
                _structured(text, where) if where.endswith(("license", "licence")) else terms_in(text, where)
            )
        whole.base_models += _base_models(record)
    merged = [notice for index, notice in enumerate(notices) if not any(notice in other for other in notices[:index])]
    whole.notice = "\n\n".join(merged) + "\n" if merged else None
    whole.stages = _stages(training, folder / TRAINING)
    whole.base_models = list(dict.fromkeys(whole.base_models))
    return whole


def chosen_license(provenance: Provenance, given: License) -> tuple[License, list[Problem]]:
    """The licence to publish under: the one given, else the card's, else the one that the terms leave.

    Returns:
        The licence (`id` None where there is no telling), and what is wrong with it. None is taken by default: where
        neither the folder nor the user says a licence, that is a problem.
    """
    card = provenance.card
    license = given
    if given.id is None and card.get("license") is not None:
        license = License(card["license"], card.get("license_name"), card.get("license_link"), f"{CARD}: license")
    elif given.id is None:
        left = implied(provenance.terms)
        if len(left) != 1:
            named = (
                f"the folder names {_listed(provenance.terms)}" if provenance.terms else f"no {NOTICE}, {TRAINING} "
            )
            named += "" if provenance.terms else f"or {CARD} in the model's folder names one"
            return License(), [
                Problem("--license", None, f"{named}: give the licence, which must keep the terms of all the data")
            ]
        where = next(term.where for term in provenance.terms if term.license == left[0])
        license = License(left[0], where=where)
    problems = license_problems(license)
    if not problems and (broken := contradicted(license.id, provenance.terms)):
        fit = implied(provenance.terms)
        remedy = f"give --license {fit[0]}" if len(fit) == 1 else _when_none_fits(provenance.terms)
        text = f"it contradicts {_listed(broken)}, on whose terms the model is: {remedy}"
        problems.append(Problem(license.where, license.id, text))
    if not problems and given.id is not None and card.get("license") not in (None, given.id):
        text = f"{CARD} says license {card['license']!r}: leave --license out, or change that line"
        problems.append(Problem("--license", given.id, text))
    return license, problems


def license_problems(license: License) -> list[Problem]:
    """What the Hub would refuse of a licence's name."""
    if not isinstance(license.id, str) or license.id not in HUB_LICENSES:
        close = nearest(str(license.id))
        named = (
            f"did you mean {' or '.join(close)}?"
            if close
            else "see https://huggingface.co/docs/hub/repositories-licenses"
        )
        return [
            Problem(
                license.where,
                license.id,
                f"the Hub knows no such licence; {named} For another, give other, with license_name and license_link",
            )
        ]
    if license.id != OTHER:
        return []
    problems = []
    for what, value, example in (
        ("license_name", license.name, "my-terms-1.0"),
        ("license_link", license.link, "LICENSE, or an https address"),
    ):
        if not isinstance(value, str) or not value.strip():
            problems.append(
                Problem(_beside(license.where, what), value, f"with license other it must be given: {example}")
            )
    if not problems and (
        close := [term.license for term in terms_in(license.name, "") if term.license in HUB_LICENSES]
    ):
        problems.append(
            Problem(
                _beside(license.where, "license_name"),
                license.name,
                f"that is a licence of the Hub's: give {close[0]}",
            )
        )
    return problems


def is_hub_id(name: str) -> bool:
    """Whether a backbone or checkpoint is named by its id on the Hub, and not by a folder of this machine."""
    parts = Path(name).parts
    if len(parts) != 2 or name.count("/") != 1 or parts[0] in LOCAL:
        return False
    return not any((base / name).exists() for base in (Path(), ROOT))


def _when_none_fits(terms: list[Terms]) -> str:
    binding = contradicted(OTHER, terms)
    if binding:
        return f"give --license {binding[0].license}"
    return "give one that keeps them, or --license other with --license_name and --license_link"


def _listed(terms: list[Terms]) -> str:
    shown = list(dict.fromkeys(str(term) for term in terms))
    return "; ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")


def _beside(where: str, what: str) -> str:
    return f"--{what}" if where.startswith("--") else where.replace("license", what)


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
    """The folder, and those of the checkpoints before it that its record names and that are here; each once."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    yield folder
    while isinstance(training, dict):
        for key in ("parent", "model"):
            named = training.get(key)
            parent = _local_folder(named, folder) if isinstance(named, str) else None
            if parent is not None:
                yield from _folders(parent, read_training(parent), seen)
        training = training.get("parent")


def _local_folder(name: str, folder: Path) -> Path | None:
    bases = (Path(), folder.parent, ROOT)
    found = (base / Path(name).expanduser() for base in bases)
    return next((path for path in found if (path / "config.json").is_file()), None)


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
    if isinstance(training, dict) and training.get("data") is not None:
        before = _stages(training.get("parent"), path)
        data = training["data"] if isinstance(training["data"], str) else str(training["data"])
        others = [str(training[key]) for key in ("asr_data",) if training.get(key)]
        before_name = training.get("model")
        data = ", ".join([str(told(data)), *map(str, map(told, others))])
        data += f"; from {told(before_name)}" if isinstance(before_name, str) else ""
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
    found = []
    while isinstance(training, dict):
        for key in ("model", "audio_model", "text_model"):
            if isinstance(training.get(key), str) and is_hub_id(training[key]):
                found.append(training[key])
        training = training.get("parent")
    return found


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
    return without_folders(str(told(value))) if isinstance(value, str) else value
