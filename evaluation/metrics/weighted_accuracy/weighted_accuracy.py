"""Weighted accuracy (WA): the share of right predictions, so that a class counts as often as it occurs."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score

INPUTS = """\
Args:
    predictions (`list[str]`): one label an utterance.
    references (`list[str]`): one label an utterance.

Returns:
    weighted_accuracy (`float`): from 0 to 1.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare.
"""

CITATION = "Schuller, Steidl, Batliner: The INTERSPEECH 2009 Emotion Challenge. Proc. INTERSPEECH, 2009."


class WeightedAccuracy(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references):
        if not len(references):
            raise ValueError("weighted accuracy of 0 references: give at least one")
        accuracy = accuracy_score(list(references), list(predictions))
        return {"weighted_accuracy": float(accuracy), "n": len(references)}
