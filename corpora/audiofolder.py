"""Any recordings as a corpus: a folder with `metadata.csv`, one row a recording (the Hub's `audiofolder` convention).

    file_name,text,emotion,speaker
    audio/a1.wav,we are late,anger,anna

`file_name` is needed, every other column may be absent, an empty cell is not known. A mistake in the table (a column
or label that is not known) is an error; a row whose recording is missing or broken, or whose id came before, is left
out and named. `load_corpus` reads such a folder as it is; `prepare` makes a data set of it that can be moved.
"""

import csv
import io
import json
import logging
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import datasets
from tqdm.auto import tqdm

from xser.corpora.cache import cache_root, digest, open_dataset, write_dataset, write_json
from xser.corpora.checking import examine
from xser.corpora.folds import by_column, hold_out
from xser.corpora.listing import name_some, relative
from xser.corpora.parallel import map_in_order
from xser.corpora.schema import EMOTIONS, LEVELS, make_row
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import read_text

logger = logging.getLogger(__name__)

METADATA = "metadata.csv"
VERSION = 2  # of what is made of a row: raise it with every change
ALIASES = {  # column of the schema → names it may have in metadata.csv
    "file_name": ("file_name",),
    "id": ("id",),
    "text": ("text", "transcription", "sentence"),
    "emotion": ("emotion", "label"),
    **{slot: (slot,) for slot in LEVELS},
    "emphasis": ("emphasis",),  # words separated by spaces; "none" for no word
    "speaker": ("speaker", "speaker_id"),
    "gender": ("gender",),
    "age": ("age",),
    "language": ("language",),
    "session": ("session",),
    "fold": ("fold",),
    "split": ("split",),
    "duration": ("duration",),  # read from the recording all the same
}
IGNORED = ("raw_text",)
EMOTION_NAMES = {
    **{name: name for name in EMOTIONS},
    "anger": "angry",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "fear": "fearful",
    "surprise": "surprised",
    "disgust": "disgusted",
    "boredom": "bored",
    "calmness": "calm",
    "excitement": "excited",
    "frustration": "frustrated",
}


def find(source: Path, emotion_map: dict[str, str | None] | None = None) -> Found:
    """All rows of the table; no recording is opened.

    Args:
        source: holds metadata.csv and the recordings.
        emotion_map: labels of this folder → emotion adjectives, or None for "not known".

    Raises:
        FileNotFoundError: no metadata.csv there.
        ValueError: a mistake in the table, or no row in it.
    """
    path = source / METADATA
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: an audiofolder is a folder with {METADATA}")
    found = Found([])
    lines: dict[str, int] = {}  # id → where it came first
    for line, row in _rows(path, {**EMOTION_NAMES, **_checked_map(emotion_map)}):
        if row["id"] in lines:
            name = f"{relative(Path(row['audio']['path']), source)} ({METADATA}, line {line})"
            found.left_out[name] = f"duplicate id: {row['id']!r} is that of line {lines[row['id']]}"
        else:
            lines[row["id"]] = line
            found.rows.append(row)
    if not found.rows:
        raise ValueError(f"{path}: the table is empty: it has a header and no row")
    return found


def load_audiofolder(
    folder: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
    emotion_map: dict[str, str | None] | None = None,
    test_speakers: list[str] | None = None,
    validation_speakers: list[str] | None = None,
    validation_fraction: float | None = None,
) -> datasets.Dataset | datasets.DatasetDict:
    """A folder's recordings: a `DatasetDict` where speakers are held out or the table has splits, else a `Dataset`.

    Recordings stay where they are; that they are whole is checked once, as `prepare` checks it.

    Args:
        folder, emotion_map: see `find`.
        cache_dir: where the checked table is kept; else $XSER_CACHE, else ~/.cache/xser.
        test_speakers, validation_speakers, validation_fraction: whole speakers to hold out; see `folds.hold_out`.

    Raises:
        ValueError: no good recording at all, a speaker that does not exist, or an error of `find`.
    """
    dataset = _checked_rows(Path(folder).expanduser().absolute(), cache_dir, emotion_map)
    if test_speakers or validation_speakers or validation_fraction:
        return hold_out(dataset, test_speakers, validation_speakers, validation_fraction)
    return by_column(dataset) if any(dataset["split"]) else dataset


def _checked_rows(
    folder: Path, cache_dir: str | os.PathLike | None, emotion_map: dict[str, str | None] | None
) -> datasets.Dataset:
    """All rows with a good recording, from the cache where they are there; a warning names what is left out."""
    found = find(folder, emotion_map)
    places = {Path(row["audio"]["path"]).parent for row in found.rows}
    # What changes when the table changes, or a recording is added, taken away or replaced
    stamps = [
        (str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in (folder / METADATA, *sorted(places)) if p.exists()
    ]
    target = cache_root(cache_dir) / "audiofolder" / f"{folder.name}-{digest(VERSION, stamps, emotion_map)}.arrow"
    notes = target.with_suffix(".json")
    if target.is_file():
        dataset, left_out = open_dataset(target), json.loads(notes.read_text(encoding="utf-8"))
    else:
        good, broken = _check_recordings(folder, found.rows)
        left_out = found.left_out | broken
        if not good:
            raise ValueError(
                f"{folder / METADATA}: none of {len(found.rows)} recordings is left: {name_some(left_out)}"
            )
        write_json(notes, left_out)
        dataset = write_dataset(target, good)
    if left_out:
        total = len(dataset) + len(left_out)
        logger.warning("%s: %d of %d rows left out: %s", folder / METADATA, len(left_out), total, name_some(left_out))
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
            left_out[relative(Path(row["audio"]["path"]), folder)] = result
        else:
            _, heard = result
            good.append({**row, "duration": heard.seconds})
    return good, left_out


def _rows(path: Path, emotion_names: dict[str, str | None]) -> Iterator[tuple[int, dict]]:
    """Line and row of the schema of each record; its audio is not looked at."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    columns = _columns(path, reader.fieldnames or [])
    for cells in reader:
        where = f"{path}, line {reader.line_num}"
        if None in cells or None in cells.values():
            raise ValueError(f"{where}: its number of cells is not that of the header, {len(reader.fieldnames)}")
        known = {columns[name]: value.strip() for name, value in cells.items() if name in columns and value.strip()}
        yield reader.line_num, _row(where, path.parent, known, emotion_names)


def _columns(path: Path, header: list[str]) -> dict[str, str]:
    """Name in the header → column of the schema."""
    names = {alias: column for column, aliases in ALIASES.items() for alias in aliases}
    columns: dict[str, str] = {}
    for name in header:
        if name.strip() in IGNORED:
            continue
        column = names.get(name.strip())
        if column is None:
            raise ValueError(f"{path}: column {name!r} is not known; known are {[*names, *IGNORED]}")
        if column in columns.values() or header.count(name) > 1:
            raise ValueError(f"{path}: more than one column for {column}: keep one of {list(ALIASES[column])}")
        columns[name] = column
    if "file_name" not in columns.values():
        raise ValueError(f"{path}: column 'file_name' is missing; its header is {header}")
    return columns


def _row(where: str, folder: Path, known: dict[str, str], emotion_names: dict[str, str | None]) -> dict:
    if "file_name" not in known:
        raise ValueError(f"{where}: file_name is empty: give the recording's path within {folder}")
    file_name = os.path.normpath(known.pop("file_name"))
    if os.path.isabs(file_name) or file_name.split(os.sep)[0] == os.pardir:
        raise ValueError(f"{where}: file_name {file_name!r} leads out of {folder}: give a path within it")
    known.setdefault("id", Path(file_name).with_suffix("").as_posix())
    known.pop("duration", None)
    levels = {slot: _level(where, slot, known.pop(slot)) for slot in LEVELS if slot in known}
    emphasis = known.pop("emphasis", None)
    if emphasis is not None:
        levels["emphasis"] = [] if emphasis.lower() == "none" else emphasis.split()
    if "age" in known:
        known["age"] = whole_years(where, known["age"])
    if "emotion" in known:
        known["emotion"] = _emotion(where, known["emotion"], emotion_names)
    audio = {"bytes": None, "path": str(folder / file_name)}
    return make_row(**known, audio=audio, descriptors=levels, corpus=folder.name)


def _level(where: str, slot: str, value: str) -> str:
    if value.lower() not in LEVELS[slot]:
        raise ValueError(f"{where}: {slot} {value!r} is not one of {list(LEVELS[slot])}")
    return value.lower()


def whole_years(where: str, value: object) -> int:
    """An age as text or number; `ValueError`, that begins with `where`, for what is no age of a person."""
    try:
        years = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        years = -1.0
    if not (0 <= years < 150 and years.is_integer()):
        raise ValueError(f"{where}: age {value!r} is not a whole number of years")
    return int(years)


def _emotion(where: str, label: str, names: dict[str, str | None]) -> str | None:
    for name in (label, label.lower()):
        if name in names:
            return names[name]
    raise ValueError(
        f"{where}: emotion {label!r} is not one of {sorted(names)}; name it in emotion_map, "
        f"as in emotion_map={{{label!r}: 'angry'}}, or None for not known"
    )


def _checked_map(emotion_map: dict[str, str | None] | None) -> dict[str, str | None]:
    for label, emotion in (emotion_map or {}).items():
        if emotion is not None and emotion not in EMOTIONS:
            raise ValueError(f"emotion_map[{label!r}] is {emotion!r}, not one of {list(EMOTIONS)} or None")
    return emotion_map or {}


CORPUS = Corpus(
    "audiofolder",
    find,
    licence="that of your recordings",
    options={"emotion_map": 'labels of this folder → emotions, as in \'{"W": "angry", "L": null}\''},
)
