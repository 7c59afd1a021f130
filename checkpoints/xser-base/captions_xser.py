"""The answer of the describe task as a caption: an English sentence or two, in the manner of SpeechCraft.

    This is a young, female speaker, talking with a high pitch, at a loud volume, at a fast pace, in a rising tone,
    saying "I never said that", sounding angry, with stress on "never".

A caption is made of clauses, one a slot. Labels are letters, spaces and hyphens; a transcript and emphasised words
stand in quotes. So a comma or a full stop outside of quotes always ends a clause, and `Clauses` lists what each clause
means. One grammar reads all wordings: `form.from_text(form.to_text(d, wording)) == d` for every description `d`.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from .caption_clauses_xser import (
    ALONE,
    FOLLOWING,
    LATER,
    LEADING,
    NO_EMPHASIS,
    NOUNS,
    OPENING,
    OPENINGS,
    QUOTES,
    SECOND,
    Clauses,
    Wording,
    with_article,
)
from .grammar_xser import EMPHASIS, TRANSCRIPT, EmotionDescription, LabelSchema, quote, unquote

END = "."

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_QUOTED_RUN = re.compile(rf"{_QUOTED.pattern}(?: and {_QUOTED.pattern})*", re.DOTALL)
_CLAUSE_START = re.compile(r"(?=[,.] )")


class CaptionForm:
    """Captions of one schema. They are written slot by slot: `literal` and `value` take turns, as in `Tags`.

    `literal(slots, 0) + value(slots, 0, …) + literal(slots, 1) + … + literal(slots, len(slots))` is a caption.
    Literals depend on the slots, not on the values, and none is empty. Each literal after a value begins with a
    character that continues no other value of that slot. So a value with what ends it is never the beginning of
    another one, and the likelihoods of the values can be compared.

    Attributes:
        no_emphasis: the value of `emphasis` where no word is emphasised.
        word_separator: stands between two emphasised words; no literal begins like it.
    """

    no_emphasis = NO_EMPHASIS
    word_separator = " and "

    def __init__(self, schema: LabelSchema):
        self.schema = schema
        self.clauses = Clauses(schema)

    def literal(self, slots: Sequence[str], index: int, wording: int = 0) -> str:
        """What stands before the value of slot `index`; with `len(slots)`, what follows the last value.

        Args:
            slots: those of this answer, in its order.
            wording: 0 is the canonical one, in which a model answers.
        """
        after = self._after(slots, index - 1, wording) if index else ""
        if index == len(slots):
            return after + END if slots else ""
        return after + self._before(slots, index, wording)

    def value(self, slots: Sequence[str], index: int, value, wording: int = 0) -> str:
        """The text of a value: a label, a transcript, or emphasised words; it begins with a space.

        Raises:
            ValueError: a label that the schema lacks, or a text that cannot stand in an answer.
        """
        slot = slots[index]
        if slot == EMPHASIS:
            return " " + self.word_separator.join(map(quote, value)) if value else self.no_emphasis
        if slot == TRANSCRIPT:
            return " " + quote(value, TRANSCRIPT)
        words = self.clauses.words[slot]
        if value not in words:
            raise ValueError(f"{slot} {value!r} is not one of {list(words)}")
        word = words[value][_draw(wording, f"{slot} word", len(words[value]))]
        place = self._place(slots, index)
        has_article = place in (ALONE, LEADING) or (place != SECOND and self._wording(slot, wording).article)
        return f" {with_article(word) if has_article else word}"

    def to_text(self, description: EmotionDescription, wording: int = 0, order: Iterable[str] | None = None) -> str:
        """The caption of a description; nothing where nothing is known.

        Args:
            wording: any number; each slot draws its own words by a hash of it. 0 is the canonical wording.
            order: all slots in another order than the schema's.

        Raises:
            ValueError: a slot or label that the schema lacks, or a text that cannot stand in an answer.
        """
        self.schema.check(description)
        order = self.schema.slots if order is None else list(order)
        missing = [slot for slot in description.slots if slot not in order]
        if missing:
            raise ValueError(f"order is {order}; it lacks {missing}, which the description fills")
        slots = [slot for slot in order if slot in description.slots]
        clauses = (
            self.literal(slots, index, wording) + self.value(slots, index, description.value(slot), wording)
            for index, slot in enumerate(slots)
        )
        return "".join(clauses) + self.literal(slots, len(slots), wording)

    def from_text(self, text: str, order: Iterable[str] | None = None) -> EmotionDescription:
        """Parse a caption of any wording strictly.

        Args:
            text: the caption, without the tokenizer's end token.
            order: all slots in another order than the schema's.

        Raises:
            ValueError: names the part that cannot be read, or the slot that is out of its place.
        """
        values: dict[str, object] = {}
        clauses = []
        for clause, quoted in _split(text):
            if clause not in self.clauses.meaning:
                raise ValueError(f"caption part {_shown(clause, quoted)!r} cannot be read")
            slot, label = self.clauses.meaning[clause]
            if slot in values:
                raise ValueError(f"slot {slot!r} stands twice in {text!r}")
            values[slot] = _unquoted(slot, quoted) if quoted else () if label == self.no_emphasis else label
            clauses.append(clause)
        slots = list(values)
        wanted = [slot for slot in (self.schema.slots if order is None else order) if slot in values]
        if slots != wanted:
            raise ValueError(f"slots {slots} of {text!r} are out of their places: the order is {wanted}")
        for index, clause in enumerate(clauses):
            if self._place(slots, index) not in self.clauses.places[clause]:
                raise ValueError(f"caption part {clause!r} of {slots[index]!r} is out of its place in {text!r}")
        levels = {slot: value for slot, value in values.items() if slot in self.schema.descriptors}
        return EmotionDescription(levels, **{slot: value for slot, value in values.items() if slot not in levels})

    def _wording(self, slot: str, wording: int) -> Wording:
        wordings = self.clauses.wordings[slot]
        return wordings[_draw(wording, slot, len(wordings))]

    def _place(self, slots: Sequence[str], index: int) -> str:
        """Where the clause of slot `index` stands."""
        size = 0  # slots in the subject
        while size < min(2, len(slots)) and slots[size] in self.clauses.subject:
            size += 1
        if index < size:
            return ALONE if size == 1 else (LEADING, SECOND)[index]
        if index == 0:
            return OPENING
        return FOLLOWING if index == size else LATER

    def _before(self, slots: Sequence[str], index: int, wording: int) -> str:
        place = self._place(slots, index)
        opening = OPENINGS[_draw(wording, OPENING, len(OPENINGS))]
        if place in (ALONE, LEADING):
            return opening
        return "," if place == SECOND else self._wording(slots[index], wording).beginning(place, opening)

    def _after(self, slots: Sequence[str], index: int, wording: int) -> str:
        place = self._place(slots, index)
        if place in (ALONE, SECOND):
            return NOUNS[_draw(wording, f"{slots[index]} noun", len(NOUNS))]
        return "" if place == LEADING else self._wording(slots[index], wording).after


def _draw(wording: int, name: str, count: int) -> int:
    """A number below `count`, by a hash of the wording and of what it is drawn for; 0 in wording 0."""
    if wording == 0:
        return 0
    digest = hashlib.blake2b(f"{wording} {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count


def _split(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each clause with `QUOTES` for what is quoted in it, and what is quoted."""
    if not text:
        return
    runs = iter([_QUOTED.findall(run.group()) for run in _QUOTED_RUN.finditer(text)])
    bare = _QUOTED_RUN.sub(QUOTES, text)
    if not bare.endswith(END):
        raise ValueError(f"caption {text!r} must end in a full stop")
    for clause in _CLAUSE_START.split(bare.removesuffix(END)):
        yield clause, [quoted for _ in range(clause.count(QUOTES)) for quoted in next(runs)]


def _unquoted(slot: str, quoted: list[str]):
    """The value that stands in quotes; `ValueError` if it could not have been written."""
    kind = TRANSCRIPT if slot == TRANSCRIPT else "emphasised word"
    words = tuple(unquote(word, kind) for word in quoted)
    for word in words:
        quote(word, kind)
    if slot != TRANSCRIPT:
        return words
    if len(words) > 1:
        raise ValueError(f"transcript {' and '.join(quoted)} must be one quotation")
    return words[0]


def _shown(clause: str, quoted: list[str]) -> str:
    return clause.replace(QUOTES, " and ".join(quoted)).lstrip(",. ")


__all__ = ["CaptionForm"]
