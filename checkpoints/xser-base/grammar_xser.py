"""The answer of the describe task as a value, as text and as a sentence: descriptors, transcript, emotion, emphasis.

    pitch: high | volume: loud | tone: rising | transcript: "I never said" | emotion: angry | emphasis: "never"

That is the paper's order; a schema may have another. A slot that is not known is left out, so a text says only what is
meant. The text is strict both ways: `EmotionDescription.from_text(d.to_text()) == d` for every description, and
whatever deviates is refused.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .checks_xser import hint

SLOT_SEPARATOR = " | "
TRANSCRIPT = "transcript"
EMOTION = "emotion"
EMPHASIS = "emphasis"
OWN_SLOTS = (TRANSCRIPT, EMOTION, EMPHASIS)  # beside the descriptors, in the paper's order
AGE, GENDER = "age", "gender"  # descriptors that columns of the data may hold
GENDERS = (("female", "woman", "girl", "f"), ("male", "man", "boy", "m"))  # names of one level
NO_EMPHASIS = "none"
SELF_EVIDENT_LEVELS = ("quiet", "loud", "slow", "fast")  # need no slot beside them in a sentence

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # words, with \" and \\ as their only escapes
_NAME = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+)*")  # letters, joined by single spaces or hyphens


def check_name(kind: str, name: object) -> str:
    """Return `name` if it can stand in an answer (letters, single spaces or hyphens), else raise `ValueError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{kind} {name!r} cannot stand in an answer: use letters, single spaces and hyphens only")
    return name


def quote(word: str, kind: str = "emphasised word") -> str:
    """Quote an emphasised word, or a transcript; `"` and `\\` are escaped by a backslash."""
    if (not word and kind != TRANSCRIPT) or word != word.strip() or not word.isprintable():
        raise ValueError(f"{kind} {word!r} must be printable text without spaces at its ends")
    return f'"{escape(word)}"'


def escape(text: str) -> str:
    """`text` as it stands between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def unescape(text: str) -> str:
    """Inverse of `escape`; a backslash at the end, whose letter is missing, goes."""
    return re.sub(r"\\(.?)", r"\1", text)


def words_of(text: str) -> list[str]:
    """The words of a transcript that can be emphasised, in order, without what cannot be printed."""
    words = ("".join(filter(str.isprintable, word)) for word in text.split())
    return [word for word in words if word]


def one_line(text: str) -> str:
    """A transcript as an answer holds it: its words, a space between two."""
    return " ".join(words_of(text))


def unquote(text: str, kind: str = "emphasised word") -> str:
    """Inverse of `quote`."""
    match = _QUOTED.fullmatch(text)
    if not match:
        raise ValueError(f'{kind} {text} must be quoted, as in "never", with \\" and \\\\ as its only escapes')
    return unescape(match.group(1))


@dataclass(frozen=True)
class EmotionDescription:
    """What an answer says.

    Attributes:
        levels: slot → level, in the order of the answer, such as `{"pitch": "high"}`; unknown slots are absent.
        emphasis: emphasised words in order of speech; `()` is none, `None` is not known.
        emotion: an adjective, or `None` where it is not known.
        transcript: what is said, in one line, or `None` where it is not known.
    """

    levels: dict[str, str] = field(default_factory=dict)
    emphasis: tuple[str, ...] | None = None
    emotion: str | None = None
    transcript: str | None = None

    @property
    def slots(self) -> list[str]:
        """Names of the slots that this description fills, in the paper's order."""
        return [*self.levels, *(slot for slot in OWN_SLOTS if getattr(self, slot) is not None)]

    def value(self, slot: str):
        """The value of one slot, `None` where it is not known."""
        return getattr(self, slot) if slot in OWN_SLOTS else self.levels.get(slot)

    def only(self, slots: Iterable[str]) -> "EmotionDescription":
        """This description without the other slots."""
        kept = set(slots)
        levels = {slot: level for slot, level in self.levels.items() if slot in kept}
        return EmotionDescription(levels, **{slot: getattr(self, slot) for slot in OWN_SLOTS if slot in kept})

    def to_text(self, order: Iterable[str] | None = None) -> str:
        """The answer in tags; `ValueError` where a name or word cannot be written.

        Args:
            order: the slots of a schema in their order; the paper's by default.
        """
        slots = self.slots if order is None else [slot for slot in order if slot in self.slots]
        return "".join(
            Tags.literal(slots, index) + Tags.value(slots, index, self.value(slot)) for index, slot in enumerate(slots)
        )

    @classmethod
    def from_text(cls, text: str, schema: "LabelSchema | None" = None) -> "EmotionDescription":
        """Parse an answer in tags strictly.

        Args:
            text: the answer, without the tokenizer's end token.
            schema: if given, slots, levels and emotion must be its own, in its order; else the paper's order holds.

        Raises:
            ValueError: names the slot and what would be right.
        """
        values: dict[str, object] = {}
        for part in _split_slots(text):
            slot, colon, value = part.partition(": ")
            if not colon:
                raise ValueError(f"answer part {part!r} is not of the form 'slot: value'")
            if slot in values:
                raise ValueError(f"slot {slot!r} stands twice in {text!r}")
            values[slot] = _parse_value(slot, value)
        own = {slot: values[slot] for slot in OWN_SLOTS if slot in values}
        levels = {slot: value for slot, value in values.items() if slot not in OWN_SLOTS}
        description = cls(levels, **own)
        order = description.slots if schema is None else schema.check_slots(list(values) or [EMOTION])
        for slot, wanted in zip(values, order, strict=False):
            if slot != wanted:
                raise ValueError(f"slot {slot!r} stands out of its place in {text!r}: the order is {order}")
        return description if schema is None else schema.check(description)

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
class OwnCaption:
    """A caption that a corpus brings, which trains as it stands.

    Attributes:
        text: the caption.
        slots: what its prompt asks for.
    """

    text: str
    slots: tuple[str, ...]


class Tags:
    """The form `slot: value | slot: value`. A form writes an answer slot by slot: `literal` and `value` take turns.

    `literal(slots, 0) + value(slots, 0, …) + literal(slots, 1) + … + literal(slots, len(slots))` is the answer. What
    stands before a value depends on the slots alone, so the values of one slot are branches of a tree.
    """

    no_emphasis = f" {NO_EMPHASIS}"
    word_separator = ", "  # of emphasised words

    @staticmethod
    def literal(slots: list[str], index: int, wording: int = 0) -> str:
        """What stands before the value of slot `index`; after the last value, nothing. A form has one wording here."""
        if index == len(slots):
            return ""
        return f"{SLOT_SEPARATOR if index else ''}{check_name('slot', slots[index])}:"

    @staticmethod
    def value(slots: list[str], index: int, value, wording: int = 0) -> str:
        """The text of a value: a label, a transcript, or emphasised words."""
        slot = slots[index]
        if slot == EMPHASIS:
            return " " + Tags.word_separator.join(map(quote, value)) if value else Tags.no_emphasis
        if slot == TRANSCRIPT:
            return " " + quote(value, TRANSCRIPT)
        return " " + check_name("emotion" if slot == EMOTION else f"level of {slot}", value)


@dataclass(frozen=True)
class LabelSchema:
    """The labels a model knows, and the slots of its answer.

    Attributes:
        emotions: adjectives.
        descriptors: slot → its levels.
        emphasis, transcript: whether the answer holds these slots.
        order: all slots in the order of the answer; the paper's by default: the descriptors, transcript, emotion,
            emphasis.
        age_cuts: years at which the second, third … level of `age` begins, for data that hold ages in years.

    Raises:
        ValueError: labels are not distinct names, `order` does not hold every slot once, or a slot stands before one
            that it needs: emphasis is chosen among the words of the transcript.
    """

    emotions: tuple[str, ...]
    descriptors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    emphasis: bool = True
    transcript: bool = True
    order: tuple[str, ...] | None = None
    age_cuts: tuple[float, ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "emotions", _labels("emotions", self.emotions))
        levels = {slot: _labels(f"descriptors[{slot!r}]", each) for slot, each in self.descriptors.items()}
        object.__setattr__(self, "descriptors", levels)
        _check_labels("emotions", self.emotions, minimum=2)
        for slot, levels in self.descriptors.items():
            if _spelling(check_name("descriptors", slot)) in OWN_SLOTS:
                raise ValueError(f"descriptors holds {slot!r}, a slot of its own: it has no levels to list")
            _check_labels(f"descriptors[{slot!r}]", levels, minimum=2)
        _check_labels("descriptors", tuple(self.descriptors))
        object.__setattr__(self, "order", self._ordered())
        object.__setattr__(self, "age_cuts", self._checked_cuts())

    def _ordered(self) -> tuple[str, ...]:
        own = {TRANSCRIPT: self.transcript, EMOTION: True, EMPHASIS: self.emphasis}
        slots = [*self.descriptors, *(slot for slot in OWN_SLOTS if own[slot])]
        order = slots if self.order is None else list(_labels("slot_order", self.order))
        if sorted(order) != sorted(slots):
            raise ValueError(f"slot_order is {order}; it must hold each of {slots} once")
        if self.emphasis and (not self.transcript or order.index(TRANSCRIPT) > order.index(EMPHASIS)):
            needs = "put transcript before it in slot_order" if self.transcript else "set transcript, or leave it out"
            raise ValueError(f"emphasis is chosen among the words of the transcript of the same answer: {needs}")
        return tuple(order)

    def _checked_cuts(self) -> tuple[float, ...] | None:
        if self.age_cuts is None:
            return None
        cuts, wanted = tuple(self.age_cuts), len(self.descriptors.get(AGE, ())) - 1
        if len(cuts) != wanted or sorted(set(cuts)) != list(cuts):
            needs = f"{max(wanted, 0)} years in rising order, one less than the levels of age"
            raise ValueError(f"age_cuts is {list(cuts)}; it must hold {needs}")
        return cuts

    @property
    def slots(self) -> list[str]:
        """All slots in the order of the answer."""
        return list(self.order)

    def check_slots(self, slots: Iterable[str]) -> list[str]:
        """Return `slots` in the order of the answer; `ValueError` names those that are unknown or repeated."""
        if isinstance(slots, (str, bytes)) or not isinstance(slots, Iterable):
            raise ValueError(f"slots is {slots!r}; it must be a list of some of {self.slots}")
        slots = list(slots)
        hints = "".join(f"; {slot!r} is none{hint(slot, self.slots)}" for slot in slots if slot not in self.slots)
        if hints or len(set(slots)) != len(slots) or not slots:
            raise ValueError(f"slots {slots} must be some of {self.slots}, each at most once{hints}")
        return [slot for slot in self.slots if slot in slots]

    def only(self, slots: Iterable[str]) -> "LabelSchema":
        """The schema of these slots and the emotion; `ValueError` as for `check_slots`."""
        kept = self.check_slots([EMOTION, *(slot for slot in slots if slot != EMOTION)])
        descriptors = {slot: levels for slot, levels in self.descriptors.items() if slot in kept}
        cuts = self.age_cuts if AGE in kept else None
        return LabelSchema(self.emotions, descriptors, EMPHASIS in kept, TRANSCRIPT in kept, tuple(kept), cuts)

    def filled(self, description: EmotionDescription) -> list[str]:
        """The slots that `description` fills, in the order of the answer."""
        return [slot for slot in self.order if description.value(slot) is not None]

    def check(self, description: EmotionDescription) -> EmotionDescription:
        """Return `description` if its labels are this schema's; else raise `ValueError`."""
        self.check_slots(description.slots or [EMOTION])
        for slot, level in description.levels.items():
            if level not in self.descriptors[slot]:
                raise ValueError(f"{slot} {level!r} is not one of {list(self.descriptors[slot])}")
        if description.emotion is not None and description.emotion not in self.emotions:
            raise ValueError(f"emotion {description.emotion!r} is not one of {list(self.emotions)}")
        return description

    def describe(self, row: Mapping) -> EmotionDescription:
        """The description of one data row: unknown labels and slots outside the schema are left out.

        Args:
            row: `emotion`, and any of `descriptors`, `text`, `gender` and `age` (years). Levels among the descriptors
                count before the columns of these names.

        Raises:
            ValueError: a label is none of the schema's, or an age is in years and there are no `age_cuts`.
        """
        known = row.get("descriptors") or {}
        levels = {slot: known.get(slot) for slot in self.descriptors}
        if AGE in levels and levels[AGE] is None and row.get(AGE) is not None:
            levels[AGE] = self._age_level(row[AGE])
        if GENDER in levels and levels[GENDER] is None and row.get(GENDER) is not None:
            levels[GENDER] = self._gender_level(row[GENDER])
        text = one_line(row.get("text") or "") if self.transcript else ""
        # words are chosen among those of the transcript, so without one there is nothing to choose from
        words = known.get(EMPHASIS) if self.emphasis and text else None
        return self.check(
            EmotionDescription(
                {slot: level for slot, level in levels.items() if level is not None},
                None if words is None else tuple(words),
                row.get(EMOTION),
                text or None,
            )
        )

    def _age_level(self, years: float) -> str:
        if self.age_cuts is None:
            raise ValueError(f"age is {years} years; give age_cuts, the years at which the levels of age begin")
        return self.descriptors[AGE][bisect_right(self.age_cuts, years)]

    def _gender_level(self, gender: str) -> str:
        names = next((names for names in GENDERS if gender.casefold() in names), (gender,))
        return next((level for level in self.descriptors[GENDER] if level.casefold() in names), gender)


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


def _parse_value(slot: str, value: str):
    if slot == EMPHASIS:
        return _parse_emphasis(value)
    if slot == TRANSCRIPT:
        text = unquote(value, TRANSCRIPT)
        quote(text, TRANSCRIPT)  # refuses what could not have been written
        return text
    return check_name("emotion" if check_name("slot", slot) == EMOTION else f"level of {slot}", value)


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
