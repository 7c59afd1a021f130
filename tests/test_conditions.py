"""Each condition does to a recording what its name says, and the same every time."""

import numpy as np
import pytest
from conftest import make_wave

from xser.audio_xser import SAMPLE_RATE
from xser.evaluation.conditions import CONDITIONS, REVERBERATION_SECONDS, TELEPHONE_BAND


def rms(wave):
    return np.sqrt(np.mean(np.square(wave, dtype=np.float64)))


def snr_db(wave, changed):
    """Of what is left of the wave, at its best gain, over what was added."""
    gain = wave @ changed / (wave @ wave)
    return 20 * np.log10(rms(gain * wave) / rms(changed - gain * wave))


@pytest.fixture(scope="module")
def wave():
    return make_wave(2.0)


@pytest.mark.parametrize("name", CONDITIONS)
def test_length_type_and_loudness_stay_and_the_seed_decides(name, wave):
    changed = CONDITIONS[name](wave, 1)
    assert changed.shape == wave.shape and changed.dtype == np.float32
    assert np.array_equal(changed, CONDITIONS[name](wave, 1))
    if name != "clipping":
        assert rms(changed) == pytest.approx(rms(wave), rel=1e-3)
    assert np.array_equal(changed, wave) == (name == "as recorded")


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize(
    "samples", [np.zeros(SAMPLE_RATE), np.zeros(1), np.full(400, 0.1)], ids=["silence", "1", "dc"]
)
def test_silence_and_scraps_pass(name, samples):
    changed = CONDITIONS[name](samples.astype(np.float32), 0)
    assert changed.shape == samples.shape and np.isfinite(changed).all()


@pytest.mark.parametrize("level", [20, 10, 0])
def test_noise_is_as_loud_as_it_says(wave, level):
    assert snr_db(wave, CONDITIONS[f"noise, {level} dB"](wave, 3)) == pytest.approx(level, abs=0.5)
    assert not np.array_equal(*(CONDITIONS[f"noise, {level} dB"](wave, seed) for seed in (3, 4)))


def test_a_telephone_passes_its_band_alone(wave):
    hiss = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32) * 0.1
    power = np.abs(np.fft.rfft(CONDITIONS["telephone"](hiss, 0))) ** 2
    hertz = np.fft.rfftfreq(len(hiss), 1 / SAMPLE_RATE)
    low, high = TELEPHONE_BAND
    inside = power[(hertz > 1.2 * low) & (hertz < 0.9 * high)].mean()
    assert power[hertz < 0.5 * low].mean() < 0.02 * inside and power[hertz > 4_100].mean() < 0.02 * inside


def test_a_room_echoes_for_its_time():
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[0] = 0.5
    echo = np.abs(CONDITIONS["room"](click, 0))
    late = round(REVERBERATION_SECONDS * SAMPLE_RATE)
    assert echo[0] == echo.max() and echo[late:].max() < 1e-6
    assert rms(echo[1:800]) > 10 * rms(echo[late - 800 : late])


@pytest.mark.parametrize("name", ["MP3", "Opus"])
def test_codecs_keep_time_and_lose_little(name, wave):
    assert snr_db(wave, CONDITIONS[name](wave, 0)) > 3


def test_clipping_cuts_the_peaks_and_nothing_else(wave):
    changed = CONDITIONS["clipping"](wave, 0)
    cut = np.abs(wave) > np.abs(changed).max()
    assert 0.02 < cut.mean() < 0.06 and np.array_equal(changed[~cut], wave[~cut])
