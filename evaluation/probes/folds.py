"""Folds of a probe: what it is tried on was said by other speakers, in other sentences, than what it learned from.

Else it could succeed by memory: a sentence that comes again tells its words, a voice that comes again its habits.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold

NUM_FOLDS = 3
_LEAST_KEPT = 0.5  # of a training part: where leaving out the test's sentences costs more, all share their sentences
_SEED = 0


@dataclass(frozen=True)
class Fold:
    """Indices of the items that a probe learns from, and of those that it is tried on."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Folding:
    """Folds whose test parts are every item once, and what their two parts never share."""

    folds: list[Fold]
    disjoint_in: str  # "speakers and sentences", "speakers" or "sentences"


def make_folds(speakers: list[str | None] | None, sentences: list[str | None]) -> Folding:
    """Split n items into `NUM_FOLDS` folds.

    Args:
        speakers: who said each; `None` for a target that no probe could tell of unknown speakers, such as the speaker.
        sentences: what was said.

    Returns:
        Folds by speaker, without the test's sentences in training; by speaker alone where everybody says the same; by
        sentence where speakers are not known, fewer than the folds, or not to be split by.

    Raises:
        ValueError: there are fewer speakers and fewer sentences than folds, or some of neither are known.
    """
    sentences = np.array(["" if sentence is None else sentence for sentence in sentences])
    if speakers is None or None in speakers or len(set(speakers)) < NUM_FOLDS:
        if "" in sentences or len(set(sentences)) < NUM_FOLDS:
            raise ValueError(
                f"{len(sentences)} utterances cannot be split into {NUM_FOLDS} folds: neither by speaker nor by "
                f"sentence are there {NUM_FOLDS} groups, all of them known"
            )
        return Folding(_by_group(sentences), "sentences")
    folds = _by_group(np.array(speakers))
    strict = [Fold(fold.train[~_said_in(sentences, fold.train, fold.test)], fold.test) for fold in folds]
    if any(len(new.train) < _LEAST_KEPT * len(old.train) for new, old in zip(strict, folds, strict=True)):
        return Folding(folds, "speakers")
    return Folding(strict, "speakers and sentences" if (sentences != "").all() else "speakers")


def _by_group(groups: np.ndarray) -> list[Fold]:
    splitter = GroupKFold(NUM_FOLDS, shuffle=True, random_state=_SEED)
    return [Fold(train, test) for train, test in splitter.split(groups, groups=groups)]


def _said_in(sentences: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Which items of `train` have a sentence of `test`; an unknown sentence is like no other."""
    return np.isin(sentences[train], sentences[test]) & (sentences[train] != "")
