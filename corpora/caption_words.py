"""The words in which captions name labels: `deep` is a low pitch, `rapidly` a fast speed, `sorrow` is sad.

Words of one group mean the same label. `meanings` looks which label of a schema a group stands for: the one that is in
it. A group that holds two labels, or none, stands for nothing.
"""

from collections.abc import Iterable, Mapping

from xser.corpora.labels import EMOTION_SPELLINGS
from xser.grammar_xser import AGE, EMOTION, GENDER

Words = tuple[str, ...]  # a label as words without hyphens: ("middle", "aged")

LEVELS = {
    "pitch": (
        ("low", "deep"),
        ("normal", "medium", "moderate", "average", "regular", "mid"),
        ("high",),
    ),
    "volume": (
        ("quiet", "low", "soft", "hushed"),
        ("normal", "medium", "moderate", "average", "regular"),
        ("loud", "high"),
    ),
    "speed": (
        ("slow", "unhurried", "leisurely"),
        ("normal", "medium", "moderate", "average", "regular", "steady"),
        ("fast", "rapid", "quick", "swift", "brisk", "speedy"),
    ),
    "tone": (("falling", "downward"), ("flat", "level", "even", "monotone"), ("rising", "upward")),
    "range": (
        ("flat", "monotone", "narrow"),
        ("normal", "medium", "moderate", "average", "regular"),
        ("expressive", "lively", "wide"),
    ),
    AGE: (
        ("child", "kid"),
        ("teenager", "teenage", "teen", "teens", "adolescent"),
        ("young", "youth", "youthful", "young adult", "youth adult"),
        ("adult", "grown up"),
        ("middle aged",),
        ("elderly", "elder", "old", "senior"),
    ),
    GENDER: (
        ("female", "woman", "girl", "lady", "she", "her", "hers", "herself", "f"),
        ("male", "man", "boy", "gentleman", "guy", "he", "him", "his", "himself", "m"),
    ),
}
# What a level is said of; a slot that is not here goes by its name
NOUNS = {
    "pitch": ("pitch", "pitched"),
    "volume": ("volume", "loudness", "energy"),
    "speed": ("speed", "pace", "paced", "tempo", "rate"),
    "tone": ("tone", "intonation", "inflection"),
}
# Words that need no noun of their slot, and those that any of these nouns makes clear
ADVERBS = {
    "volume": {"quiet": ("quietly", "softly"), "loud": ("loudly",)},
    "speed": {"slow": ("slowly",), "fast": ("rapidly", "quickly", "swiftly", "briskly", "speedily")},
}
SPOKEN = ("speech", "speaking", "talking", "delivery", "spoken")
CLEAR = {
    "pitch": (("voice",), ("deep",)),
    "volume": (("voice", *SPOKEN), ("quiet", "soft", "hushed", "loud")),
    "speed": (SPOKEN, ("slow", "unhurried", "leisurely", "fast", "rapid", "quick", "swift", "brisk", "speedy")),
}
PERSONS = (
    "speaker", "person", "individual", "narrator", "talker", "voice",
    *("female", "woman", "lady", "male", "man", "gentleman", "guy"),
)  # fmt: skip
CHILDREN, YOUNG = ("girl", "boy"), ("young", "youthful", "youth")
# Ages that need no person beside them
AGED = (
    ("child",), ("kid",), ("teenager",), ("teen",), ("adolescent",), ("youth",), ("adult",), ("elder",), ("senior",),
    ("young", "adult"), ("youth", "adult"),
)  # fmt: skip
EMOTIONS = {
    "angry": ("angrily", "furious", "furiously", "mad", "rage", "enraged"),
    "happy": ("happily", "joyful", "joyfully", "cheerful", "cheerfully"),
    "sad": ("sadly", "sorrow", "sorrowful", "sorrowfully"),
    "neutral": ("neutrally",),
    "fearful": ("fearfully", "afraid", "scared", "frightened"),
    "surprised": ("amazed", "amazement", "astonished", "astonishment"),
    "disgusted": ("disgustedly",),
    "bored": (),
    "calm": ("calmly",),
    "excited": ("excitedly",),
    "frustrated": ("frustration",),
}
_SHORT = 3  # letters of a code such as `ang`, which is no word


def words_of_label(label: str) -> Words:
    """`Middle-aged` as `("middle", "aged")`."""
    return tuple(label.casefold().replace("-", " ").split())


def meanings(labels: Iterable[str], groups: Iterable[Iterable[str]] = ()) -> dict[Words, str]:
    """Words → the label that they stand for. A label's own words always stand for it."""
    own = {words_of_label(label): label for label in labels}
    found: dict[Words, str] = {}
    for group in groups:
        words = [words_of_label(each) for each in group]
        members = {own[each] for each in words if each in own}
        if len(members) == 1:
            found |= dict.fromkeys(words, members.pop())
    return found | own


KNOWN_AGES = {words_of_label(word) for group in LEVELS[AGE] for word in group}


def emotion_groups() -> list[tuple[str, ...]]:
    """Adjectives, adverbs and nouns of the standard emotions."""
    return [
        (name, *(word for word in EMOTION_SPELLINGS[name] if len(word) > _SHORT or word == "joy"), *others)
        for name, others in EMOTIONS.items()
    ]


def adverb_meanings(slot: str, levels: Mapping[Words, str]) -> dict[Words, str]:
    """Adverbs that name a level of a slot: `slowly`."""
    return {
        (adverb,): levels[(word,)]
        for word, adverbs in ADVERBS.get(slot, {}).items()
        for adverb in adverbs
        if (word,) in levels
    }


def slot_meanings(slot: str, labels: Iterable[str]) -> dict[Words, str]:
    """The words for the labels of a slot."""
    return meanings(labels, emotion_groups() if slot == EMOTION else LEVELS.get(slot, ()))
