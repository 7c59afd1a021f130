"""ROUGE-L: F1 of the longest common subsequence of words, a sentence each, averaged over utterances.

As the rouge-score package has it, precision and recall weigh the same and nothing is stemmed; but a word is any run of
letters and digits of any script, where the package would drop all that is not ASCII. Of several references the
best counts.
"""

import re

import datasets
import evaluate
from rouge_score.rouge_scorer import RougeScorer

INPUTS = """\
Args:
    predictions (`list[str]`): one text an utterance.
    references (`list[list[str]]` or `list[str]`): one or several texts an utterance.

Returns:
    rouge_l (`float`): from 0 to 1.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare.
"""

CITATION = (
    "Lin: ROUGE: a Package for Automatic Evaluation of Summaries. ACL workshop Text Summarization Branches Out, 2004."
)


class RougeL(evaluate.Metric):
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
            raise ValueError("ROUGE-L of 0 references: give at least one")
        scorer = RougeScorer(["rougeL"], tokenizer=_Words())
        scores = [
            max(scorer.score(want, got)["rougeL"].fmeasure for want in each)
            for got, each in zip(predictions, references, strict=True)
        ]
        return {"rouge_l": sum(scores) / len(scores), "n": len(scores)}


class _Words:
    def tokenize(self, text):
        return re.findall(r"[^\W_]+", text.lower())
