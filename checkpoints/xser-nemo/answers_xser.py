"""Answers as tokens: piece by piece, always as a continuation.

So the ids of a text are the concatenation of its pieces' ids by construction, in training, generation and scoring.
"""

from .grammar_xser import EMPHASIS, NO_EMPHASIS, SLOT_SEPARATOR, EmotionDescription, quote, words_of

MAX_PIECES = 10_000  # that are kept
MAX_TOKENS_PER_SECOND = 100  # of a transcript that a user gives: several times what anybody can say


class AnswersMixin:
    """Answers of `XSERProcessor`, to ids and back."""

    @staticmethod
    def pieces(description: EmotionDescription) -> list[str]:
        """What `description.to_text()` is tokenised in; joined, they are that text.

        A slot is its name (`pitch:`, from the second on with the separator before it: ` | volume:`) and its value
        (` high`); stressed words are a piece each (` "never"`, `, "again"`).
        """
        pieces = []
        for slot in description.slots:
            pieces.append(_slot_piece(slot, first=not pieces))
            if slot == EMPHASIS:
                words = [quote(word) for word in description.emphasis] or [NO_EMPHASIS]
                pieces += [f" {words[0]}", *(f", {word}" for word in words[1:])]
            else:
                pieces.append(f" {description.value_text(slot)}")
        return pieces

    def piece_ids(self, text: str) -> list[int]:
        """The ids of one piece as the continuation of others, without special tokens; kept for the next time."""
        ids = self._pieces.get(text)
        if ids is None:
            ids = self._continuations([text])[0]
            if len(self._pieces) >= MAX_PIECES:  # labels come back at once; words of long ago may go
                self._pieces = {}
            self._pieces[text] = ids
        return ids

    def slot_ids(self, slot: str, first: bool) -> list[int]:
        """The ids of a slot's name, with the separator before it unless it is an answer's first."""
        return self.piece_ids(_slot_piece(slot, first))

    def answer_ids(self, answer: EmotionDescription | str) -> list[int]:
        """The ids of an answer without the eos token: a description piece by piece, a transcript as one."""
        if isinstance(answer, str):
            return self._continuations([answer])[0]
        return [index for piece in self.pieces(answer) for index in self.piece_ids(piece)]

    def decode_answer(self, ids) -> str:
        """Inverse of `answer_ids`: the text of generated ids, without special tokens and spaces at its ends."""
        ids = [index for index in map(int, ids) if index not in self._special_ids]
        return self._decode(self._anchor_ids + ids).removeprefix(self._anchor_text).strip()

    def emphasisable(self, transcript: str) -> list[str]:
        """Its words that can be emphasised, in order of speech: those that spell no special token."""
        return [word for word in words_of(transcript) if not self._special_in(word)]

    def check_transcript(self, transcript: str, context: int | None = None) -> None:
        """Refuse a transcript that a prompt cannot hold.

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
        if (length := len(self._continuations([self._transcript_piece(transcript)])[0])) > limit:
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
        pieces = [_slot_piece(slot, first) for slot in schema.slots for first in (True, False)]
        pieces += [f" {label}" for labels in (*schema.descriptors.values(), schema.emotions) for label in labels]
        pieces += [f" {NO_EMPHASIS}", ' "a"', ', "a"'] if schema.emphasis else []
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


def _slot_piece(slot: str, first: bool) -> str:
    return f"{'' if first else SLOT_SEPARATOR}{slot}:"


__all__ = ["AnswersMixin"]
