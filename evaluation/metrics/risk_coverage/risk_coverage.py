"""Risk against coverage: the share of errors among the most confident utterances, the others left unanswered.

The confidence is the highest probability. Equally confident utterances share their errors, for their order is
arbitrary. The area under the curve (AURC) is the mean risk over all N coverages.
"""

import datasets
import evaluate
import numpy as np

INPUTS = """\
Args:
    predictions (`list[list[float]]`): for each utterance the probability of every class.
    references (`list[int]`): for each utterance the index of its class.

Returns:
    aurc (`float`): from 0 to 1.
    coverage (`list[float]`): from 0.05 to 1.
    risk (`list[float]`): at each coverage.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare, or probabilities or references are none.
"""

CITATION = "Geifman, El-Yaniv: Selective Classification for Deep Neural Networks. Proc. NeurIPS, 2017."
COVERAGE = [percent / 100 for percent in range(5, 101, 5)]


class RiskCoverage(evaluate.Metric):
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
            raise ValueError("risk and coverage of 0 references: give at least one")
        scores, truth = np.asarray(list(predictions), dtype=np.float64), np.asarray(list(references))
        if scores.min() < 0 or np.abs(scores.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError("probabilities of an utterance must not be negative and must sum to 1")
        if truth.min() < 0 or truth.max() >= scores.shape[1]:
            raise ValueError(f"references must be indices of the {scores.shape[1]} classes that have a probability")
        confidence, wrong = scores.max(axis=1), scores.argmax(axis=1) != truth
        _, level = np.unique(-confidence, return_inverse=True)  # the most confident have level 0
        shared = (np.bincount(level, weights=wrong) / np.bincount(level))[np.sort(level)]
        risk = np.cumsum(shared) / np.arange(1, len(truth) + 1)
        answered = np.ceil(np.array(COVERAGE) * len(truth) - 1e-9).astype(int)
        return {
            "aurc": float(risk.mean()),
            "coverage": COVERAGE,
            "risk": risk[answered - 1].tolist(),
            "n": len(truth),
        }
