"""How much there is to train on, in utterances, seconds and tokens, for a dry run.

Rows and the backbones' tokenizer are read where they are at hand. Without rows, the published size of the corpus
stands in, with one utterance of mean length; without a tokenizer, `BYTES_A_TOKEN` bytes are a token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from transformers import AutoTokenizer

from xser.audio_xser import SAMPLE_RATE
from xser.backbone_places_xser import place_of
from xser.configuration_xser import XSERConfig
from xser.processing_xser import XSERProcessor
from xser.training.arguments import XSERTrainingArguments
from xser.training.balance import SAMPLING, balanced_size
from xser.training.classifier import byte_tokenizer
from xser.training.data import TaskData
from xser.training.known_backbones import HUB_ERRORS, PUBLISHED
from xser.training.known_corpora import PublishedCorpus
from xser.voice_frames_xser import FRAME_SECONDS, PROSODY
from xser.voice_measures_xser import MEASURES

BYTES_A_TOKEN = 4  # of English, in a vocabulary of a large language model
MOST_ROWS = 2_000  # that tokens are counted in, evenly over the rows


@dataclass(frozen=True)
class TaskSize:
    """What one task trains on.

    Attributes:
        draws: utterances of an epoch: the rows, or more of them where emotions are balanced by sampling.
        seconds, longest_seconds: of an utterance: mean, and of the longest.
        prompt_tokens, answer_tokens: means, placeholders and end token included.
        longest_text, longest_answer: tokens at most: of a prompt without placeholders, and of an answer.
        is_exact: whether they are counted in all rows, by the language model's own tokenizer.
    """

    draws: int
    seconds: float
    longest_seconds: float
    prompt_tokens: float
    answer_tokens: float
    longest_text: int
    longest_answer: int
    is_exact: bool


def read_processor(config: XSERConfig, text_model: str | None) -> tuple[XSERProcessor, int]:
    """A processor to count tokens with, and the bytes that are one of its tokens: 1 of its own, else `BYTES_A_TOKEN`.

    Args:
        text_model: whose tokenizer is wanted; `None` for a classifier, which spells in bytes.
    """
    tokenizer, bytes_a_token = byte_tokenizer(), 1
    if text_model is not None:
        options = {"local_files_only": True} if text_model in PUBLISHED else {}
        try:
            tokenizer = AutoTokenizer.from_pretrained(place_of(text_model), **options)
        except HUB_ERRORS:
            bytes_a_token = BYTES_A_TOKEN
    return XSERProcessor.from_config(config, config.tower.extractor(), tokenizer), bytes_a_token


def published_row(corpus: PublishedCorpus, config: XSERConfig) -> dict:
    """An utterance of mean length, with every label of the model."""
    words = "word " * ceil(corpus.characters / len("word "))
    levels = {slot: levels[0] for slot, levels in config.descriptors.items()}
    return {
        "text": words[: corpus.characters].strip() or "a",
        "emotion": config.emotions[0],
        "descriptors": {**levels, "emphasis": []},
        "gender": None,
        "age": None,
        "duration": corpus.seconds,
    }


def published_sizes(
    corpus: PublishedCorpus, tasks: Sequence[str], config: XSERConfig, counter: "TokenCounter"
) -> dict[str, TaskSize]:
    """Task → its size, where the recordings are not at hand; the longest utterance is the longest that is taken."""
    row, sizes = published_row(corpus, config), {}
    for task in tasks:
        prompt, text, answer = counter.count(task, row)
        longest = config.max_audio_seconds
        longest_answer = ceil(answer * longest / corpus.seconds)
        size = (corpus.utterances, corpus.seconds, longest, prompt, answer, text, longest_answer, False)
        sizes[task] = TaskSize(*size)
    return sizes


def data_sizes(data: TaskData, arguments: XSERTrainingArguments, counter: "TokenCounter") -> dict[str, TaskSize]:
    """Task → its size, of rows that are at hand."""
    sizes = {}
    for task, rows in data.train.items():
        seconds = np.array(rows["duration"])
        chosen = np.unique(np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(int)).tolist()
        columns = [name for name in rows.column_names if name != "audio"]
        counts = [counter.count(task, row) for row in rows.select(chosen).select_columns(columns).to_list()]
        prompts, texts, answers = zip(*counts, strict=True)
        is_balanced = arguments.class_balance == SAMPLING and task == "describe"
        sizes[task] = TaskSize(
            balanced_size(rows["emotion"][:]) if is_balanced else len(rows),
            float(seconds.mean()),
            float(seconds.max()) / min(arguments.speeds),
            float(np.mean(prompts)),
            float(np.mean(answers)),
            max(texts),
            max(answers),
            counter.bytes_a_token == 1 and len(chosen) == len(rows),
        )
    return sizes


class TokenCounter:
    """Counts the tokens of prompts and answers of rows.

    Args:
        processor: whose prompts and answers they are.
        bytes_a_token: tokens of the processor that are taken for one.
    """

    def __init__(self, processor: XSERProcessor, bytes_a_token: int = 1):
        self.processor, self.bytes_a_token = processor, bytes_a_token
        self._texts: dict[tuple, int] = {}

    def count(self, task: str, row: Mapping) -> tuple[int, int, int]:
        """Tokens of a row's prompt, of the same without placeholders, and of its answer with the end token."""
        slots, answer = None, row["text"]
        if task == "describe":
            answer = self.processor.schema.describe(row)
            slots = answer.slots
        text = self._text(task, slots)
        frames = self.processor.num_frames(round(row["duration"] * SAMPLE_RATE))
        aux = {PROSODY: ceil(row["duration"] / FRAME_SECONDS), MEASURES: 1}
        placeholders = sum(self.processor.num_placeholders(task, frames, aux).values())
        answer_tokens = self._scaled(len(self.processor.answer_ids(answer))) + 1
        return text + placeholders, text, answer_tokens

    def _text(self, task: str, slots: list[str] | None) -> int:
        key = (task, tuple(slots or ()))
        if key not in self._texts:
            one = dict.fromkeys(self.processor.aux_streams, 1)
            ids = self.processor.prompt_ids(task, [1], slots, [one])["input_ids"]
            placeholders = sum(self.processor.num_placeholders(task, 1, one).values())
            self._texts[key] = self._scaled(ids.shape[1] - placeholders)
        return self._texts[key]

    def _scaled(self, tokens: int) -> int:
        return ceil(tokens / self.bytes_a_token)
