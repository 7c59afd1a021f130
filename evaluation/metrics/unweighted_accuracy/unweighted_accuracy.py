"""Unweighted accuracy (UA): the mean of the recalls of the classes that the references hold."""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """\
Unweighted accuracy (UA), also called unweighted average recall: the share of right predictions within each class that
the references hold, averaged over these classes. A class counts the same however often it occurs.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list[str]`): one label an utterance.
    references (`list[str]`): one label an utterance.

Returns:
    unweighted_accuracy (`float`): from 0 to 1.

Raises:
    ValueError: there is nothing to compare.
"""

_CITATION = """\
@inproceedings{schuller2009interspeech,
  title = {The {INTERSPEECH} 2009 Emotion Challenge},
  author = {Schuller, Bj{\\"o}rn and Steidl, Stefan and Batliner, Anton},
  booktitle = {Proc. INTERSPEECH},
  year = {2009}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class UnweightedAccuracy(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references):
        if not len(references):
            raise ValueError("unweighted accuracy of 0 references: give at least one")
        predictions, references = np.asarray(predictions), np.asarray(references)
        hits = predictions == references
        return {"unweighted_accuracy": float(np.mean([hits[references == c].mean() for c in np.unique(references)]))}
