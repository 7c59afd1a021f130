"""Tally: figures over parts of some predictions, each with its interval, its n and what is not known of it."""

from collections.abc import Callable, Sequence

import numpy as np

from xser.evaluation.intervals import Bootstrap


class Tally:
    """Figures over parts of the predictions, each with its interval.

    Args:
        predictions: all of them.
        resamples: of each interval.

    Attributes:
        intervals: of each figure `low`, `high` and `of`, as `intervals.Interval` has them.
        n_of: utterances behind each figure.
        gaps: figure → why it, or a part of it, is not known.
    """

    def __init__(self, predictions: Sequence[dict], resamples: int):
        self.predictions, self.resamples = predictions, resamples
        self.intervals: dict[str, dict] = {}
        self.n_of: dict[str, int] = {}
        self.gaps: dict[str, str] = {}
        self._bootstraps: dict[bytes, Bootstrap] = {}

    def bootstrap(self, rows: Sequence[int]) -> Bootstrap:
        """The resamples of some predictions, by their indices; the same for the same ones."""
        key = np.asarray(rows).tobytes()
        if key not in self._bootstraps:
            speakers = [self.predictions[row]["reference"].get("speaker") for row in rows]
            self._bootstraps[key] = Bootstrap(speakers, self.resamples)
        return self._bootstraps[key]

    def add(
        self, rows: Sequence[int], columns: np.ndarray, figures: dict[str, tuple[Callable, str]]
    ) -> dict[str, float]:
        """Figures of `columns` (`(N, K)`, one row a prediction), each a function of sums and the scale to vary on."""
        sums = self.bootstrap(rows).resample(columns)
        values = {}
        for name, (figure, scale) in figures.items():
            values[name] = float(figure(sums.total))
            interval = sums.interval(figure, scale)
            if interval is None:
                self.gaps[f"interval of {name}"] = f"every resample of {len(rows)} utterances gives {values[name]:.3f}"
            else:
                self.intervals[name] = {"low": interval.low, "high": interval.high, "of": interval.of}
        return values
