"""What a model was made of, and on what terms: NOTICE and training.yaml go with it from one training to the next."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from transformers.utils import cached_file

from xser.backbone_places_xser import place_of
from xser.corpora.report import terms_of

NOTICE, TRAINING, CARD = "NOTICE", "training.yaml", "README.md"
LICENSES = ("LICENSE", "LICENSE.md", "LICENSE.txt")
FREE = "none is needed"  # how a report begins where recordings have no terms
OWN = ("that of your recordings", "that of the data set")  # where it says that somebody else knows them


class Provenance:
    """What a run goes on from and what it trains on, read before it starts.

    Args:
        parents: option → the model it names: a folder, or an id on the Hub; `None` for none.
        data: names of corpora, or their folders; those of prepared ones say which corpus it is, and its licence.

    Attributes:
        records: option → training.yaml of a parent that has one.
        notices: NOTICE of each parent, and the terms of the data, each once.
        license: of the parent's card, by the Hub's name for it.
        texts: name → the text of a licence that lies in a parent's folder.
    """

    def __init__(self, parents: Mapping[str, str | None], data: Iterable[str | None]):
        self.records: dict[str, object] = {}
        self.notices: list[str] = []
        self.license: str | None = None
        self.texts: dict[str, str] = {}
        for option, model in parents.items():
            if model is not None:
                self._read_parent(option, model)
        self.data = [terms for each in data if each is not None for terms in binding_terms(each)]
        for terms in self.data:
            self._add_notice(f"These weights were trained on {terms['corpus']}, whose terms are: {terms['licence']}.")

    def _read_parent(self, option: str, model: str) -> None:
        read = {name: _read(model, name) for name in (TRAINING, NOTICE, CARD, *LICENSES)}
        files = {name: text for name, text in read.items() if text is not None}
        if TRAINING in files:
            self.records[option] = _yaml(files[TRAINING], f"{TRAINING} of {model}")
        if NOTICE in files:
            self._add_notice(files[NOTICE].strip())
        self.license = self.license or _license_of(files.get(CARD, ""), model)
        for name in LICENSES:
            if name in files:
                self.texts.setdefault(name, files[name])

    def _add_notice(self, text: str) -> None:
        if not any(text in other for other in self.notices):
            self.notices.append(text)

    def write(self, folder: Path, config: Mapping, command: list[str]) -> None:
        """Write NOTICE, training.yaml and the parent's licence into the folder of a model.

        training.yaml is the run's config with its `command`; `parent` is the record of the checkpoint gone on from,
        or, of a model on new backbones, `parents` those of the backbones by their options.
        """
        record = {**config, "command": " ".join(command)}
        if self.license is not None:
            record["license"] = self.license
        if self.data:
            record["terms"] = self.data
        if len(self.records) == 1:
            [record["parent"]] = self.records.values()
        elif self.records:
            record["parents"] = self.records
        text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=118)
        (folder / TRAINING).write_text(text, encoding="utf-8")
        if self.notices:
            (folder / NOTICE).write_text("\n\n".join(self.notices) + "\n", encoding="utf-8")
        for name, text in self.texts.items():
            (folder / name).write_text(text, encoding="utf-8")


def binding_terms(data: str) -> list[dict[str, str]]:
    """`corpus` and `licence` of a prepared folder, or of all that it was made of, where somebody asks for anything."""
    return [terms for terms in terms_of(Path(data)) if not terms["licence"].startswith((FREE, *OWN))]


def trained_on(data: Iterable[str | None], parent: str | None, before: list[str] | None) -> list[str]:
    """Names of all corpora that a model was trained on, the oldest first, each once.

    Args:
        data: names of corpora, or their folders; `None` for none.
        parent: the checkpoint that it goes on from.
        before: what that one says it was trained on.
    """
    names = [name for each in data if each is not None for name in _corpora_of(each)]
    if parent is not None:
        names = [*(before or [f"what {Path(parent).name} was trained on"]), *names]
    return list(dict.fromkeys(names))


def _corpora_of(data: str) -> list[str]:
    """Corpora by name: those in the report of a prepared folder, else the folder's last part."""
    return [terms["corpus"] for terms in terms_of(Path(data))] or [Path(data).name]


def _read(model: str, name: str) -> str | None:
    """A file of a model; `None` where it has none."""
    folder = Path(place_of(model)).expanduser()
    if folder.is_dir():
        path = folder / name
    else:
        found = cached_file(
            model,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_connection_errors=False,
        )
        path = None if found is None else Path(found)
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else None


def _license_of(card: str, model: str) -> str | None:
    """The licence in a card's metadata."""
    if not card.startswith("---\n"):
        return None
    metadata = _yaml(card[4:].partition("\n---")[0], f"the metadata in {CARD} of {model}")
    return metadata.get("license") if isinstance(metadata, dict) else None


def _yaml(text: str, where: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not YAML: {error}") from error
