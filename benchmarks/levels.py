"""Are the labels those that the voice was made with? On the espeak corpus, whose levels are known.

    python benchmarks/levels.py --limit 1500 --output docs/results/levels.json

Cuts come from the training split, relative to the speaker, and no label of a recording is used for them: they lie at
quantiles, the shares of the levels in that split, or between the centres of three clusters of its measurements. The
rate is that of `annotate`, syllables a second; beside it, what sounds a second would tell.
"""

import argparse
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from xser.calibration_xser import QUANTITIES, Calibration, why_not
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.descriptors.annotate import MARGIN, Measured, measure_rows
from xser.descriptors.calibrate import calibrate
from xser.descriptors.letters import sounds
from xser.evaluation.report import command_line, text_table
from xser.levels_xser import LEVELS, QUANTITY_OF, label

SLOTS = ("pitch", "volume", "speed")
TARGET = 0.95
COLUMNS = ("label", "cuts", "accuracy where told", "told", "accuracy over all, margin 0", "target", "most confused")
ROUNDS = 100


def measured(split: str, limit: int, workers: int) -> list[tuple[dict, Measured]]:
    """Rows of a split, recordings left out, with their measurements."""
    corpus = load_corpus("espeak", split, limit)
    results = tqdm(measure_rows(corpus, workers), total=len(corpus), desc=f"measuring {split}", unit="file")
    return list(zip(corpus.remove_columns("audio"), results, strict=True))


def by_quantiles(training: list[tuple[dict, Measured]]) -> Calibration:
    """Cuts at the shares of the levels."""
    quantiles = dict.fromkeys(QUANTITIES, (1 / 3, 2 / 3))
    for slot in SLOTS:
        counts = Counter(row["descriptors"][slot] for row, _ in training)
        low, normal = (counts[level] / len(training) for level in LEVELS[slot][:2])
        quantiles[QUANTITY_OF[slot]] = (low, low + normal)
    rows = [(of.prosody, row["speaker"], row["gender"]) for row, of in training]
    return calibrate(rows, "espeak", "train", quantiles)


def by_clusters(training: list[tuple[dict, Measured]], calibration: Calibration) -> Calibration:
    """Cuts between the centres of three clusters, found together with what is usual for each speaker.

    A median wanders where a speaker's recordings lie in three heaps. Each round takes recordings to the nearest centre
    of their offsets, and then moves every speaker's reference to where their own offsets fit the centres.
    """
    cuts = dict(calibration.cuts)
    references = {name: dict(reference.medians) for name, reference in calibration.speakers.items()}
    for slot in SLOTS:
        quantity = QUANTITY_OF[slot]
        known = [(row["speaker"], of.prosody) for row, of in training if why_not(of.prosody, quantity) is None]
        speakers = np.array([speaker for speaker, _ in known])
        values = np.array([getattr(prosody, quantity) for _, prosody in known])
        usual = {name: values[speakers == name].mean() for name in references}
        offsets = values - np.array([usual[name] for name in speakers])
        between = np.quantile(offsets, calibration.quantiles[quantity])
        for _ in range(ROUNDS):
            nearest = np.digitize(offsets, between)
            centres = np.array([offsets[nearest == cluster].mean() for cluster in range(3)])
            misfit = offsets - centres[nearest]
            usual = {name: value + misfit[speakers == name].mean() for name, value in usual.items()}
            offsets = values - np.array([usual[name] for name in speakers])
            between = (centres[:2] + centres[1:]) / 2
        cuts[quantity] = (float(between[0]), float(between[1]))
        for name, value in usual.items():
            references[name][quantity] = float(value)
    speakers = {name: replace(of, medians=references[name]) for name, of in calibration.speakers.items()}
    return replace(calibration, cuts=cuts, quantiles=None, speakers=speakers)


def counting_sounds(rows: list[tuple[dict, Measured]]) -> list[tuple[dict, Measured]]:
    """The same, with the rate in sounds a second that the transcript's letters stand for, instead of syllables."""
    counted = []
    for row, of in rows:
        rate = sum(len(sounds(word)) for word in row["text"].split()) / of.prosody.speech_seconds
        error = rate * of.prosody.rate_error / of.prosody.rate  # as large a share as of the syllables
        counted.append((row, replace(of, prosody=replace(of.prosody, rate=rate, rate_error=error))))
    return counted


def judge(slot: str, name: str, calibration: Calibration, test: list[tuple[dict, Measured]]) -> tuple[str, ...]:
    """A row of the table."""
    told, right, right_of_all, confused = 0, 0, 0, Counter()
    for row, of in test:
        made = row["descriptors"][slot]
        sure, any_level = (
            label(of.prosody, calibration, row["speaker"], row["gender"], margin=margin)[slot].level
            for margin in (MARGIN, 0.0)
        )
        told += sure is not None
        right += sure == made
        right_of_all += any_level == made
        if any_level != made:
            confused[f"{made} as {any_level}"] += 1
    most = ", ".join(f"{what} {count}" for what, count in confused.most_common(2))
    accuracy = f"{right / told:.3f}" if told else ""
    return slot, name, accuracy, f"{told / len(test):.1%}", f"{right_of_all / len(test):.3f}", f"{TARGET}", most


def judged(slots: tuple[str, ...], training: list, test: list, what: str = "") -> list[tuple[str, ...]]:
    """Rows of the table, by both kinds of cuts."""
    quantiles = by_quantiles(training)
    calibrations = {"quantiles": quantiles, "three clusters": by_clusters(training, quantiles)}
    return [judge(slot, what + name, of, test) for slot in slots for name, of in calibrations.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=1500, help="recordings of the test split")
    parser.add_argument("--train_limit", type=int, default=3000, help="recordings of the training split, for the cuts")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    training = measured("train", arguments.train_limit, arguments.workers)
    test = measured("test", arguments.limit, arguments.workers)
    rows = judged(SLOTS, training, test)
    rows += judged(("speed",), counting_sounds(training), counting_sounds(test), "of sounds a second, ")
    title = (
        f"Labels against the levels that the espeak corpus was made with: {len(test)} recordings of test, cuts from "
        f"{len(training)} of train, relative to the speaker, margin {MARGIN}"
    )
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
