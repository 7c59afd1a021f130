"""Unweighted accuracy (UA), also called unweighted average recall.

The share of right predictions within each class that the references hold, averaged over these classes: a class counts
the same however often it occurs.
"""

import datasets
import evaluate
import numpy as np

INPUTS = """\
Args:
    predictions (`list[str]`): one label an utterance.
    references (`list[str]`): one label an utterance.

Returns:
    unweighted_accuracy (`float`): from 0 to 1.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare.
"""

CITATION = "Schuller, Steidl, Batliner: The INTERSPEECH 2009 Emotion Challenge. Proc. INTERSPEECH, 2009."


class UnweightedAccuracy(evaluate.Metric):
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
            raise ValueError("unweighted accuracy of 0 references: give at least one")
        predictions, references = np.asarray(predictions), np.asarray(references)
        hits = predictions == references
        mean_recall = np.mean([hits[references == label].mean() for label in np.unique(references)])
        return {"unweighted_accuracy": float(mean_recall), "n": len(references)}
