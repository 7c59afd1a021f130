"""Answers as tokens: piece by piece, always as a continuation, in the form that the config names.

So the ids of a text are the concatenation of its pieces' ids by construction, in training, generation and scoring.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .captions_xser import CaptionForm
from .grammar_xser import (
    EMOTION,
    EMPHASIS,
    TRANSCRIPT,
    EmotionDescription,
    Tags,
    escape,
    one_line,
    quote,
    unescape,
    words_of,
)

MAX_PIECES = 10_000  # that are kept
MAX_TOKENS_PER_SECOND = 100  # of a transcript that a user gives: several times what anybody can say


OPENING, CLOSING = ' "', '"'  # of a transcript
_ESCAPED = re.compile(r'(?:[^"\\]|\\["\\])*(?P<open>\\?)')  # no bare quote; at its end an escape may be open


@dataclass(frozen=True)
class TextRule:
    """Which tokens may follow in a text between quotes, so that nothing but `CLOSING` ends it.

    Both are (2, V) bool; the first row holds where no escape is open, the second right after a backslash.
    """

    allowed: np.ndarray
    opens_escape: np.ndarray


class AnswersMixin:
    """Answers of `XSERProcessor`, to ids and back."""

    @property
    def form(self):
        """What writes an answer slot by slot (`literal`, `value`): `Tags`, or a `CaptionForm` of the schema."""
        if self.answer == "tags":
            return Tags
        if self._captions is None or self._captions.schema != self.schema:
            self._captions = CaptionForm(self.schema)
        return self._captions

    def parse_answer(self, text: str) -> EmotionDescription:
        """The description that an answer spells; `ValueError` where it deviates from the form."""
        if self.answer == "tags":
            return EmotionDescription.from_text(text, self.schema)
        return self.form.from_text(text)

    def pieces(self, description: EmotionDescription, wording: int = 0) -> list[str]:
        """What an answer is tokenised in; joined, they are its text.

        The text before a slot's value is one piece (`pitch:`, ` | volume:`), and so is the value (` high`); stressed
        words are a piece each (` "never"`, `, "again"`), and a transcript stands apart from its quotes, so that it has
        the ids of an answer to the ASR task.
        """
        return [piece for _, piece in self.slot_pieces(description, wording)]

    def slot_pieces(self, description: EmotionDescription, wording: int = 0) -> list[tuple[str | None, str]]:
        """The same, each with its slot; what follows the last value is of none."""
        slots, form, pieces = self.schema.filled(description), self.form, []
        for index, slot in enumerate(slots):
            value = description.value(slot)
            texts = [form.literal(slots, index, wording)]
            if slot == TRANSCRIPT:
                texts += [OPENING, escape(value), CLOSING]
            elif slot == EMPHASIS and value:
                first, *others = [quote(word) for word in value]
                texts += [f" {first}", *(form.word_separator + word for word in others)]
            else:
                texts.append(form.value(slots, index, value, wording))
            pieces += [(slot, text) for text in texts]
        pieces.append((None, form.literal(slots, len(slots), wording)))
        return [(slot, text) for slot, text in pieces if text]

    def piece_ids(self, text: str) -> list[int]:
        """The ids of one piece as the continuation of others, without special tokens; kept for the next time."""
        ids = self._pieces.get(text)
        if ids is None:
            ids = self._continuations([text])[0]
            if len(self._pieces) >= MAX_PIECES:  # labels come back at once; words of long ago may go
                self._pieces = {}
            self._pieces[text] = ids
        return ids

    def answer_ids(self, answer, wording: int = 0) -> list[int]:
        """The ids of an answer without the eos token: a description piece by piece, a text as one.

        Args:
            answer: an `EmotionDescription`, a transcript, or a corpus's own caption.
            wording: of the form, where it has several.
        """
        if isinstance(answer, str):
            return self._continuations([answer])[0]
        if not hasattr(answer, "levels"):
            return self._continuations([answer.text])[0]
        return [index for piece in self.pieces(answer, wording) for index in self.piece_ids(piece)]

    def decode_answer(self, ids) -> str:
        """Inverse of `answer_ids`: the text of generated ids, without special tokens and spaces at its ends."""
        ids = [index for index in map(int, ids) if index not in self._special_ids]
        return self._decode(self._anchor_ids + ids).removeprefix(self._anchor_text).strip()

    def emphasisable(self, transcript: str) -> list[str]:
        """Its words that can be emphasised, in order of speech: those that spell no special token."""
        return [word for word in words_of(transcript) if not self._special_in(word)]

    def decode_text(self, ids) -> str:
        """The transcript that generated ids between quotes spell, in one line."""
        return one_line(unescape(self.decode_answer(ids)))

    @cached_property
    def text_rule(self) -> TextRule:
        """Tokens of texts between quotes, over the tokenizer's vocabulary; special tokens are none."""
        texts = [self._decode([index]) for index in range(len(self.tokenizer))]
        rule = TextRule(np.zeros((2, len(texts)), bool), np.zeros((2, len(texts)), bool))
        for index, text in enumerate(texts):
            if index in self._special_ids or not text or any(map(str.isspace, text.strip(" "))):
                continue
            for state in (0, 1):
                rest = _ESCAPED.fullmatch("\\" * state + text)
                rule.allowed[state, index] = rest is not None
                rule.opens_escape[state, index] = rest is not None and rest.group("open") == "\\"
        return rule

    @cached_property
    def any_text_rule(self) -> TextRule:
        """Every token but the special ones, of a text that ends without a quote."""
        is_text = np.array([index not in self._special_ids for index in range(len(self.tokenizer))])
        return TextRule(np.stack([is_text, is_text]), np.zeros((2, len(is_text)), bool))

    def check_transcript(self, transcript: str, context: int | None = None) -> None:
        """Refuse a transcript that an answer cannot hold.

        Args:
            context: how many tokens the language model reads; a transcript may take half of them.

        Raises:
            ValueError: it holds special tokens or what is no text, or is too long for any recording.
        """
        shown = repr(transcript if len(transcript) < 60 else f"{transcript[:60]}…")
        try:
            transcript.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{shown} holds surrogates, which are no text: decode it as UTF-8") from error
        if found := self._special_in(transcript):
            raise ValueError(f"{shown} holds {found}, special tokens of the language model: take them out")
        limit = int(MAX_TOKENS_PER_SECOND * self.max_audio_seconds)
        limit = limit if context is None else min(limit, context // 2)
        if (length := len(self._continuations([escape(one_line(transcript))])[0])) > limit:
            raise ValueError(
                f"{shown} has {length} tokens; it may have {limit}: give the words of this recording alone"
            )

    def _special_in(self, text: str) -> list[str]:
        return [token for token in self._special_tokens if token in text]

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        return self._encoder(texts, add_special_tokens=False, padding=False, return_attention_mask=False)["input_ids"]

    def _decode(self, ids: list[int]) -> str:
        return self._encoder.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def _continuations(self, texts: list[str], allow_special: bool = False) -> list[list[int]]:
        """Tokenise each text as the continuation of the anchor; only a template's own may hold special tokens."""
        start = len(self._anchor_ids)
        rows = self._tokenize([self._anchor + text for text in texts])
        for text, row in zip(texts, rows, strict=True):
            if row[:start] != self._anchor_ids:
                raise ValueError(f"{text!r} cannot be tokenised as a continuation by {type(self.tokenizer).__name__}")
            special = self._special_ids.intersection(row[start:])
            if special and not allow_special:
                raise ValueError(f"{text!r} holds the special tokens {self.tokenizer.convert_ids_to_tokens(special)}")
        return [row[start:] for row in rows]

    def _find_anchor(self) -> str:
        """A text after which every piece of the schema is tokenised so that it is decoded to itself.

        Byte-level BPE needs none. SentencePiece's kin write a space before a text's first word and drop it in
        decoding: after a special token (or, for some, only after other text) they leave a piece as it is.
        """
        schema = self.schema
        slots, form = schema.slots, self.form
        pieces = [form.literal(slots, index) for index in range(len(slots))] + [form.literal(slots[-1:], 0)]
        labels = {**schema.descriptors, EMOTION: schema.emotions}
        for index, slot in enumerate(slots):
            pieces += [form.value(slots, index, label) for label in labels.get(slot, ())]
        pieces += [form.no_emphasis, ' "a"', f'{form.word_separator}"a"'] if schema.emphasis else []
        pieces += [OPENING, CLOSING] if schema.transcript else []
        failed = pieces
        for anchor in ("", self.content_token, "\n", ":"):
            ids = self._tokenize([anchor])[0]
            rows = self._tokenize([anchor + piece for piece in pieces])
            start, prefix = len(ids), self._decode(ids)
            failed = [
                piece
                for piece, row in zip(pieces, rows, strict=True)
                if row[:start] != ids or self._decode(row) != prefix + piece
            ]
            if not failed and self._decode(ids + [i for row in rows for i in row[start:]]) == prefix + "".join(pieces):
                return anchor
        raise ValueError(
            f"{type(self.tokenizer).__name__} cannot write {failed}: its vocabulary must cover the labels"
        )


__all__ = ["CLOSING", "OPENING", "AnswersMixin", "TextRule"]
