"""Word error rate (WER) of a whole corpus: all its edits over all its reference words."""

import datasets
import evaluate
import jiwer

_DESCRIPTION = """\
Word error rate (WER): substitutions, deletions and insertions of the best alignment, summed over the corpus, over the
number of words in its references. Words are what white space separates; case and punctuation count.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list[str]`): one transcript an utterance; may be empty.
    references (`list[str]`): one transcript an utterance; may be empty, but not all of them.

Returns:
    word_error_rate (`float`): 0 at best; above 1 where more words are wrong than the references hold.

Raises:
    ValueError: the references hold no word at all.
"""

_CITATION = """\
@inproceedings{morris2004wer,
  title = {From {WER} and {RIL} to {MER} and {WIL}: improved evaluation measures for connected speech recognition},
  author = {Morris, Andrew Cameron and Maier, Viktoria and Green, Phil},
  booktitle = {Proc. INTERSPEECH},
  year = {2004}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class WordErrorRate(evaluate.Metric):
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
        edits = words = 0
        for prediction, reference in zip(predictions, references, strict=True):
            spoken = reference.split()
            words += len(spoken)
            if not spoken:  # nothing was said: every word is an insertion, which jiwer leaves to the caller
                edits += len(prediction.split())
                continue
            measured = jiwer.process_words(reference, prediction)
            edits += measured.substitutions + measured.deletions + measured.insertions
        if not words:
            raise ValueError(f"word error rate of {len(references)} references without a word: give at least one word")
        return {"word_error_rate": edits / words}
