"""The clauses of a caption: how each slot can be worded, and what each clause means.

A clause is a wording around a label: `with` + ` a high` + ` pitch`. `Clauses` lists all clauses that the labels of a
schema can make, and drops a wording if one of its clauses would mean two things. Labels are open, so this is not known
before: a slot may be called `high pitch`, a level `deep high`, and two slots may have the same levels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .grammar_xser import AGE, EMOTION, EMPHASIS, GENDER, TRANSCRIPT, LabelSchema

# Where a clause stands: first, where there is no subject; in the subject, alone or as the first or second of two; next
# to the subject; anywhere else
OPENING, ALONE, LEADING, SECOND, FOLLOWING, LATER = "opening", "alone", "leading", "second", "following", "later"

OPENINGS = ("This is", "Here is", "There is", "The clip has")
NOUNS = (" speaker", " person", " talker", " voice")
VERB = "talking"  # before the first clause, if that needs one
NEED_VERB = ("with ", "at ", "in ")
QUOTES = '""'  # stands for what is quoted
NO_EMPHASIS = " no word"


@dataclass(frozen=True)
class Wording:
    """The words of a clause around its value.

    Attributes:
        before: begins with a capital where the clause begins a sentence.
        after: stands between the value and the end of the clause.
        article: whether the value has an article, which depends on its label.
    """

    before: str
    after: str = ""
    article: bool = False

    def beginning(self, place: str, opening: str) -> str:
        """What stands before the value, with what joins it to the text before."""
        if self.before[0].isupper():
            return self.before if place == OPENING else f". {self.before}"
        if place == LATER:
            return f", {self.before}"
        first = f"{VERB} {self.before}" if f"{self.before} ".startswith(NEED_VERB) else self.before
        return f"{opening} someone {first}" if place == OPENING else f", {first}"


def _nouns(before: str, *nouns: str) -> tuple[Wording, ...]:
    return tuple(Wording(before, f" {noun}", article=True) for noun in nouns)


# The first wording is the canonical one
WORDINGS = {
    AGE: (Wording("whose age is"), Wording("in the age group"), Wording("of", " age"), Wording("being")),
    GENDER: (Wording("whose gender is"), *_nouns("with", "voice"), Wording("of", " gender"), Wording("being")),
    "pitch": (
        *_nouns("with", "pitch"),
        *_nouns("at", "pitch"),
        Wording("in", "-pitched voice", article=True),
        Wording("whose pitch is"),
        Wording("keeping the pitch"),
    ),
    "volume": (
        *_nouns("at", "volume", "sound level"),
        *_nouns("with", "volume"),
        Wording("whose volume is"),
        Wording("keeping the volume"),
    ),
    "speed": (
        *_nouns("at", "pace", "speed", "tempo"),
        *_nouns("with", "pace"),
        Wording("whose pace is"),
        Wording("keeping the pace"),
    ),
    "tone": (*_nouns("in", "tone"), *_nouns("with", "tone", "intonation", "melody"), Wording("whose tone is")),
    "range": (
        *_nouns("with", "delivery", "range of pitch"),
        *_nouns("in", "manner of delivery"),
        Wording("whose delivery is"),
    ),
    TRANSCRIPT: tuple(map(Wording, ("saying", "stating", "uttering", "with the words", "whose words are"))),
    EMOTION: (
        Wording("sounding"),
        *_nouns("in", "mood", "manner"),
        *_nouns("with", "emotion"),
        Wording("feeling"),
        Wording("The speaker sounds"),
        Wording("The emotion is"),
    ),
    EMPHASIS: tuple(
        map(Wording, ("with stress on", "with emphasis on", "stressing", "emphasising", "putting stress on"))
    ),
}
# Other words for a level, unless a label of the slot has that name
SYNONYMS = {
    AGE: {"elderly": ("old",), "young": ("youthful",), "teenager": ("teenage",)},
    "pitch": {"low": ("deep",), "normal": ("medium", "average"), "high": ("raised",)},
    "volume": {
        "quiet": ("low", "soft"),
        "low": ("quiet", "soft"),
        "normal": ("medium", "average"),
        "loud": ("high",),
        "high": ("loud",),
    },
    "speed": {"slow": ("unhurried",), "normal": ("medium", "average"), "fast": ("quick", "rapid")},
    "range": {"flat": ("monotone",), "normal": ("medium", "average"), "expressive": ("lively",)},
    "tone": {"flat": ("level", "even"), "rising": ("upward",), "falling": ("downward",)},
}
_DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")
# Words in place of a label that is no adjective
ADJECTIVES = {AGE: {"teens": "teenage", **{name: f"{name.removesuffix('ies')}y-something" for name in _DECADES}}}


class Clauses:
    """All clauses that the labels of a schema can make.

    Attributes:
        words: slot → label → the words for it, the canonical one first.
        subject: those of age and gender that can stand in the subject, `a young, female speaker`.
        wordings: slot → its wordings outside of the subject, the canonical one first. A slot of which none is clear
            has `with slot: level`.
        meaning: clause → its slot and label; `QUOTES` stands for what is quoted.
        places: clause → where it may stand.
    """

    def __init__(self, schema: LabelSchema):
        labels = {**schema.descriptors, EMOTION: schema.emotions}
        self.words = {slot: words_for(slot, labels[slot]) for slot in schema.slots if slot in labels}
        self.meaning: dict[str, tuple[str, str]] = {}
        self.places: dict[str, set[str]] = {}
        self.subject = [slot for slot in (AGE, GENDER) if slot in schema.descriptors and self._admit_in_subject(slot)]
        self.wordings = self._clear_wordings(schema.slots)

    def _admit_in_subject(self, slot: str) -> bool:
        clauses = []
        for label, words in self.words[slot].items():
            for word in words:
                first = [f"{opening} {with_article(word)}" for opening in OPENINGS]
                clauses += [((slot, label), LEADING, clause) for clause in first]
                clauses += [((slot, label), ALONE, clause + noun) for clause in first for noun in NOUNS]
                clauses += [((slot, label), SECOND, f", {word}{noun}") for noun in NOUNS]
        return not self._goes_on(slot, " ") and self._admit(clauses)

    def _clear_wordings(self, slots: Sequence[str]) -> dict[str, tuple[Wording, ...]]:
        """The wordings of each slot whose clauses mean one thing; the canonical ones have precedence."""
        offered = {slot: WORDINGS.get(slot) or _own_wordings(slot) for slot in slots}
        clear: dict[str, list[Wording]] = {slot: [] for slot in slots}
        for rank in range(max(map(len, offered.values()))):
            for slot, wordings in offered.items():
                if rank < len(wordings) and self._admit_wording(slot, wordings[rank]):
                    clear[slot].append(wordings[rank])
        for slot in slots:
            if not clear[slot]:
                clear[slot].append(Wording(f"with {slot}:"))
                assert self._admit_wording(slot, clear[slot][0]), "no name of a slot or label holds a colon"
        return {slot: tuple(wordings) for slot, wordings in clear.items()}

    def _admit_wording(self, slot: str, wording: Wording) -> bool:
        if wording.after and self._goes_on(slot, wording.after[0]):
            return False
        return self._admit(
            [
                ((slot, label), place, wording.beginning(place, opening) + value + wording.after)
                for label, value in self._values(slot, wording)
                for place in (OPENING, FOLLOWING, LATER)
                for opening in OPENINGS
            ]
        )

    def _values(self, slot: str, wording: Wording) -> Iterator[tuple[str, str]]:
        """Pairs of a label and its text."""
        if slot in (TRANSCRIPT, EMPHASIS):
            yield QUOTES, f" {QUOTES}"
        if slot == EMPHASIS:
            yield NO_EMPHASIS, NO_EMPHASIS
        for label, words in self.words.get(slot, {}).items():
            for word in words:
                yield label, f" {with_article(word) if wording.article else word}"

    def _goes_on(self, slot: str, character: str) -> bool:
        """Whether a word of the slot, continued by this character, is the beginning of another one."""
        words = [word for words in self.words.get(slot, {}).values() for word in words]
        return any(other.startswith(word + character) for word in words for other in words)

    def _admit(self, clauses: list[tuple[tuple[str, str], str, str]]) -> bool:
        """List clauses, with meaning and place, if each of them has one meaning; else none of them."""
        new: dict[str, tuple[str, str]] = {}
        for meaning, _, clause in clauses:
            if new.setdefault(clause, self.meaning.get(clause, meaning)) != meaning:
                return False
        self.meaning |= new
        for _, place, clause in clauses:
            self.places.setdefault(clause, set()).add(place)
        return True


def words_for(slot: str, labels: Sequence[str]) -> dict[str, list[str]]:
    """Label → the words for it, the canonical one first; no word stands for two labels."""
    taken = set(labels)
    words: dict[str, list[str]] = {}
    for label in labels:
        adjective = ADJECTIVES.get(slot, {}).get(label, label)
        others = [word for word in (adjective, *SYNONYMS.get(slot, {}).get(label, ())) if word not in taken]
        taken.update(others)
        words[label] = others if adjective in others else [label, *others]
    return words


def with_article(word: str) -> str:
    """`a loud`, `an even`."""
    is_vowel = word[0].casefold() in "aeiou" and not word.casefold().startswith(("eu", "uni", "usu"))
    return f"{'an' if is_vowel else 'a'} {word}"


def _own_wordings(slot: str) -> tuple[Wording, ...]:
    """Those of a descriptor that only its config knows."""
    return (*_nouns("with", slot), Wording(f"whose {slot} is"), Wording(f"with the {slot}"))


__all__ = ["Clauses", "Wording"]
