"""Brier score: squared distance of the probabilities from the truth, summed over classes, averaged over utterances.

This is Brier's own, from 0 to 2; some halve it.
"""

import datasets
import evaluate
import numpy as np
from sklearn.metrics import brier_score_loss

INPUTS = """\
Args:
    predictions (`list[list[float]]`): for each utterance the probability of every class.
    references (`list[int]`): for each utterance the index of its class.

Returns:
    brier_score (`float`): from 0 to 2.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare, or probabilities or references are none.
"""

CITATION = "Brier: Verification of Forecasts Expressed in Terms of Probability. Monthly Weather Review 78, 1950."


class BrierScore(evaluate.Metric):
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
            raise ValueError("Brier score of 0 references: give at least one")
        scores, truth = np.asarray(list(predictions), dtype=np.float64), np.asarray(list(references))
        if scores.min() < 0 or np.abs(scores.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError("probabilities of an utterance must not be negative and must sum to 1")
        if truth.min() < 0 or truth.max() >= scores.shape[1]:
            raise ValueError(f"references must be indices of the {scores.shape[1]} classes that have a probability")
        scores = scores / scores.sum(axis=1, keepdims=True)  # scikit-learn warns about the last digit
        score = brier_score_loss(truth, scores, labels=np.arange(scores.shape[1]), scale_by_half=False)
        return {"brier_score": float(score), "n": len(truth)}
