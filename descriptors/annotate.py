"""The levels of every recording of a prepared corpus, from measurements, told by cuts of its training split.

    python -m xser.descriptors annotate data/nemo

Measurements are noted in `FOLDER.annotating`, a few hundred recordings a file, so that a run that was stopped goes on
from there. When all are done the corpus is written anew beside its place, and the two change places.
"""

import dataclasses
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm.auto import tqdm

from xser.audio_xser import load_audio
from xser.calibration_xser import Calibration, Reference
from xser.corpora.cache import digest, write_json, written_beside
from xser.corpora.checking import FILE_ERRORS
from xser.corpora.schema import FEATURES, LEVELS
from xser.corpora.shards import PARQUET_NAME, SCHEMA, _batches, _open, _sink, check_features, sort_shards
from xser.corpora.workshop import DATA, NOTES, open_workshop
from xser.descriptors.align import AlignmentError, align, align_by_letters
from xser.descriptors.align_espeak import EspeakAligner
from xser.descriptors.calibrate import calibrate
from xser.descriptors.emphasis import emphasised
from xser.descriptors.rate import speaking_rate
from xser.levels_xser import NEAR_A_CUT, QUANTITY_OF, Label, label
from xser.prosody_xser import Prosody, measure

VERSION = 1  # of what is noted of a recording: raise it with every change of the measurements
MARGIN = 0.25  # errors: those of pitch and loudness are of sampling a voice, several times that of the measurement
STAND_IN_MARGIN = 1.0  # at least, of a gender or corpus that stands in for a speaker: that error is not overestimated
NOTED_ROWS = 256  # what a run that is stopped loses at most
SLICE_ROWS = 32  # recordings in memory at a time, beside those that are being measured
AHEAD = 8  # recordings in the works for each process
EMPHASIS = "emphasis"
WORD_TIMES = ("letters", "espeak")
NO_TRANSCRIPT, NOT_ALIGNED = "no transcript", "not aligned"
QUANTITIES = (  # columns of descriptors.parquet, as in `Prosody`
    "pitch_hz", "loudness", "rate", "pitch_range", "jitter", "shimmer", "hnr_db", "snr_db", "pauses", "speech_seconds",
)  # fmt: skip
COMPARED = ("pitch", "volume", "speed")  # slots whose dependence on the emotion is reported
_FRAMES = {"f0": np.float32, "strength": np.float32, "level": np.float32, "speech": bool}
_BEFORE = "before"  # within the notes: the corpus as it was, while the two change places
_TABLE = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "split", "slot", "level")),
        ("value", pa.float32()),
        ("unit", pa.string()),
        ("confidence", pa.float32()),
        *((name, pa.string()) for name in ("reason", "basis", "rate_from")),
        *((name, pa.int32() if name == "pauses" else pa.float32()) for name in QUANTITIES),
    ]
)


@dataclass(frozen=True)
class Measured:
    """One recording.

    Attributes:
        prosody: its measurements; as noted on disk, without those of each frame.
        rate_from: what the rate was counted in, `transcript` or `signal`.
        emphasis: the emphasised words; None where they cannot be told, or were not asked for.
        no_emphasis: why they cannot be told.
    """

    prosody: Prosody
    rate_from: str
    emphasis: list[str] | None = None
    no_emphasis: str | None = None

    def to_dict(self) -> dict:
        """As JSON-able values, without what is of each frame."""
        prosody = {
            field.name: getattr(self.prosody, field.name)
            for field in dataclasses.fields(Prosody)
            if field.name not in _FRAMES
        }
        return {**vars(self), "prosody": prosody}

    @classmethod
    def from_dict(cls, values: dict) -> "Measured":
        """Inverse of `to_dict`, with no frames."""
        prosody = dict(values["prosody"])
        if prosody["contour"] is not None:
            prosody["contour"] = tuple(prosody["contour"])
        frames = {name: np.zeros(0, kind) for name, kind in _FRAMES.items()}
        return cls(**{**values, "prosody": Prosody(**prosody, **frames)})


def measure_row(row: dict, word_times: str | None = None) -> Measured:
    """Measure a recording of the one schema; where it has a transcript, the rate is that of its syllables.

    Args:
        row: `audio`, as `load_audio` takes it, `text` and `language`.
        word_times: what finds the words for the emphasis, one of `WORD_TIMES`; None to leave it.

    Raises:
        ValueError, OSError: the recording cannot be read.
    """
    wave = load_audio(row["audio"])
    prosody, rate_from = measure(wave), "signal"
    rate = speaking_rate(row["text"], prosody.speech_seconds, row["language"]) if row["text"] else None
    if rate is not None:
        prosody, rate_from = dataclasses.replace(prosody, rate=rate.value, rate_error=rate.error), "transcript"
    if word_times is None:
        return Measured(prosody, rate_from)
    return Measured(prosody, rate_from, *_emphasis(wave, prosody, row, word_times))


def measure_rows(rows: Iterable[dict], workers: int | None = 1, word_times: str | None = None) -> Iterator:
    """`measure_row` of each, in order, or a text that says why a recording cannot be read.

    Args:
        workers: processes; as many as there are cores if None, this one alone if 1.
    """
    with _mapping(workers or os.cpu_count() or 1) as mapping:
        yield from mapping(partial(_measured_or_reason, word_times=word_times), rows)


def annotate(
    folder: str | os.PathLike,
    split_for_calibration: str = "train",
    calibration: Calibration | None = None,
    relative_to: str = "speaker",
    margin: float = MARGIN,
    word_times: str | None = None,
    own_references: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
) -> dict:
    """Measure and label every recording of a prepared corpus, in place.

    Args:
        folder: written by `python -m xser.corpora prepare`, Arrow or parquet.
        split_for_calibration: the training split, whose recordings alone set the cuts.
        calibration: cuts that are given, instead.
        relative_to: `speaker`, or `gender` or `corpus` where speakers are not named; see `calibrate`.
        margin: how many errors from every cut a value must lie to get a level; see `tell`.
        word_times: what finds words for the emphasis: `letters` or `espeak`; None to leave the emphasis as it is.
        own_references: judge a speaker whom the calibration does not know by the median of their own recordings in
            this corpus, whatever the split, instead of by their gender.
        overwrite: replace labels that are there already; else only what is None is filled in.
        workers: processes; as many as there are cores if None.

    Returns:
        The report, as in `descriptors.json` there. The folder also has `descriptors.parquet`, one row a recording and
        slot, and `calibration.json`.

    Raises:
        FileNotFoundError: no prepared corpus there.
        BlockingIOError: another process is annotating it.
        DiskFullError: there is no room; what was measured is kept.
        ValueError: no such split or option, or what `calibrate` says; nothing is changed then.
    """
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    if word_times is not None and word_times not in WORD_TIMES:
        raise ValueError(f"word_times is {word_times!r}; it must be one of {WORD_TIMES}, or None")
    beside = folder.with_name(f"{folder.name}.annotating")
    _recover(folder, beside)
    files = list_files(folder)
    if calibration is None and split_for_calibration not in {file.split for file in files}:
        raise ValueError(f"{folder} has no split {split_for_calibration!r} to calibrate on; it has {_splits(files)}")
    with open_workshop(beside, digest(VERSION, word_times, [file.stamp(folder) for file in files])) as workshop:
        rows, unread = _measure_all(folder, files, workshop / NOTES, workers, word_times)
        if calibration is None:
            training = [row for row in rows if row.split == split_for_calibration]
            measurements = [(row.measured.prosody, row.speaker, row.gender) for row in training if row.measured]
            calibration = calibrate(
                measurements, _corpus_of(rows, folder), split_for_calibration, relative_to=relative_to
            )
        speakers = _own_references(rows, calibration) if own_references else {}
        labels = [_labels(row, calibration, speakers, margin) for row in rows]
        report = _report(rows, labels, calibration, margin, unread, overwrite)
        data = workshop / DATA
        shutil.rmtree(data, ignore_errors=True)  # of a run that was stopped, maybe with other options
        _write_corpus(folder, data, files, rows, labels, overwrite)
        _write_table(data / "descriptors.parquet", rows, labels)
        calibration.save(data / "calibration.json")
        write_json(data / "descriptors.json", report)
        before = workshop / NOTES / _BEFORE
        os.replace(folder, before)
        os.replace(data, folder)
        shutil.rmtree(workshop)
    return report


def tell(
    prosody: Prosody,
    calibration: Calibration,
    speaker: Reference | str | None = None,
    gender: str | None = None,
    margin: float = MARGIN,
) -> dict[str, Label]:
    """`label`, but where a gender or the corpus stands in for a speaker the margin is at least `STAND_IN_MARGIN`.

    There the error is how far speakers lie from each other. With less, all recordings of a low voice would be low.
    """
    labels = label(prosody, calibration, speaker, gender, margin=margin)
    strict = label(prosody, calibration, speaker, gender, margin=max(margin, STAND_IN_MARGIN))
    return {slot: strict[slot] if stands_in(of.basis, calibration) else of for slot, of in labels.items()}


def stands_in(basis: str | None, calibration: Calibration) -> bool:
    """Whether a label's basis is not what the cuts are relative to; a tone's is always the speaker."""
    return basis not in (None, "speaker", calibration.relative_to)


def eta_squared(values: Iterable[float], groups: Iterable[str]) -> float | None:
    """Share of the variance of values that lies between groups; None for fewer than two groups, or no variance."""
    values, groups = np.asarray(list(values), np.float64), np.asarray(list(groups))
    names = np.unique(groups)
    total = float(np.square(values - values.mean()).sum()) if len(values) else 0.0
    if len(names) < 2 or total == 0:
        return None
    parts = [values[groups == name] for name in names]
    return float(sum(len(part) * (part.mean() - values.mean()) ** 2 for part in parts) / total)


@dataclass(frozen=True)
class File:
    """A file of rows: its split, its path within the folder, `arrow` or `parquet`."""

    split: str
    path: Path
    kind: str

    def stamp(self, folder: Path) -> tuple[str, int, int]:
        """Another one when the file is another."""
        status = (folder / self.path).stat()
        return self.path.as_posix(), status.st_size, status.st_mtime_ns


def list_files(folder: Path) -> list[File]:
    """The files of a prepared corpus, split by split.

    Raises:
        FileNotFoundError: no prepared corpus there, or a file of it is missing.
        ValueError: it is not in the one schema.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give one that `python -m xser.corpora prepare` has written")
    names = [path.name for path in folder.iterdir()]
    if any(PARQUET_NAME.fullmatch(name) for name in names):
        shards = sort_shards(names, folder)
        files = [File(split, Path(name), "parquet") for split in shards for name in shards[split]]
    elif (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        files = [file for split in splits for file in _arrow_files(folder, split, Path(split))]
    elif (folder / "state.json").is_file():
        files = _arrow_files(folder, "train", Path())
    else:
        raise FileNotFoundError(
            f"{folder} holds no prepared corpus: write one by `python -m xser.corpora prepare NAME --source DIR --out "
            f"{folder}`"
        )
    for file in files:
        if not (folder / file.path).is_file():
            raise FileNotFoundError(f"{folder}: {file.path} is missing")
        schema = next((batch.schema for batch in _batches(folder / file.path, file.kind)), SCHEMA)
        check_features(datasets.Features.from_arrow_schema(schema), folder / file.path)
    return files


def _arrow_files(folder: Path, split: str, within: Path) -> list[File]:
    state = json.loads((folder / within / "state.json").read_text(encoding="utf-8"))
    return [File(split, within / file["filename"], "arrow") for file in state["_data_files"]]


@dataclass(frozen=True)
class _Row:
    """What is known of a row, its recording left out; `measured` is None where that cannot be read."""

    id: str
    split: str
    speaker: str | None
    gender: str | None
    emotion: str | None
    corpus: str | None
    descriptors: dict
    measured: Measured | None


def _measure_all(folder: Path, files: list[File], notes: Path, workers: int | None, word_times: str | None):
    """All rows in order, and id → why its recording cannot be read."""
    rows, unread = [], {}
    count = sum(batch.num_rows for file in files for batch in _batches(folder / file.path, file.kind, ["id"]))
    with _mapping(workers or os.cpu_count() or 1) as mapping, tqdm(total=count, desc="measuring", unit="file") as bar:
        for number, file in enumerate(files):
            for part, chunk in enumerate(_chunks(folder / file.path, file.kind)):
                note = notes / f"{number:05d}-{part:05d}.json"
                if not note.is_file():
                    function = partial(_measured_or_reason, word_times=word_times)
                    found = [_noted(result, bar) for result in mapping(function, _recordings(chunk))]
                    write_json(note, {"rows": found})
                else:
                    bar.update(chunk.num_rows)
                for known, values in zip(
                    chunk.drop_columns("audio").to_pylist(),
                    json.loads(note.read_text(encoding="utf-8"))["rows"],
                    strict=True,
                ):
                    if "error" in values:
                        unread[known["id"]] = values["error"]
                    measured = None if "error" in values else Measured.from_dict(values)
                    names = ("id", "speaker", "gender", "emotion", "corpus", "descriptors")
                    rows.append(_Row(split=file.split, measured=measured, **{name: known[name] for name in names}))
    return rows, unread


def _chunks(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    for batch in _batches(path, kind):
        for start in range(0, batch.num_rows, NOTED_ROWS):
            yield batch.slice(start, NOTED_ROWS)


def _recordings(chunk: pa.RecordBatch) -> Iterator[dict]:
    """What is needed of each row to measure it, a few at a time."""
    chunk = chunk.select(["id", "audio", "text", "language"])
    for start in range(0, chunk.num_rows, SLICE_ROWS):
        yield from chunk.slice(start, SLICE_ROWS).to_pylist()


def _noted(result: Measured | str, bar: tqdm) -> dict:
    bar.update()
    return {"error": result} if isinstance(result, str) else result.to_dict()


def _measured_or_reason(row: dict, word_times: str | None) -> Measured | str:
    """Without frames: what crosses over to another process should be small."""
    try:
        return Measured.from_dict(measure_row(row, word_times).to_dict())
    except ValueError as error:
        return str(error)
    except OSError as error:
        if error.errno not in FILE_ERRORS:
            raise
        return f"cannot be read: {error.strerror}"


def _emphasis(wave: np.ndarray, prosody: Prosody, row: dict, word_times: str) -> tuple[list[str] | None, str | None]:
    """(emphasised words, why they cannot be told)."""
    if not row["text"]:
        return None, NO_TRANSCRIPT
    aligner = align_by_letters if word_times == "letters" else EspeakAligner(row["language"] or "en")
    try:
        words = emphasised(prosody, align(wave, row["text"], aligner))
    except AlignmentError:
        return None, NOT_ALIGNED
    return words, NEAR_A_CUT if words is None else None


@contextmanager
def _mapping(workers: int) -> Iterator[Callable]:
    """`map` over processes, in order, with few items waiting: measuring is Python, and threads would wait in line."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_use_one_thread) as pool:

        def mapping(function: Callable, items: Iterable) -> Iterator:
            waiting = deque()
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        try:
            yield mapping
        finally:
            pool.shutdown(cancel_futures=True)


def _use_one_thread() -> None:
    torch.set_num_threads(1)


def _corpus_of(rows: list[_Row], folder: Path) -> str:
    return "+".join(sorted({row.corpus for row in rows} - {None})) or folder.name


def _own_references(rows: list[_Row], calibration: Calibration) -> dict[str, Reference]:
    """Speakers whom the calibration does not know → their reference, where they have recordings enough."""
    recordings: dict[str, list[Prosody]] = {}
    for row in rows:
        if row.measured and row.speaker is not None and row.speaker not in calibration.speakers:
            recordings.setdefault(row.speaker, []).append(row.measured.prosody)
    references = {}
    for speaker, prosodies in recordings.items():
        try:
            references[speaker] = calibration.reference_of(prosodies)
        except ValueError:  # too few: as for anyone else, the gender stands in
            continue
    return references


def _labels(row: _Row, calibration: Calibration, speakers: dict[str, Reference], margin: float) -> dict[str, Label]:
    """All slots of `levels_xser.LEVELS`, and the emphasis where it was asked for; none of what cannot be read."""
    if row.measured is None:
        return {}
    labels = tell(row.measured.prosody, calibration, speakers.get(row.speaker, row.speaker), row.gender, margin)
    words, reason = row.measured.emphasis, row.measured.no_emphasis
    if words is not None or reason is not None:
        level = None if words is None else " ".join(words) or "none"
        labels[EMPHASIS] = Label(level, None, "words", None, reason, None)
    return labels


def _descriptors(row: _Row, labels: dict[str, Label], overwrite: bool) -> dict:
    """The column `descriptors` of a row."""
    measured = {slot: labels[slot].level for slot in LEVELS if slot in labels}
    if row.measured is not None and EMPHASIS in labels:
        measured[EMPHASIS] = row.measured.emphasis
    if overwrite:
        return {**row.descriptors, **measured}
    return {slot: measured.get(slot) if old is None else old for slot, old in row.descriptors.items()}


def _write_corpus(folder: Path, data: Path, files: list[File], rows: list[_Row], labels: list, overwrite: bool):
    """The corpus with its new descriptors, and whatever else lies in its folder."""
    places = {file.path.as_posix() for file in files}
    shutil.copytree(
        folder,
        data,
        ignore=lambda at, names: [
            name for name in names if (Path(at).relative_to(folder) / name).as_posix() in places
        ],
    )
    column = SCHEMA.get_field_index("descriptors")
    filled = iter([_descriptors(row, told, overwrite) for row, told in zip(rows, labels, strict=True)])
    for file in tqdm(files, desc="writing", unit="file"):
        with _open(data / file.path) as opened, _sink(opened, file.kind) as sink:
            for batch in _batches(folder / file.path, file.kind):
                columns = list(batch.select(SCHEMA.names).columns)
                values = [next(filled) for _ in range(batch.num_rows)]
                columns[column] = pa.array(values, SCHEMA.field(column).type)
                sink.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
    written = digest([_descriptors(row, told, overwrite) for row, told in zip(rows, labels, strict=True)])
    for state in data.rglob("state.json"):
        values = json.loads(state.read_text(encoding="utf-8"))
        values["_fingerprint"] = digest(values["_fingerprint"], written)  # else stale caches would be found by it
        write_json(state, values)


def _write_table(path: Path, rows: list[_Row], labels: list[dict[str, Label]]) -> None:
    lines = []
    for row, told in zip(rows, labels, strict=True):
        for slot, of in told.items():
            line = {"id": row.id, "split": row.split, "slot": slot, "rate_from": row.measured.rate_from}
            line |= {name: getattr(of, name) for name in ("level", "value", "unit", "confidence", "reason", "basis")}
            lines.append(line | {name: getattr(row.measured.prosody, name) for name in QUANTITIES})
    with written_beside(path) as beside:
        pq.write_table(pa.Table.from_pylist(lines, schema=_TABLE), beside)


def _report(
    rows: list[_Row], labels: list, calibration: Calibration, margin: float, unread: dict[str, str], overwrite: bool
) -> dict:
    slots = list(dict.fromkeys(slot for told in labels for slot in told))
    told = {slot: [of[slot] for of in labels if slot in of] for slot in slots}
    return {
        "n": len(rows),
        "unread": [{"id": name, "reason": reason} for name, reason in unread.items()],
        "margin": margin,
        "calibration": {
            name: getattr(calibration, name)
            for name in ("corpus", "split", "num_utterances", "num_speakers", "relative_to")
        },
        "levels": {
            slot: _counts(of.level for of in told[slot] if of.level is not None) for slot in slots if slot != EMPHASIS
        },
        "told": {slot: sum(of.level is not None for of in told[slot]) for slot in slots},
        "not_told": {slot: _counts(of.reason for of in told[slot] if of.level is None) for slot in slots},
        "basis": {slot: _counts(of.basis for of in told[slot] if of.basis is not None) for slot in slots},
        "rate_from": _counts(row.measured.rate_from for row in rows if row.measured),
        "labels_kept": {
            slot: 0 if overwrite else sum(row.descriptors[slot] is not None for row in rows)
            for slot in FEATURES["descriptors"]
        },
        "eta_squared_of_emotion": {slot: _dependence(slot, rows, labels) for slot in COMPARED},
    }


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _dependence(slot: str, rows: list[_Row], labels: list[dict[str, Label]]) -> dict[str, float | int | None]:
    """How much of a quantity the emotion explains: of the value, and of its distance from what is usual."""
    known = [
        (getattr(row.measured.prosody, QUANTITY_OF[slot]), told[slot].offset, row.emotion)
        for row, told in zip(rows, labels, strict=True)
        if row.emotion is not None and slot in told and told[slot].offset is not None
    ]
    values, offsets, emotions = zip(*known, strict=True) if known else ((), (), ())
    return {
        "n": len(known),
        "value": eta_squared(values, emotions),
        "relative_to_reference": eta_squared(offsets, emotions),
    }


def _recover(folder: Path, workshop: Path) -> None:
    """A run that was killed while the two changed places has left the corpus in its notes."""
    before = workshop / NOTES / _BEFORE
    if before.is_dir() and not folder.exists():
        os.replace(before, folder)


def _splits(files: list[File]) -> list[str]:
    return list(dict.fromkeys(file.split for file in files))
