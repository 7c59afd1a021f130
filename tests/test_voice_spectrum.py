"""Where the energy of a voice lies: against sounds whose spectrum is known."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_wave
from scipy.signal import lfilter, resample_poly

from xser.frames_xser import SAMPLE_RATE
from xser.prosody_xser import measure
from xser.voice_measures_xser import NAMES, _slopes, voice_measures
from xser.voice_spectrum_xser import ANY_SOUND, FRAME_NAMES, spectrum_frames


def vowel(
    f0: float = 120.0,
    formants: tuple = (700.0, 1_220.0, 2_600.0),
    widths: tuple = (80.0, 100.0, 140.0),
    seconds: float = 1.0,
) -> np.ndarray:
    """A pulse train through resonances, and noise far below it."""
    samples = np.arange(int(seconds * SAMPLE_RATE))
    wave = np.diff(np.floor(samples * f0 / SAMPLE_RATE), prepend=0.0)
    wave = lfilter([1.0], [1.0, -0.9], wave)
    for hertz, width in zip(formants, widths, strict=True):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        wave = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * hertz / SAMPLE_RATE), radius**2], wave)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(wave))
    return (0.5 * wave / np.abs(wave).max() + noise).astype(np.float32)


def harmonics(amplitudes: dict[int, float], f0: float = 200.0) -> np.ndarray:
    """A sum of harmonics, number → amplitude, and noise far below them: nothing cuts it off at 5,500 Hz."""
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    noise = 1e-3 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    tones = sum(a * np.sin(2 * np.pi * number * f0 * seconds) for number, a in amplitudes.items())
    return (tones + noise).astype(np.float32)


def medians(wave: np.ndarray) -> dict[str, float]:
    frames = spectrum_frames(wave, measure(wave))[10:-10]
    return dict(zip(FRAME_NAMES, np.nanmedian(frames, 0).tolist(), strict=True))


@pytest.mark.parametrize("formants", [(700.0, 1_220.0, 2_600.0), (300.0, 2_300.0, 3_000.0)])
def test_formants_and_bandwidths_are_those_of_the_resonances(formants):
    """Linear prediction is drawn towards the nearest harmonic, by less than half of F0."""
    widths = (80.0, 100.0, 140.0)
    found = medians(vowel(formants=formants, widths=widths))
    for number, (hertz, width) in enumerate(zip(formants, widths, strict=True), start=1):
        assert 1_000 * 2 ** found[f"formant_{number}"] == pytest.approx(hertz, abs=40)
        assert 0.4 * width < 100 * 2 ** found[f"bandwidth_{number}"] < 2.5 * width


def test_harmonic_differences_are_those_of_the_amplitudes():
    found = medians(harmonics({1: 0.2, 2: 0.1, 3: 0.05, 4: 0.02}))
    assert found["h1_h2"] == pytest.approx(20 * np.log10(2), abs=0.3)
    assert medians(harmonics({1: 0.1, 2: 0.2, 3: 0.05}))["h1_h2"] == pytest.approx(-20 * np.log10(2), abs=0.3)


def test_balance_compares_bands():
    """150 Hz and 3 kHz, the latter 20 dB below."""
    found = medians(harmonics({1: 0.3, 20: 0.03}, f0=150.0))
    assert found["alpha_ratio"] == pytest.approx(20, abs=0.5)
    assert found["hammarberg"] == pytest.approx(20, abs=0.7)
    assert found["centroid"] == pytest.approx(np.log2((150 + 0.01 * 3_000) / 1.01 / 1_000), abs=0.05)
    low = medians(harmonics({1: 0.3, 40: 0.03}, f0=150.0))
    assert low["brightness"] == pytest.approx(-20, abs=0.5) and found["brightness"] < low["brightness"] - 20


def test_a_flatter_spectrum_is_told_by_slopes_and_cepstra():
    steep, flat = (medians(harmonics({n: 0.1 * n**-power for n in range(1, 30)})) for power in (2.0, 0.5))
    assert steep["slope_high"] < flat["slope_high"] < 0 and steep["slope_middle"] < flat["slope_middle"]
    assert steep["cepstrum_1"] > flat["cepstrum_1"]


def test_a_steady_sound_does_not_change_and_two_in_turn_do():
    steady = vowel()
    changing = np.concatenate([vowel(seconds=0.1), vowel(formants=(300.0, 2_300.0, 3_000.0), seconds=0.1)] * 5)
    change = [
        np.nanmean(spectrum_frames(wave, measure(wave))[10:-10, FRAME_NAMES.index("flux")])
        for wave in (steady, changing)
    ]
    assert change[1] > 2 * change[0]


def test_all_is_the_same_at_every_gain():
    wave = make_wave(1.5, seed=7)
    quiet = (wave * np.float32(0.1)).astype(np.float32)
    found, other = (spectrum_frames(each, measure(each)) for each in (wave, quiet))
    np.testing.assert_allclose(other, found, atol=1e-3)


def test_only_speech_is_told_and_harmonics_of_voiced_frames_alone():
    wave = np.concatenate([np.zeros(8_000, np.float32), vowel(), np.zeros(8_000, np.float32)])
    prosody = measure(wave)
    frames = spectrum_frames(wave, prosody)
    assert frames.shape == (len(prosody.f0), len(FRAME_NAMES))
    assert np.isnan(frames[~prosody.speech]).all()
    balance = [index for index, name in enumerate(ANY_SOUND) if name != "flux"]
    assert np.isfinite(frames[prosody.speech][:, balance]).all()
    unvoiced = replace(prosody, f0=np.full_like(prosody.f0, np.nan))
    assert np.isnan(spectrum_frames(wave, unvoiced)[:, len(ANY_SOUND) :]).all()


def test_a_long_recording_is_told_as_its_parts_are(monkeypatch):
    """Blocks bound the memory; where one ends, only the change from the frame before is not known."""
    wave = make_wave(2.0, seed=5)
    prosody = measure(wave)
    whole = spectrum_frames(wave, prosody)
    monkeypatch.setattr("xser.voice_spectrum_xser.BLOCK_FRAMES", 37)
    parts = spectrum_frames(wave, prosody)
    flux = FRAME_NAMES.index("flux")
    others = [index for index in range(len(FRAME_NAMES)) if index != flux]
    np.testing.assert_allclose(parts[:, others], whole[:, others], rtol=1e-5, atol=1e-5)
    is_lost = np.isnan(parts[:, flux]) & ~np.isnan(whole[:, flux])
    np.testing.assert_allclose(parts[~is_lost, flux], whole[~is_lost, flux], rtol=1e-5)
    firsts = np.flatnonzero(prosody.speech)[37::37]
    assert set(np.flatnonzero(is_lost)) <= set(firsts) and is_lost.sum() >= len(firsts) - 1 > 2


@pytest.mark.parametrize("samples", [0, 1, 100, 640, 16_000])
def test_silence_of_any_length_gives_nothing(samples):
    wave = np.zeros(samples, np.float32)
    assert np.isnan(spectrum_frames(wave, measure(wave))).all()


def test_gaps_of_digital_silence_in_speech_are_not_told():
    gap = np.zeros(1_600, np.float32)
    wave = np.concatenate([vowel(seconds=0.3), gap, vowel(seconds=0.3), gap, vowel(seconds=0.3)])
    prosody = measure(wave)
    frames = spectrum_frames(wave, prosody)
    is_silent = np.zeros(len(frames), bool)
    is_silent[33:37], is_silent[73:77] = True, True  # no window reaches the vowels
    assert prosody.speech[is_silent].all() and np.isnan(frames[is_silent]).all()
    found = dict(zip(NAMES, voice_measures(prosody, wave).tolist(), strict=True))
    assert found["level_fall"] > -250, "the fall to nothing is no fall of a voice"


def test_of_telephone_speech_the_spectrum_is_not_told():
    wave = vowel()
    narrow = resample_poly(resample_poly(wave, 1, 2), 2, 1).astype(np.float32)
    assert np.isfinite(spectrum_frames(wave, measure(wave))[20:60, 0]).all()
    found = dict(zip(NAMES, voice_measures(measure(narrow), narrow).tolist(), strict=True))
    assert np.isnan([value for name, value in found.items() if name.startswith(("voiced_alpha", "loud_"))]).all()
    assert np.isfinite(found["pitch_mean"]) and np.isfinite(found["voiced_run"])


@pytest.mark.parametrize("frames", [5, 8, 100])
def test_a_slope_does_not_depend_on_how_long_it_lasts(frames):
    curve = np.full(300, np.nan)
    for start in range(0, 300 - frames, frames + 5):
        curve[start : start + frames] = 0.12 * np.arange(frames)
    rise, rise_deviation, fall, fall_deviation = _slopes(curve)
    assert rise == pytest.approx(12) and rise_deviation == pytest.approx(0, abs=1e-6)
    assert np.isnan(fall) and np.isnan(fall_deviation)


def test_a_row_holds_means_deviations_and_what_is_loud():
    wave = make_wave(2.0, seed=3)
    prosody = measure(wave)
    frames = spectrum_frames(wave, prosody)
    found = dict(zip(NAMES, voice_measures(prosody, wave).tolist(), strict=True))
    voiced = np.flatnonzero(~np.isnan(prosody.f0))
    column = frames[:, FRAME_NAMES.index("alpha_ratio")]
    assert found["voiced_alpha_ratio"] == pytest.approx(column[voiced].mean(), rel=1e-4)
    assert found["voiced_alpha_ratio_deviation"] == pytest.approx(column[voiced].std(), rel=1e-3)
    loudest = voiced[np.argsort(prosody.level[voiced], kind="stable")][-(len(voiced) // 4) :]
    assert found["loud_alpha_ratio"] == pytest.approx(column[loudest].mean() - column[voiced].mean(), abs=1e-3)


def test_a_slope_is_that_of_a_glide():
    """An octave up in a second, in steps that a tracker follows."""
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * 120 * (2**seconds - 1) / np.log(2)
    wave = sum(0.1 / n * np.sin(n * phase) for n in range(1, 12)).astype(np.float32)
    found = dict(zip(NAMES, voice_measures(measure(wave), wave).tolist(), strict=True))
    assert found["pitch_rise"] == pytest.approx(12, rel=0.15)
    assert found["voiced_runs"] == pytest.approx(1, rel=0.1) and found["voiced_run"] == pytest.approx(1, rel=0.1)
