"""Is one system better than another, over the same utterances?

Three two-sided tests: McNemar's mid-p test of the accuracy, and of the unweighted accuracy a paired bootstrap and
approximate randomisation (Noreen 1989), which shuffles whose answer is whose. Where there are enough speakers the two
resample and shuffle whole speakers, for utterances of one speaker are no independent evidence. McNemar's test cannot,
and finds too much where systems differ by speaker. Several systems are each tested against the first, and Holm's
correction (1979) accounts for their number.

Where both systems transcribe, the difference of their word error rates has an interval of the same bootstrap.

Beside these stand two figures for papers: the paired t test, one-tailed and not corrected, that many of them report;
and the difference of accuracies that so many utterances can resolve, below which a comparison says little.

Legend: N utterances, C classes, U units (speakers or utterances), R shufflings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xser.evaluation.counts import confusion_columns, share, unweighted_accuracy, weighted_accuracy
from xser.evaluation.edits import TextNormalizer, count_word_edits, predicted_texts, reference_texts
from xser.evaluation.intervals import LEVEL, RESAMPLES, Bootstrap, sum_by_unit
from xser.evaluation.predictions import NO_ANSWER, PredictionError, references_of, refuse_other_references

MIN_SPEAKERS = 6  # with 5, shuffling whole speakers gives no p below 2 / 2^5 = 0.0625
TESTS = ("mcnemar", "bootstrap", "randomisation")
ALPHA, POWER = 0.05, 0.8
PRIOR_DISCORDANCE = 0.5  # of two systems that err independently, each on half of the utterances


@dataclass(frozen=True)
class WordErrors:
    """The word error rates of two systems.

    Attributes:
        n: utterances whose words are known.
        wer, wer_against, difference: of all words together, and how far the system's lies above the other's.
        low, high: the interval of the difference; `None` where every resample agrees.
        of: what was resampled, as in `intervals.Interval`.
    """

    n: int
    wer: float
    wer_against: float
    difference: float
    low: float | None
    high: float | None
    of: str


@dataclass(frozen=True)
class Comparison:
    """A system against the first.

    Attributes:
        name, against: the two systems.
        n: utterances with a reference emotion.
        ua, ua_against, difference: unweighted accuracies, and how far the system lies above the other.
        low, high: the interval of the difference; `None` where the systems never differ.
        of: what was resampled and shuffled, as in `intervals.Interval`.
        wa_difference: of the accuracies, which McNemar's test is about.
        only_this, only_other: utterances that one of the two alone has right.
        p: of each of `TESTS`.
        p_holm: the same, corrected for the number of systems.
        p_t: of `paired_t` of whether each utterance is right: one-tailed, not corrected, by utterances.
        resolvable: of `resolvable_difference` at the discordance of these two; `None` where there is none.
        words: of `compare_words`.
    """

    name: str
    against: str
    n: int
    ua: float
    ua_against: float
    difference: float
    low: float | None
    high: float | None
    of: str
    wa_difference: float
    only_this: int
    only_other: int
    p: dict[str, float]
    p_holm: dict[str, float]
    p_t: float
    resolvable: float | None
    words: WordErrors | None


def compare(
    systems: Mapping[str, Sequence[dict]],
    resamples: int = RESAMPLES,
    seed: int = 0,
    normalizer: TextNormalizer | None = None,
) -> list[Comparison]:
    """Test every system against the first.

    Args:
        systems: predictions of each, as `read_predictions` gives them, by its name; two or more.
        resamples: of the bootstrap, and shufflings.
        seed: of both.
        normalizer: of transcripts and references; as they are written by default.

    Raises:
        PredictionError: the systems are over different utterances or references, or no reference has an emotion.
        ValueError: there are fewer than two systems.
    """
    if len(systems) < 2:
        raise ValueError(f"{list(systems)} is one system or none; two or more can be compared")
    first, *others = systems
    aligned = _align(systems)
    heard = [prediction for prediction in aligned[first] if prediction["reference"].get("emotion") is not None]
    if not heard:
        raise PredictionError(f"{first}: none of {len(aligned[first])} references has an emotion: give at least one")
    truth = [prediction["reference"]["emotion"] for prediction in heard]
    speakers = [prediction["reference"].get("speaker") for prediction in heard]
    bootstrap = Bootstrap(speakers, resamples, seed, MIN_SPEAKERS)
    answers = {
        name: [p["emotion"] or NO_ANSWER for p in of if p["reference"].get("emotion") is not None]
        for name, of in aligned.items()
    }
    found = [_against(name, first, answers, truth, bootstrap, resamples, seed) for name in others]
    corrected = {test: holm([p[test] for *_, p, _ in found]) for test in TESTS}
    words = [compare_words(aligned[name], aligned[first], resamples, seed, normalizer) for name in others]
    return [
        Comparison(
            name,
            first,
            len(truth),
            *rest,
            p,
            {test: corrected[test][index] for test in TESTS},
            *by_utterance,
            words[index],
        )
        for index, (name, (*rest, p, by_utterance)) in enumerate(zip(others, found, strict=True))
    ]


def compare_words(
    predictions: Sequence[dict],
    others: Sequence[dict],
    resamples: int = RESAMPLES,
    seed: int = 0,
    normalizer: TextNormalizer | None = None,
) -> WordErrors | None:
    """The word error rates of two systems over the same utterances, those whose words are known.

    An utterance without a transcript counts as an empty one.

    Args:
        predictions, others: of the two, in one order.
        resamples, seed: of the bootstrap.
        normalizer: of transcripts and references; as they are written by default.

    Returns:
        `None` where one of the two transcribes nothing, or no words are known.
    """
    rows = [index for index, each in enumerate(predictions) if each["reference"].get("text") is not None]
    mine, other = ([of[index] for index in rows] for of in (predictions, others))
    said = reference_texts(mine, normalizer)
    if not any(said) or any(all(each.get("transcript") is None for each in of) for of in (mine, other)):
        return None
    counted = (count_word_edits(predicted_texts(of, normalizer), said).T for of in (mine, other))
    (edits, words), (other_edits, _) = counted
    speakers = [prediction["reference"].get("speaker") for prediction in mine]
    bootstrap = Bootstrap(speakers, resamples, seed, MIN_SPEAKERS)
    interval = bootstrap.resample(np.stack([edits - other_edits, words], axis=1)).interval(share, "linear")
    wer, wer_against = float(edits.sum() / words.sum()), float(other_edits.sum() / words.sum())
    low, high = (interval.low, interval.high) if interval else (None, None)
    return WordErrors(len(rows), wer, wer_against, wer - wer_against, low, high, bootstrap.of)


def mcnemar(only_this: int, only_other: int) -> float:
    """p of McNemar's test: are utterances that one system alone has right as often the one's as the other's?

    The mid-p version: the exact test counts what was seen in full and so raises fewer false alarms than it may (3.7%
    for 5% in benchmarks/intervals.py), this one by half (Fagerland, Lydersen and Laake 2013, "The McNemar test for
    binary matched-pairs data: mid-p and asymptotic are better than exact conditional").
    """
    discordant, fewer = only_this + only_other, min(only_this, only_other)
    if not discordant:
        return 1.0
    return float(min(2 * stats.binom.cdf(fewer, discordant, 0.5) - stats.binom.pmf(fewer, discordant, 0.5), 1.0))


def paired_bootstrap(bootstrap: Bootstrap, hits: np.ndarray, other_hits: np.ndarray, classes: np.ndarray) -> tuple:
    """The difference of two unweighted accuracies over the same utterances.

    Args:
        bootstrap: of these utterances.
        hits, other_hits: `(N,)`, whether each system is right.
        classes: `(N,)`, from 0 to C - 1.

    Returns:
        p that there is none, by the bootstrap's standard error and Student's t; and the interval, `None` where all
        resamples agree.
    """
    there = np.eye(int(classes.max()) + 1)[classes]  # (N, C)
    sums = bootstrap.resample(np.concatenate([there * (1.0 * hits - other_hits)[:, None], there], axis=1))

    def difference(of: np.ndarray) -> np.ndarray:
        ahead, counts = np.split(of, 2, axis=-1)
        seen = counts > 0
        return np.where(seen, ahead / np.maximum(counts, 1), 0.0).sum(axis=-1) / seen.sum(axis=-1)

    spread = sums.spread(difference, "linear")
    if not spread.error:
        return float(spread.value == 0), None
    p = 2 * stats.t.sf(abs(spread.value) / spread.error, spread.degrees)
    return float(p), sums.interval(difference, "linear", LEVEL)


def randomisation(
    units: np.ndarray, hits: np.ndarray, other_hits: np.ndarray, classes: np.ndarray, resamples: int, seed: int
) -> float:
    """p that two unweighted accuracies do not differ, from swapping the systems' answers within units at random.

    The difference is a sum of what each unit adds, and swapping its answers turns the sign of that; where all sign
    patterns are no more than `resamples` they are counted, not drawn. Units that add as much are drawn together.

    Args:
        units: `(N,)`, from 0 to U - 1: what is swapped together.
        hits, other_hits: `(N,)`, whether each system is right.
        classes: `(N,)`, from 0 to C - 1, each of them there.
        resamples: R.
        seed: of the drawing.
    """
    counts = np.bincount(classes)
    adds = (1.0 * hits - other_hits) / counts[classes] / len(counts)
    adds = sum_by_unit(adds[:, None], units)[:, 0]  # (U,)
    observed = abs(adds.sum()) - 1e-12
    sizes, times = np.unique(np.round(np.abs(adds[adds != 0]), 14), return_counts=True)
    if times.sum() <= np.log2(resamples):
        signs = 1 - 2 * (np.arange(2 ** times.sum())[:, None] >> np.arange(times.sum()) & 1)
        return float(np.mean(np.abs(signs @ np.repeat(sizes, times)) >= observed))
    rng = np.random.default_rng(seed)
    swapped = sum(size * (2 * rng.binomial(n, 0.5, resamples) - n) for size, n in zip(sizes, times, strict=True))
    return float((1 + np.sum(np.abs(swapped) >= observed)) / (1 + resamples))


def paired_t(scores: np.ndarray, other_scores: np.ndarray) -> float:
    """p of the paired t test, one-tailed: do utterances score higher than under the other system on average?

    Utterances count as independent, which those of one speaker are not: it finds too much where speakers differ.

    Args:
        scores, other_scores: `(N,)`, whether each utterance is right, or any score of it. N >= 2.
    """
    ahead = np.asarray(scores, dtype=float) - np.asarray(other_scores, dtype=float)
    if np.ptp(ahead) == 0:
        return 0.0 if ahead[0] > 0 else 1.0
    return float(stats.ttest_1samp(ahead, 0.0, alternative="greater").pvalue)


def resolvable_difference(
    n: int, discordance: float = PRIOR_DISCORDANCE, power: float = POWER, alpha: float = ALPHA, tails: int = 2
) -> float | None:
    """The least difference of two accuracies that McNemar's test finds with probability `power` in N utterances.

    Of N utterances a share `discordance` is right under one system alone. Where the accuracies differ by d, what an
    utterance adds to the difference has the variance `discordance` if there is no difference, and `discordance - d²`
    if there is; so d is where `d √N = z_alpha √discordance + z_power √(discordance - d²)` (Connor 1987, "Sample size
    for testing differences in proportions for the paired-sample design"). Utterances count as independent: where those
    of one speaker resemble each other, less can be resolved.

    Args:
        n: N.
        discordance: from 0 to 1; as measured; by default what two systems have that err independently at an
            accuracy of one half, and no two of equal accuracy that err independently have more.
        power, alpha, tails: of the test.

    Returns:
        d from 0 to 1; `None` where even a difference as large as the discordance could not be resolved.
    """
    low, high = stats.norm.ppf(1 - alpha / tails), stats.norm.ppf(power)
    inside = n - low**2 + high**2
    if discordance <= 0 or inside < 0:
        return None
    difference = np.sqrt(discordance) * (low * np.sqrt(n) + high * np.sqrt(inside)) / (n + high**2)
    return float(difference) if difference <= discordance else None


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): the smallest counts as many times as there are, and so on."""
    order = np.argsort(p, kind="stable")
    times = np.arange(len(p), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(np.asarray(p, dtype=float)[order] * times), 1.0)
    result = np.empty(len(p))
    result[order] = corrected
    return result.tolist()


def _align(systems: Mapping[str, Sequence[dict]]) -> dict[str, list[dict]]:
    """Predictions of all systems in the order of the first's."""
    first, *others = systems
    references = references_of(systems[first])
    aligned = {first: list(systems[first])}
    for name in others:
        by_id = {prediction["id"]: prediction for prediction in systems[name]}
        missing = [id for id in references if id not in by_id]
        extra = [id for id in by_id if id not in references]
        if missing or extra:
            raise PredictionError(
                f"{name} and {first} are over different utterances: {len(missing)} are missing {missing[:5]} and "
                f"{len(extra)} are in {name} alone {extra[:5]}; give predictions of the same ones"
            )
        refuse_other_references(list(by_id.values()), references, name)
        aligned[name] = [by_id[id] for id in references]
    return aligned


def _against(
    name: str,
    first: str,
    answers: dict[str, list[str]],
    truth: list[str],
    bootstrap: Bootstrap,
    resamples: int,
    seed: int,
) -> tuple:
    """What `Comparison` holds from `ua` on, p of each test, and what follows from single utterances."""
    names, classes = np.unique(truth, return_inverse=True)
    hits, other_hits = (np.asarray(answers[system]) == np.asarray(truth) for system in (name, first))
    columns = {s: confusion_columns(answers[s], truth, list(names)).sum(axis=0) for s in (name, first)}
    ua, ua_against = (float(unweighted_accuracy(columns[system])) for system in (name, first))
    wa, wa_against = (float(weighted_accuracy(columns[system])) for system in (name, first))
    only_this, only_other = int(np.sum(hits & ~other_hits)), int(np.sum(other_hits & ~hits))
    by_bootstrap, interval = paired_bootstrap(bootstrap, hits, other_hits, classes)
    p = {
        "mcnemar": mcnemar(only_this, only_other),
        "bootstrap": by_bootstrap,
        "randomisation": randomisation(bootstrap.units, hits, other_hits, classes, resamples, seed),
    }
    by_utterance = paired_t(hits, other_hits), resolvable_difference(len(hits), float(np.mean(hits != other_hits)))
    low, high = (interval.low, interval.high) if interval else (None, None)
    counted = wa - wa_against, only_this, only_other
    return ua, ua_against, ua - ua_against, low, high, bootstrap.of, *counted, p, by_utterance
