"""The levels of every recording of a prepared corpus, from measurements, told by cuts of its training split.

    xser annotate data/nemo

Measurements are noted in `FOLDER.annotating`, so that a run that was stopped goes on from there. When all are done the
corpus is written anew beside its place, and the two change places.
"""

import os
import shutil
from pathlib import Path

from xser.calibration_xser import Calibration
from xser.corpora.cache import digest, write_json
from xser.corpora.espeak_synthesis import loaded_library
from xser.corpora.workshop import DATA, NOTES, open_workshop
from xser.descriptors.calibrate import calibrate
from xser.descriptors.labelling import Row, label_rows, new_descriptors, references_of_strangers
from xser.descriptors.measuring import ESPEAK, WORD_TIMES
from xser.descriptors.noting import measure_files
from xser.descriptors.prepared import File, list_files, write_descriptors
from xser.descriptors.report import QUANTITIES, make_report, write_table

VERSION = 5  # of what is noted of a recording: raise it with every change of the measurements
_BEFORE = "before"  # within the notes: the corpus as it was, while the two change places


def annotate(
    folder: str | os.PathLike,
    split_for_calibration: str = "train",
    calibration: Calibration | None = None,
    relative_to: str = "speaker",
    margin: float = 1.0,
    word_times: str | None = None,
    own_references: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
) -> dict:
    """Measure and label every recording of a prepared corpus, in place.

    Args:
        folder: written by `xser prepare`, Arrow or parquet.
        split_for_calibration: the training split, whose recordings alone set the cuts.
        calibration: cuts that are given, instead.
        relative_to: `speaker`, or `gender` or `corpus` where speakers are not named; see `calibrate`.
        margin: how many errors from every cut a value must lie to get a level; see `label`.
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
        ImportError: words are to be found by eSpeak NG, which is not installed.
        ValueError: no such split or option, or what `calibrate` says; nothing is changed then.
    """
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    _check_word_times(word_times)
    beside = folder.with_name(f"{folder.name}.annotating")
    _recover(folder, beside)
    files = list_files(folder)
    if calibration is None and split_for_calibration not in {file.split for file in files}:
        splits = list(dict.fromkeys(file.split for file in files))
        raise ValueError(f"{folder} has no split {split_for_calibration!r} to calibrate on; it has {splits}")
    with open_workshop(beside, digest(VERSION, word_times, [file.stamp(folder) for file in files])) as workshop:
        rows = _measured_rows(folder, files, workshop / NOTES, workers, word_times)
        if calibration is None:
            calibration = _calibrated(rows, folder, split_for_calibration, relative_to)
        speakers = references_of_strangers(rows, calibration) if own_references else {}
        labels = label_rows(rows, calibration, margin, speakers)
        descriptors = [new_descriptors(row, told, overwrite) for row, told in zip(rows, labels, strict=True)]
        report = make_report(rows, labels, calibration, margin, overwrite)
        data = workshop / DATA
        shutil.rmtree(data, ignore_errors=True)  # of a run that was stopped, maybe with other options
        write_descriptors(folder, files, descriptors, data)
        write_table(data / "descriptors.parquet", rows, labels)
        calibration.save(data / "calibration.json")
        write_json(data / "descriptors.json", report)
        before = workshop / NOTES / _BEFORE
        os.replace(folder, before)
        os.replace(data, folder)
        shutil.rmtree(workshop)
    return report


def _measured_rows(
    folder: Path, files: list[File], notes: Path, workers: int | None, word_times: str | None
) -> list[Row]:
    """All rows, in order."""
    known = [file.read_known(folder) for file in files]
    results = measure_files(folder, files, [len(rows) for rows in known], notes, workers, word_times)
    every = ((row, file.split) for file, rows in zip(files, known, strict=True) for row in rows)
    return [Row.of(row, split, measured) for (row, split), measured in zip(every, results, strict=True)]


def _calibrated(rows: list[Row], folder: Path, split: str, relative_to: str) -> Calibration:
    training = [row for row in rows if row.split == split and row.measured]
    corpus = "+".join(sorted({row.corpus for row in rows} - {None})) or folder.name
    measurements = [(row.measured.prosody, row.speaker, row.gender) for row in training]
    return calibrate(measurements, corpus, split, relative_to=relative_to)


def _check_word_times(word_times: str | None) -> None:
    if word_times is not None and word_times not in WORD_TIMES:
        raise ValueError(f"word_times is {word_times!r}; it must be one of {WORD_TIMES}, or None")
    if word_times == ESPEAK:
        with loaded_library():  # rather now than at the first recording
            pass


def _recover(folder: Path, workshop: Path) -> None:
    """A run that was killed while the two changed places has left the corpus in its notes."""
    before = workshop / NOTES / _BEFORE
    if before.is_dir() and not folder.exists():
        os.replace(before, folder)


__all__ = ["QUANTITIES", "WORD_TIMES", "annotate"]
