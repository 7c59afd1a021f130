"""CIDEr of captions, as coco-caption computes it: the variant CIDEr-D, with document frequencies of these references.

Runs of one to four words are weighted by how rare they are: the log of the utterances over the utterances whose
references hold them. A caption's score is its cosine to each reference, with weights clipped at the reference's and a
penalty of exp(-d² / 72) where one has d pairs of neighbouring words more than the other; averaged over the four
lengths of runs and over the references, times 10. So the figure depends on the whole test set, is from 0 to 10, and is
0 for one utterance alone. coco-caption splits words with a Java program, which this does not need: a word is a run of
letters and digits of any script, in lower case; the result names the split.
"""

import re
from collections import Counter
from math import exp, log, sqrt

import datasets
import evaluate

INPUTS = """\
Args:
    predictions (`list[str]`): one caption an utterance.
    references (`list[list[str]]` or `list[str]`): one or several captions an utterance.
    tokenize (`bool`): split words as described above; `False` where blanks already lie between the words.

Returns:
    cider (`float`): mean over utterances, from 0 to 10.
    scores (`list[float]`): of each utterance.
    variant (`str`): of the figure, and how words are split.
    n (`int`): utterances.

Raises:
    ValueError: there is nothing to compare, or an utterance has no reference.
"""

CITATION = "Vedantam, Zitnick, Parikh: CIDEr: Consensus-based Image Description Evaluation. CVPR, 2015."
LONGEST = 4  # words of a run
SIGMA = 6.0  # words, of the penalty for another length
SCALE = 10.0
WORD = re.compile(r"[^\W_]+")


class Cider(evaluate.Metric):
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

    def _compute(self, predictions, references, tokenize=True):
        if not len(references):
            raise ValueError("CIDEr of 0 references: give at least one")
        empty = [index for index, each in enumerate(references) if not each]
        if empty:
            raise ValueError(f"CIDEr of utterances without a reference, such as number {empty[0]}: give each one")
        split = (lambda text: WORD.findall(text.lower())) if tokenize else str.split
        given = [runs(split(text)) for text in predictions]
        wanted = [[runs(split(text)) for text in each] for each in references]
        weights = Weights(wanted)
        scores = [weights.score(got, each) for got, each in zip(given, wanted, strict=True)]
        words = "runs of letters and digits, lower case" if tokenize else "as given"
        return {
            "cider": sum(scores) / len(scores),
            "scores": scores,
            "variant": f"CIDEr-D of coco-caption, document frequencies of {len(scores)} utterances, words: {words}",
            "n": len(scores),
        }


def runs(words):
    """How often each run of one to `LONGEST` words comes."""
    return Counter(
        tuple(words[start : start + size]) for size in range(1, LONGEST + 1) for start in range(len(words) - size + 1)
    )


class Weights:
    """How rare each run of words is among the references."""

    def __init__(self, references):
        self.log_utterances = log(len(references))
        self.utterances = Counter(run for each in references for run in set().union(*each))

    def vectors(self, counts):
        """Of runs of each length their weights and the norm of these; and the number of pairs of words."""
        of_size = [{} for _ in range(LONGEST)]
        for run, times in counts.items():
            of_size[len(run) - 1][run] = times * (self.log_utterances - log(max(self.utterances[run], 1)))
        norms = [sqrt(sum(weight**2 for weight in each.values())) for each in of_size]
        return of_size, norms, sum(times for run, times in counts.items() if len(run) == 2)  # stands for the length

    def score(self, got, wanted):
        vectors = self.vectors(got)
        return SCALE * sum(similarity(vectors, self.vectors(want)) for want in wanted) / len(wanted)


def similarity(got, want):
    """Mean over the lengths of runs of the clipped cosine, with the penalty for another length."""
    (given, given_norms, given_length), (wanted, wanted_norms, wanted_length) = got, want
    total = 0.0
    for mine, theirs, *norms in zip(given, wanted, given_norms, wanted_norms, strict=True):
        if all(norms):
            total += sum(min(mine[run], theirs[run]) * theirs[run] for run in mine.keys() & theirs.keys()) / (
                norms[0] * norms[1]
            )
    return total / LONGEST * exp(-((given_length - wanted_length) ** 2) / (2 * SIGMA**2))
