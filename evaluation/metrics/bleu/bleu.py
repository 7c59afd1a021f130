"""BLEU of the whole corpus, as sacrebleu computes it by default: up to 4 words, case counts, one reference or several.

The signature names the variant: tokenizer 13a, exponential smoothing, and the version of sacrebleu.
"""

import datasets
import evaluate
from sacrebleu.metrics import BLEU

INPUTS = """\
Args:
    predictions (`list[str]`): one text an utterance.
    references (`list[list[str]]` or `list[str]`): one or several texts an utterance.

Returns:
    bleu (`float`): from 0 to 100.
    signature (`str`): the variant.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare.
"""

CITATION = "Post: A Call for Clarity in Reporting BLEU Scores. Proc. WMT, 2018."


class Bleu(evaluate.Metric):
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
            raise ValueError("BLEU of 0 references: give at least one")
        measure = BLEU()
        most = max(map(len, references))
        columns = [[each[place] if place < len(each) else None for each in references] for place in range(most)]
        score = measure.corpus_score(list(predictions), columns).score
        return {"bleu": score, "signature": measure.get_signature().format(), "n": len(references)}
