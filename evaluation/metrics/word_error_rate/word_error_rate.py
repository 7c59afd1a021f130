"""Word error rate (WER) of a whole corpus: all its edits over all words of its references.

Edits are substitutions, deletions and insertions of the best alignment. Words are what white space separates; case and
punctuation count.
"""

import datasets
import evaluate
import jiwer

INPUTS = """\
Args:
    predictions (`list[str]`): one transcript an utterance; may be empty.
    references (`list[str]`): one transcript an utterance; may be empty, but not all of them.

Returns:
    word_error_rate (`float`): 0 at best; above 1 where there are more edits than words in the references.
    words (`int`): in the references.
    n (`int`): utterances.

Raises:
    ValueError: the references hold no word at all.
"""

CITATION = "Morris, Maier, Green: From WER and RIL to MER and WIL. Proc. INTERSPEECH, 2004."


class WordErrorRate(evaluate.Metric):
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
        heard = [" ".join(text.split()) for text in predictions]
        said = [" ".join(text.split()) for text in references]
        # nothing was said: every word is an insertion, which jiwer leaves to the caller
        edits = sum(len(got.split()) for got, want in zip(heard, said, strict=True) if not want)
        pairs = [(got, want) for got, want in zip(heard, said, strict=True) if want]
        if not pairs:
            raise ValueError(f"word error rate of {len(said)} references without a word: give at least one word")
        measured = jiwer.process_words([want for _, want in pairs], [got for got, _ in pairs])
        edits += measured.substitutions + measured.deletions + measured.insertions
        words = measured.hits + measured.substitutions + measured.deletions
        return {"word_error_rate": edits / words, "words": words, "n": len(said)}
