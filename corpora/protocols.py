"""Published protocols: which rows of a corpus they use, and how its folds are divided into training and test.

EmoBox (Ma et al., 2024, INTERSPEECH) publishes lists of files for training and for test, none for validation. Of
IEMOCAP these are the 5,531 utterances of four emotions, with excited as happy; fold k tests session k and trains on
the four others. Its folds of RAVDESS and ESD hold other speakers than the folds here, and are not among the protocols.
"""

import logging
from collections import Counter

import datasets

from xser.corpora.folds import by_fold

logger = logging.getLogger(__name__)

EMOBOX = "emobox"
PROTOCOLS = (EMOBOX,)
EMOTIONS = {"iemocap": ("angry", "happy", "neutral", "sad")}
SIZES = {"iemocap": {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241}}  # fold → utterances


def check_protocol(protocol: str | None) -> None:
    """Raise `ValueError` for a protocol that is not known."""
    if protocol is not None and protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}; known are {list(PROTOCOLS)}")


def by_protocol(
    dataset: datasets.Dataset | datasets.DatasetDict,
    protocol: str,
    test_fold: str | None = None,
    validation_fold: str | None = None,
) -> datasets.DatasetDict:
    """Split a prepared corpus as a protocol does.

    Args:
        dataset: rows of the one schema, of a corpus that the protocol knows.
        protocol: "emobox".
        test_fold: see `folds.by_fold`.
        validation_fold: "none" if not given: EmoBox trains on all folds but the test's.

    Raises:
        ValueError: a protocol or fold that does not exist, or rows that the protocol does not use. Folds of another
            size than published are named in a warning.
    """
    check_protocol(protocol)
    if isinstance(dataset, datasets.DatasetDict):
        dataset = datasets.concatenate_datasets(list(dataset.values()))
    corpora = sorted({str(name) for name in dataset["corpus"]})
    if len(corpora) != 1 or corpora[0] not in SIZES:
        raise ValueError(f"protocol {protocol!r} is of {list(SIZES)}; these rows are of {corpora}")
    [corpus] = corpora
    emotions = sorted({str(emotion) for emotion in dataset["emotion"]})
    if not {*emotions} <= {*EMOTIONS[corpus]}:
        raise ValueError(
            f"protocol {protocol!r} of {corpus} has the emotions {list(EMOTIONS[corpus])}; these rows have "
            f"{emotions}: prepare the corpus with protocol={protocol!r}"
        )
    warn_of_sizes(corpus, protocol, Counter(dataset["fold"]))
    return by_fold(dataset, test_fold, "none" if validation_fold is None else validation_fold)


def warn_of_sizes(corpus: str, protocol: str, sizes: Counter[str]) -> None:
    """Name, in a warning, folds of another size than a protocol publishes."""
    odd = [f"{fold}: {sizes[fold]:,} of {n:,}" for fold, n in SIZES[corpus].items() if sizes[fold] != n]
    if odd:
        logger.warning("%s: folds of another size than %s publishes: %s", corpus, protocol, ", ".join(odd))
