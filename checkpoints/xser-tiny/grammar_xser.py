"""The answer of the describe task as a value, as text and as a sentence: descriptors first, the emotion last.

    pitch: high | volume: loud | speed: fast | tone: rising | emphasis: "never" | emotion: angry

A slot that is not known is left out, so a text says only what is meant. The text is strict both ways:
`EmotionDescription.from_text(d.to_text()) == d` for every description, and whatever deviates is refused.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from .checks_xser import hint

SLOT_SEPARATOR = " | "
EMPHASIS = "emphasis"
EMOTION = "emotion"
NO_EMPHASIS = "none"
SELF_EVIDENT_LEVELS = ("quiet", "loud", "slow", "fast")  # need no slot beside them in a sentence

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])+)"')  # a word, with \" and \\ as its only escapes
_NAME = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+)*")  # letters, joined by single spaces or hyphens


def check_name(kind: str, name: object) -> str:
    """Return `name` if it can stand in an answer (letters, single spaces or hyphens), else raise `ValueError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{kind} {name!r} cannot stand in an answer: use letters, single spaces and hyphens only")
    return name


def quote(word: str) -> str:
    """Quote an emphasised word; `"` and `\\` are escaped by a backslash."""
    if not word or word != word.strip() or not word.isprintable():
        raise ValueError(f"emphasised word {word!r} must be printable text without spaces at its ends")
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def words_of(text: str) -> list[str]:
    """The words of a transcript that can be emphasised, in order, without what cannot be printed."""
    words = ("".join(filter(str.isprintable, word)) for word in text.split())
    return [word for word in words if word]


def unquote(text: str) -> str:
    """Inverse of `quote`."""
    match = _QUOTED.fullmatch(text)
    if not match:
        raise ValueError(
            f'emphasised word {text} must be quoted, as in "never", with \\" and \\\\ as its only escapes'
        )
    return re.sub(r"\\(.)", r"\1", match.group(1))


@dataclass(frozen=True)
class EmotionDescription:
    """What an answer says.

    Attributes:
        levels: slot → level, in the order of the answer, such as `{"pitch": "high"}`; unknown slots are absent.
        emphasis: emphasised words in order of speech; `()` is none, `None` is not known.
        emotion: an adjective, or `None` where it is not known.
    """

    levels: dict[str, str] = field(default_factory=dict)
    emphasis: tuple[str, ...] | None = None
    emotion: str | None = None

    @property
    def slots(self) -> list[str]:
        """Names of the slots that this description fills, in the order of the answer."""
        slots = list(self.levels)
        if self.emphasis is not None:
            slots.append(EMPHASIS)
        if self.emotion is not None:
            slots.append(EMOTION)
        return slots

    def value_text(self, slot: str) -> str:
        """The text of one slot's value."""
        if slot == EMOTION:
            return self.emotion
        if slot == EMPHASIS:
            return ", ".join(quote(word) for word in self.emphasis) or NO_EMPHASIS
        return self.levels[slot]

    def to_text(self) -> str:
        """The answer as the language model writes it; `ValueError` where a name or word cannot be written."""
        for slot, level in self.levels.items():
            check_name("slot", slot)
            check_name(f"level of {slot}", level)
        if self.emotion is not None:
            check_name("emotion", self.emotion)
        return SLOT_SEPARATOR.join(f"{slot}: {self.value_text(slot)}" for slot in self.slots)

    @classmethod
    def from_text(cls, text: str, schema: "LabelSchema | None" = None) -> "EmotionDescription":
        """Parse an answer strictly.

        Args:
            text: the answer, without the tokenizer's end token.
            schema: if given, slots, levels and emotion must be its own, in its order.

        Raises:
            ValueError: names the slot and what would be right.
        """
        levels: dict[str, str] = {}
        emphasis = emotion = None
        for part in _split_slots(text):
            slot, colon, value = part.partition(": ")
            if not colon:
                raise ValueError(f"answer part {part!r} is not of the form 'slot: value'")
            if emotion is not None or (emphasis is not None and slot != EMOTION):
                raise ValueError(
                    f"slot {slot!r} stands after its place: levels come first, then emphasis, then emotion"
                )
            if slot == EMOTION:
                emotion = check_name("emotion", value)
            elif slot == EMPHASIS:
                emphasis = _parse_emphasis(value)
            elif slot in levels:
                raise ValueError(f"slot {slot!r} stands twice in {text!r}")
            else:
                levels[check_name("slot", slot)] = check_name(f"level of {slot}", value)
        description = cls(levels, emphasis, emotion)
        if schema is not None:
            schema.check(description)
        return description

    def to_sentence(self, scores: dict[str, float] | None = None) -> str:
        """One English sentence; `scores` are the probabilities of the emotions."""
        cues = [
            level if level in SELF_EVIDENT_LEVELS else f"{level} {slot}"
            for slot, level in self.levels.items()
            if slot != "tone"
        ]
        details = []
        if "tone" in self.levels:
            tone = self.levels["tone"]
            details.append(f"{'an' if tone[0] in 'aeiou' else 'a'} {tone} tone")
        if self.emphasis:
            details.append("stress on " + _and([quote(word) for word in self.emphasis]))
        elif self.emphasis is not None:
            details.append("no word stressed")
        if details:
            cues.append("with " + _and(details))
        sentence = "The voice"
        if self.emotion is not None:
            sentence = f"Sounds {self.emotion}"
            if scores is not None:
                sentence += f" ({scores[self.emotion]:.0%})"
        return f"{sentence}: {', '.join(cues)}." if cues else f"{sentence}."


@dataclass(frozen=True)
class LabelSchema:
    """The labels a model knows: its emotions, its descriptors with their levels, and whether it names emphasis."""

    emotions: tuple[str, ...]
    descriptors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    emphasis: bool = True

    def __post_init__(self):
        object.__setattr__(self, "emotions", _labels("emotions", self.emotions))
        levels = {slot: _labels(f"descriptors[{slot!r}]", each) for slot, each in self.descriptors.items()}
        object.__setattr__(self, "descriptors", levels)
        _check_labels("emotions", self.emotions, minimum=2)
        for slot, levels in self.descriptors.items():
            if _spelling(check_name("descriptors", slot)) in (EMPHASIS, EMOTION):
                raise ValueError(f"descriptors holds {slot!r}, a slot of its own: it has no levels to list")
            _check_labels(f"descriptors[{slot!r}]", levels, minimum=2)
        _check_labels("descriptors", tuple(self.descriptors))

    @property
    def slots(self) -> list[str]:
        """All slots in the order of the answer."""
        return [*self.descriptors, *([EMPHASIS] if self.emphasis else []), EMOTION]

    def check_slots(self, slots: Iterable[str]) -> list[str]:
        """Return `slots` in the order of the answer; `ValueError` names those that are unknown or repeated."""
        if isinstance(slots, (str, bytes)) or not isinstance(slots, Iterable):
            raise ValueError(f"slots is {slots!r}; it must be a list of some of {self.slots}")
        slots = list(slots)
        hints = "".join(f"; {slot!r} is none{hint(slot, self.slots)}" for slot in slots if slot not in self.slots)
        if hints or len(set(slots)) != len(slots) or not slots:
            raise ValueError(f"slots {slots} must be some of {self.slots}, each at most once{hints}")
        return [slot for slot in self.slots if slot in slots]

    def check(self, description: EmotionDescription) -> EmotionDescription:
        """Return `description` if its labels are this schema's, in its order; else raise `ValueError`."""
        if self.check_slots(description.slots or [EMOTION]) != (description.slots or [EMOTION]):
            raise ValueError(f"slots {description.slots} must stand in the order {self.slots}")
        for slot, level in description.levels.items():
            if level not in self.descriptors[slot]:
                raise ValueError(f"{slot} {level!r} is not one of {list(self.descriptors[slot])}")
        if description.emotion is not None and description.emotion not in self.emotions:
            raise ValueError(f"emotion {description.emotion!r} is not one of {list(self.emotions)}")
        return description

    def describe(self, emotion: str | None, descriptors: dict | None) -> EmotionDescription:
        """The description of one data row: `None` levels and slots outside the schema are left out."""
        descriptors = descriptors or {}
        levels = {slot: descriptors[slot] for slot in self.descriptors if descriptors.get(slot) is not None}
        words = descriptors.get(EMPHASIS) if self.emphasis else None
        return self.check(EmotionDescription(levels, None if words is None else tuple(words), emotion))


def _labels(field_name: str, labels: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str):  # whose letters would pass for labels
        raise ValueError(f"{field_name} is {labels!r}; it must be a list of labels")
    return tuple(labels)


def _check_labels(field_name: str, labels: tuple, minimum: int = 0) -> None:
    spelled: dict[str, str] = {}
    for label in labels:
        other = spelled.setdefault(_spelling(check_name(field_name, label)), label)
        if other != label:
            raise ValueError(
                f"{field_name} holds {other!r} and {label!r}, which differ by case, spaces or hyphens alone: keep one"
            )
    if not minimum <= len(labels) == len(spelled):
        raise ValueError(f"{field_name} is {list(labels)}: give at least {minimum} different labels")


def _spelling(label: str) -> str:
    """What two spellings of one label have in common."""
    return re.sub("[ -]", "", unicodedata.normalize("NFKC", label).casefold())


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _split_slots(text: str) -> list[str]:
    """Split at ` | ` outside of quotes."""
    if not text:
        return []
    parts, position = [""], 0
    while position < len(text):
        quoted = _QUOTED.match(text, position)
        if quoted:
            parts[-1] += quoted.group()
            position = quoted.end()
        elif text.startswith(SLOT_SEPARATOR, position):
            parts.append("")
            position += len(SLOT_SEPARATOR)
        else:
            parts[-1] += text[position]
            position += 1
    return parts


def _parse_emphasis(value: str) -> tuple[str, ...]:
    if value == NO_EMPHASIS:
        return ()
    matches = list(_QUOTED.finditer(value))
    if not matches or ", ".join(match.group() for match in matches) != value:
        raise ValueError(f'emphasis {value!r} must be {NO_EMPHASIS} or quoted words, as in "never", "again"')
    words = tuple(unquote(match.group()) for match in matches)
    for word in words:
        quote(word)  # refuses what could not have been written
    return words
