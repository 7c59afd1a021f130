"""BLEU of the whole corpus, as sacrebleu computes it by default: up to 4 words, case counts, one reference.

The signature names the variant: tokenizer 13a, exponential smoothing, and the version of sacrebleu.
"""

import datasets
import evaluate
from sacrebleu.metrics import BLEU

INPUTS = """\
Args:
    predictions (`list[str]`): one text an utterance.
    references (`list[str]`): one text an utterance.

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
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references):
        if not len(references):
            raise ValueError("BLEU of 0 references: give at least one")
        measure = BLEU()
        score = measure.corpus_score(list(predictions), [list(references)]).score
        return {"bleu": score, "signature": measure.get_signature().format(), "n": len(references)}
