"""How many edits lie between a transcript and what was said, utterance by utterance.

Legend: N utterances.
"""

from collections.abc import Callable, Sequence

import jiwer
import numpy as np


def reference_texts(predictions: Sequence[dict]) -> list[str]:
    """What was said in each utterance, with one blank between words."""
    return [_words(prediction["reference"]["text"]) for prediction in predictions]


def predicted_texts(predictions: Sequence[dict]) -> list[str]:
    """The transcript of each utterance; empty where there is none."""
    return [_words(prediction.get("transcript") or "") for prediction in predictions]


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


def _words(text: str) -> str:
    return " ".join(text.split())
