"""Precision, recall and F1 of each class that the references hold, their means, and the confusion matrix.

A prediction that is none of these classes, such as "none" for no answer, is a miss of the class that was there and
nothing else: it makes no class of its own.
"""

import datasets
import evaluate
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

INPUTS = """\
Args:
    predictions (`list[str]`): one label an utterance.
    references (`list[str]`): one label an utterance.

Returns:
    macro_f1 (`float`): mean F1 of the classes.
    weighted_f1 (`float`): mean F1, each class weighted by its utterances.
    classes (`dict`): of each class its precision (0 where it is never predicted), recall, f1 and n.
    confusion (`dict`): `references` and `predictions`, the labels of rows and columns, and `counts`, the rows.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare.
"""

CITATION = "Van Rijsbergen: Information Retrieval, chapter 7. Butterworths, 1979."


class F1ByClass(evaluate.Metric):
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
            raise ValueError("F1 of 0 references: give at least one")
        predictions, references = list(predictions), list(references)
        labels = sorted(set(references))
        columns = labels + sorted(set(predictions) - set(labels))
        each = precision_recall_fscore_support(references, predictions, labels=labels, zero_division=0.0)
        weighted = precision_recall_fscore_support(
            references, predictions, labels=labels, average="weighted", zero_division=0.0
        )
        classes = {
            label: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "n": int(n)}
            for label, precision, recall, f1, n in zip(labels, *each, strict=True)
        }
        counts = confusion_matrix(references, predictions, labels=columns)[: len(labels)].tolist()
        return {
            "macro_f1": float(each[2].mean()),
            "weighted_f1": float(weighted[2]),
            "classes": classes,
            "confusion": {"references": labels, "predictions": columns, "counts": counts},
            "n": len(references),
        }
