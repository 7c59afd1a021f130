r"""A sentence from labels, in many wordings, and back.

    say({"pitch": "high", "volume": "loud", "tone": "rising", "emphasis": ["never"]}, seed=0)
    → The voice is rising at the end, loud and high-pitched, stressing *never*.

`parse(say(labels, ...))` gives the labels back, whatever the wording. Stressed words stand between asterisks and may
hold any character but whitespace; `\*` and `\\` are an asterisk and a backslash of the word itself.
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from itertools import islice, permutations

from xser.measured_slots_xser import LEVELS

EMPHASIS = "emphasis"
PHRASES = {  # slot → level → wordings; no wording stands twice, and all can stand in one list
    "pitch": {
        "low": ("low", "low-pitched", "low in pitch"),
        "normal": ("normal in pitch", "medium in pitch", "neither low nor high"),
        "high": ("high", "high-pitched", "high in pitch"),
    },
    "volume": {
        "quiet": ("quiet", "soft", "low in volume"),
        "normal": ("normal in volume", "moderate in volume", "neither quiet nor loud"),
        "loud": ("loud", "loud in volume", "high in volume"),
    },
    "speed": {
        "slow": ("slow", "slow in pace", "unhurried"),
        "normal": ("normal in pace", "moderate in pace", "neither slow nor fast"),
        "fast": ("fast", "fast in pace", "hurried"),
    },
    "tone": {
        "falling": ("falling at the end", "falling in tone", "going down at the end"),
        "flat": ("flat at the end", "flat in tone", "level to the end"),
        "rising": ("rising at the end", "rising in tone", "going up at the end"),
        "falling-rising": (
            "falling then rising at the end",
            "falling-rising in tone",
            "going down then up at the end",
        ),
        "rising-falling": (
            "rising then falling at the end",
            "rising-falling in tone",
            "going up then down at the end",
        ),
    },
    "range": {
        "flat": ("flat", "monotone", "poor in melody"),
        "normal": ("normal in melody", "moderate in melody", "neither monotone nor expressive"),
        "expressive": ("expressive", "rich in melody", "lively"),
    },
}
FRAMES = (  # before and after the levels and the stress
    ("", ""),
    ("The voice is ", "."),
    ("Here the voice is ", "."),
    ("The speaker's voice is ", "."),
    ("In this recording the voice is ", "."),
    ("One hears a voice that is ", "."),
)
STRESS = (", with stress on ", ", with emphasis on ", ", stressing ")  # then the words
NO_STRESS = (", with no word stressed", ", without emphasis on any word", ", stressing no word")
STRESS_ALONE = (("with stress on ", ""), ("The stress is on ", "."), ("The speaker stresses ", "."))
NO_STRESS_ALONE = ("with no word stressed", "No word is stressed.", "The speaker stresses no word.")

_MEANING = {
    phrase: (slot, level) for slot, of in PHRASES.items() for level, phrases in of.items() for phrase in phrases
}
_PHRASE = re.compile("|".join(re.escape(phrase) for phrase in sorted(_MEANING, key=len, reverse=True)))
_WORD = re.compile(r"\*((?:[^\s*\\]|\\[*\\])+)\*")
_ORDERS = 24  # at most, of the levels in a sentence


def say(labels: Mapping, *, index: int | None = None, seed: int | None = None) -> str:
    """Say labels in one of their wordings.

    Args:
        labels: slot → level, and under `emphasis` the stressed words, an empty list for none; what is `None` is left
            out.
        index: which wording, below `num_wordings(labels)`; the first by default.
        seed: or one by chance, the same for the same seed.

    Raises:
        ValueError: there is nothing to say; a slot, level or word that cannot be said; both index and seed.
    """
    levels, words = _checked(labels)
    total = _num_wordings(levels, words)
    if index is not None and seed is not None:
        raise ValueError(f"give an index ({index}) or a seed ({seed}), not both")
    if seed is not None:
        index = int(random.Random(seed).random() * total)
    index = index or 0
    if not 0 <= index < total:
        raise ValueError(f"index is {index}; these labels have {total} wordings, counted from 0")

    def choose(options: Sequence):
        nonlocal index
        index, chosen = divmod(index, len(options))
        return options[chosen]

    if not levels:
        if not words:
            return choose(NO_STRESS_ALONE)
        before, after = choose(STRESS_ALONE)
        return before + _join([_quote(word) for word in words], (len(words) - 2,)) + after
    before, after = choose(FRAMES)
    joints = choose(_joint_patterns(len(levels)))
    stress = ""
    if words is not None:
        stress = choose(STRESS if words else NO_STRESS) + _join([_quote(word) for word in words], (len(words) - 2,))
    phrases = [choose(PHRASES[slot][level]) for slot, level in levels.items()]
    return before + _join(choose(_orders(phrases)), joints) + stress + after


def num_wordings(labels: Mapping) -> int:
    """How many wordings labels have; raises as `say`."""
    return _num_wordings(*_checked(labels))


def parse(sentence: str) -> dict:
    """The labels that a sentence of `say` says: slot → level in the order of `LEVELS`, then `emphasis` if it is said.

    Raises:
        ValueError: it is no such sentence; the message says from which words on.
    """
    for alone in NO_STRESS_ALONE:
        if sentence == alone:
            return {EMPHASIS: []}
    for before, after in STRESS_ALONE:
        if sentence.startswith(before + "*"):
            return {EMPHASIS: _parse_words(sentence, len(before), after)}
    before, after = max((f for f in FRAMES if sentence.startswith(f[0])), key=lambda frame: len(frame[0]))
    levels, position = _parse_levels(sentence, len(before))
    said = {slot: levels[slot] for slot in LEVELS if slot in levels}
    for opening in NO_STRESS:
        if sentence[position:] == opening + after:
            return {**said, EMPHASIS: []}
    for opening in STRESS:
        if sentence.startswith(opening + "*", position):
            return {**said, EMPHASIS: _parse_words(sentence, position + len(opening), after)}
    _expect_end(sentence, position, after)
    return said


def _checked(labels: Mapping) -> tuple[dict[str, str], list[str] | None]:
    """(levels in the order of `LEVELS`, words) that are to be said."""
    words = labels.get(EMPHASIS)
    if isinstance(words, str):
        raise ValueError(f"emphasis is {words!r}; it must be a list of words")
    for word in words or ():
        if not isinstance(word, str) or not word or any(character.isspace() for character in word):
            raise ValueError(f"emphasis holds {word!r}; it must be a word without whitespace")
    levels = {slot: level for slot, level in labels.items() if slot != EMPHASIS and level is not None}
    for slot, level in levels.items():
        if slot not in LEVELS:
            raise ValueError(f"slot {slot!r} cannot be said; there are {[*LEVELS, EMPHASIS]}")
        if level not in LEVELS[slot]:
            raise ValueError(f"{slot} {level!r} is not one of {list(LEVELS[slot])}")
    if not levels and words is None:
        raise ValueError("there is nothing to say: no level is known, and no emphasis")
    return {slot: levels[slot] for slot in LEVELS if slot in levels}, None if words is None else list(words)


def _num_wordings(levels: dict[str, str], words: list[str] | None) -> int:
    if not levels:
        return len(STRESS_ALONE if words else NO_STRESS_ALONE)
    choices = [len(FRAMES), len(_joint_patterns(len(levels))), len(_orders(list(levels)))]
    if words is not None:
        choices.append(len(STRESS if words else NO_STRESS))
    return math.prod(choices + [len(PHRASES[slot][level]) for slot, level in levels.items()])


def _orders(items: list) -> list[tuple]:
    """Some orders of the items, their own first; no two are alike."""
    every = permutations(range(len(items)))
    step = max(1, math.factorial(len(items)) // _ORDERS)
    return [tuple(items[i] for i in order) for order in islice(every, 0, None, step)]


def _joint_patterns(count: int) -> list[tuple[int, ...]]:
    """Which joints of a list of `count` are an `and` rather than a comma: none, the last, or the first."""
    return list(dict.fromkeys([(), (count - 2,), (0,)])) if count > 1 else [()]


def _join(items: Sequence[str], ands: tuple[int, ...]) -> str:
    text = "".join(item + (" and " if i in ands else ", ") for i, item in enumerate(items[:-1]))
    return text + "".join(items[-1:])


def _quote(word: str) -> str:
    return "*" + re.sub(r"([*\\])", r"\\\1", word) + "*"


def _parse_levels(sentence: str, position: int) -> tuple[dict[str, str], int]:
    """The levels from a position on, and where they end."""
    levels, ands = {}, []
    start = position
    while True:
        match = _PHRASE.match(sentence, position)
        if not match:
            raise _refusal(sentence, position, "a level such as 'high in pitch'")
        slot, level = _MEANING[match.group()]
        if slot in levels:
            raise _refusal(sentence, position, f"something else than {slot}, which was said to be {levels[slot]}")
        levels[slot] = level
        position = match.end()
        joint = next((j for j in (", ", " and ") if sentence.startswith(j, position)), None)
        if joint is None or sentence.startswith((*STRESS, *NO_STRESS), position):
            break
        if joint == " and ":
            ands.append(len(levels) - 1)
        position += len(joint)
    if tuple(ands) not in _joint_patterns(len(levels)):
        raise _refusal(sentence, start, "commas with one 'and' at most, after the first or before the last")
    return levels, position


def _parse_words(sentence: str, position: int, after: str) -> list[str]:
    """The stressed words from a position to the end."""
    words, joints = [], []
    while True:
        match = _WORD.match(sentence, position)
        if not match:
            raise _refusal(sentence, position, r"a word between asterisks, with \* and \\ as its only escapes")
        words.append(re.sub(r"\\(.)", r"\1", match.group(1)))
        position = match.end()
        joint = next((j for j in (", ", " and ") if sentence.startswith(j + "*", position)), None)
        if joint is None:
            break
        if joints[-1:] == [" and "]:
            raise _refusal(sentence, position, "the end, since the last word was said")
        joints.append(joint)
        position += len(joint)
    if joints and joints[-1] != " and ":
        raise _refusal(sentence, position, "one more word after 'and'")
    _expect_end(sentence, position, after)
    return words


def _expect_end(sentence: str, position: int, after: str) -> None:
    if sentence[position:] != after:
        raise _refusal(sentence, position, f"{after!r} and then the end" if after else "the end")


def _refusal(sentence: str, position: int, expected: str) -> ValueError:
    at = f"at {sentence[position : position + 40]!r}" if position < len(sentence) else "at its end"
    return ValueError(
        f"this sentence is not one that labels are said in, {at} (character {position}): expected {expected}"
    )
