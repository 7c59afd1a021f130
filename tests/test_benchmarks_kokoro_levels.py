"""The benchmark on natural synthetic voices: where each level is plainly measured every label is right."""

import importlib.util
import itertools
from pathlib import Path

import pytest
from test_levels import make_prosody, semitones

from xser.corpora.kokoro import SLOTS
from xser.levels_xser import LEVELS

SPEC = importlib.util.spec_from_file_location(
    "kokoro_levels", Path(__file__).parents[1] / "benchmarks" / "kokoro_levels.py"
)
VOICES = {"a": 205, "b": 210, "c": 215, "d": 115, "e": 120, "f": 125}  # Hz


@pytest.fixture(scope="module")
def benchmark():
    module = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(module)
    return module


def clips():
    """Of every voice 27 clips, in which levels of pitch, volume and speed are free and range goes with speed."""
    for voice, hertz in VOICES.items():
        for pitch, volume, speed in itertools.product((-1, 0, 1), repeat=3):
            places = {"pitch": pitch, "volume": volume, "speed": speed, "range": speed}
            rate, spread = 5.0 + 1.5 * speed, 5.0 + 3 * speed
            measured = make_prosody(
                pitch=semitones(hertz) + 4 * pitch, loudness=-26.0 + 9 * volume, rate=rate, text_rate=rate,
                text_rate_error=0.1, text_fits=True, pitch_spread=spread, pitch_range=1.3 * spread,
            )  # fmt: skip
            levels = {slot: LEVELS[slot][1 + place] for slot, place in places.items()}
            yield {"speaker": voice, "gender": "female" if hertz > 160 else "male", "descriptors": levels}, measured


def test_plain_levels_are_all_right_with_a_reference_and_each_quantity_is_judged(benchmark):
    lines = [dict(zip(benchmark.COLUMNS, line, strict=True)) for line in benchmark.table(list(clips()))]
    judged = {(line["label"], line["measured by"]) for line in lines}
    quantities = {"pitch": "pitch", "volume": "loudness", "speed": "text_rate", "range": "pitch_spread"}
    assert judged == {*quantities.items(), ("speed", "rate"), ("range", "pitch_range")} and {*quantities} == {*SLOTS}
    for line in lines:
        if line["reference"] == benchmark.ALL:
            assert line["accuracy over all, margin 0"] == line["accuracy where determined"] == "1.000", line
            assert line["true level contradicted"] == "0.000" and line["most confused"] == ""


def test_cuts_are_of_the_other_voices_alone(benchmark):
    rows = list(clips())
    changed = [(row, make_prosody(600.0) if row["speaker"] == "a" else of) for row, of in rows]
    assert benchmark.calibrated(rows, "a") == benchmark.calibrated(changed, "a")
    assert "a" not in benchmark.calibrated(rows, "a").speakers
