"""Sizes of the paper's corpora as they are published, for a dry run where the recordings are not at hand."""

from dataclasses import dataclass
from pathlib import Path

CHARACTERS_A_WORD = 5.5  # of English, with the space
CHARACTERS_A_SECOND = 15  # of English speech, where the number of words is not published


@dataclass(frozen=True)
class PublishedCorpus:
    """What is published of the part of a corpus that is trained on.

    Attributes:
        utterances: of the training part.
        seconds: mean of an utterance.
        words: mean of an utterance; `None` where it is not published.
        source: where the numbers are from, for the output.
    """

    utterances: int
    seconds: float
    words: float | None
    source: str

    @property
    def characters(self) -> int:
        """Mean of a transcript."""
        if self.words is None:
            return round(self.seconds * CHARACTERS_A_SECOND)
        return round(self.words * CHARACTERS_A_WORD)


PUBLISHED_CORPORA = {
    "iemocap": PublishedCorpus(
        5531 - 1241,
        4.5,
        11.4,
        "5,531 utterances of four emotions without the 1,241 of Session 5; 4.5 s and 11.4 words a turn (Busso et al. "
        "2008, over all turns)",
    ),
    "meld": PublishedCorpus(9989, 3.59, 8.0, "9,989 utterances of train, 3.59 s and 8.0 words (Poria et al. 2019)"),
    "speechcraft": PublishedCorpus(
        670_000,
        739.91 * 3600 / 670_000,
        None,
        "the GigaSpeech-m part: over 670k clips, 739.91 h (arXiv 2505.23236)",
    ),
}


def published_corpus(data: str) -> PublishedCorpus | None:
    """The corpus that a folder's name, or the name of one around it, begins with."""
    for part in reversed(Path(data).parts):
        for name, corpus in PUBLISHED_CORPORA.items():
            if part.casefold().startswith(name):
                return corpus
    return None
