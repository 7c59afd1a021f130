"""Are the labels those that the voice was made with? On the espeak corpus, whose levels are known.

    python benchmarks/levels.py --limit 1500 --output docs/results/levels.json

Cuts come from the training split by `calibrate`, relative to the speaker, at quantiles that are the shares of the
levels there; no label of a recording is used. Seen voices are judged by their recordings of the training split, unseen
ones by their own of the split that is judged.
"""

import argparse
import os
from collections import Counter
from pathlib import Path

from tqdm.auto import tqdm

from xser.calibration_xser import QUANTITIES, Calibration, Reference
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.descriptors.calibrate import TERTILES, calibrate
from xser.descriptors.measuring import measure_rows
from xser.evaluation.report import command_line, text_table
from xser.levels_xser import LEVELS, QUANTITIES_OF, label
from xser.prosody_xser import Prosody

SLOTS = ("pitch", "volume", "speed")
TARGET = 0.95
COLUMNS = ("label", "voices", "accuracy where told", "told", "accuracy over all, margin 0", "target", "most confused")

Rows = list[tuple[dict, Prosody]]


def measured(split: str, limit: int, workers: int) -> Rows:
    """Rows of a split, recordings left out, with their measurements."""
    corpus = load_corpus("espeak", split, limit)
    results = tqdm(measure_rows(corpus, workers), total=len(corpus), desc=f"measuring {split}", unit="file")
    return [(row, of.prosody) for row, of in zip(corpus.remove_columns("audio"), results, strict=True)]


def calibrated(training: Rows) -> Calibration:
    """Cuts at the shares of the levels."""
    quantiles = dict.fromkeys(QUANTITIES, TERTILES)
    for slot in SLOTS:
        counts = Counter(row["descriptors"][slot] for row, _ in training)
        low, normal = (counts[level] / len(training) for level in LEVELS[slot][:2])
        quantiles |= dict.fromkeys(QUANTITIES_OF[slot], (low, low + normal))
    return calibrate([(of, row["speaker"], row["gender"]) for row, of in training], "espeak", "train", quantiles)


def own_references(rows: Rows, calibration: Calibration) -> dict[str, Reference]:
    """What is usual for each speaker, from all of their recordings here."""
    speakers = {row["speaker"] for row, _ in rows}
    return {name: calibration.reference_of(of for row, of in rows if row["speaker"] == name) for name in speakers}


def judge(slot: str, voices: str, calibration: Calibration, rows: Rows, speakers: dict) -> tuple[str, ...]:
    """A row of the table; `speakers` has the references of speakers whom the calibration does not know."""
    told, right, right_of_all, confused = 0, 0, 0, Counter()
    for row, of in rows:
        made, speaker = row["descriptors"][slot], speakers.get(row["speaker"], row["speaker"])
        sure = label(of, calibration, speaker, row["gender"])[slot].level
        any_level = label(of, calibration, speaker, row["gender"], margin=0.0)[slot].level
        told += sure is not None
        right += sure == made
        right_of_all += any_level == made
        if any_level != made:
            confused[f"{made} as {any_level}"] += 1
    most = ", ".join(f"{what} {count}" for what, count in confused.most_common(2))
    accuracy = f"{right / told:.3f}" if told else ""
    return slot, voices, accuracy, f"{told / len(rows):.1%}", f"{right_of_all / len(rows):.3f}", f"{TARGET}", most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=1500, help="recordings of each test split")
    parser.add_argument("--train_limit", type=int, default=3000, help="recordings of the training split, for the cuts")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    calibration = calibrated(measured("train", arguments.train_limit, arguments.workers))
    seen = measured("test", arguments.limit, arguments.workers)
    unseen = measured("test_unseen", arguments.limit, arguments.workers)
    rows = [judge(slot, "seen", calibration, seen, {}) for slot in SLOTS]
    references = own_references(unseen, calibration)
    rows += [judge(slot, "unseen, by their own recordings", calibration, unseen, references) for slot in SLOTS]
    title = (
        f"Labels against the levels that the espeak corpus was made with: {len(seen)} recordings of test and "
        f"{len(unseen)} of test_unseen, cuts from {calibration.num_utterances} of train, relative to the speaker"
    )
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
