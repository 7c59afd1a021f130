"""What probes are to read: words, descriptors, emotion and speaker, as labels with their folds, or why they cannot.

Words are asked for in two ways. *Words said*: which of the frequent content words an utterance holds, from what a
stream is over all of it. *Word by word*: which of them is spoken, from what the stream is while it is spoken; far
sharper, as nothing is pooled over the utterance, and each gives several.

What is no leak is left to the second control (`probe_fit`): words and descriptors may go together with the emotion,
and words, one by one, with their place in the sentence, which the voice tells by its decline and its end.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from xser.descriptors.align import split_words
from xser.evaluation.probes.fit import Labels
from xser.evaluation.probes.folds import Folding, make_folds

WORDS_SAID, WORD_BY_WORD = "words said", "word by word"
LABELS = "known levels"  # a source beside the streams
EMOTION, SPEAKER, EMPHASIS = "emotion", "speaker", "emphasis"
LEAST_UTTERANCES = 15  # of a class or word: five a fold
LEAST_IN_TRAINING = 5
COMMON_SHARE = 0.05  # of the utterances; what more of them hold is a function word, in any language
PLACES = 4  # of a word in its sentence: from first to last


@dataclass(frozen=True)
class Token:
    """A word of the vocabulary, spoken in an utterance.

    Attributes:
        row: index of the utterance.
        word: as the vocabulary writes it.
        place: 0 (first) to `PLACES` - 1 (last).
    """

    row: int
    word: str
    place: int


@dataclass(frozen=True)
class Target:
    """What a probe reads.

    Attributes:
        name: `WORDS_SAID`, `WORD_BY_WORD`, `EMOTION`, `SPEAKER` or a descriptor.
        classes: names of the classes or words, as the labels count them.
        items: indices of the utterances, or of the tokens, that the labels are of.
        labels: see `Labels`.
        folding: of the items.
    """

    name: str
    classes: list[str]
    items: np.ndarray
    labels: Labels
    folding: Folding


@dataclass(frozen=True)
class Gap:
    """What could not be read, and why: a whole target, or a class of it that its figure leaves out."""

    target: str
    missing: str | None
    reason: str


def frequent_words(texts: list[str | None], most: int) -> list[str]:
    """The commonest words that are no function words and that enough utterances hold, `most` of them at most."""
    said = Counter(word for text in texts for word in set(words_of(text)))
    rare = {word: count for word, count in said.items() if count <= COMMON_SHARE * len(texts)}
    enough = sorted(word for word, count in rare.items() if count >= LEAST_UTTERANCES)
    return sorted(enough, key=rare.get, reverse=True)[:most]


def words_of(text: str | None) -> list[str]:
    """The words of a transcript, as the vocabulary writes them; none where it holds none."""
    if text is None or not any(char.isalnum() for char in text):
        return []
    return [word.lower() for word in split_words(text)]


def place_of(index: int, num_words: int) -> int:
    """The place of the word at `index` in its sentence."""
    return round((PLACES - 1) * index / max(num_words - 1, 1))


def make_targets(
    names: list[str], rows: list[dict], vocabulary: list[str], tokens: list[Token]
) -> tuple[list[Target], list[Gap]]:
    """The targets that the utterances can answer for, and what they cannot.

    Args:
        names: of the targets.
        rows: of the one schema, without recordings.
        vocabulary: what `frequent_words` gave.
        tokens: its words, where they are spoken.
    """
    targets, gaps = [], []
    for name in names:
        if name == WORDS_SAID:
            target, missing = _words_said(rows, vocabulary)
        elif name == WORD_BY_WORD:
            target, missing = _word_by_word(rows, tokens)
        else:
            values = [_label_of(row, name) for row in rows]
            strata = None if name in (EMOTION, SPEAKER) else _emotions(rows)
            target, missing = class_target(name, values, rows, name != SPEAKER, strata)
        targets += [target] if target else []
        gaps += missing
    return targets, gaps


def class_target(
    name: str,
    values: list[str | None],
    rows: list[dict],
    by_speaker: bool = True,
    strata: np.ndarray | None = None,
) -> tuple[Target | None, list[Gap]]:
    """One class an item; what is too rare to be learned or tried is left out by name.

    Args:
        name: of the target.
        values: the class of each item, `None` where it is not known.
        rows: of the utterance that each item belongs to.
        by_speaker: whether to split and resample by speaker.
        strata: of each item, for the second control.
    """
    items, gaps = [index for index, value in enumerate(values) if value is not None], []
    while True:
        counts = Counter(values[index] for index in items)
        if not items and not gaps:
            return None, [Gap(name, None, "no utterance has a label")]
        if len(counts) < 2:
            rest = f"{next(iter(counts))!r} alone" if counts else "no class"
            return None, [*gaps, Gap(name, None, f"{rest} is left to be told: there must be two classes at least")]
        few = {c: f"{n} of at least {LEAST_UTTERANCES}" for c, n in counts.items() if n < LEAST_UTTERANCES}
        if not few:
            try:
                folding = _folds([rows[index] for index in items], by_speaker)
            except ValueError as error:
                return None, [*gaps, Gap(name, None, str(error))]
            few = _rare_in_training(np.array([values[index] for index in items]), folding)
        if not few:
            break
        gaps += [Gap(name, each, reason) for each, reason in sorted(few.items())]
        items = [index for index in items if values[index] not in few]
    classes, indices = np.unique([values[index] for index in items], return_inverse=True)
    rows = [rows[index] for index in items]
    labels = _labels(indices, rows, by_speaker, None if strata is None else strata[items])
    return Target(name, classes.tolist(), np.array(items), labels, folding), gaps


def resampled_by(rows: list[dict], by_speaker: bool = True) -> tuple[np.ndarray, bool]:
    """What an interval resamples, (n,): speakers where all are known, else utterances; and whether speakers it is."""
    speakers = [row["speaker"] for row in rows]
    by_speaker = by_speaker and None not in speakers
    return np.array(speakers if by_speaker else [row["id"] for row in rows]), by_speaker


def _words_said(rows: list[dict], vocabulary: list[str]) -> tuple[Target | None, list[Gap]]:
    items = [index for index, row in enumerate(rows) if words_of(row["text"])]
    said = [set(words_of(rows[index]["text"])) for index in items]
    rows = [rows[index] for index in items]
    if not items:
        return None, [Gap(WORDS_SAID, None, "no utterance has a transcript with words")]
    try:
        folding = _folds(rows, by_speaker=True)
    except ValueError as error:
        return None, [Gap(WORDS_SAID, None, str(error))]
    kept, gaps = {}, []
    for word in vocabulary:
        held = np.array([word in words for words in said])
        learned = min(held[fold.train].sum() for fold in folding.folds)
        tried = min(held[fold.test].sum() for fold in folding.folds)
        if learned < LEAST_IN_TRAINING or not tried:
            gaps.append(Gap(WORDS_SAID, word, f"a fold has {learned} of it to learn from and {tried} to be tried on"))
        else:
            kept[word] = held
    if len(kept) < 2:
        reason = f"{len(kept)} content words are said in at least {LEAST_UTTERANCES} utterances, spread over the folds"
        return None, [*gaps, Gap(WORDS_SAID, None, f"{reason}: there must be two at least")]
    labels = _labels(np.stack(list(kept.values()), axis=1), rows, True, _emotions(rows))
    return Target(WORDS_SAID, list(kept), np.array(items), labels, folding), gaps


def _word_by_word(rows: list[dict], tokens: list[Token]) -> tuple[Target | None, list[Gap]]:
    if not tokens:
        return None, [Gap(WORD_BY_WORD, None, "no frequent content word was found in the recordings")]
    of = [rows[token.row] for token in tokens]
    emotions = _emotions(of)
    if emotions is None:
        emotions = np.full(len(tokens), "")
    strata = [f"{emotion}, {token.place}" for emotion, token in zip(emotions, tokens, strict=True)]
    return class_target(WORD_BY_WORD, [token.word for token in tokens], of, strata=np.array(strata))


def level_features(rows: list[dict], descriptors: dict[str, list[str]]) -> np.ndarray:
    """(n, levels of all descriptors) 1 where a row is known to have the level."""
    return np.array(
        [
            [float(_label_of(row, slot) == level) for slot, levels in descriptors.items() for level in levels]
            for row in rows
        ]
    ).reshape(len(rows), -1)


def _label_of(row: dict, name: str) -> str | None:
    """A row's class; of the emphasis, whether there is any."""
    if name in (EMOTION, SPEAKER):
        return row[name]
    level = (row["descriptors"] or {}).get(name)
    if name == EMPHASIS and level is not None:
        return "some" if level else "none"
    return level


def _emotions(rows: list[dict]) -> np.ndarray | None:
    """Strata; `None` where no emotion is known."""
    emotions = [row["emotion"] for row in rows]
    return np.array([str(emotion) for emotion in emotions]) if any(emotions) else None


def _folds(rows: list[dict], by_speaker: bool) -> Folding:
    return make_folds([row["speaker"] for row in rows] if by_speaker else None, [row["text"] for row in rows])


def _rare_in_training(values: np.ndarray, folding: Folding) -> dict[str, str]:
    """Classes that some fold can hardly learn, each with its reason."""
    rare = {}
    for each in np.unique(values).tolist():
        least = min(int((values[fold.train] == each).sum()) for fold in folding.folds)
        if least < LEAST_IN_TRAINING:
            rare[each] = f"a fold by {folding.disjoint_in} has {least} of it to learn from, not {LEAST_IN_TRAINING}"
    return rare


def _labels(values: np.ndarray, rows: list[dict], by_speaker: bool, strata: np.ndarray | None) -> Labels:
    return Labels(values, *resampled_by(rows, by_speaker), strata)
