"""Emotions that are rare in the data: weights of their losses, or as many draws as the others.

Rows without an emotion have no part in it: they weigh 1, or are drawn once an epoch.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

WEIGHTS, SAMPLING = "weights", "sampling"
BALANCES = ("none", WEIGHTS, SAMPLING)


def count_emotions(emotions: Sequence[str | None]) -> Counter:
    """Rows of each emotion.

    Raises:
        ValueError: there is nothing to balance, no emotion or a single one.
    """
    counts = Counter(emotion for emotion in emotions if emotion is not None)
    if len(counts) < 2:
        found = f"all rows with one are {next(iter(counts))!r}" if counts else "no row has one"
        raise ValueError(f"class_balance wants at least two emotions to train on, but {found}: set it to none")
    return counts


def emotion_weights(emotions: Sequence[str | None]) -> dict[str, float]:
    """Emotion → weight of an utterance's loss: inverse to how many rows have it, 1 in the mean over these rows."""
    counts = count_emotions(emotions)
    return {emotion: counts.total() / (len(counts) * count) for emotion, count in counts.items()}


def balanced_size(emotions: Sequence[str | None]) -> int:
    """Draws of a balanced epoch: of every emotion as many as the most frequent one has rows, and the rows without."""
    counts = count_emotions(emotions)
    return len(counts) * max(counts.values()) + len(emotions) - counts.total()


def balanced_order(emotions: Sequence[str | None], rng: np.random.Generator) -> np.ndarray:
    """Indices of one balanced epoch: every row at least once, every emotion equally often, in a shuffled order.

    The rows of an emotion are drawn equally often, but for the remainder, which is drawn among them by `rng`.
    """
    labels = np.array(["" if emotion is None else emotion for emotion in emotions])
    counts = count_emotions(emotions)
    most, drawn = max(counts.values()), [np.flatnonzero(labels == "")]
    for emotion, count in sorted(counts.items()):
        rows = np.flatnonzero(labels == emotion)
        drawn += [np.tile(rows, most // count), rng.choice(rows, most % count, replace=False)]
    return rng.permutation(np.concatenate(drawn))
