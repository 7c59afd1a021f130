"""Figures of one group of utterances, and by how much those of two groups differ.

The error of a difference is that of a bootstrap by speaker: of each group on its own where nobody speaks in both, of
both together where somebody does. Where all resamples agree, as they do on a share that is 0, they tell no error; then
it is that of as many independent utterances, with one hit and one miss added to each share (Agresti & Caffo 2000).

Legend: N utterances, C emotions, K columns of counts, R resamples, S shares that a figure is the mean of.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from xser.evaluation import counts
from xser.evaluation.intervals import (
    LEVEL,
    RESAMPLES,
    SAME_SPEAKERS,
    SPEAKERS,
    UTTERANCES,
    Bootstrap,
    ResampledSums,
    Spread,
)


@dataclass(frozen=True)
class GroupFigure:
    """A figure of the confusion matrix.

    Attributes:
        value: `(..., K) -> (...)`.
        shares: `(K,) -> (S, 2)`, part and whole of each share that the figure is the mean of.
    """

    value: Callable[[np.ndarray], np.ndarray]
    shares: Callable[[np.ndarray], np.ndarray]


class Group:
    """Some utterances, resampled by speaker.

    Args:
        answers, truth: `(N,)` emotions.
        speakers: `(N,)`, `None` where not known.
        emotions: C; rows and columns of the confusion matrix.
        resamples: R.

    Attributes:
        speakers: as given.
        columns: `(N, K)`.
        sums: of the columns.
    """

    def __init__(
        self,
        answers: Sequence[str],
        truth: Sequence[str],
        speakers: Sequence[str | None],
        emotions: Sequence[str],
        resamples: int = RESAMPLES,
    ):
        self.speakers = list(speakers)
        self.columns = counts.confusion_columns(answers, truth, emotions)
        self.sums = Bootstrap(self.speakers, resamples).resample(self.columns)
        self._spreads: dict[GroupFigure, Spread] = {}

    @property
    def num_speakers(self) -> int | None:
        """`None` where the speaker of some utterance is not known."""
        return None if None in self.speakers else len(set(self.speakers))

    def spread(self, figure: GroupFigure) -> Spread:
        """How far a figure varies, on its own scale; computed once."""
        if figure not in self._spreads:
            spread = self.sums.spread(figure.value, "linear")
            error = spread.error or self.independent_error(figure)
            self._spreads[figure] = Spread(spread.value, error, spread.degrees)
        return self._spreads[figure]

    def independent_error(self, figure: GroupFigure) -> float:
        """Standard error if the utterances were independent; never 0."""
        part, whole = figure.shares(self.sums.total).T
        share = (part + 1) / (whole + 2)
        return float(np.sqrt(np.sum(share * (1 - share) / (whole + 2))) / len(share))


@dataclass(frozen=True)
class Difference:
    """By how much a figure of one group lies above that of another.

    Attributes:
        value: the difference.
        low, high: its 95% interval.
        p: that there is none; two-sided.
        of: what was resampled, as in `intervals.Interval`.
    """

    value: float
    low: float
    high: float
    p: float
    of: str


class Pair:
    """Two groups to compare.

    Args:
        one, other: groups without an utterance in common.
        resamples: R.

    Attributes:
        shared: whether somebody speaks in both.
        of: what is resampled, as in `intervals.Interval`.
    """

    def __init__(self, one: Group, other: Group, resamples: int = RESAMPLES):
        self.one, self.other = one, other
        known = None not in (one.num_speakers, other.num_speakers)
        self.shared = known and not set(one.speakers).isdisjoint(other.speakers)
        self._joint = self._resample(resamples) if self.shared else None
        units = {self._joint.of} if self.shared else {one.sums.of, other.sums.of}
        self.of = next(of for of in (UTTERANCES, SAME_SPEAKERS, SPEAKERS) if of in units)

    def difference(self, figure: GroupFigure) -> Difference:
        """Of a figure that both groups have."""
        spread = self._of_both(figure) if self.shared else self._of_each(figure)
        arm = float(stats.t.ppf((1 + LEVEL) / 2, spread.degrees)) * spread.error
        p = float(2 * stats.t.sf(abs(spread.value) / spread.error, spread.degrees))
        return Difference(spread.value, spread.value - arm, spread.value + arm, p, self.of)

    def _resample(self, resamples: int) -> ResampledSums:
        """Both groups' columns side by side, `(N, 2 K)`, under one resampling of all speakers."""
        (n, width), (m, _) = self.one.columns.shape, self.other.columns.shape
        columns = np.zeros((n + m, 2 * width), dtype=np.float32)
        columns[:n, :width], columns[n:, width:] = self.one.columns, self.other.columns
        return Bootstrap(self.one.speakers + self.other.speakers, resamples).resample(columns)

    def _of_both(self, figure: GroupFigure) -> Spread:
        def difference(sums: np.ndarray) -> np.ndarray:
            one, other = np.split(sums, 2, axis=-1)
            return figure.value(one) - figure.value(other)

        spread = self._joint.spread(difference, "linear")
        error = spread.error or math.hypot(self.one.independent_error(figure), self.other.independent_error(figure))
        return Spread(spread.value, error, spread.degrees)

    def _of_each(self, figure: GroupFigure) -> Spread:
        """Of two independent figures; degrees of freedom after Welch (1947)."""
        one, other = self.one.spread(figure), self.other.spread(figure)
        first, second = one.error**2, other.error**2
        degrees = (first + second) ** 2 / (first**2 / one.degrees + second**2 / other.degrees)
        return Spread(one.value - other.value, math.sqrt(first + second), degrees)


def unweighted_accuracy() -> GroupFigure:
    """UA: the mean recall of the emotions that have utterances."""

    def shares(total: np.ndarray) -> np.ndarray:
        matrix = counts.as_matrix(total)
        there = matrix.sum(axis=-1) > 0
        return np.stack([np.diagonal(matrix), matrix.sum(axis=-1)], axis=-1)[there]

    return GroupFigure(counts.unweighted_accuracy, shares)


def recall(index: int) -> GroupFigure:
    """Share of the utterances of an emotion, by its index, that were called it."""

    def shares(sums: np.ndarray) -> np.ndarray:
        row = counts.as_matrix(sums)[..., index, :]
        return np.stack([row[..., index], row.sum(axis=-1)], axis=-1)

    return _share_of(shares)


def false_alarms(index: int) -> GroupFigure:
    """Share of the utterances of other emotions that were called this one, by its index."""

    def shares(sums: np.ndarray) -> np.ndarray:
        others = np.delete(counts.as_matrix(sums), index, axis=-2)
        return np.stack([others[..., index].sum(axis=-1), others.sum(axis=(-2, -1))], axis=-1)

    return _share_of(shares)


def _share_of(shares: Callable[[np.ndarray], np.ndarray]) -> GroupFigure:
    """One share as a figure."""
    return GroupFigure(lambda sums: counts.share(shares(sums)), lambda total: shares(total)[None])
