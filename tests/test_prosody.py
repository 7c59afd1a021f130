"""What is measured in a recording is what was put into it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.audio_xser import load_audio
from xser.frames_xser import FRAME_SECONDS
from xser.pitch_xser import track_f0
from xser.prosody_xser import Prosody, measure

RATE = 16_000
HOP = 160
NEMO = Path(__file__).parents[2] / "shared" / "data" / "nemo" / "audio"
QUANTITIES = ("pitch", "pitch_range", "pitch_spread", "loudness", "rate", "contour")  # that have an error
VOWEL = ((700, 90), (1200, 110), (2500, 140))  # formants and their widths, Hz


def sine(hz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def harmonic(f0: np.ndarray, gains: dict[int, float] | None = None) -> np.ndarray:
    """Harmonics at 1 / k of an F0 that moves: (S,) Hz -> (S,)."""
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    last = int(7_000 / f0.max())
    sound = sum((gains or {}).get(k, 1.0) / k * np.sin(k * phase) for k in range(1, last + 1))
    return (0.1 * sound).astype(np.float32)


def vowel(f0: np.ndarray) -> np.ndarray:
    """Harmonics through formants."""
    sound = harmonic(f0)
    hz = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = sum(1 / (1 + ((hz - centre) / width) ** 2) for centre, width in VOWEL)
    return np.fft.irfft(np.fft.rfft(sound) * (gain + 0.01), len(sound)).astype(np.float32)


def glide(*hz: float, seconds: float = 1.0) -> np.ndarray:
    """F0 through the given values at equal times, straight in semitones: (S,)."""
    at = np.linspace(0, 1, round(seconds * RATE))
    return np.exp(np.interp(at, np.linspace(0, 1, len(hz)), np.log(hz)))


def noise(seconds: float, dbfs: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (samples * 10 ** (dbfs / 20)).astype(np.float32)


def pulses(periods: np.ndarray, amplitudes: np.ndarray | None = None) -> np.ndarray:
    """One band-limited pulse a period, given in samples, of the given amplitudes."""
    starts = np.concatenate(([0.0], np.cumsum(periods)))
    time = np.arange(int(starts[-1]))
    phase = np.interp(time, starts, np.arange(len(starts)))
    last = int(7_000 * periods.min() / RATE)
    sound = sum(np.cos(2 * np.pi * k * phase) / k for k in range(1, last + 1))
    cycle = np.minimum(np.round(phase).astype(int), len(periods) - 1)
    return (0.1 * sound * (1 if amplitudes is None else amplitudes[cycle])).astype(np.float32)


def numbers(prosody: Prosody) -> dict[str, float]:
    """Everything that is a number and can be told."""
    values = dataclasses.asdict(prosody)
    return {k: v for k, v in values.items() if v is not None and not isinstance(v, np.ndarray | tuple)}


def assert_equal_but(one: Prosody, other: Prosody, *left_out: str, tolerance: float = 1e-3) -> None:
    assert numbers(one).keys() == numbers(other).keys()
    for name, value in numbers(one).items():
        if name not in left_out:
            assert numbers(other)[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name


@pytest.mark.parametrize("hz", [60, 75, 110, 150, 205, 290, 410, 500])
def test_tones_are_found_within_one_percent_in_every_frame(hz):
    found = measure(sine(hz))
    assert found.f0 == pytest.approx(np.full(100, hz), rel=0.01)
    assert found.pitch_hz == pytest.approx(hz, rel=0.002)
    assert found.pitch == pytest.approx(12 * np.log2(hz), abs=0.04)
    assert found.voiced_seconds == pytest.approx(1.0)


@pytest.mark.parametrize("hz", [70, 120, 240, 450])
@pytest.mark.parametrize("gains", [{1: 0.0}, {1: 0.0, 2: 0.0}, {2: 8.0}, {3: 10.0}], ids=str)
def test_octave_traps(hz, gains):
    """Without its lowest harmonics, or with a strong second or third, a sound keeps its pitch."""
    found = measure(harmonic(np.full(RATE, float(hz)), gains)).f0
    assert found == pytest.approx(np.full(100, hz), rel=0.01)


@pytest.mark.parametrize("hz", [80, 130, 210, 380])
def test_noise_at_ten_decibels(hz):
    f0 = hz * 2 ** (0.25 * np.sin(2 * np.pi * 1.3 * np.arange(2 * RATE) / RATE))
    sound = harmonic(f0)
    found = measure(sound + noise(2.0, 20 * np.log10(sound.std()) - 10)).f0
    error = np.abs(found / f0[HOP // 2 :: HOP] - 1)
    assert np.isnan(found).mean() < 0.02
    assert np.nanmedian(error) < 0.01 and np.mean(error > 0.2) < 0.02


def test_one_pass_follows_a_sweep_over_the_whole_range():
    f0 = glide(60, 500, seconds=3)
    found, strength = track_f0(harmonic(f0), floor=50, ceiling=600)
    assert found[3:-3] == pytest.approx(f0[HOP // 2 :: HOP][3:-3], rel=0.02)
    assert strength[3:-3].min() > 0.9 and strength.max() <= 1


def test_the_second_pass_stays_within_the_speakers_range():
    """A moment of creak at a third of the pitch is tracked by one pass, and not taken for the speaker's by two."""
    sound = np.concatenate([harmonic(np.full(RATE, 210.0)), harmonic(np.full(RATE // 5, 70.0))])
    one_pass, _ = track_f0(sound)
    assert np.nanmin(one_pass) == pytest.approx(70, rel=0.02)
    assert np.nanmin(measure(sound).f0) > 0.5 * 209


def test_noise_has_no_pitch():
    found = measure(noise(1.5, -20))
    assert found.voiced_seconds == 0 and np.isnan(found.f0).all()
    assert found.pitch is found.pitch_range is found.contour is found.rate is found.jitter is found.hnr_db is None
    assert found.loudness == pytest.approx(-20, abs=0.3)


@pytest.mark.parametrize(
    "wave", [np.zeros(RATE), np.full(RATE, 0.25), noise(1.0, -95)], ids=["0", "constant", "dither"]
)
def test_silence_tells_nothing(wave):
    found = measure(wave.astype(np.float32))
    assert not found.speech.any() and found.speech_seconds == found.voiced_seconds == 0
    assert found.loudness is found.pitch is found.rate is found.snr_db is found.contour is None
    assert found.pauses == 0 and found.duration == 1.0


def test_no_samples():
    found = measure(np.zeros(0, np.float32))
    assert found.duration == 0 and found.f0.shape == found.level.shape == found.speech.shape == (0,)
    assert set(numbers(found)) == {"duration", "speech_seconds", "voiced_seconds", "pauses", "pause_seconds"}


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 6_000),
    kind=st.sampled_from(["noise", "tone", "clipped", "click"]),
    offset=st.sampled_from([0.0, 0.5, -3.0]),
)
def test_whatever_the_length_all_numbers_are_finite(samples, kind, offset):
    wave = {
        "noise": noise(1, -30)[:samples],
        "tone": sine(180)[:samples],
        "clipped": np.clip(20 * sine(95), -1, 1)[:samples],
        "click": np.eye(1, samples, samples // 2, dtype=np.float32)[0],
    }[kind]
    found = measure(wave + np.float32(offset))
    frames = -(-samples // HOP)
    assert found.f0.shape == found.strength.shape == found.level.shape == found.speech.shape == (frames,)
    assert found.f0.dtype == np.float32 and found.speech.dtype == bool
    assert np.isfinite(found.level).all() and ((found.strength >= 0) & (found.strength <= 1)).all()
    assert all(np.isfinite(value) for value in numbers(found).values())
    assert not np.isfinite(found.f0[~found.speech]).any()
    for quantity in QUANTITIES:
        assert (getattr(found, quantity) is None) == (getattr(found, f"{quantity}_error") is None)


def test_a_twentieth_of_a_second_has_a_pitch_but_no_rate():
    found = measure(sine(200, 0.05))
    assert found.pitch_hz == pytest.approx(200, rel=0.01)
    assert found.rate is found.pitch_range is found.contour is None


@pytest.mark.parametrize("gain", [0.01, 0.5, 7.3])
def test_gain_moves_loudness_by_as_much_and_nothing_else(gain):
    wave = np.concatenate([vowel(glide(150, 220, 130)), noise(0.4, -60), vowel(glide(120, 180))]) + noise(2.4, -60)
    found, louder = measure(wave), measure(np.float32(gain) * wave)
    decibels = 20 * np.log10(gain)
    assert louder.loudness - found.loudness == pytest.approx(decibels, abs=1e-4)
    assert louder.level - found.level == pytest.approx(np.full(len(found.level), decibels), abs=1e-3)
    assert (louder.speech == found.speech).all()
    assert louder.f0 == pytest.approx(found.f0, nan_ok=True, rel=1e-4)
    assert louder.contour == pytest.approx(found.contour, abs=1e-3)
    assert_equal_but(found, louder, "loudness")


def test_an_offset_changes_nothing():
    wave = vowel(glide(150, 220, 130)) + noise(1.0, -60)
    assert_equal_but(measure(wave), measure(wave + np.float32(0.4)))


def test_clipping_keeps_the_pitch():
    wave = vowel(np.full(RATE, 140.0))
    clipped = np.clip(wave, -0.2 * wave.max(), 0.2 * wave.max())
    assert measure(clipped).pitch == pytest.approx(measure(wave).pitch, abs=0.02)


def test_what_comes_later_is_measured_later():
    wave = vowel(glide(150, 220, 130)) + noise(1.0, -50)
    found, later = measure(wave), measure(np.concatenate([np.zeros(30 * HOP, np.float32), wave]))
    assert later.f0[30 + 3 :] == pytest.approx(found.f0[3:], rel=1e-3, nan_ok=True)
    assert later.speech[30 + 3 :].tolist() == found.speech[3:].tolist() and not later.speech[:27].any()
    assert later.pitch == pytest.approx(found.pitch, abs=0.05)


def test_loudness_is_that_of_the_speech_alone():
    tone = sine(200)
    padded = np.concatenate([noise(1.0, -70), tone, noise(1.0, -70, seed=1)])
    expected = 20 * np.log10(0.3 / np.sqrt(2))
    assert measure(tone).loudness == pytest.approx(expected, abs=0.01)
    found = measure(padded)
    assert found.loudness == pytest.approx(expected, abs=0.15)
    assert found.snr_db == pytest.approx(expected + 70, abs=1)
    assert found.speech_seconds == pytest.approx(1.0, abs=0.05)


def test_a_click_is_no_speech():
    wave = np.concatenate([noise(0.6, -70), sine(200, 0.5), noise(0.6, -70, seed=1)])
    wave[RATE // 4] = 0.5
    assert not measure(wave).speech[:55].any()


CONTOURS = {
    "rising": ((120, 190), lambda c: np.all(np.diff(c) > 1)),
    "falling": ((190, 120), lambda c: np.all(np.diff(c) < -1)),
    "flat": ((150, 150), lambda c: np.ptp(c) < 0.2),
    "rising-falling": ((130, 200, 130), lambda c: c[2] > c[0] + 3 and c[2] > c[4] + 3),
    "falling-rising": ((200, 130, 200), lambda c: c[2] < c[0] - 3 and c[2] < c[4] - 3),
}


@pytest.mark.parametrize("name", CONTOURS)
def test_glides_show_in_the_contour(name):
    hz, holds = CONTOURS[name]
    found = measure(vowel(glide(*hz)) + noise(1.0, -60))
    assert len(found.contour) == 5 and holds(np.array(found.contour)), found.contour


def test_the_contour_reaches_the_ends_of_the_glide():
    found = measure(vowel(glide(120, 190)))
    half = 6 * np.log2(190 / 120)
    assert found.contour == pytest.approx((-half, -half / 2, 0, half / 2, half), abs=0.5)
    assert found.pitch_range == pytest.approx(0.9 * 2 * half, abs=0.3)
    assert found.pitch_spread == pytest.approx(0.8 * 2 * half, abs=0.3)


def test_the_contour_is_of_the_last_phrase_over_its_unvoiced_parts():
    rise = [vowel(glide(100, 126, seconds=0.5)), noise(0.1, -25), vowel(glide(133, 168, seconds=0.5))]
    fall = vowel(glide(200, 100, seconds=0.8))
    pause = noise(0.4, -70)
    rising = np.array(measure(np.concatenate([fall, pause, *rise])).contour)
    falling = np.array(measure(np.concatenate([*rise, pause, fall])).contour)
    assert np.all(np.diff(rising) > 1) and np.all(np.diff(falling) < -1)


@pytest.mark.parametrize("rate", [3, 4, 5, 6, 7])
@pytest.mark.parametrize("snr", [50, 15])
def test_rate_of_a_syllable_train(rate, snr):
    time = np.arange(4 * RATE) / RATE
    envelope = 0.08 + 0.92 * np.sin(np.pi * rate * time) ** 2
    sound = vowel(130 * 2 ** (0.1 * np.sin(2 * np.pi * 0.7 * time))) * envelope.astype(np.float32)
    found = measure(sound + noise(4.0, 20 * np.log10(sound.std()) - snr))
    assert found.rate == pytest.approx(rate, rel=0.05)
    assert 0 < found.rate_error < 0.3 * rate


def test_a_pause_is_no_time_of_speech_to_the_rate():
    def syllables(count: int) -> np.ndarray:
        time = np.arange(round(count / 5 * RATE)) / RATE
        return vowel(np.full(len(time), 130.0)) * np.sin(np.pi * 5 * time).astype(np.float32) ** 2

    found = measure(np.concatenate([syllables(8), noise(1.5, -70), syllables(7)]))
    assert found.pauses == 1 and found.rate == pytest.approx(5, rel=0.07)


def test_pauses_are_counted_and_closures_are_not():
    parts = []
    for gap in (0.35, 0.1, 0.5, 0.15):
        parts += [vowel(np.full(RATE // 2, 150.0)), noise(gap, -70)]
    found = measure(np.concatenate([noise(0.5, -70), *parts, vowel(np.full(RATE // 2, 150.0)), noise(0.6, -70)]))
    assert found.pauses == 2
    assert found.pause_seconds == pytest.approx(0.85, abs=0.08)
    assert found.speech_seconds == pytest.approx(5 * 0.5 + 0.25, abs=0.1)


def irregular(share: float) -> np.ndarray:
    """120 values around 1."""
    return 1 + share * np.random.default_rng(0).standard_normal(120)


def local_change(values: np.ndarray) -> float:
    return np.abs(np.diff(values)).mean() / values.mean()


@pytest.mark.parametrize("share", [0.0, 0.005, 0.01, 0.02])
def test_jitter_is_the_difference_of_neighbouring_periods(share):
    periods = 123.4 * irregular(share)
    assert measure(pulses(periods)).jitter == pytest.approx(local_change(periods), abs=0.001, rel=0.15)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.08])
def test_shimmer_is_the_difference_of_neighbouring_amplitudes(share):
    amplitudes = irregular(share)
    found = measure(pulses(np.full(120, 123.4), amplitudes)).shimmer
    assert found == pytest.approx(local_change(amplitudes), abs=0.002, rel=0.2)


@pytest.mark.parametrize("hnr", [5, 10, 20])
def test_harmonics_to_noise_ratio_is_that_of_the_mixture(hnr):
    sound = harmonic(np.full(2 * RATE, 125.0))
    found = measure(sound + noise(2.0, 20 * np.log10(sound.std()) - hnr)).hnr_db
    assert found == pytest.approx(hnr, abs=1.5)


def sentence() -> np.ndarray:
    """(S,) two phrases of syllables at 4 a second, whose pitch moves and declines, with silence around them."""
    time = np.arange(2 * RATE) / RATE
    loudness = 0.1 + np.sin(np.pi * 4 * time) ** 2 * (1 + 0.5 * np.sin(2 * np.pi * 0.9 * time))
    f0 = 160 * 2 ** (0.15 * np.sin(2 * np.pi * 1.1 * time) + 0.1 * np.sin(2 * np.pi * 2.3 * time) - 0.15 * time)
    phrase = vowel(f0) * loudness.astype(np.float32)
    silence = np.zeros(RATE // 2, np.float32)
    return np.concatenate([silence, phrase, silence, 0.8 * phrase, silence])


def noisy(wave: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    return wave + noise(len(wave) / RATE, measure(wave).loudness - snr, seed)[: len(wave)]


def deviations(wave: np.ndarray, others: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Quantity → how far it lies in each of the others from that of the wave, in errors that the other states."""

    def value(prosody: Prosody, quantity: str) -> float:
        measured = getattr(prosody, quantity)
        return measured[-1] - measured[0] if quantity == "contour" else measured

    clean, found = measure(wave), [measure(other) for other in others]
    return {
        quantity: np.array(
            [abs(value(one, quantity) - value(clean, quantity)) / getattr(one, f"{quantity}_error") for one in found]
        )
        for quantity in QUANTITIES
    }


def test_errors_grow_with_the_noise():
    found = [measure(noisy(sentence(), snr)) for snr in (40, 25, 10)]
    for quantity in ("pitch", "pitch_range", "loudness", "contour"):
        low, middle, high = (getattr(one, f"{quantity}_error") for one in found)
        assert 0 < low < middle < high, quantity


def test_errors_shrink_with_how_much_was_heard():
    once, four_times = (measure(noisy(np.tile(sentence(), times), 40)) for times in (1, 4))
    for quantity in QUANTITIES:
        assert getattr(four_times, f"{quantity}_error") < 0.6 * getattr(once, f"{quantity}_error"), quantity


def test_errors_are_of_the_measurement_and_not_of_sampling_the_voice():
    """An octave up and down, in a voice without noise or pause: its median in this recording is known well."""
    found = measure(vowel(glide(100, 200, 100, 200, seconds=2)))
    assert found.pitch_range > 10 and found.pitch_error < 0.2 and found.loudness_error < 0.2
    assert measure(sine(150)).pitch_error < 0.05


def test_what_is_disturbed_deviates_by_no_more_than_its_errors():
    wave = noisy(sentence(), 50)
    others = [noisy(wave, snr, seed) for snr in (30, 20, 10) for seed in (1, 2)]
    others += [wave[HOP // 2 :], wave[HOP // 4 :], wave[RATE // 2 + 300 : -RATE // 2 - 200]]
    for quantity, found in deviations(wave, others).items():
        assert np.mean(found <= 1) >= 0.68 and np.mean(found <= 2) >= 0.9, (quantity, found.round(2))


def test_user_mistakes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 100\)"):
        measure(np.zeros((2, 100), np.float32))
    with pytest.raises(ValueError, match="floor < ceiling"):
        track_f0(sine(100), floor=300, ceiling=200)


@pytest.mark.skipif(not NEMO.is_dir(), reason="nEMO is not beside this checkout")
def test_real_voices():
    """Women above men; sadness slower than anger in most voices; all within what people do."""
    emotions = ("anger", "sadness")
    speakers = ("EB0", "IC0", "KD0", "SM0", "TP0", "WR0")  # three women, three men
    found = {
        (speaker, emotion): [measure(load_audio(NEMO / f"{speaker}_{emotion}_{n}.ogg")) for n in range(10, 20)]
        for speaker in speakers
        for emotion in emotions
        if (NEMO / f"{speaker}_{emotion}_19.ogg").exists()
    }
    pitch = [np.median([one.pitch_hz for e in emotions for one in found[s, e]]) for s in speakers]
    assert min(pitch[:3]) > max(pitch[3:])
    slower = [
        np.mean([one.rate for one in found[s, "sadness"]]) < np.mean([one.rate for one in found[s, "anger"]])
        for s in speakers
    ]
    assert sum(slower) >= 5
    for one in (one for some in found.values() for one in some):
        assert 60 < one.pitch_hz < 450 and 1.5 < one.rate < 9 and -60 < one.loudness < -5 and one.snr_db > 5
        assert one.speech_seconds <= len(one.f0) * FRAME_SECONDS and max(map(abs, one.contour)) < 24


@pytest.mark.skipif(not NEMO.is_dir(), reason="nEMO is not beside this checkout")
def test_errors_hold_for_real_voices():
    waves = [load_audio(path) for path in sorted(NEMO.glob("*.ogg"))[::320]]
    found = [deviations(wave, [noisy(wave, 20), wave[HOP // 2 :]]) for wave in waves]
    for quantity in QUANTITIES:
        of = np.concatenate([one[quantity] for one in found])
        assert np.mean(of <= 1) >= 0.68 and np.mean(of <= 2) >= 0.85, (quantity, of.round(2))
