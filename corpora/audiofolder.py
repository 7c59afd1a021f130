"""Any recordings as a corpus: a folder with `metadata.csv`, one row a recording (the Hub's `audiofolder` convention).

    file_name,text,emotion,speaker
    audio/a1.wav,we are late,anger,anna

`file_name` is needed, every other column may be absent, an empty cell is not known. A mistake in the table (a column
or label that is not known) is an error; a row whose recording is missing or broken, or whose id came before, is left
out and named.
"""

import csv
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import datasets
import soundfile
from tqdm.auto import tqdm

from xser.corpora.cache import cache_root, digest, open_dataset, write_dataset, write_json
from xser.corpora.folds import by_column, hold_out
from xser.corpora.recording import file_size, open_recording
from xser.corpora.schema import EMOTIONS, LEVELS, make_row
from xser.corpora.source import Corpus, Found

logger = logging.getLogger(__name__)

METADATA = "metadata.csv"
VERSION = 1  # of what is made of a row: raise it with every change
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


def load_audiofolder(
    folder: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
    emotion_map: dict[str, str | None] | None = None,
    test_speakers: list[str] | None = None,
    validation_speakers: list[str] | None = None,
    validation_fraction: float | None = None,
) -> datasets.Dataset | datasets.DatasetDict:
    """A folder's recordings: a `DatasetDict` where speakers are held out or the table has splits, else a `Dataset`.

    Args:
        folder: holds metadata.csv and the recordings.
        cache_dir: where the checked table is kept; else $XSER_CACHE, else ~/.cache/xser.
        emotion_map: labels of this folder → emotion adjectives, or None for "not known".
        test_speakers, validation_speakers, validation_fraction: whole speakers to hold out; see `folds.hold_out`.

    Raises:
        FileNotFoundError: no metadata.csv there.
        ValueError: a mistake in the table, no good recording at all, or a speaker that does not exist.
    """
    dataset, _ = read_audiofolder(folder, cache_dir, emotion_map)
    if test_speakers or validation_speakers or validation_fraction:
        return hold_out(dataset, test_speakers, validation_speakers, validation_fraction)
    return by_column(dataset) if any(dataset["split"]) else dataset


def read_audiofolder(
    folder: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
    emotion_map: dict[str, str | None] | None = None,
) -> tuple[datasets.Dataset, dict]:
    """All good rows of a folder, and a report: `folder`, `rows`, `kept`, `left_out` (row → reason)."""
    folder = Path(folder).expanduser().absolute()
    path = _table(folder)
    rows = list(_rows(path, {**EMOTION_NAMES, **_checked_map(emotion_map)}))
    stamps = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in _sources(path, rows)]
    target = cache_root(cache_dir) / "audiofolder" / f"{folder.name}-{digest(VERSION, stamps, emotion_map)}.arrow"
    report_path = target.with_suffix(".json")
    if target.is_file():
        dataset, report = open_dataset(target), json.loads(report_path.read_text(encoding="utf-8"))
    else:
        good, left_out = _check_recordings(folder, rows)
        if not good:
            raise ValueError(f"{path}: none of {len(rows)} rows is left: {_named(left_out) or 'the table is empty'}")
        report = {"folder": str(folder), "rows": len(rows), "kept": len(good), "left_out": left_out}
        write_json(report_path, report)
        dataset = write_dataset(target, good)
    if report["left_out"]:
        logger.warning(
            "%s: %d of %d rows left out: %s", path, len(report["left_out"]), report["rows"], _named(report["left_out"])
        )
    return dataset, report


def find(source: Path, emotion_map: dict[str, str | None] | None = None) -> Found:
    """All rows of the table; no recording is opened. Errors are those of `load_audiofolder`."""
    path = _table(source)
    rows = list(_rows(path, {**EMOTION_NAMES, **_checked_map(emotion_map)}))
    return Found([{name: value for name, value in row.items() if name != "line"} for row in rows])


def _table(folder: Path) -> Path:
    path = folder / METADATA
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: an audiofolder is a folder with {METADATA}")
    return path


def _rows(path: Path, emotion_names: dict[str, str | None]) -> Iterator[dict]:
    """Rows of the schema, each with its `line`; their audio is not looked at."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from error
    reader = csv.DictReader(text.splitlines(keepends=True))
    columns = _columns(path, reader.fieldnames or [])
    for cells in reader:
        where = f"{path}, line {reader.line_num}"
        if None in cells or None in cells.values():
            raise ValueError(f"{where}: its number of cells is not that of the header, {len(reader.fieldnames)}")
        known = {columns[name]: value.strip() for name, value in cells.items() if name in columns and value.strip()}
        yield {"line": reader.line_num, **_row(where, path.parent, known, emotion_names)}


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
        known["age"] = _age(where, known["age"])
    if "emotion" in known:
        known["emotion"] = _emotion(where, known["emotion"], emotion_names)
    audio = {"bytes": None, "path": str(folder / file_name)}
    return make_row(**known, audio=audio, descriptors=levels, corpus=folder.name)


def _level(where: str, slot: str, value: str) -> str:
    if value.lower() not in LEVELS[slot]:
        raise ValueError(f"{where}: {slot} {value!r} is not one of {list(LEVELS[slot])}")
    return value.lower()


def _age(where: str, value: str) -> int:
    try:
        years = float(value)
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


def _sources(path: Path, rows: list[dict]) -> list[Path]:
    """The table and the folders of its recordings: what changes when any of them is added, taken away or replaced."""
    folders = {Path(row["audio"]["path"]).parent for row in rows}
    return [path, *sorted(folder for folder in folders if folder.is_dir())]


def _check_recordings(folder: Path, rows: list[dict]) -> tuple[list[dict], dict[str, str]]:
    """Good rows with their durations; what is left out, as name of the row → reason."""
    good: list[dict] = []
    left_out: dict[str, str] = {}
    lines: dict[str, int] = {}  # id → where it came first
    for row in tqdm(rows, desc=f"checking {folder.name}", unit="file"):
        line = row.pop("line")
        name = f"line {line} ({Path(row['audio']['path']).relative_to(folder)})"
        if row["id"] in lines:
            left_out[name] = f"id {row['id']!r} is that of line {lines[row['id']]}"
            continue
        lines[row["id"]] = line
        try:
            row["duration"] = recording_seconds(row["audio"]["path"])
        except ValueError as error:
            left_out[name] = str(error)
        else:
            good.append(row)
    return good, left_out


def recording_seconds(path: str | os.PathLike) -> float:
    """A recording's length in seconds, by its header and its last sample.

    Raises:
        ValueError: the file is missing, empty, truncated, or not audio; says which.
    """
    file_size(path)
    with Path(path).open("rb") as file, open_recording(file) as audio:
        if not _has_last_sample(audio):
            raise ValueError(f"the file is truncated: it promises {audio.frames} samples, the last cannot be read")
        return audio.frames / audio.samplerate


def _has_last_sample(audio: soundfile.SoundFile) -> bool:
    try:
        audio.seek(audio.frames - 1)
        return len(audio.read(1)) == 1
    except soundfile.SoundFileError:
        return False


def _named(left_out: dict[str, str], most: int = 10) -> str:
    names = [f"{name}: {reason}" for name, reason in left_out.items()]
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")


CORPUS = Corpus(
    "audiofolder",
    find,
    licence="that of your recordings",
    options={"emotion_map": 'labels of this folder → emotions, as in \'{"W": "angry", "L": null}\''},
)
