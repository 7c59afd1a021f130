"""Any rate to 16 kHz: torchaudio's results, at a cost that no rate blows up."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio

from xser.audio_files_xser import MAX_RATE, MIN_RATE
from xser.audio_xser import at_speed, load_audio
from xser.resampling_xser import resample

RATE = 16_000
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "resampling.json"


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)


def difference_db(one: np.ndarray, other: np.ndarray) -> float:
    return 20 * np.log10(np.abs(one - other).max() / np.abs(other).max() + 1e-30)


@pytest.mark.parametrize(
    "rate", [1_000, 8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]
)
@pytest.mark.parametrize("seconds", [0.001, 0.5])
def test_usual_rates_give_torchaudios_samples(rate, seconds):
    wave = noise(int(rate * seconds) + 3)
    expected = torchaudio.transforms.Resample(rate, RATE)(torch.from_numpy(wave)).numpy()
    result = resample(wave, rate, RATE)
    assert result.dtype == np.float32 and result.shape == expected.shape
    assert difference_db(result, expected) < -90


@pytest.mark.parametrize("rate", [1_001, 7_999, 11_127, 15_999, 16_001, 44_101, 96_001])
def test_odd_rates_give_what_the_whole_table_of_weights_gives(rate):
    """Computed here in float64: torchaudio rounds the times of a float32 table too coarsely for so many phases."""
    wave = noise(300)
    width, base = 6, min(rate, RATE) * 0.99
    places = np.arange(-(-300 * RATE // rate))[:, None] / RATE  # seconds
    times = (np.arange(300)[None] / rate - places) * base
    weights = np.sinc(times) * np.cos(np.clip(times / width, -1, 1) * np.pi / 2) ** 2 * base / rate
    assert difference_db(resample(wave, rate, RATE), weights @ wave.astype(np.float64)) < -100


def test_an_odd_rate_agrees_with_torchaudio_in_double_precision():
    wave = noise(2_003)
    expected = torchaudio.functional.resample(torch.from_numpy(wave.astype(np.float64)), 2_003, 1_600).numpy()
    assert difference_db(resample(wave, 2_003, 1_600), expected) < -100


@pytest.mark.parametrize("rate", [MIN_RATE, 1_009, 11_127, 44_101, 191_999, MAX_RATE - 1, MAX_RATE])
def test_a_tone_stays_where_it_is_at_every_rate(rate):
    time = np.arange(2 * rate) / rate
    wave = load_audio((np.sin(2 * np.pi * 300 * time).astype(np.float32), rate))
    assert len(wave) == 2 * RATE
    expected = np.sin(2 * np.pi * 300 * np.arange(2 * RATE) / RATE)
    assert np.abs(wave - expected)[1_000:-1_000].max() < 0.01


def test_no_samples_and_the_same_rate_need_no_resampling():
    assert len(resample(noise(0), 8_000, RATE)) == 0
    np.testing.assert_array_equal(resample(noise(50), RATE, RATE), noise(50))


def test_a_wave_may_be_read_only_and_is_not_changed():
    wave = noise(4_000)
    wave.flags.writeable = False
    resample(wave, 11_127, RATE)
    np.testing.assert_array_equal(wave, noise(4_000))


def test_another_speed_is_another_rate():
    wave = noise(RATE)
    np.testing.assert_array_equal(at_speed(wave, 1.0), wave)
    assert [len(at_speed(wave, speed)) for speed in (0.9, 1.1, 1.0001)] == [17_778, 14_546, 15_999]


def test_the_measured_cost_is_bounded():
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert measured["columns"][2:] == ["share of real time, %", "memory beyond the input, MB", "from torchaudio, dB"]
    assert {MIN_RATE, 11_127, MAX_RATE - 1, MAX_RATE} <= {int(row[0]) for row in measured["rows"]}
    for rate, _, share, megabytes, difference in measured["rows"]:
        assert float(share) < 100 / 30, rate  # a second for thirty
        assert float(megabytes) < 200, rate
        assert difference == "–" or float(difference) < -80, rate
