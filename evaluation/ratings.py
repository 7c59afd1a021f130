"""How near answers come to what raters said: numbers of valence and so on, and distributions over emotions."""

from collections.abc import Sequence

import numpy as np
from scipy.special import rel_entr

from xser.corpora.schema import DIMENSIONS
from xser.training.metrics import metric

LEAST = 1e-6  # of a score, for the cross-entropy


def score_dimensions(predictions: Sequence[dict]) -> dict[str, dict] | None:
    """Concordance correlation of each dimension that answers and references have, with its n.

    Args:
        predictions: as `evaluate_model` returns them.

    Returns:
        Dimension → `ccc`, `None` where fewer than two utterances, or equal ones alone, have it; and `n`. `None`
        without any.
    """
    scores = {}
    for name in DIMENSIONS:
        answered = [one for one in predictions if (one.get("dimensions") or {}).get(name) is not None]
        pairs = [(one["dimensions"][name], one["reference"].get(name)) for one in answered]
        pairs = [pair for pair in pairs if pair[1] is not None]
        if pairs:
            scores[name] = {"ccc": _concordance(*map(list, zip(*pairs, strict=True))), "n": len(pairs)}
    return scores or None


def score_ratings(predictions: Sequence[dict]) -> dict[str, float] | None:
    """Cross-entropy and Jensen–Shannon divergence, in nats, between raters' distributions and the answers' scores.

    Both are means over utterances. A distribution is over the emotions that have a score; ratings of others are left
    out. Scores below 1e-6 count as that in the cross-entropy, which is infinite at 0.

    Args:
        predictions: as `evaluate_model` returns them.

    Returns:
        `cross_entropy`, `jensen_shannon` (0 to log 2) and `n`, the utterances that have ratings and scores; `None`
        without any.
    """
    entropies, divergences = [], []
    for one in predictions:
        scores, ratings = one.get("scores") or {}, one["reference"].get("ratings") or []
        counts = np.array([ratings.count(emotion) for emotion in scores], dtype=np.float64)
        if counts.sum() == 0:
            continue
        wanted, given = counts / counts.sum(), np.array([*scores.values()], dtype=np.float64)
        middle = (wanted + given) / 2
        entropies.append(-(wanted * np.log(given.clip(min=LEAST))).sum())
        divergences.append((rel_entr(wanted, middle).sum() + rel_entr(given, middle).sum()) / 2)
    if not entropies:
        return None
    means = {"cross_entropy": float(np.mean(entropies)), "jensen_shannon": float(np.mean(divergences))}
    return {**means, "n": len(entropies)}


def _concordance(given: list[float], wanted: list[float]) -> float | None:
    try:
        return metric("concordance_correlation").compute(predictions=given, references=wanted)[
            "concordance_correlation"
        ]
    except ValueError:  # it is not defined for these
        return None
