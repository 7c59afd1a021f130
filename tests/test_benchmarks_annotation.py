"""The benchmark of annotating: who is a stranger to the calibration, and what eta squared is taken of."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from xser.prosody_xser import Prosody

ROOT = Path(__file__).parents[1]
EMOTIONS = {"sad": -2.0, "neutral": 0.0, "angry": 2.0}  # semitones


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("annotation", ROOT / "benchmarks" / "annotation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def spoken(pitch: float) -> Prosody:
    known = dict.fromkeys((field.name for field in fields(Prosody)), None)
    values = {"pitch": pitch, "loudness": -25 + pitch / 10, "rate": 5 + pitch / 50, "pitch_range": 8 + pitch / 20}
    errors = {f"{name}_error": 0.01 for name in values}
    return Prosody(**{**known, **values, **errors, "speech_seconds": 2.0, "voiced_seconds": 1.5, "hnr_db": 20.0})


@pytest.fixture(scope="module")
def labelled(benchmark):
    """Six speakers at 80 to 90 semitones, ten recordings in each emotion."""
    rng = np.random.default_rng(0)
    return benchmark.labels_of_strangers(
        [
            benchmark.Recording(f"s{speaker}", "female", emotion, spoken(80 + 2 * speaker + step + rng.normal(0, 0.2)))
            for speaker in range(6)
            for emotion, step in EMOTIONS.items()
            for _ in range(10)
        ]
    )


def test_without_speaker_calibration_nobody_is_known_and_with_it_everybody_is(benchmark, labelled):
    for basis, expected in ((benchmark.WITHOUT, "gender"), (benchmark.WITH, "speaker")):
        assert {told[basis]["pitch"].basis for _, told in labelled} == {expected}
    usual = {of.speaker: of.prosody.pitch - told[benchmark.WITHOUT]["pitch"].offset for of, told in labelled}
    assert usual["s0"] > usual["s5"] + 1  # of the others: higher where one's own low voice is left out


def test_the_emotion_explains_more_of_what_is_relative_to_the_speaker(benchmark, labelled):
    column = benchmark.emotion_column("pitch", labelled)
    shares = [float(value) for figure, value in column.items() if "distance" in figure]
    assert shares[0] < 0.5 and shares[1] > 0.95
    assert column["recordings"] == "180" and float(column["eta squared of emotion on the value"]) < 0.5
    assert column[f"levels told, {benchmark.WITH}"] > column[f"levels told, {benchmark.WITHOUT}"]
