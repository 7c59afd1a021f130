"""F1 of the emphasised words: of all words that the predictions name and all that the references hold.

A word that stands twice counts twice; order does not count, case does.
"""

from collections import Counter

import datasets
import evaluate

INPUTS = """\
Args:
    predictions (`list[list[str]]`): for each utterance the words that are said to be emphasised.
    references (`list[list[str]]`): for each utterance the words that are; may be empty.

Returns:
    emphasis_f1, precision, recall (`float`): over all words; `None` where there is no word to divide by.
    words (`int`): in the references.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare.
"""

CITATION = "Van Rijsbergen: Information Retrieval, chapter 7. Butterworths, 1979."


class EmphasisF1(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("string")),
                    "references": datasets.List(datasets.Value("string")),
                }
            ),
        )

    def _compute(self, predictions, references):
        if not len(references):
            raise ValueError("emphasis F1 of 0 references: give at least one")
        both = named = there = 0
        for got, want in zip(predictions, references, strict=True):
            both += (Counter(got) & Counter(want)).total()
            named += len(got)
            there += len(want)
        return {
            "emphasis_f1": 2 * both / (named + there) if named + there else None,
            "precision": both / named if named else None,
            "recall": both / there if there else None,
            "words": there,
            "n": len(references),
        }
