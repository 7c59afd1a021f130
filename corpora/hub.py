"""Any `datasets` data set, of the Hub or a folder, by a mapping in YAML from its columns to the schema:

    dataset: owner/name                       # or a folder, relative to this file; subset and revision may follow
    audio: audio
    text: transcription                       # the name of a column
    emotion: {column: label, map: {anger: angry, joy: happy, other: null}}
    language: {value: de}                     # the same for all
    descriptors: {mood: style}                # of its own, each as a column, a map or a value
    dimension_range: [1, 7]                   # scale of valence, arousal and dominance; [0, 1] if not given
    splits: {train: train, dev: validation}   # theirs: ours; those not named are left out

`xser prepare hub --source mapping.yaml`; or without `dataset` in it, `--source FOLDER --mapping
mapping.yaml`; or, without a mapping file, `load_corpus("owner/name", columns={"caption": "text_description"})`. A
folder is one of `save_to_disk`, or of parquet, arrow, csv or json files. Class labels come by their
names. No code of a data set is ever run.
"""

import dataclasses
import json
import logging
import math
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import pyarrow
import pyarrow.compute
import yaml

from xser.corpora.cache import cache_root, digest, is_saved, stamp
from xser.corpora.cells import COLUMN_OF, Asked, Cells, nearest
from xser.corpora.folds import Splitting
from xser.corpora.labels import Labels, slot_name
from xser.corpora.listing import name_some
from xser.corpora.metadata import NESTED
from xser.corpora.schema import FEATURES, LEVELS, complete
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import read_text

logger = logging.getLogger(__name__)

COLUMNS = (*(name for name in FEATURES if name not in ("descriptors", "duration")), *LEVELS, "emphasis")
SETTINGS = ("dataset", "subset", "revision", "dimension_range", "splits")
VERSION = 2  # of what `load_hub` keeps of a data set: raise it with every change
BUILDERS = {".parquet": "parquet", ".arrow": "arrow", ".csv": "csv", ".json": "json", ".jsonl": "json"}
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
BATCH_ROWS = 256


@dataclass(frozen=True)
class Field:
    """Where a column of the schema comes from: a column of theirs, through a map if there is one, or a value."""

    column: str | None = None
    value: object = None
    map: Mapping[object, object] = dataclasses.field(default_factory=dict)

    def of(self, cells: Mapping[str, object]) -> object:
        """The value of one row; what the map does not name stays as it is."""
        if self.column is None:
            return self.value
        value = cells[self.column]
        keys = (value, str(value)) if isinstance(value, Hashable) else ()
        return next((self.map[key] for key in keys if key in self.map), value)


class StoredAudio(Mapping):
    """`{"bytes": …, "path": None}` of a row, read from the data set whenever it is asked for, so never held.

    Attributes:
        stamp: stands for the data set's files and the row: other recordings, another one.
    """

    def __init__(self, recordings: datasets.Dataset, index: int, files: str):
        self._recordings, self._index = recordings, index
        self.stamp = f"{files}/{index}"

    def __getitem__(self, key: str) -> bytes | None:
        if key not in ("bytes", "path"):
            raise KeyError(key)
        if key == "path":
            return None
        (audio,) = self._recordings[self._index].values()
        return audio["bytes"] if isinstance(audio, dict) else audio

    def __iter__(self) -> Iterator[str]:
        return iter(("bytes", "path"))

    def __len__(self) -> int:
        return 2


def find(
    source: Path | str,
    mapping: str | Path | dict | None = None,
    emotion_map: Mapping | None = None,
    descriptors: Asked = None,
) -> Found:
    """Rows of a data set. Recordings that it stores are read only when `row["audio"]["bytes"]` is asked for.

    Where a data set has several splits and the mapping says nothing of them, they are kept; a single one is none.

    Args:
        source: a folder or file, an id on the Hub, or a mapping that names the data set.
        mapping: the mapping, as a file or already read, where `source` is not one.
        emotion_map, descriptors: see `audiofolder.find`.

    Raises:
        FileNotFoundError: no such data set or mapping, or none of its recordings.
        ValueError: a mistake in the mapping, a column or split that does not exist, a value that its column does not
            take; each says which there are.
    """
    name, settings, fields = _named(Path(source), mapping)
    parts, left_out = _chosen(load(name, settings.get("subset"), settings.get("revision")), settings.get("splits"))
    cells, corpus = Cells(emotion_map, descriptors, settings.get("dimension_range")), Path(name).absolute().name
    fields |= _asked(cells.asked, fields)
    rows = []
    for theirs, (ours, part) in parts.items():
        _check_columns(part, fields)
        recordings = recordings_of(part.select_columns(fields["audio"].column), Path(name))
        for index, (audio, values) in enumerate(zip(recordings, _values(part, fields), strict=True)):
            where = f"{theirs}/{index}"
            if isinstance(audio, str):
                left_out[where] = audio
            else:
                known = {"id": where, "split": ours, "corpus": corpus, **values}
                rows.append(cells.row(f"{name}, row {where}", known, audio=audio))
    if not rows:
        raise FileNotFoundError(f"{name}: no recording is left: {dict(list(left_out.items())[:5]) or 'it is empty'}")
    return Found(rows, left_out, cells.settle(rows))


def load_hub(
    name: str,
    cache_dir: str | os.PathLike | None = None,
    columns: dict | None = None,
    subset: str | None = None,
    revision: str | None = None,
    splits: dict[str, str] | None = None,
    emotion_map: dict[str, str | None] | None = None,
    descriptors: Asked = None,
    dimension_range: list[float] | None = None,
) -> datasets.DatasetDict:
    """A data set by a mapping of its columns, checked as `prepare` does it, and kept in the cache.

    Args:
        name: an id on the Hub, or a folder or file.
        cache_dir: where it is kept; else $XSER_CACHE, else ~/.cache/xser.
        columns: column of the schema, or `descriptors.NAME` → where it comes from: a column of the data set, or what
            else a mapping may say of it; `audio` is the column of that name if not given.
        subset, revision, splits, dimension_range: see the head of this module.
        emotion_map, descriptors: see `audiofolder.find`.

    Raises:
        FileNotFoundError: no such data set, or none of its recordings is left.
        ValueError: a name that is no column of the schema, or no column of the data set; errors of `find`.
    """
    from xser.corpora.prepare import Options, prepare  # it draws plots, which a prepared corpus does not need

    settings = {"subset": subset, "revision": revision, "splits": splits, "dimension_range": dimension_range}
    mapping = _mapping_of(columns or {}) | {key: value for key, value in settings.items() if value is not None}
    read_mapping(mapping)
    loaded = load(name, subset, revision)
    parts = loaded if isinstance(loaded, datasets.DatasetDict) else {"all": loaded}
    states = [
        (key, part._fingerprint, [stamp(file["filename"]) for file in part.cache_files]) for key, part in parts.items()
    ]
    key = digest(VERSION, name, states, mapping, emotion_map, descriptors)
    target = cache_root(cache_dir) / "hub" / f"{Path(name).name}-{key}"
    if not target.is_dir():
        corpus = dataclasses.replace(CORPUS, find=partial(find, emotion_map=emotion_map, descriptors=descriptors))
        options = Options(max_seconds=math.inf, splitting=Splitting(allow_shared_speakers=True))
        prepare(corpus, name, target, {"mapping": mapping}, options)
    report = json.loads((target / "report.json").read_text(encoding="utf-8"))
    if left_out := {one["file"]: one["reason"] for one in report["left_out"]}:
        total = report["n"] + len(left_out)
        logger.warning("%s: %d of %d rows left out: %s", name, len(left_out), total, name_some(left_out))
    corpus = datasets.load_from_disk(str(target))
    return datasets.DatasetDict({split: complete(part) for split, part in corpus.items()})


def _mapping_of(columns: object) -> dict:
    """The mapping that columns of the schema → columns of a data set stand for."""
    if not isinstance(columns, dict):
        example = '{"caption": "text_description"}'
        raise ValueError(f"columns is {columns!r}: map columns of the schema to columns of the data set, as {example}")
    mapping: dict = {"audio": "audio"}
    for name, field in columns.items():
        nested, _, slot = str(name).partition(".")
        if nested == NESTED and slot:
            mapping.setdefault(NESTED, {})[slot] = field
        elif name in COLUMNS:
            mapping[name] = field
        else:
            known = [*COLUMNS, f"{NESTED}.NAME"]
            near = nearest(str(name), [*COLUMNS, *COLUMN_OF])
            raise ValueError(f"columns names {name!r}, which is no column of the schema{near}; name one of {known}")
    return mapping


def _asked(asked: Iterable[str], fields: Mapping[str, Field]) -> dict[str, Field]:
    """Fields of descriptors that are asked for by the names of their columns."""
    new = [column for column in asked if not {column, f"{NESTED}.{column}"} & {*fields}]
    return {f"{NESTED}.{column}": Field(column=column) for column in new}


def _named(source: Path, mapping: str | Path | dict | None) -> tuple[str, dict, dict[str, Field]]:
    """Name of the data set, settings and fields."""
    if mapping is not None:
        settings, fields = read_mapping(mapping)
        return str(source), settings, fields  # what is asked for by name goes before the `dataset` of a mapping
    if source.suffix.lower() not in (".yaml", ".yml"):
        raise ValueError(f"{source}: a mapping is needed: give mapping=FILE.yaml, or that file as the source")
    settings, fields = read_mapping(source)
    if "dataset" not in settings:
        raise ValueError(f"{source}: 'dataset' is missing: an id on the Hub, or a folder relative to this file")
    beside = source.parent / settings["dataset"]
    return str(beside if beside.exists() else settings["dataset"]), settings, fields


def read_mapping(mapping: str | Path | dict) -> tuple[dict, dict[str, Field]]:
    """Settings of a mapping, and where each column of the schema comes from. Errors are those of `find`."""
    where = "mapping"
    if not isinstance(mapping, dict):
        where = str(mapping)
        try:
            mapping = yaml.safe_load(read_text(Path(where)))
        except yaml.YAMLError as error:
            raise ValueError(f"{where} is not YAML: {error}") from error
        if not isinstance(mapping, dict):
            raise ValueError(f"{where} should map columns, as in `audio: audio`; it is {mapping!r}")
    allowed = [*COLUMNS, NESTED, *SETTINGS]
    unknown = [key for key in mapping if key not in allowed]
    if unknown:
        near = nearest(str(unknown[0]), allowed)
        raise ValueError(
            f"{where}: {unknown} are not known{near}; known are {allowed}; descriptors of its own stand under {NESTED}"
        )
    settings = {key: mapping[key] for key in SETTINGS if mapping.get(key) is not None}
    fields = {key: _field(f"{where}: {key}", value) for key, value in mapping.items() if key in COLUMNS}
    fields |= _own(f"{where}: {NESTED}", mapping.get(NESTED) or {})
    if "audio" not in fields or fields["audio"].column is None:
        raise ValueError(f"{where}: 'audio' should name the column of recordings, as in `audio: audio`")
    if "emotion" in fields:
        Labels(emotion_map=fields["emotion"].map)  # a map leads to what can stand in an answer
    if "split" in fields and "splits" in settings:
        raise ValueError(f"{where}: give split, a column, or splits, names of the data set's own; not both")
    return settings, fields


def _own(where: str, mapping: object) -> dict[str, Field]:
    """Fields of a data set's own descriptors."""
    if not isinstance(mapping, dict):
        raise ValueError(f"{where} is {mapping!r}: give a map, as in {{arousal: COLUMN}}")
    fields = {}
    for slot, value in mapping.items():
        try:
            fields[f"{NESTED}.{slot}"] = _field(f"{where}: {slot}", value)
            slot_name(str(slot))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return fields


def _field(where: str, value: object) -> Field:
    if isinstance(value, str):
        return Field(column=value)
    if isinstance(value, dict) and set(value) == {"value"}:
        return Field(value=value["value"])
    if isinstance(value, dict) and "column" in value and set(value) <= {"column", "map"}:
        return Field(**value)
    raise ValueError(f"{where} is {value!r}: give NAME, {{column: NAME, map: {{theirs: ours}}}} or {{value: …}}")


def load(name: str, subset: str | None = None, revision: str | None = None) -> datasets.Dataset | datasets.DatasetDict:
    """A data set by its folder, file or id on the Hub; its code, if it has any, is not run. Errors: see `find`."""
    path = Path(name)
    try:
        if is_saved(path):
            return datasets.load_from_disk(name)
        if path.is_dir():
            return datasets.load_dataset(name, subset)
        if path.is_file() and path.suffix.lower() in BUILDERS:
            return datasets.load_dataset(BUILDERS[path.suffix.lower()], data_files=name)
        if path.exists() or not HUB_ID.fullmatch(name):
            raise FileNotFoundError(f"{name} is no folder, no file of {list(BUILDERS)}, and no id like owner/name")
        return datasets.load_dataset(name, subset, revision=revision)
    except (RuntimeError, pyarrow.ArrowInvalid, datasets.exceptions.DatasetGenerationError) as error:
        raise ValueError(f"data set {name} cannot be loaded: {error.__cause__ or error}") from error


def _chosen(
    loaded: datasets.Dataset | datasets.DatasetDict, splits: dict[str, str] | None
) -> tuple[dict[str, tuple[str | None, datasets.Dataset]], dict[str, str]]:
    """Their split → our split and its rows; what was left out → why."""
    parts = loaded if isinstance(loaded, datasets.DatasetDict) else {"all": loaded}
    if splits is None:
        return {name: (name if len(parts) > 1 else None, part) for name, part in parts.items()}, {}
    if not isinstance(splits, dict):
        raise ValueError(f"splits is {splits!r}: give a map of names, theirs: ours")
    unknown = [name for name in splits if name not in parts]
    if unknown:
        raise ValueError(f"splits {unknown} do not exist; the data set has {list(parts)}")
    left_out = {
        f"split {name}": f"{len(part)} rows of a split that splits does not name"
        for name, part in parts.items()
        if name not in splits
    }
    return {name: (ours, parts[name]) for name, ours in splits.items()}, left_out


def _check_columns(part: datasets.Dataset, fields: dict[str, Field]) -> None:
    for name, field in fields.items():
        if field.column is not None and field.column not in part.column_names:
            near = nearest(field.column, part.column_names)
            raise ValueError(
                f"{name}: there is no column {field.column!r}{near}; the data set has {part.column_names}"
            )


def _values(part: datasets.Dataset, fields: dict[str, Field]) -> Iterator[dict[str, object]]:
    """What is known of each row, by column of the schema, without its recording; class labels by their names."""
    fields = {name: field for name, field in fields.items() if name != "audio"}
    columns = sorted({field.column for field in fields.values() if field.column is not None})
    labels = {name: part.features[name] for name in columns if isinstance(part.features[name], datasets.ClassLabel)}
    for cells in part.select_columns(columns) if columns else ({} for _ in range(len(part))):
        for name, feature in labels.items():
            known = cells[name] is not None and cells[name] >= 0  # -1 is no label
            cells[name] = feature.int2str(cells[name]) if known else None
        values = {name: field.of(cells) for name, field in fields.items()}
        yield {name: value for name, value in values.items() if value is not None}


def recordings_of(part: datasets.Dataset, source: Path) -> list[Mapping | str]:
    """What `audio` of each row is, or why it is left out; looks at where bytes are, not at them.

    Args:
        part: the column of recordings alone.
        source: where the data set lies, to which paths are relative.
    """
    ((column, feature),) = part.features.items()
    if isinstance(feature, datasets.Audio):
        part = part.cast_column(column, datasets.Audio(decode=False))
    files = digest(part._fingerprint, [stamp(file["filename"]) for file in part.cache_files])
    folder = (source if source.is_dir() else source.parent).absolute()
    found: list[Mapping | str] = []
    for batch in part.with_format("arrow").iter(BATCH_ROWS):
        stored, paths = _stored_and_paths(column, batch.column(column).combine_chunks())
        for has_bytes, path in zip(stored, paths, strict=True):
            if has_bytes:
                found.append(StoredAudio(part, len(found), files))
            elif not path:
                found.append("the row has no recording")
            elif not os.path.isfile(folder / path):
                found.append(f"the recording is missing: {path}")
            else:
                found.append({"bytes": None, "path": str(folder / path)})
    return found


def _stored_and_paths(column: str, audio: pyarrow.Array) -> tuple[list[bool], list[str | None]]:
    """Whether each cell holds bytes, and its path."""
    if pyarrow.types.is_struct(audio.type) and {item.name for item in audio.type} >= {"bytes", "path"}:
        stored = pyarrow.compute.struct_field(audio, "bytes").is_valid()
        return stored.to_pylist(), pyarrow.compute.struct_field(audio, "path").to_pylist()
    if pyarrow.types.is_string(audio.type) or pyarrow.types.is_large_string(audio.type):
        return [False] * len(audio), audio.to_pylist()
    if pyarrow.types.is_binary(audio.type) or pyarrow.types.is_large_binary(audio.type):
        return audio.is_valid().to_pylist(), [None] * len(audio)
    raise ValueError(f"audio: column {column!r} is {audio.type}: recordings should be files, paths or bytes of files")


CORPUS = Corpus(
    name="hub",
    find=find,
    options={"mapping": "YAML file: where each column of the schema comes from"},
    licence="that of the data set: see its card",
)
