"""Do intervals hold the truth as often as they say, do tests raise as few false alarms, and how long does it take?

    python benchmarks/intervals.py --output docs/results/intervals.json

Classifiers of known accuracy are simulated: each class has a chance of being right, and each speaker shifts its log
odds by a normal amount. The truth is the figure over all speakers that there might be; where too few speakers are
there, over theirs. Two systems that are equally good, though not for each speaker, are tested against each other.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from xser.corpora.cache import write_json
from xser.evaluation import counts
from xser.evaluation.intervals import RESAMPLES, SAME_SPEAKERS, Bootstrap
from xser.evaluation.report import command_line, text_table
from xser.evaluation.scoring import score
from xser.evaluation.significance import MIN_SPEAKERS, compare, mcnemar, paired_bootstrap, randomisation

CHANCES = np.array([0.45, 0.6, 0.7, 0.8])  # of being right, class by class
HIGH_CHANCES = np.array([0.9, 0.95, 0.97, 0.93])
WORD_ERRORS = 0.15
COLUMNS = ("what", "simulated", "found", "wanted")
LARGE = 100_000
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(64)


@dataclass(frozen=True)
class Setting:
    """Who speaks how much, and how much they differ."""

    speakers: int
    utterances: int  # of a speaker, on average
    effect: float  # standard deviation over speakers, in log odds
    unequal: bool = False  # sizes are log-normal, with a deviation of 1
    known: bool = True
    chances: tuple[float, ...] = tuple(CHANCES)

    def __str__(self) -> str:
        who = f"{self.speakers} speakers" if self.known else "speakers not known"
        often = "about " if self.unequal else ""
        return (
            f"{who}, {often}{self.utterances} utterances each, speaker effect {self.effect}, "
            f"recalls {min(self.chances)} to {max(self.chances)}"
        )

    def draw_speakers(self, rng: np.random.Generator) -> np.ndarray:
        """`(N,)`: who speaks each utterance."""
        sizes = rng.lognormal(0, 1, self.speakers) if self.unequal else np.ones(self.speakers)
        utterances = np.maximum(rng.poisson(sizes / sizes.mean() * self.utterances), 1)
        return np.repeat(np.arange(self.speakers), utterances)


INTERVALS = (
    Setting(500, 1, 0, known=False),
    Setting(500, 1, 0, known=False, chances=tuple(HIGH_CHANCES)),
    Setting(3, 60, 0.7),
    Setting(5, 60, 0.7),
    Setting(10, 60, 0),
    Setting(10, 60, 0.7),
    Setting(10, 60, 0.7, unequal=True),
    Setting(10, 60, 0.7, chances=tuple(HIGH_CHANCES)),
    Setting(30, 40, 0.7),
    Setting(30, 40, 0.7, unequal=True),
    Setting(2, 200, 0.7),
)
TESTS = (Setting(600, 1, 0, known=False), Setting(10, 60, 0.5), Setting(30, 40, 0.5, unequal=True))


def shifted(chances: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """`chances` with their log odds shifted."""
    return 1 / (1 + (1 - chances) / chances * np.exp(-shift))


def over_all_speakers(chances: np.ndarray, effect: float) -> np.ndarray:
    """Mean of `shifted` over normal shifts."""
    return shifted(chances[:, None], effect * NODES) @ WEIGHTS / WEIGHTS.sum()


def confusion(recalls: np.ndarray) -> np.ndarray:
    """Expected `(C * (C + 1))` counts where errors spread evenly."""
    num_classes = len(recalls)
    matrix = np.repeat((1 - recalls)[:, None] / (num_classes - 1), num_classes + 1, axis=1)
    matrix[:, -1] = 0
    np.fill_diagonal(matrix, recalls)
    return matrix.ravel()


FIGURES: dict[str, Callable] = {
    "UA": counts.unweighted_accuracy,
    "WA": counts.weighted_accuracy,
    "macro F1": counts.macro_f1,
}


def coverage(setting: Setting, runs: int, resamples: int) -> list[tuple[str, ...]]:
    """How often the interval of each figure holds the truth."""
    rng = np.random.default_rng(1)
    chances, names = np.array(setting.chances), np.arange(len(setting.chances)).astype(str)
    held, widths = {name: [] for name in (*FIGURES, "WER")}, {name: [] for name in (*FIGURES, "WER")}
    for _ in tqdm(range(runs), desc=str(setting), leave=False):
        speakers = setting.draw_speakers(rng)
        shifts = setting.effect * rng.standard_normal(setting.speakers)
        classes = rng.integers(len(chances), size=len(speakers))
        hits = rng.random(len(speakers)) < shifted(chances[classes], shifts[speakers])
        wrong = (classes + rng.integers(1, len(chances), len(speakers))) % len(chances)
        words = rng.integers(4, 12, len(speakers))
        errors = rng.binomial(words, shifted(np.array(WORD_ERRORS), shifts[speakers]))

        bootstrap = Bootstrap(speakers.astype(str) if setting.known else [None] * len(speakers), resamples)
        if bootstrap.of == SAME_SPEAKERS:
            recalls = np.array([shifted(chance, shifts[speakers]).mean() for chance in chances])
            rate = shifted(np.array(WORD_ERRORS), shifts[speakers]).mean()
        else:
            recalls = over_all_speakers(chances, setting.effect)
            rate = over_all_speakers(np.array([WORD_ERRORS]), setting.effect)[0]
        expected = confusion(recalls)
        columns = counts.confusion_columns(names[np.where(hits, classes, wrong)], names[classes], list(names))
        sums = bootstrap.resample(columns)
        found = {name: (sums.interval(figure), figure(expected)) for name, figure in FIGURES.items()}
        of_words = bootstrap.resample(np.stack([errors, words], axis=1))
        found["WER"] = (of_words.interval(counts.share, "log"), rate)
        for name, (interval, truth) in found.items():
            held[name].append(interval is not None and interval.low <= truth <= interval.high)
            widths[name].append(interval.high - interval.low if interval is not None else 0.0)
    return [
        (
            f"95% interval of {name} holds the truth",
            f"{setting}, {runs} runs",
            f"{np.mean(held[name]):.1%} (mean width {np.mean(widths[name]):.3f})",
            "93% to 97%",
        )
        for name in held
    ]


def false_alarms(setting: Setting, runs: int, resamples: int) -> list[tuple[str, ...]]:
    """How often equally good systems seem to differ, at p < 0.05."""
    rng = np.random.default_rng(2)
    chances = np.array(setting.chances)
    alarms = {"paired bootstrap of UA": 0, "approximate randomisation of UA": 0}
    if not setting.known:  # McNemar's test takes utterances for independent
        alarms["McNemar"] = 0
    for run in tqdm(range(runs), desc=f"tests, {setting}", leave=False):
        speakers = setting.draw_speakers(rng)
        classes = rng.integers(len(chances), size=len(speakers))
        both = 0.5 * rng.standard_normal(len(speakers))  # utterances are hard or easy for both
        hits, other = (
            rng.random(len(speakers))
            < shifted(chances[classes], both + setting.effect * rng.standard_normal(setting.speakers)[speakers])
            for _ in range(2)
        )
        named = speakers.astype(str) if setting.known else [None] * len(speakers)
        bootstrap = Bootstrap(named, resamples, run, MIN_SPEAKERS)
        alarms["paired bootstrap of UA"] += paired_bootstrap(bootstrap, hits, other, classes)[0] < 0.05
        p = randomisation(bootstrap.units, hits, other, classes, resamples, run)
        alarms["approximate randomisation of UA"] += p < 0.05
        if "McNemar" in alarms:
            alarms["McNemar"] += mcnemar(int(np.sum(hits & ~other)), int(np.sum(other & ~hits))) < 0.05
    return [
        (f"false alarms of {name}", f"{setting}, {runs} runs", f"{count / runs:.1%}", "4% to 6%")
        for name, count in alarms.items()
    ]


def simulated_predictions(seed: int, count: int, speakers: int | None) -> list[dict]:
    """Predictions of everything, as a model makes them."""
    rng, labels = np.random.default_rng(seed), ["angry", "fearful", "happy", "neutral", "sad", "surprised"]
    truth = np.random.default_rng(0)  # the same for every seed
    classes, who = truth.integers(len(labels), size=count), truth.integers(speakers or 1, size=count)
    words = truth.choice(["we", "won", "the", "game", "last", "night", "again"], size=(count, 8))
    levels = truth.choice(["low", "normal", "high"], size=(count, 3))
    chances = rng.dirichlet(np.full(len(labels), 0.3), size=count)
    chances[np.arange(count), classes] += rng.random(count)
    chances /= chances.sum(axis=1, keepdims=True)
    heard = np.where(rng.random(words.shape) < 0.1, "x", words)
    told = np.where(rng.random(levels.shape) < 0.2, "normal", levels)
    slots = ("pitch", "volume", "speed")
    return [
        {
            "id": f"u{i}",
            "status": "ok",
            "emotion": labels[chances[i].argmax()],
            "scores": dict(zip(labels, chances[i].tolist(), strict=True)),
            "descriptors": dict(zip(slots, told[i].tolist(), strict=True)),
            "emphasis": [str(heard[i, 0])],
            "transcript": " ".join(heard[i]),
            "reference": {
                "emotion": labels[classes[i]],
                "text": " ".join(words[i]),
                "speaker": f"s{who[i]}" if speakers else None,
                "descriptors": dict(zip(slots, levels[i].tolist(), strict=True)) | {"emphasis": [str(words[i, 0])]},
            },
        }
        for i in range(count)
    ]


def cost() -> list[tuple[str, ...]]:
    """Time and memory of every figure with its interval, and of a comparison; memory is the most of all so far."""
    rows = []
    for speakers in (100, None):
        mine, other = (simulated_predictions(seed, LARGE, speakers) for seed in (1, 2))
        who = f"{speakers} speakers" if speakers else "speakers not known"
        works = (("every figure", partial(score, mine)), ("a comparison", partial(compare, {"a": mine, "b": other})))
        for name, work in works:
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
            gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            what = f"{LARGE} predictions, {RESAMPLES} resamples, {who}"
            rows.append((f"time and memory of {name}", what, f"{seconds:.1f} s, {gigabytes:.2f} GB", "30 s, 2 GB"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="simulated classifiers a setting")
    parser.add_argument("--resamples", type=int, default=1000, help="of each simulated interval and test")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = cost()
    for setting in INTERVALS:
        rows += coverage(setting, arguments.runs, arguments.resamples)
    for setting in TESTS:
        rows += false_alarms(setting, arguments.runs, arguments.resamples)
    title = "Intervals and tests of significance, on simulated classifiers"
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
