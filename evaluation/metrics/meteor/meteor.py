"""METEOR of 2007 without synonyms: words match exactly or by their Porter stem; averaged over utterances.

alpha 0.9, beta 3, gamma 0.5 (Lavie & Agarwal 2007). WordNet's synonyms are left out everywhere, so that figures do not
depend on what data a machine holds: they lie a little below those with them. Words are runs of letters and digits or
runs of other signs; case does not count. Of several references the best counts.
"""

import datasets
import evaluate
from nltk.tokenize import wordpunct_tokenize
from nltk.translate.meteor_score import single_meteor_score

INPUTS = """\
Args:
    predictions (`list[str]`): one text an utterance.
    references (`list[list[str]]` or `list[str]`): one or several texts an utterance.

Returns:
    meteor (`float`): from 0 to 1.
    matching (`str`): how words match.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare.
"""

CITATION = (
    "Lavie, Agarwal: Meteor: An Automatic Metric for MT Evaluation. Workshop on Statistical Machine Translation, 2007."
)


class Meteor(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
            ),
        )

    def compute(self, *, predictions=None, references=None, **options):
        """Compare; see below."""
        references = references and [[each] if isinstance(each, str) else each for each in references]
        return super().compute(predictions=predictions, references=references, **options)

    def _compute(self, predictions, references):
        if not len(references):
            raise ValueError("METEOR of 0 references: give at least one")
        scores = [
            max(
                single_meteor_score(wordpunct_tokenize(want), wordpunct_tokenize(got), wordnet=_NoSynonyms())
                for want in each
            )
            for got, each in zip(predictions, references, strict=True)
        ]
        return {"meteor": sum(scores) / len(scores), "matching": "exact, Porter stem", "n": len(scores)}


class _NoSynonyms:
    def synsets(self, word):
        return []
