"""How sure a figure is: bootstrap intervals, by speaker, of any figure that follows from counts.

Utterances of one speaker resemble each other, so whole speakers are resampled. The percentiles of such a bootstrap lie
too close together: of 5 speakers, 95% of them hold the truth in about 83% of cases. So the interval is built from the
bootstrap's standard error, with Student's t instead of the normal quantile and the S / (S - 1) that a bootstrap
variance lacks. S is the *effective* number of speakers (Kish 1965, section 11.7), below their number where some speak
much more than others. The interval is symmetric on a scale where it cannot leave the figure's range: log odds for
shares, logarithm for rates, and the scale itself for differences. benchmarks/intervals.py measures how often it holds
the truth.

With one or two speakers nothing can be told about others. Then their utterances are resampled, and the interval says
so: it is about these speakers alone.

Legend: N utterances, U units (what is resampled: speakers or utterances), R resamples, K columns of counts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 10_000
MIN_SPEAKERS = 3
MAX_UNITS = 2_000  # more are dealt at random into so many groups; the standard error then varies by 1.6% more
CHUNK = 1 << 22  # draws held at once

SPEAKERS, UTTERANCES, SAME_SPEAKERS = "speakers", "utterances", "utterances of these speakers alone"
SCALES = ("logit", "log", "linear")

Figure = Callable[[np.ndarray], np.ndarray]  # (..., K) -> (...)


@dataclass(frozen=True)
class Interval:
    """Where a figure lies.

    Attributes:
        low, high: its ends.
        of: what was resampled: "speakers", "utterances" where no speakers are known, or "utterances of these speakers
            alone" where there are too few of them.
    """

    low: float
    high: float
    of: str


@dataclass(frozen=True)
class Spread:
    """How far a figure varies over the resamples, on one of `SCALES`.

    Attributes:
        value: the figure on that scale.
        error: its standard error there, corrected for the number of units; 0 where all resamples agree.
        degrees: degrees of freedom of Student's t.
    """

    value: float
    error: float
    degrees: float


@dataclass(frozen=True)
class ResampledSums:
    """What N utterances add up to, as they are and in every resample.

    Attributes:
        total: `(K,)`.
        sums: `(R, K)`.
        of: what was resampled, as in `Interval`.
        effective: effective number of units.
        num_utterances: N.
    """

    total: np.ndarray
    sums: np.ndarray
    of: str
    effective: float
    num_utterances: int

    def spread(self, figure: Figure, scale: str = "logit") -> Spread:
        """How far `figure` varies.

        Args:
            figure: of sums; NaN for resamples that it is not defined for, which then do not count.
            scale: `logit` for figures from 0 to 1, `log` for those from 0 on, `linear` for differences.

        Raises:
            ValueError: `scale` is none of `SCALES`.
        """
        margin = 1 / (4 * self.num_utterances)  # no share is told better than by a part of one utterance
        value = float(_to_scale(figure(self.total), scale, margin))
        resampled = _to_scale(figure(self.sums), scale, margin)
        resampled = resampled[np.isfinite(resampled)]
        degrees = max(self.effective - 1, 1.0)
        if len(resampled) < 2 or np.ptp(resampled) < 1e-12:
            return Spread(value, 0.0, degrees)
        return Spread(value, float(resampled.std()) * math.sqrt((degrees + 1) / degrees), degrees)

    def interval(self, figure: Figure, scale: str = "logit", level: float = LEVEL) -> Interval | None:
        """The interval that holds `figure` with probability `level`; `None` where all resamples agree.

        Raises:
            ValueError: `level` lies outside (0, 1); or as `spread`.
        """
        if not 0 < level < 1:
            raise ValueError(f"level is {level}; it must lie between 0 and 1")
        spread = self.spread(figure, scale)
        if not spread.error:
            return None
        arm = float(stats.t.ppf((1 + level) / 2, spread.degrees)) * spread.error
        return Interval(_from_scale(spread.value - arm, scale), _from_scale(spread.value + arm, scale), self.of)


class Bootstrap:
    """Resamples of N utterances, the same for every figure that is asked of them.

    Args:
        speakers: who spoke each utterance; one `None` among them, and utterances are resampled instead.
        resamples: R.
        seed: of the resampling.
        min_speakers: with fewer speakers, utterances are resampled too.

    Attributes:
        of: what is resampled, as in `Interval`.
        units: `(N,)`, the number of each utterance's unit.
        effective: effective number of units.

    Raises:
        ValueError: there are no utterances, or `resamples` is below 2.
    """

    def __init__(
        self,
        speakers: Sequence[str | None],
        resamples: int = RESAMPLES,
        seed: int = 0,
        min_speakers: int = MIN_SPEAKERS,
    ):
        if not len(speakers):
            raise ValueError("an interval of 0 utterances: give at least one")
        if resamples < 2:
            raise ValueError(f"resamples is {resamples}; it must be at least 2")
        rng = np.random.default_rng(seed)
        self.of, self.units = _units(speakers, min_speakers)
        self.effective = effective_number(np.bincount(self.units))
        num_units = int(self.units.max()) + 1
        self._groups = self.units
        if num_units > MAX_UNITS:
            self._groups, num_units = (rng.permutation(num_units) % MAX_UNITS)[self.units], MAX_UNITS
        self._times = np.concatenate([_draw(rng, rows, num_units) for rows in _chunks(resamples, num_units)])  # (R, U)

    def resample(self, columns: np.ndarray) -> ResampledSums:
        """Sums of `columns`, `(N, K)`: what each utterance adds to the counts.

        Raises:
            ValueError: `columns` has another number of rows.
        """
        if len(columns) != len(self.units):
            raise ValueError(f"columns has {len(columns)} rows; there are {len(self.units)} utterances")
        of_units = sum_by_unit(columns, self._groups)
        sums, start = np.empty((len(self._times), columns.shape[1])), 0
        for rows in _chunks(*self._times.shape):
            sums[start : start + rows] = self._times[start : start + rows].astype(np.float64) @ of_units
            start += rows
        return ResampledSums(of_units.sum(axis=0), sums, self.of, self.effective, len(self.units))


def sum_by_unit(columns: np.ndarray, units: np.ndarray) -> np.ndarray:
    """`(N, K) -> (U, K)`; `units` holds every number from 0 to U - 1."""
    order = np.argsort(units, kind="stable")
    starts = np.searchsorted(units[order], np.arange(int(units.max()) + 1))
    return np.add.reduceat(np.asarray(columns, dtype=np.float64)[order], starts, axis=0)


def effective_number(sizes: np.ndarray) -> float:
    """How many units of equal size tell as much as units of these sizes (Kish 1965)."""
    return float(np.sum(sizes) ** 2 / np.sum(np.square(sizes, dtype=np.float64)))


def _units(speakers: Sequence[str | None], min_speakers: int) -> tuple[str, np.ndarray]:
    """What is resampled, and the number of each utterance's unit, `(N,)`."""
    utterances = np.arange(len(speakers))
    if any(speaker is None for speaker in speakers):
        return UTTERANCES, utterances
    names, spoken = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    return (SPEAKERS, spoken) if len(names) >= min_speakers else (SAME_SPEAKERS, utterances)


def _chunks(resamples: int, num_units: int) -> list[int]:
    """R as a sum, so that no part holds too many draws."""
    size = max(CHUNK // num_units, 1)
    return [min(size, resamples - start) for start in range(0, resamples, size)]


def _draw(rng: np.random.Generator, rows: int, num_units: int) -> np.ndarray:
    """`(rows, U)`: how often each of U units comes up in U draws with replacement; never near 255 times."""
    drawn = rng.integers(num_units, size=(rows, num_units)) + num_units * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * num_units).reshape(rows, num_units).astype(np.uint8)


def _to_scale(values: np.ndarray, scale: str, margin: float) -> np.ndarray:
    if scale == "linear":
        return values
    if scale == "log":
        return np.log(np.maximum(values, margin))
    if scale == "logit":
        inside = np.clip(values, margin, 1 - margin)
        return np.log(inside) - np.log1p(-inside)
    raise ValueError(f"scale is {scale!r}; it must be one of {SCALES}")


def _from_scale(value: float, scale: str) -> float:
    """The inverse of `_to_scale`; ends beyond what a float holds stay finite."""
    if scale == "linear":
        return value
    value = min(max(value, -700.0), 700.0)
    return math.exp(value) if scale == "log" else 1 / (1 + math.exp(-value))
