"""Tones with made-up labels: a corpus small enough to train on within a test."""

import csv
import io
from pathlib import Path

import datasets
import numpy as np
import soundfile

from xser.corpora import make_row
from xser.corpora.cache import write_dataset

TEXTS = ["the dog is at the door", "you never said that to me", "we won the game", "they came home"]
EMOTIONS = ["angry", "happy", "sad", "neutral", "fearful", "surprised"]


def tone(index: int) -> np.ndarray:
    """0.3 to 1 second of a tone whose pitch and loudness depend on `index`."""
    time = np.arange(int(16_000 * (0.3 + 0.07 * (index * 7 % 11)))) / 16_000
    return (0.02 * (1 + index % 5) * np.sin(2 * np.pi * (100 + 30 * (index % 7)) * time)).astype(np.float32)


def labels(index: int) -> dict:
    return {
        "text": TEXTS[index % 4],
        "emotion": EMOTIONS[index % 6],
        "pitch": "low" if index % 2 else "high",
        "volume": None if index % 3 else "loud",
        "speaker": f"s{index % 3}",
    }


def make_dataset(path: Path, num: int = 24) -> datasets.Dataset:
    """A data set of the one schema, kept at `path`."""
    rows = []
    for index in range(num):
        flac, known = io.BytesIO(), labels(index)
        soundfile.write(flac, tone(index), 16_000, format="FLAC")
        levels = {slot: known.pop(slot) for slot in ("pitch", "volume")}
        audio = {"bytes": flac.getvalue(), "path": None}
        descriptors = {**levels, "emphasis": []}
        rows.append(
            make_row(
                id=f"tone{index}", audio=audio, duration=len(tone(index)) / 16_000, descriptors=descriptors, **known
            )
        )
    return write_dataset(path, rows)


def make_audiofolder(folder: Path, num: int = 24) -> Path:
    """A folder with recordings and metadata.csv; speaker s0 has a third of them."""
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file_name", *labels(0)])
        writer.writeheader()
        for index in range(num):
            soundfile.write(folder / f"{index}.wav", tone(index), 16_000)
            writer.writerow({"file_name": f"{index}.wav", **labels(index)})
    return folder
