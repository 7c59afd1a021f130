"""How many edits lie between a transcript and what was said, utterance by utterance.

Both texts are brought to one form first: as they are written, or through a `TextNormalizer`.

Legend: N utterances.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import jiwer
import numpy as np

NORMALIZERS = ("english",)
SPELLINGS_FILE = "normalizer.json"  # of a Whisper tokenizer
DIGITS = 12  # of a digest that is shown


@dataclass(frozen=True)
class TextNormalizer:
    """One form of a text, so that the way of writing it is no error.

    Attributes:
        name: what it is, with its spellings, for results.
        normalize: the text in that form.
    """

    name: str
    normalize: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.normalize(text)


def text_normalizer(name: str | None, spellings: str | Path | None = None) -> TextNormalizer | None:
    """The normaliser of a name; `None` for none.

    `english` is that of transformers for Whisper: lower case, no punctuation, no fillers, contractions written out,
    numbers as digits, American spellings.

    Args:
        spellings: British spelling → American: a JSON file, or a folder or Hub id that holds `normalizer.json`, as the
            tokenizer of a Whisper does; `None` leaves spellings as they are, and the name says so.

    Raises:
        ValueError: there is no such normaliser, there are spellings without one, or they cannot be read.
    """
    if name is None:
        if spellings is not None:
            raise ValueError(f"spellings is {str(spellings)!r} without a normalizer: give normalizer, or leave it out")
        return None
    if name not in NORMALIZERS:
        raise ValueError(f"normalizer is {name!r}; it must be one of {list(NORMALIZERS)}, or left out")
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    mapping, source = ({}, "no spelling mapping") if spellings is None else _read_spellings(spellings)
    return TextNormalizer(f"{name} ({source})", EnglishTextNormalizer(mapping))


def reference_texts(predictions: Sequence[dict], normalizer: TextNormalizer | None = None) -> list[str]:
    """What was said in each utterance, in one form, with one blank between words."""
    return [_words(prediction["reference"]["text"], normalizer) for prediction in predictions]


def predicted_texts(predictions: Sequence[dict], normalizer: TextNormalizer | None = None) -> list[str]:
    """The transcript of each utterance in the same form; empty where there is none."""
    return [_words(prediction.get("transcript") or "", normalizer) for prediction in predictions]


def count_word_edits(predicted: Sequence[str], said: Sequence[str]) -> np.ndarray:
    """`(N, 2)`: edits, and words of the reference."""
    return _count_edits(predicted, said, jiwer.process_words, str.split)


def count_character_edits(predicted: Sequence[str], said: Sequence[str]) -> np.ndarray:
    """`(N, 2)`: edits, and characters of the reference."""
    return _count_edits(predicted, said, jiwer.process_characters, str)


def _count_edits(predicted: Sequence[str], said: Sequence[str], process: Callable, items: Callable) -> np.ndarray:
    """`(N, 2)`: edits, and words or characters of the reference."""
    columns = np.zeros((len(said), 2))
    spoken = [index for index, text in enumerate(said) if text]
    for index in set(range(len(said))) - set(spoken):
        columns[index, 0] = len(items(predicted[index]))  # nothing was said: every one is an insertion
    aligned = process([said[index] for index in spoken], [predicted[index] for index in spoken])
    for index, chunks in zip(spoken, aligned.alignments, strict=True):
        edits = (chunk for chunk in chunks if chunk.type != "equal")
        columns[index] = (
            sum(max(e.ref_end_idx - e.ref_start_idx, e.hyp_end_idx - e.hyp_start_idx) for e in edits),
            len(items(said[index])),
        )
    return columns


def _words(text: str, normalizer: TextNormalizer | None) -> str:
    return " ".join((text if normalizer is None else normalizer(text)).split())


def _read_spellings(source: str | Path) -> tuple[Mapping[str, str], str]:
    """The spellings, and what to call them: how many, and the start of the file's sha256."""
    path = Path(source)
    try:
        if not path.is_file():
            from transformers.utils import cached_file

            path = Path(cached_file(str(source), SPELLINGS_FILE))
        content = path.read_bytes()
        mapping = json.loads(content)
    except (OSError, ValueError) as error:
        raise ValueError(f"spellings is {str(source)!r}, where no {SPELLINGS_FILE} can be read: {error}") from error
    if not isinstance(mapping, dict) or not all(isinstance(each, str) for pair in mapping.items() for each in pair):
        raise ValueError(f"spellings is {str(source)!r}; it must map words to words, as a JSON object")
    return mapping, f"{len(mapping)} spellings, sha256 {sha256(content).hexdigest()[:DIGITS]}"
