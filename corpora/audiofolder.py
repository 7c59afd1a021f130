"""Any recordings as a corpus: a folder with a table of them, one row a recording (the Hub's `audiofolder` convention).

    file_name,text,emotion,speaker
    audio/a1.wav,we are late,anger,anna

The table is metadata.csv, .tsv, .jsonl or .parquet. `file_name` is needed, every other column may be absent, an empty
cell is not known. Emotions may be any; known spellings become the usual names. A column that is no column of the
schema is a descriptor of the folder's own where it is asked for (`descriptors`), or named `descriptors.NAME`. A
mistake in the table is an error; a row whose recording is missing or broken, or whose id came before, is left out and
named. `load_corpus` reads such a folder as it is; `prepare` makes a data set of it that can be moved.
"""

import json
import logging
import math
import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
from tqdm.auto import tqdm

from xser.corpora.cache import cache_root, digest, open_dataset, stamp, write_dataset, write_json
from xser.corpora.cells import Asked, Cells, check_characters, ids_of, named, short, shown
from xser.corpora.checking import examine
from xser.corpora.columns import Renaming, check_columns, check_sources
from xser.corpora.folds import by_column, hold_out
from xser.corpora.labels import own_descriptors, own_emotions, own_stated, stated
from xser.corpora.listing import check_folder, name_some, relative
from xser.corpora.metadata import Table, find_metadata, no_metadata, read_metadata
from xser.corpora.parallel import map_in_order
from xser.corpora.schema import features_with, own_slots_of
from xser.corpora.source import Corpus, Found

logger = logging.getLogger(__name__)

VERSION = 5  # of what is made of a row: raise it with every change
FILE_NAME = ("file_name", "file", "filename", "path", "audio", "audio_file_name", "audio_filepath")
IGNORED = ("raw_text", "index")
WINDOWS_DRIVE = re.compile(r"[A-Za-z]:/")


def find(
    source: Path,
    emotion_map: dict[str, str | None] | None = None,
    descriptors: Asked = None,
    columns: dict[str, str] | None = None,
    dimension_range: list[float] | None = None,
) -> Found:
    """All rows of the table; no recording is opened.

    Args:
        source: holds the table and the recordings.
        emotion_map: labels of this folder → emotions, or None for "not known".
        descriptors: columns of the table that are descriptors, as in `["arousal"]`, or with the levels they may have,
            as in `{"arousal": ["low", "mid", "high"]}`; `gender` and `age` may be among them.
        columns: column of the schema → column of the table, where it is named otherwise; see `columns`.
        dimension_range: lowest and highest value of the scale of valence, arousal and dominance; 0 and 1 by default.

    Raises:
        FileNotFoundError: no table there.
        ValueError: a mistake in the table, or no row in it.
    """
    check_folder(source)
    path = find_metadata(source)
    if path is None:
        raise no_metadata(source, FILE_NAME)
    cells, mapped = Cells(emotion_map, descriptors, dimension_range), check_columns(columns, FILE_NAME)
    table = _renamed(read_metadata(path, (*FILE_NAME, *mapped.values())), mapped, cells)
    if not set(FILE_NAME) & set(table.header):
        header = f"{shown(table.header)}{table.form}"
        raise ValueError(
            f"{path}: column {FILE_NAME[0]!r} is missing; its header is {header}; name the column of recordings so"
        )
    cells.check_header(str(path), table.header, FILE_NAME, IGNORED)
    if not table.records:
        raise ValueError(f"{path}: the table is empty: it has a header and no row")
    inside = str(source)
    files = [_file(table.where(number), inside, values) for number, values in table.records]
    rows = []
    for file, (number, values) in zip(files, table.records, strict=True):
        audio = {"bytes": None, "path": os.path.join(inside, file)}
        rows.append(cells.row(table.where(number), values, audio=audio, corpus=source.name))
    for row, identity in zip(rows, ids_of(files, [row["id"] for row in rows]), strict=True):
        row["id"] = identity
    found = _first_of_each_id(table, files, rows)
    found.labels = cells.settle(found.rows)
    return found


def _renamed(table: Table, columns: dict[str, str], cells: Cells) -> Table:
    """A table whose columns have the names of the schema."""
    check_sources(table.path, columns, table.header)
    renaming = Renaming(columns, FILE_NAME, cells.asked)
    records = [(number, renaming(values)) for number, values in table.records]
    return replace(table, header=renaming.header(table.path, table.header), records=records)


def load_audiofolder(
    folder: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
    emotion_map: dict[str, str | None] | None = None,
    descriptors: Asked = None,
    test_speakers: list[str] | None = None,
    validation_speakers: list[str] | None = None,
    validation_fraction: float | None = None,
    columns: dict[str, str] | None = None,
    dimension_range: list[float] | None = None,
) -> datasets.Dataset | datasets.DatasetDict:
    """A folder's recordings: a `DatasetDict` where speakers are held out or the table has splits, else a `Dataset`.

    Recordings stay where they are; that they are whole is checked once, as `prepare` checks it.

    Args:
        folder, emotion_map, descriptors, columns, dimension_range: see `find`.
        cache_dir: where the checked table is kept; else $XSER_CACHE, else ~/.cache/xser.
        test_speakers, validation_speakers, validation_fraction: whole speakers to hold out; see `folds.hold_out`.

    Raises:
        ValueError: no good recording at all, a speaker that does not exist, or an error of `find`.
    """
    how = {
        "emotion_map": emotion_map,
        "descriptors": descriptors,
        "columns": columns,
        "dimension_range": dimension_range,
    }
    dataset = _checked_rows(Path(folder).expanduser().absolute(), cache_dir, how)
    if test_speakers or validation_speakers or validation_fraction:
        return hold_out(dataset, test_speakers, validation_speakers, validation_fraction)
    return by_column(dataset) if any(dataset["split"]) else dataset


def _checked_rows(folder: Path, cache_dir: str | os.PathLike | None, how: dict) -> datasets.Dataset:
    """All rows with a good recording, from the cache where they are there; what was left out or changed is said.

    Args:
        how: options of `find`.
    """
    found, table = find(folder, **how), find_metadata(folder)
    # What the answer depends on: the table, how it is read, and every recording that it names, as it is now
    places = [row["audio"]["path"] for row in found.rows]
    key = digest(VERSION, str(table), stamp(table), str(how), [(place, stamp(place)) for place in places])
    target = cache_root(cache_dir) / "audiofolder" / f"{folder.name}-{key}.arrow"
    notes = target.with_suffix(".json")
    if target.is_file() and notes.is_file():
        dataset, left_out = open_dataset(target), json.loads(notes.read_text(encoding="utf-8"))
    else:
        good, broken = _check_recordings(folder, found.rows)
        left_out = found.left_out | broken
        if not good:
            raise ValueError(f"{table}: none of {len(found.rows)} recordings is left: {name_some(left_out)}")
        write_json(notes, left_out)
        dataset = write_dataset(target, good, features_with(own_slots_of(good)))
    if left_out:
        total = len(dataset) + len(left_out)
        logger.warning("%s: %d of %d rows left out: %s", table, len(left_out), total, name_some(left_out))
    if found.labels:
        logger.warning("%s: labels brought to one spelling: %s", table, stated(found.labels))
    if own := own_stated(own_emotions(found.rows), own_descriptors(found.rows)):
        logger.warning("%s: %s", table, "; ".join(own))
    return dataset


def _check_recordings(folder: Path, rows: list[dict]) -> tuple[list[dict], dict[str, str]]:
    """Good rows with their durations; the recordings of the others → why."""
    good: list[dict] = []
    left_out: dict[str, str] = {}
    results = map_in_order(partial(examine, read=Path.read_bytes, max_seconds=math.inf), rows)
    for row, result in zip(
        rows, tqdm(results, desc=f"checking {folder.name}", total=len(rows), unit="file"), strict=True
    ):
        if isinstance(result, str):
            name = relative(Path(row["audio"]["path"]), folder)
            left_out[f"{name} (id {row['id']})" if name in left_out else name] = result
        else:
            _, heard = result
            good.append({**row, "duration": heard.seconds})
    return good, left_out


def _first_of_each_id(table: Table, files: list[str], rows: list[dict]) -> Found:
    """Rows whose ids are new; the others are left out."""
    found, numbers = Found([]), {}
    for file, row, (number, _) in zip(files, rows, table.records, strict=True):
        first = numbers.setdefault(row["id"], number)
        if first == number:
            found.rows.append(row)
        else:
            name = f"{file} ({table.path.name}, {table.unit} {number})"
            found.left_out[name] = f"duplicate id: {row['id']!r} is that of {table.unit} {first}"
    return found


def _file(where: str, folder: str, values: dict[str, object]) -> str:
    """The recording of a record, within the folder, with forward slashes."""
    name = next((values[name] for name in FILE_NAME if name in values), None)
    if isinstance(name, dict) and name.get("bytes") is None:
        name = name.get("path")  # as `datasets` writes a column of recordings that lie beside the table
    if name is None:
        raise ValueError(f"{where}: file_name is empty: give the recording's path within {folder}")
    if not isinstance(name, str):
        stored = isinstance(name, dict | bytes)
        what = (
            "holds the recording itself: read such a table by `hub`, or" if stored else f"{short(name)} is not text:"
        )
        raise ValueError(f"{where}: file_name {what} give the recording's path within {folder}")
    named(where, check_characters, FILE_NAME[0], name)
    name = name.strip()
    if "\\" in name and not os.path.exists(os.path.join(folder, name)):
        name = name.replace("\\", "/")
    name = os.path.normpath(name)
    if name == os.curdir:
        raise ValueError(f"{where}: file_name names the folder itself: give the recording's path within {folder}")
    if os.path.isabs(name) or name.split(os.sep)[0] == os.pardir or WINDOWS_DRIVE.match(name):
        raise ValueError(f"{where}: file_name {short(name)} leads out of {folder}: give a path within it")
    return name.replace(os.sep, "/")


CORPUS = Corpus(
    "audiofolder",
    find,
    licence="that of your recordings",
    options={
        "emotion_map": 'labels of this folder → emotions, as in \'{"W": "angry", "L": null}\'',
        "descriptors": 'columns that are descriptors: arousal,gender or \'{"arousal": ["low", "mid", "high"]}\'',
        "columns": 'columns of the schema → columns of the table, as in \'{"caption": "text_description"}\'',
        "dimension_range": "scale of valence, arousal and dominance, as in '[1, 7]'; '[0, 1]' by default",
    },
)
