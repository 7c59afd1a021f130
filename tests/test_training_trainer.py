"""XSERTrainer on tiny models: what moves, what is logged, what is generated, and that a run can be stopped."""

import io

import datasets
import numpy as np
import pytest
import soundfile
import torch

from xser.corpora import make_row
from xser.corpora.cache import write_dataset
from xser.training.arguments import XSERTrainingArguments
from xser.training.trainer import XSERTrainer

TEXTS = ["the dog is at the door", "you never said that to me", "we won the game", "they came home"]
EMOTIONS = ["angry", "happy", "sad", "neutral", "fearful", "surprised"]


def make_dataset(path, num: int) -> datasets.Dataset:
    """Tones as a corpus in the one schema, written to `path`."""
    rows = []
    for i in range(num):
        wave, audio = make_wave(0.3 + 0.07 * (i * 7 % 11), seed=i), io.BytesIO()
        soundfile.write(audio, wave, 16_000, format="FLAC")
        levels = {"pitch": "low" if i % 2 else "high", "volume": None if i % 3 else "loud", "emphasis": []}
        rows.append(
            make_row(
                id=f"tone{i}",
                audio={"bytes": audio.getvalue(), "path": None},
                text=TEXTS[i % 4],
                emotion=EMOTIONS[i % 6],
                descriptors=levels,
                speaker=f"s{i % 3}",
                duration=len(wave) / 16_000,
            )
        )
    return write_dataset(path, rows)
