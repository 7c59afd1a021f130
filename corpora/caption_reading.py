"""Reads captions that others wrote, such as SpeechCraft's: what is plainly said, and nothing else.

    With a low pitch and normal volume, a middle-aged man says slowly in a neutral mood, "It is late."
    → pitch low, volume normal, age middle-aged, gender male, speed slow, emotion neutral, and the transcript

A slot of which a caption says nothing, or two things, or something hedged or denied, is left out and named.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xser.captions_xser import CaptionForm
from xser.corpora.caption_words import (
    AGED,
    CHILDREN,
    CLEAR,
    KNOWN_AGES,
    NOUNS,
    PERSONS,
    YOUNG,
    Words,
    adverb_meanings,
    slot_meanings,
    words_of_label,
)
from xser.grammar_xser import (
    AGE,
    EMOTION,
    EMPHASIS,
    GENDER,
    TRANSCRIPT,
    EmotionDescription,
    LabelSchema,
    one_line,
)

DENIALS = ("not", "no", "never", "without", "neither", "nor", "hardly", "barely", "devoid", "lacks", "lacking")
HEDGES = (
    "slightly", "somewhat", "fairly", "rather", "relatively", "moderately", "mildly", "almost", "nearly", "less",
    "more", "bit", "seemingly", "possibly", "perhaps",
)  # fmt: skip
TRACES = ("hint", "touch", "trace")  # of an emotion
OTHERS = ("to", "for", "about", "toward", "towards", "like", "against", "than")  # who comes next does not speak
FILLERS = ("speaking", "speech", "talking", "vocal", "overall")  # between a level and its noun
JOINED = (",", "and")  # what may stand between two nouns with one level
SPEAKING = ("speaks", "speaking", "talks", "talking")
COPULAS = ("is", "was", "are", "were", "remains", "stays", "being", "sounds", "seems")
BETWEEN_LEVELS = ("and", "or", "to", "then", "but", ",")
OF_AN_AGE = ("her", "his", "their", "the", "early", "mid", "late")  # before `thirties`
PAUSES = ".,;:!?"
SAYING = (
    "say", "says", "said", "saying", "state", "states", "stated", "stating", "ask", "asks", "asked", "asking",
    "exclaims", "exclaimed", "exclaiming", "declares", "declared", "declaring", "utters", "uttering", "remarks",
    "remarking", "expresses", "expressing", "replies", "replying", "whispers", "whispering", "shouts", "shouting",
    "announces", "announcing", "speaks", "speaking", "words", "that", "mentions", "reads", "reading",
)  # fmt: skip

_STRESS = re.compile(r"\b(?:stress|emphasi[sz]|emphasis|highlight|underscor|attention to)", re.IGNORECASE)
_NO_STRESS = re.compile(
    r"\b(?:no|without)(?: any| particular| special)* (?:stress|emphasis)\b"
    r"|\bno words? (?:is|are|was|were) (?:stressed|emphasi[sz]ed)\b",
    re.IGNORECASE,
)
_QUOTES = str.maketrans({**dict.fromkeys("“”„‟«»", '"'), "’": "'"})
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[.,;:!?]")
_SENTENCE_PAUSE = re.compile(r"[.,;:!?]")


@dataclass(frozen=True)
class Reading:
    """What a caption says.

    Attributes:
        description: the slots that it names plainly.
        unread: all other slots of the schema → the labels between which the caption does not decide, as one text;
            empty where it names none.
    """

    description: EmotionDescription
    unread: dict[str, str]


def read_caption(text: str, schema: LabelSchema) -> Reading:
    """Read a caption in any English words; a caption in the form of `CaptionForm` is read as it is meant.

    Args:
        text: the caption; quotation marks may be typographic, doubled, or escaped by a backslash.
        schema: the slots and labels to look for.
    """
    return CaptionReader(schema).read(text)


class CaptionReader:
    """Reads many captions under one schema."""

    def __init__(self, schema: LabelSchema):
        self.schema = schema
        self._form = CaptionForm(schema)
        labels = {**schema.descriptors, EMOTION: schema.emotions}
        meanings = {slot: slot_meanings(slot, each) for slot, each in labels.items()}
        self._meanings = {slot: _vocabulary(each) for slot, each in meanings.items()}
        self._adverbs = {slot: _vocabulary(adverb_meanings(slot, each)) for slot, each in meanings.items()}
        self._nouns = {
            slot: [words_of_label(noun) for noun in NOUNS.get(slot, (slot,))]
            for slot in schema.descriptors
            if slot not in (AGE, GENDER)
        }

    def read(self, text: str) -> Reading:
        """What a caption says."""
        try:
            return self._reading(self._form.from_text(text), {})
        except ValueError:  # it is not in our own form
            pass
        parts = _parted(text)
        if parts is None:
            return self._reading(EmotionDescription(), {})
        tokens = _tokens(parts[::2])
        found: dict[str, set[str]] = {slot: set() for slot in self._meanings}
        for slot in self._nouns:
            found[slot] |= self._levels_said_of(slot, tokens)
        for slot, reader in ((AGE, self._ages), (GENDER, self._genders), (EMOTION, self._emotions)):
            if slot in found:
                found[slot] |= reader(tokens)
        levels = {slot: next(iter(said)) for slot, said in found.items() if len(said) == 1}
        transcript, emphasis = _quotations(parts)
        description = EmotionDescription(
            {slot: levels[slot] for slot in self.schema.slots if slot in levels and slot != EMOTION},
            emphasis if EMPHASIS in self.schema.slots else None,
            levels.get(EMOTION),
            transcript if TRANSCRIPT in self.schema.slots else None,
        )
        return self._reading(description, {slot: ", ".join(sorted(said)) for slot, said in found.items()})

    def _reading(self, description: EmotionDescription, said: Mapping[str, str]) -> Reading:
        unread = [slot for slot in self.schema.slots if description.value(slot) is None]
        return Reading(description, {slot: said.get(slot, "") for slot in unread})

    def _levels_said_of(self, slot: str, tokens: list[str]) -> set[str]:
        """Levels of a slot that stand beside one of its nouns, or need none."""
        said = set()
        for start, end, level in _occurrences(tokens, self._meanings[slot]):
            is_said = (
                self._is_before_noun(slot, tokens, end)
                or self._is_after_noun(slot, tokens, start)
                or self._is_clear(slot, tokens, start, end)
            )
            if is_said and not _is_unclear(tokens, start):
                said |= {level, *self._alternatives(slot, tokens, start)}
        adverbs = _occurrences(tokens, self._adverbs[slot])
        return said | {level for start, _, level in adverbs if not _is_unclear(tokens, start)}

    def _is_before_noun(self, slot: str, tokens: list[str], end: int) -> bool:
        """`high pitch`, `high speaking pitch`, `high volume and pitch`, `high in pitch`, not `high volume of sales`"""
        is_noun = any(self._noun_at(each, tokens, end) for each in self._nouns)  # `speaking style`
        at = end + (not is_noun and tokens[end] in ("in", *FILLERS))
        while not (length := self._noun_at(slot, tokens, at)):
            lengths = [self._noun_at(other, tokens, at) for other in self._nouns]
            at += max(lengths)
            if not any(lengths) or tokens[at] not in JOINED:
                return False
            while tokens[at] in JOINED:
                at += 1
        return tokens[at + length] != "of"

    def _is_after_noun(self, slot: str, tokens: list[str], start: int) -> bool:
        """`pitch is high`, `pitch that is high`"""
        if not start or tokens[start - 1] not in COPULAS:
            return False
        at = start - 2 if tokens[start - 2 : start - 1] in (["that"], ["which"]) else start - 1
        return any(tokens[max(0, at - len(noun)) : at] == list(noun) for noun in self._nouns[slot])

    def _is_clear(self, slot: str, tokens: list[str], start: int, end: int) -> bool:
        """`loud voice`, `speech is fast`, `speaks fast`"""
        nouns, words = CLEAR.get(slot, ((), ()))
        before = tokens[max(0, start - 2) : start]
        is_stated = len(before) == 2 and before[0] in nouns and before[1] in COPULAS
        return " ".join(tokens[start:end]) in words and (
            tokens[end] in nouns or is_stated or before[-1:] in [[verb] for verb in SPEAKING]
        )

    def _noun_at(self, slot: str, tokens: list[str], at: int) -> int:
        """How many tokens a noun of the slot has that begins here; 0 for none."""
        return max((len(noun) for noun in self._nouns[slot] if tokens[at : at + len(noun)] == list(noun)), default=0)

    def _alternatives(self, slot: str, tokens: list[str], start: int) -> set[str]:
        """Other levels of the slot right before one, as in `low to high pitch`."""
        said = set()
        ends = {end: (begin, level) for begin, end, level in _occurrences(tokens[:start], self._meanings[slot])}
        while start and tokens[start - 1] in BETWEEN_LEVELS:
            start -= 1
            if start in ends:
                start, level = ends[start]
                said.add(level)
        return said

    def _genders(self, tokens: list[str]) -> set[str]:
        occurrences = _occurrences(tokens, self._meanings[GENDER])
        return {level for start, _, level in occurrences if not _is_other(tokens, start)}

    def _ages(self, tokens: list[str]) -> set[str]:
        said = set()
        for start, end, level in _occurrences(tokens, self._meanings[AGE]):
            before, after = tokens[start - 1] if start else "", _until_pause(tokens[end : end + 3])
            words = tuple(tokens[start:end])
            is_child = any(word in CHILDREN for word in after)  # a young girl may be a child
            is_person = any(word in PERSONS for word in after) or (is_child and words[0] not in YOUNG)
            is_noun = words in AGED and not (is_child and words[0] in YOUNG)
            is_own = words not in KNOWN_AGES and before in OF_AN_AGE
            unclear = before in ("year", "years") or _is_unclear(tokens, start) or _is_other(tokens, start)
            if (is_person or is_noun or is_own) and not unclear:
                said.add(level)
        return said

    def _emotions(self, tokens: list[str]) -> set[str]:
        said = set()
        for start, _, emotion in _occurrences(tokens, self._meanings[EMOTION]):
            before = _after_pause(tokens[max(0, start - 3) : start])
            if not _is_unclear(tokens, start) and not {*TRACES, "about", "against"} & set(before):
                said.add(emotion)
        return said


Vocabulary = dict[str, list[tuple[Words, str]]]  # first word → words and their label, the longest first


def _vocabulary(meanings: Mapping[Words, str]) -> Vocabulary:
    vocabulary: Vocabulary = {}
    for words in sorted(meanings, key=len, reverse=True):
        vocabulary.setdefault(words[0], []).append((words, meanings[words]))
    return vocabulary


def _occurrences(tokens: list[str], vocabulary: Vocabulary) -> Iterator[tuple[int, int, str]]:
    """(start, end, label) of words that stand for a label; of several at one place the longest."""
    end = 0
    for start, token in enumerate(tokens):
        if start < end or token not in vocabulary:
            continue
        for words, label in vocabulary[token]:
            if tuple(tokens[start : start + len(words)]) == words:
                end = start + len(words)
                yield start, end, label
                break


def _is_unclear(tokens: list[str], start: int) -> bool:
    """Whether what begins here is denied or hedged."""
    before = _after_pause(tokens[max(0, start - 3) : start])
    before = before[before.index("but") + 1 :] if "but" in before else before
    return bool(before) and (before[-1] in HEDGES or any(word in DENIALS or "n't" in word for word in before))


def _is_other(tokens: list[str], start: int) -> bool:
    """Whether who is named here is spoken to, or of."""
    return any(word in OTHERS for word in _after_pause(tokens[max(0, start - 4) : start]))


def _after_pause(tokens: list[str]) -> list[str]:
    pauses = [index for index, token in enumerate(tokens) if token in PAUSES]
    return tokens[pauses[-1] + 1 :] if pauses else tokens


def _until_pause(tokens: list[str]) -> list[str]:
    return next((tokens[:index] for index, token in enumerate(tokens) if token in PAUSES), tokens)


def _tokens(outside: list[str]) -> list[str]:
    """Words without case and hyphens, and pauses, one at each quotation and some at the end."""
    words = [token.casefold().removesuffix("'s") for token in _TOKEN.findall(" . ".join(outside))]
    return words + [PAUSES[0]] * 3


def _parted(text: str) -> list[str] | None:
    """What stands outside of quotes and inside, in turns; `None` where quotation marks do not match."""
    plain = text.translate(_QUOTES).replace('\\"', '"')
    parts = re.sub('"{2,}', '"', plain).split('"')
    return parts if len(parts) % 2 else None


def _quotations(parts: list[str]) -> tuple[str | None, tuple[str, ...] | None]:
    """The transcript and the emphasised words, if it is clear which quotation is which."""
    outside, quoted = parts[::2], [one_line(part) for part in parts[1::2]]
    stressed = [False] * len(quoted)
    for index in range(len(quoted)):
        before = _SENTENCE_PAUSE.split(outside[index])[-1]
        after = _clause_after(quoted[index], outside[index + 1], is_last=index + 1 == len(quoted))
        goes_on = index > 0 and stressed[index - 1] and outside[index].strip() in ("and", ",", ", and")
        stressed[index] = bool(_STRESS.search(before) or _STRESS.search(after)) or goes_on
    said = [index for index, is_stressed in enumerate(stressed) if not is_stressed]
    if len(said) != 1 or not quoted[said[0]] or not _is_introduced(outside[said[0]]):
        return None, None
    transcript = quoted[said[0]]
    words = [word for index, word in enumerate(quoted) if stressed[index]]
    if not words:
        return transcript, () if _NO_STRESS.search(" ".join(outside)) else None
    places = [re.search(rf"(?<!\w){re.escape(word)}(?!\w)", transcript, re.IGNORECASE) for word in words]
    if not all(words) or not all(places):
        return transcript, None
    ordered = sorted(zip(words, places, strict=True), key=lambda pair: pair[1].start())
    return transcript, tuple(word for phrase, _ in ordered for word in phrase.split())


def _clause_after(quoted: str, text: str, is_last: bool) -> str:
    """What goes on after a quotation; nothing if that belongs to the next quotation, or is a sentence of its own."""
    pause = _SENTENCE_PAUSE.search(text + PAUSES[0] * is_last)
    is_sentence = quoted[-1:] in (".", "!", "?") and text.lstrip()[:1].isupper()
    return "" if pause is None or is_sentence else text[: pause.start()]


def _is_introduced(before: str) -> bool:
    """Whether a quotation after this text is what is said."""
    tokens = _TOKEN.findall(before)
    return not tokens or tokens[-1] in PAUSES or tokens[-1].casefold() in SAYING


__all__ = ["CaptionReader", "Reading", "read_caption"]
