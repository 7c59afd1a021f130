"""The full system against every other one, over the utterances and seeds that both have answered.

Our tests resample and shuffle whole speakers, each with the answers of all seeds, and account for the number of
systems. The paper's, a paired t test, one-tailed at p = 0.05, stands beside them: over utterances, each with the share
of seeds that have it right.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import NO_ANSWER
from xser.evaluation.significance import (
    MIN_SPEAKERS,
    compare,
    compare_words,
    holm,
    paired_t,
    resolvable_difference,
)
from xser.systems.figures import Seeds, units

OURS = ("bootstrap", "randomisation")


@dataclass(frozen=True)
class Against:
    """The full system against another.

    Attributes:
        name: of the other.
        n: utterances; seeds: that both have.
        difference: how far the full system's UA lies above; low, high: its interval, of: what was resampled.
        wa_difference: the same of the accuracies.
        p: of each of `OURS`, two-sided; p_holm: corrected for the number of systems.
        p_t: of the paper's test: is the full system better?
        discordance: how often one of the two alone is right; of several seeds, the mean square of the difference.
        resolvable: the difference of accuracies that so many utterances resolve at 80% power, at this discordance.
        words: as `significance.WordErrors`, of the full system against the other; `None` where not both transcribe.
    """

    name: str
    n: int
    seeds: list[int]
    difference: float
    low: float | None
    high: float | None
    of: str
    wa_difference: float
    p: dict[str, float]
    p_holm: dict[str, float]
    p_t: float
    discordance: float
    resolvable: float | None
    words: dict | None


def compare_all(
    systems: Mapping[str, Seeds], first: str, resamples: int = RESAMPLES
) -> tuple[list[dict], dict[str, str]]:
    """Every system against the first, as dicts of `Against`; and of those that cannot be compared the reason."""
    found, left_out = [], {}
    for name in systems:
        if name != first:
            pairs, seeds = _answered_by_both(systems[first], systems[name])
            if len({full["id"] for full, _ in pairs}) < 2:
                left_out[name] = f"{first} and {name} have fewer than two utterances and seeds in common"
            else:
                found.append(_against(name, first, pairs, seeds, resamples))
    corrected = {test: holm([each["p"][test] for each in found]) for test in OURS if found}
    return [
        asdict(Against(**each, p_holm={test: corrected[test][index] for test in OURS}))
        for index, each in enumerate(found)
    ], left_out


def _answered_by_both(first: Seeds, other: Seeds) -> tuple[list[tuple[dict, dict]], list[int]]:
    """Pairs of answers to one utterance with one seed; a system without seeds (`0` alone) is compared with each."""
    without_seeds = list(other) == [0]
    seeds = sorted(first if without_seeds else set(first) & set(other))
    pairs = []
    for seed in seeds:
        of_id = {prediction["id"]: prediction for prediction in other[0 if without_seeds else seed]}
        pairs += [
            (prediction, of_id[prediction["id"]])
            for prediction in first[seed]
            if prediction["id"] in of_id and prediction["reference"].get("emotion") is not None
        ]
    return pairs, seeds


def _against(name: str, first: str, pairs: list[tuple[dict, dict]], seeds: list[int], resamples: int) -> dict:
    unit, of = units([full for full, _ in pairs], MIN_SPEAKERS)
    aligned = {name: [], first: []}
    for number, (pair, speaker) in enumerate(zip(pairs, unit, strict=True)):
        for system, prediction in zip((first, name), pair, strict=True):
            reference = {**pair[0]["reference"], "speaker": speaker}
            aligned[system].append({**prediction, "id": f"{number}", "reference": reference})
    [tested] = compare(aligned, resamples)
    words = compare_words(aligned[first], aligned[name], resamples)
    of_first, of_other = (_share_right([pair[side] for pair in pairs]) for side in (0, 1))
    discordance = float(np.mean((of_first - of_other) ** 2))
    return {
        "name": name,
        "n": len(of_first),
        "seeds": seeds,
        "difference": tested.difference,
        "low": tested.low,
        "high": tested.high,
        "of": of,
        "wa_difference": tested.wa_difference,
        "p": {test: tested.p[test] for test in OURS},
        "p_t": paired_t(of_first, of_other),
        "discordance": discordance,
        "resolvable": resolvable_difference(len(of_first), discordance),
        "words": asdict(words) if words else None,
    }


def _share_right(predictions: list[dict]) -> np.ndarray:
    """Of each utterance the share of its answers that are right, in the order of its first one."""
    hits: dict[str, list[bool]] = {}
    for prediction in predictions:
        hits.setdefault(prediction["id"], []).append(
            (prediction["emotion"] or NO_ANSWER) == prediction["reference"]["emotion"]
        )
    return np.array([np.mean(each) for each in hits.values()])
