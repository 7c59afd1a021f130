"""Figures that follow from counts, for one set of counts or for many at once.

Each takes sums over utterances, `(..., K)`, and gives `(...)`, NaN where the figure is not defined. `*_columns` make
the K numbers that each utterance adds. The modules in `evaluation/metrics` give the same figures from labels.

Legend: N utterances, C classes that the references hold, B bins.
"""

from collections.abc import Sequence

import numpy as np

NUM_BINS = 15


def confusion_columns(predictions: Sequence[str], references: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """`(N, C * (C + 1))`: a one where the utterance stands in the confusion matrix, whose rows are the references.

    The last column of the matrix is for every prediction that is none of `classes`.
    """
    place = {name: index for index, name in enumerate(classes)}
    truth = np.array([place[name] for name in references])
    guess = np.array([place.get(name, len(place)) for name in predictions])
    columns = np.zeros((len(truth), len(place) * (len(place) + 1)), dtype=np.float32)
    columns[np.arange(len(truth)), truth * (len(place) + 1) + guess] = 1
    return columns


def calibration_columns(confidence: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """`(N, 2 * B)`: in each utterance's bin how much more confident than right it is, and a one to count it.

    Bins have equal width and hold their upper end.
    """
    columns = np.zeros((len(hits), 2 * NUM_BINS))
    bins = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], confidence)
    rows = np.arange(len(hits))
    columns[rows, bins] = confidence - hits
    columns[rows, NUM_BINS + bins] = 1
    return columns


def recalls(confusion: np.ndarray) -> np.ndarray:
    """`(..., C * (C + 1)) -> (..., C)`; NaN for a class without utterances."""
    matrix = as_matrix(confusion)
    return _ratio(_right(matrix), matrix.sum(axis=-1))


def precisions(confusion: np.ndarray) -> np.ndarray:
    """`(..., C * (C + 1)) -> (..., C)`; 0 for a class that is never predicted, as scikit-learn has it."""
    matrix = as_matrix(confusion)
    return np.nan_to_num(_ratio(_right(matrix), matrix.sum(axis=-2)[..., :-1]))


def f1(confusion: np.ndarray) -> np.ndarray:
    """`(..., C * (C + 1)) -> (..., C)`; NaN for a class without utterances."""
    matrix = as_matrix(confusion)
    there = matrix.sum(axis=-1)
    return np.where(there > 0, _ratio(2 * _right(matrix), there + matrix.sum(axis=-2)[..., :-1]), np.nan)


def unweighted_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that have utterances."""
    return _mean_of_known(recalls(confusion))


def weighted_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of right predictions."""
    matrix = as_matrix(confusion)
    return _ratio(_right(matrix).sum(axis=-1), matrix.sum(axis=(-2, -1)))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that have utterances."""
    return _mean_of_known(f1(confusion))


def weighted_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1, each class weighted by its utterances."""
    there = as_matrix(confusion).sum(axis=-1)
    return _ratio((np.nan_to_num(f1(confusion)) * there).sum(axis=-1), there.sum(axis=-1))


def share(sums: np.ndarray) -> np.ndarray:
    """The first of two sums over the second: errors over words, hits over utterances."""
    return _ratio(sums[..., 0], sums[..., 1])


def f1_of_sets(sums: np.ndarray) -> np.ndarray:
    """F1 from the numbers of items that are in both, in the predictions, and in the references."""
    return _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def expected_calibration_error(sums: np.ndarray) -> np.ndarray:
    """ECE (Guo et al. 2017, equation 3), from sums of `calibration_columns`."""
    excess, counts = sums[..., :NUM_BINS], sums[..., NUM_BINS:]
    return _ratio(np.abs(excess).sum(axis=-1), counts.sum(axis=-1))


def risk_coverage(confidence: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """`(N,)`: the share of wrong ones among the 1, 2, … N most confident; its mean is the area under the curve (AURC).

    The order of equally confident ones is arbitrary, so they share their errors (Geifman & El-Yaniv 2017).
    """
    order = np.argsort(-confidence, kind="stable")
    _, group = np.unique(-confidence[order], return_inverse=True)
    errors = np.bincount(group, weights=1.0 - hits[order]) / np.bincount(group)
    return np.cumsum(errors[group]) / np.arange(1, len(hits) + 1)


def as_matrix(confusion: np.ndarray) -> np.ndarray:
    """`(..., C * (C + 1)) -> (..., C, C + 1)`."""
    num_classes = (round(np.sqrt(4 * confusion.shape[-1] + 1)) - 1) // 2
    return confusion.reshape(*confusion.shape[:-1], num_classes, num_classes + 1)


def _right(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))
