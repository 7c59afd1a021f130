"""Expected calibration error (ECE): how far confidence lies from accuracy, in 15 bins of equal width.

The confidence is the highest probability, and its class is the prediction, the first of several that are equally high.
A bin holds its upper end and counts by its utterances. The figure is biased: with few utterances it is above 0 for a
perfectly calibrated system too.
"""

import datasets
import evaluate
import numpy as np

INPUTS = """\
Args:
    predictions (`list[list[float]]`): for each utterance the probability of every class.
    references (`list[int]`): for each utterance the index of its class.

Returns:
    expected_calibration_error (`float`): from 0 to 1.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare, or probabilities or references are none.
"""

CITATION = "Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. Proc. ICML, 2017."
NUM_BINS = 15


class ExpectedCalibrationError(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.List(datasets.Value("float64")), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions, references):
        if not len(references):
            raise ValueError("ECE of 0 references: give at least one")
        scores, truth = np.asarray(list(predictions), dtype=np.float64), np.asarray(list(references))
        if scores.min() < 0 or np.abs(scores.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError("probabilities of an utterance must not be negative and must sum to 1")
        if truth.min() < 0 or truth.max() >= scores.shape[1]:
            raise ValueError(f"references must be indices of the {scores.shape[1]} classes that have a probability")
        confidence, hits = scores.max(axis=1), scores.argmax(axis=1) == truth
        bins = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], confidence)
        excess = np.bincount(bins, weights=confidence - hits, minlength=NUM_BINS)
        return {"expected_calibration_error": float(np.abs(excess).sum() / len(truth)), "n": len(truth)}
