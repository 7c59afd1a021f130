"""Which source a step of pretraining draws from: each as often as its weight says."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import count, islice


def interleave(weights: Mapping[str, float]) -> Iterator[str]:
    """Source of every step, endlessly: the one furthest behind its share, the first named where they are level.

    No random numbers: after n steps a source of share p was drawn about n * p times, in the same order every time.
    """
    total = sum(Fraction(str(weight)) for weight in weights.values())
    shares = {source: Fraction(str(weight)) / total for source, weight in weights.items()}
    drawn = dict.fromkeys(shares, 0)
    for step in count(1):
        source = max(shares, key=lambda source: shares[source] * step - drawn[source])  # the first of equals
        drawn[source] += 1
        yield source


class Shares:
    """An `Order` of sources (xser.training.sampler), one a step.

    Args:
        weights: source → weight above 0, of any scale.
    """

    def __init__(self, weights: Mapping[str, float]):
        self.weights = dict(weights)
        self.tasks = {source: source for source in weights}

    def _numbered(self) -> Iterator[list[tuple[str, int]]]:
        drawn = dict.fromkeys(self.weights, 0)
        for source in interleave(self.weights):
            yield [(source, drawn[source])]
            drawn[source] += 1

    def batches(self, start: int, end: int) -> Iterator[list[tuple[str, int]]]:
        """(source, number of its batch) of the steps `start` … `end - 1`."""
        return islice(self._numbered(), start, end)

    def epoch(self, batches: Mapping[str, int]) -> int:
        """Fewest steps after which every piece of every source was drawn."""
        missing = dict(batches)
        for step, source in enumerate(interleave(self.weights), start=1):
            missing[source] -= 1
            if all(number <= 0 for number in missing.values()):
                return step
