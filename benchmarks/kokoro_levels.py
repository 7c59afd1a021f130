"""Do measured levels agree with those that natural synthetic voices were made with? On a folder of the corpus kokoro.

    python benchmarks/kokoro_levels.py --data DIR --output docs/results/kokoro-levels.json

Each voice is judged by cuts of the other voices, at quantiles that are the shares of the levels there: without a
reference, where the gender stands in, and with one, other clips of the voice without their labels. "true level
contradicted" is among the claims of the true level that are decided: how often the verifier contradicts an answer that
is right. Range and speed are judged again without the quantity that they are measured by first.
"""

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from xser.calibration_xser import QUANTITIES, Calibration, Reference
from xser.corpora.cache import write_json
from xser.corpora.kokoro import SLOTS, find
from xser.descriptors.calibrate import TERTILES, calibrate
from xser.descriptors.measuring import measure_rows
from xser.evaluation.report import command_line, text_table
from xser.levels_xser import AGREE, CONTRADICT, LEVELS, QUANTITIES_OF, check, label
from xser.prosody_xser import Prosody

ALL = "all others"
REFERENCES = {"none": 0, "3": 3, "10": 10, ALL: None}  # recordings of the voice
ANOTHER_WAY = {"range": "pitch_spread", "speed": "text_rate"}  # slot → what it is measured by first
SEED = 0
COLUMNS = (
    "label", "measured by", "reference", "accuracy where determined", "determined", "accuracy over all, margin 0",
    "true level contradicted", "most confused",
)  # fmt: skip

Rows = list[tuple[dict, Prosody]]


def measured(data: Path, workers: int) -> Rows:
    """All clips, each measured once; those that cannot be read are named and left out."""
    rows = find(data).rows
    results = tqdm(measure_rows(rows, workers), total=len(rows), unit="file")
    pairs = list(zip(rows, results, strict=True))
    for row, of in pairs:
        if isinstance(of, str):
            print(f"left out: {row['id']}: {of}")
    return [(row, of.prosody) for row, of in pairs if not isinstance(of, str)]


def calibrated(rows: Rows, voice: str) -> Calibration:
    """Cuts from all other voices, at the shares of the levels there."""
    training = [(row, of) for row, of in rows if row["speaker"] != voice]
    quantiles = dict.fromkeys(QUANTITIES, TERTILES)
    for slot in SLOTS:
        counts = Counter(row["descriptors"][slot] for row, _ in training)
        low, normal = (counts[level] / len(training) for level in LEVELS[slot][:2])
        quantiles |= dict.fromkeys(QUANTITIES_OF[slot], (low, low + normal))
    return calibrate([(of, row["speaker"], row["gender"]) for row, of in training], "kokoro", "train", quantiles)


def without_first(prosody: Prosody) -> Prosody:
    """The measurements without the quantities by which range and speed are measured first."""
    return dataclasses.replace(prosody, text_fits=None, **dict.fromkeys(ANOTHER_WAY.values()))


def judged(rows: Rows, size: int | None) -> Iterable[tuple[dict, dict, dict, dict]]:
    """(row, labels, labels at margin 0, verdicts on the true levels) of every clip.

    Args:
        size: other clips of the voice that make its reference; None for all.
    """
    rng = np.random.default_rng(SEED)
    for voice in sorted({row["speaker"] for row, _ in rows}):
        calibration, own = calibrated(rows, voice), [(row, of) for row, of in rows if row["speaker"] == voice]
        for place, (row, of) in enumerate(own):
            speaker = reference(calibration, [other for _, other in own[:place] + own[place + 1 :]], size, rng)
            judge = (of, calibration, speaker, row["gender"])
            claims = {slot: row["descriptors"][slot] for slot in SLOTS}
            yield row, label(*judge), label(*judge, margin=0.0), check(claims, *judge)


def reference(
    calibration: Calibration, others: list[Prosody], size: int | None, rng: np.random.Generator
) -> Reference | None:
    if size == 0:
        return None
    chosen = range(len(others)) if size is None else rng.choice(len(others), size, replace=False)
    return calibration.reference_of(others[index] for index in chosen)


def line(slot: str, by: str, what: str, answers: list[tuple[dict, dict, dict, dict]]) -> tuple[str, ...]:
    """A row of the table."""
    made = [row["descriptors"][slot] for row, *_ in answers]
    levels = [labels[slot].level for _, labels, _, _ in answers]
    every = [labels[slot].level for _, _, labels, _ in answers]
    verdicts = Counter(verdict[slot].verdict for *_, verdict in answers)
    determined, decided = sum(level is not None for level in levels), verdicts[AGREE] + verdicts[CONTRADICT]
    right = sum(level == true for level, true in zip(levels, made, strict=True))
    confused = Counter(f"{true} as {level}" for level, true in zip(every, made, strict=True) if level != true)
    return (
        *(slot, by, what, f"{right / determined:.3f}" if determined else ""),
        f"{determined / len(made):.1%}",
        f"{sum(level == true for level, true in zip(every, made, strict=True)) / len(made):.3f}",
        f"{verdicts[CONTRADICT] / decided:.3f}" if decided else "",
        ", ".join(f"{pair} {count}" for pair, count in confused.most_common(2)),
    )


def table(rows: Rows) -> list[tuple[str, ...]]:
    """Every slot by what it is measured by first, then range and speed in their other way."""
    other_way = [(row, without_first(of)) for row, of in rows]
    answers = {
        (way, what): list(judged(of, size))
        for way, of in (("first", rows), ("second", other_way))
        for what, size in REFERENCES.items()
    }
    lines = [line(s, QUANTITIES_OF[s][0], what, answers["first", what]) for s in SLOTS for what in REFERENCES]
    return lines + [
        line(s, QUANTITIES_OF[s][1], what, answers["second", what]) for s in ANOTHER_WAY for what in REFERENCES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of the corpus kokoro")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = measured(arguments.data, arguments.workers)
    voices = len({row["speaker"] for row, _ in rows})
    title = (
        f"Labels against the levels that {len(rows)} clips of natural synthetic English were made with: {voices} "
        f"voices, each judged by cuts of the {voices - 1} others; chance 0.33"
    )
    lines = table(rows)
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": lines})
    print(title, text_table(lines, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
