"""Accuracy and macro-F1 of each descriptor, and how often all of them are right.

A descriptor counts in an utterance whose reference holds it; a prediction that lacks it there is wrong. Macro-F1 is
over the levels that the references hold.
"""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score

INPUTS = """\
Args:
    predictions (`list[list[str]]`): for each utterance its descriptors, each as in "pitch: high".
    references (`list[list[str]]`): the same; those that are not known are left out.

Returns:
    descriptors (`dict`): of each descriptor its accuracy, macro_f1 and n.
    exact_match (`float`): share of the utterances with a known descriptor where every known one is right.
    n (`int`): utterances with a known descriptor.

Raises:
    ValueError: no reference holds a descriptor, or one is not of the form "slot: level".
"""

CITATION = (
    "Schuller et al.: The INTERSPEECH 2009 Emotion Challenge. Proc. INTERSPEECH, 2009 (accuracies and F1 over labels)."
)


class DescriptorAccuracy(evaluate.Metric):
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
        given = [_levels(items) for items in predictions]
        wanted = [_levels(items) for items in references]
        known = [(got, want) for got, want in zip(given, wanted, strict=True) if want]
        if not known:
            raise ValueError(f"none of the {len(wanted)} references holds a descriptor: give at least one")
        descriptors = {}
        for slot in dict.fromkeys(slot for _, want in known for slot in want):
            truth = [want[slot] for _, want in known if slot in want]
            guess = [got.get(slot, "") for got, want in known if slot in want]
            macro = f1_score(truth, guess, labels=sorted(set(truth)), average="macro", zero_division=0.0)
            descriptors[slot] = {
                "accuracy": float(accuracy_score(truth, guess)),
                "macro_f1": float(macro),
                "n": len(truth),
            }
        right = sum(all(got.get(slot) == level for slot, level in want.items()) for got, want in known)
        return {"descriptors": descriptors, "exact_match": right / len(known), "n": len(known)}


def _levels(items):
    levels = {}
    for item in items:
        slot, colon, level = item.partition(": ")
        if not colon or slot in levels:
            raise ValueError(f"descriptors {list(items)} must be of the form 'slot: level', each slot once")
        levels[slot] = level
    return levels
