"""What annotating costs, and how much of pitch, volume and speed the emotion explains. On nEMO.

    python benchmarks/annotation.py --source NEMO --output docs/results/annotation.json

Annotating is timed as `xser annotate` does it, from the prepared files to the labelled ones, in
processor time of all threads, the start of Python left out.

For the emotion each speaker in turn is a stranger, and cuts and references are calibrated on the others. Without
speaker calibration the gender stands in (the corpus, where the others do not tell what is usual for it). With it, the
median of the stranger's own recordings is what is usual for them; no label is used for that. Levels count as -1, 0, 1.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.corpora.catalogue import find_corpus
from xser.corpora.folds import Splitting
from xser.corpora.prepare import Options, prepare
from xser.descriptors.annotate import annotate
from xser.descriptors.calibrate import calibrate
from xser.descriptors.measuring import measure_rows
from xser.descriptors.report import COMPARED, eta_squared
from xser.evaluation.report import command_line, text_table
from xser.levels_xser import LEVELS, QUANTITIES_OF, Label, label
from xser.prosody_xser import Prosody

COLUMNS = ("figure", *COMPARED, "all", "target")
TARGET = 60  # times real time
WITHOUT, WITH = "without speaker calibration", "with speaker calibration"


@dataclass(frozen=True)
class Recording:
    """What is known of a recording, and what was measured."""

    speaker: str
    gender: str
    emotion: str
    prosody: Prosody


def prepared(source: Path, folder: Path, limit: int | None = None) -> Path:
    """nEMO, or so many recordings of it, all in one split."""
    prepare(find_corpus("nemo"), source, folder, options=Options(limit=limit, splitting=Splitting(no_split=True)))
    return folder


def times_real_time(folder: Path) -> float:
    """Seconds of recordings that are annotated in a second of one core."""
    seconds = sum(load_corpus(folder, "train")["duration"])
    start = time.process_time()
    annotate(folder, workers=1)
    return seconds / (time.process_time() - start)


def measured(folder: Path, workers: int) -> list[Recording]:
    corpus = load_corpus(folder, "train")
    results = tqdm(measure_rows(corpus, workers), total=len(corpus), desc="measuring", unit="file")
    known = corpus.remove_columns("audio")
    return [
        Recording(row["speaker"], row["gender"], row["emotion"], of.prosody)
        for row, of in zip(known, results, strict=True)
    ]


def labels_of_strangers(recordings: list[Recording]) -> list[tuple[Recording, dict[str, dict[str, Label]]]]:
    """Each recording with its labels, `WITHOUT` and `WITH`, its speaker kept out of the calibration."""
    rows = [(of.prosody, of.speaker, of.gender) for of in recordings]
    labelled = []
    for speaker in sorted({of.speaker for of in recordings}):
        own = [of for of in recordings if of.speaker == speaker]
        calibration = calibrate(rows, "nemo", "train", leave_out=[speaker])
        usual = {WITHOUT: None, WITH: calibration.reference_of(of.prosody for of in own)}
        for of in own:
            told = {basis: label(of.prosody, calibration, who, of.gender) for basis, who in usual.items()}
            labelled.append((of, told))
    return labelled


def explained(values: Iterable[tuple[float, str]]) -> str:
    """Eta squared of the emotion, from pairs of a value and an emotion; empty where there is none."""
    pairs = list(values)
    share = eta_squared([value for value, _ in pairs], [emotion for _, emotion in pairs])
    return "" if share is None else f"{share:.3f}"


def emotion_column(slot: str, labelled: list[tuple[Recording, dict[str, dict[str, Label]]]]) -> dict[str, str]:
    """Figure → value, of one slot: eta squared of values, offsets and levels, and how many levels are told."""
    quantity = QUANTITIES_OF[slot][0]
    placed = [
        (of, told)
        for of, told in labelled
        if all(told[basis][slot].offset is not None and told[basis][slot].quantity == quantity for basis in told)
    ]
    values = [(getattr(of.prosody, quantity), of.emotion) for of, _ in placed]
    column = {"recordings": str(len(placed)), "eta squared of emotion on the value": explained(values)}
    for basis in (WITHOUT, WITH):
        offsets = [(told[basis][slot].offset, of.emotion) for of, told in placed]
        column[f"eta squared of emotion on the distance from what is usual, {basis}"] = explained(offsets)
    for basis in (WITHOUT, WITH):
        levels = [(told[basis][slot].level, of.emotion) for of, told in labelled]
        levels = [(LEVELS[slot].index(level) - 1, emotion) for level, emotion in levels if level is not None]
        column[f"levels told, {basis}"] = f"{len(levels) / len(labelled):.1%}"
        column[f"eta squared of emotion on the levels told, {basis}"] = explained(levels)
    return column


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="nEMO as published, or its table and recordings")
    parser.add_argument("--timed", type=int, default=400, help="recordings to time, evenly from all")
    parser.add_argument("--workers", type=int, default=2, help="processes that measure for the emotion's share")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        speed = times_real_time(prepared(arguments.source, Path(folder, "timed"), arguments.timed))
        recordings = measured(prepared(arguments.source, Path(folder, "nemo")), arguments.workers)
    rows = [("annotating, times real time a core", "", "", "", f"{speed:.0f}", f"at least {TARGET}")]
    labelled = labels_of_strangers(recordings)
    columns = [emotion_column(slot, labelled) for slot in COMPARED]
    rows += [(figure, *(column[figure] for column in columns), "", "") for figure in columns[0]]
    speakers = len({of.speaker for of in recordings})
    title = f"Annotating nEMO, and the emotion in its labels: {len(recordings)} recordings of {speakers} speakers"
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
