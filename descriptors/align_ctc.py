"""Word times by CTC (Graves et al. 2006): the likeliest path of the transcript's units through a model's frames.

Any model that transcribes by CTC will do: XSER's own head on the content stream, or a `transformers` folder. What the
model cannot spell (digits, another script) is a wildcard that fits any sound. A model of larger units than letters
tells where a word is, but not from when to when: that is then found by letters, around what it heard.

Shapes: S samples, T frames, U units.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio
from transformers import AutoConfig, AutoModelForCTC, AutoProcessor

from xser.audio_xser import SAMPLE_RATE
from xser.backbones_xser import load_whole
from xser.descriptors.align import AlignmentError, Word, align_by_letters, split_words
from xser.losses_xser import BLANK
from xser.modeling_xser import CONTENT, XSERForEmotionDescription
from xser.processing_xser import XSERProcessor

_DELIMITERS = ("|", " ")  # what vocabularies of letters have between words
_REACH = 0.05  # seconds


@dataclass(frozen=True)
class Emission:
    """What a model heard.

    Attributes:
        log_probs: (T, units + 2) float32: the model's units, blank among them, and the wildcard last.
        starts: (T + 1,) seconds at which each frame starts, and the last ends.
    """

    log_probs: torch.Tensor
    starts: np.ndarray


class CTCAligner:
    """Forced alignment by a model's CTC.

    Args:
        model: `XSERForEmotionDescription` with a CTC head, or a `transformers` model for CTC that spells in letters.
        processor: the model's.
        batch_size: recordings at once, in `align_batch`, where the model gives each the same answer alone (XSER).

    Raises:
        ValueError: an XSER model without a CTC head; a vocabulary without a blank.
    """

    def __init__(self, model, processor, batch_size: int = 8):
        spelling = _XSERSpelling if isinstance(processor, XSERProcessor) else _LetterSpelling
        self.spelling = spelling(model.eval(), processor)
        self.batch_size = batch_size

    @classmethod
    def from_pretrained(cls, folder: str, device: str = "cpu", **options) -> "CTCAligner":
        """Load a model and its processor from a folder or the Hub; `options` are those of the class."""
        if AutoConfig.from_pretrained(folder).model_type == "xser":
            model, processor = XSERForEmotionDescription.from_pretrained(folder), XSERProcessor.from_pretrained(folder)
        else:
            model, processor = load_whole(AutoModelForCTC, folder), AutoProcessor.from_pretrained(folder)
        return cls(model.to(device, torch.float32), processor, **options)

    def __call__(self, wave: np.ndarray, words: list[str]) -> list[Word]:
        """Find words in one recording: see `align`."""
        [emission] = self.spelling.emissions([wave])
        return self._words(wave, emission, words)

    def align_batch(self, waves: list[np.ndarray], texts: list[str]) -> Iterator[list[Word] | AlignmentError]:
        """Find the words of many recordings, in order; the error in place of the words where they do not fit.

        Raises:
            ValueError: a text holds no word; waves and texts are not as many.
        """
        rows = list(zip(waves, map(split_words, texts), strict=True))
        for first in range(0, len(rows), self.batch_size):
            batch = rows[first : first + self.batch_size]
            emissions = self.spelling.emissions([wave for wave, _ in batch])
            for emission, (wave, words) in zip(emissions, batch, strict=True):
                try:
                    yield self._words(wave, emission, words)
                except AlignmentError as error:
                    yield error

    def _words(self, wave: np.ndarray, emission: Emission, words: list[str]) -> list[Word]:
        times, confidences = self._spans(emission, words)
        if self.spelling.of_letters:
            times = _without_gaps(times)
        else:
            times = np.array([(word.start, word.end) for word in align_by_letters(wave, words, anchors=times)])
        return [
            Word(word, float(start), float(end), confidence)
            for word, (start, end), confidence in zip(words, times, confidences, strict=True)
        ]

    def _spans(self, emission: Emission, words: list[str]) -> tuple[np.ndarray, list[float]]:
        """From where to where the units of each word are heard, (W, 2) seconds, and their mean probability."""
        wildcard = emission.log_probs.shape[1] - 1
        units, owner = self.spelling.spell(words)
        units = np.where(units < 0, wildcard, units)
        needed, frames = len(units) + int((np.diff(units) == 0).sum()), len(emission.log_probs)
        if needed > frames:
            raise AlignmentError(
                f"the transcript ({len(words)} words) needs {needed} frames, and the recording gives {frames} "
                f"({emission.starts[-1]:.2f} s): is the transcript another recording's?"
            )
        path, scores = torchaudio.functional.forced_align(
            emission.log_probs[None], torch.from_numpy(units)[None], blank=self.spelling.blank
        )
        spans = torchaudio.functional.merge_tokens(path[0], scores[0].exp(), blank=self.spelling.blank)
        times, confidences = np.zeros((len(words), 2)), []
        for index in range(len(words)):
            own = [span for span, of in zip(spans, owner, strict=True) if of == index]
            times[index] = emission.starts[own[0].start], emission.starts[own[-1].end]
            confidences.append(float(sum(span.score * len(span) for span in own) / sum(map(len, own))))
        return times, confidences


class _XSERSpelling:
    """The CTC head of XSER: UTF-8 bytes, or tokens of its language model."""

    blank = BLANK

    def __init__(self, model: XSERForEmotionDescription, processor: XSERProcessor):
        if model.ctc_head is None:
            raise ValueError("this XSER model has no CTC head (ctc_weight is 0): align by letters or another model")
        self.model, self.processor = model, processor
        self.of_letters = processor.ctc_unit == "byte"

    @torch.no_grad()
    def emissions(self, waves: list[np.ndarray]) -> list[Emission]:
        names = ("input_values", "input_values_mask", "loudness")
        inputs = self.processor([(wave, SAMPLE_RATE) for wave in waves], task="asr")
        audio = {name: inputs[name].to(self.model.device) for name in names}
        content = self.model.model(streams=(CONTENT,), **audio)[CONTENT]
        log_probs = self.model.ctc_head(content.bottleneck.z).float().log_softmax(-1).cpu()
        lengths = content.frame_mask.sum(-1).tolist()
        return [
            _emission(each[:length], self._frame_starts(length))
            for each, length in zip(log_probs, lengths, strict=True)
        ]

    def _frame_starts(self, num_frames: int) -> np.ndarray:
        """(T + 1,) seconds: around the middle of what each frame's convolutions see."""
        frames = self.processor.frames
        centres = frames.first_centre + frames.hop * (np.arange(num_frames + 1) - 0.5)
        return (centres + 0.5) / SAMPLE_RATE

    def spell(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Units, and the index of the word that each belongs to, -1 between words."""
        pieces = [word.lower() if index == 0 else f" {word.lower()}" for index, word in enumerate(words)]
        if self.of_letters:
            rows = [list(piece.encode()) for piece in pieces]
            owner = [-1 if unit == 32 else index for index, row in enumerate(rows) for unit in row]
        else:
            rows = [self.processor.piece_ids(piece) for piece in pieces]
            owner = [index for index, row in enumerate(rows) for _ in row]
        return np.array([unit + 1 for row in rows for unit in row]), np.array(owner)


class _LetterSpelling:
    """A `transformers` model for CTC whose vocabulary is letters."""

    of_letters = True

    def __init__(self, model, processor):
        self.model, self.processor = model, processor
        self.vocabulary = processor.tokenizer.get_vocab()
        self.blank = processor.tokenizer.pad_token_id
        if self.blank is None:
            raise ValueError(f"{type(processor.tokenizer).__name__} has no pad token, which is the blank of CTC")
        self.delimiter = next((self.vocabulary[char] for char in _DELIMITERS if char in self.vocabulary), None)

    @torch.no_grad()
    def emissions(self, waves: list[np.ndarray]) -> list[Emission]:
        """One at a time: with group norm, padding changes what such a model hears."""
        emissions = []
        for wave in waves:
            inputs = self.processor(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(self.model.device)
            log_probs = self.model(**inputs).logits[0].float().log_softmax(-1).cpu()
            emissions.append(_emission(log_probs, np.linspace(0, len(wave) / SAMPLE_RATE, len(log_probs) + 1)))
        return emissions

    def spell(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Units, -1 for a wildcard, and the index of the word that each belongs to, -1 between words."""
        units, owner = [], []
        for index, word in enumerate(words):
            if index and self.delimiter is not None:
                units.append(self.delimiter)
                owner.append(-1)
            letters = [self._letter(char) for char in word]
            known = [letter for letter in letters if letter is not None] or [-1]
            units += known
            owner += [index] * len(known)
        return np.array(units), np.array(owner)

    def _letter(self, char: str) -> int | None:
        """The unit of a letter, in the case that the vocabulary has."""
        cases = (char, char.lower(), char.upper())
        return next((self.vocabulary[case] for case in cases if case in self.vocabulary), None)


def _without_gaps(times: np.ndarray) -> np.ndarray:
    """Neighbours meet halfway, up to `_REACH` from each: a unit is a spike within its sound. (W, 2) -> (W, 2)."""
    reach = np.clip((times[1:, 0] - times[:-1, 1]) / 2, 0, _REACH)
    times[1:, 0] -= reach
    times[:-1, 1] += reach
    return times


def _emission(log_probs: torch.Tensor, starts: np.ndarray) -> Emission:
    """Add the wildcard, which is as likely as anything can be, to (T, units + 1)."""
    return Emission(torch.nn.functional.pad(log_probs, (0, 1)), np.maximum(starts, 0.0))
