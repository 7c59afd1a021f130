"""What a filter takes from a voice widens the stated errors, so that a level is not both certain and wrong."""

import csv
from pathlib import Path

import numpy as np
import pytest
from test_prosody import RATE, glide, harmonic, noise, sine, vowel

from xser.audio_xser import load_audio
from xser.calibration_xser import Calibration, Reference
from xser.levels_xser import label
from xser.pitch_xser import track_f0
from xser.prosody_xser import Prosody, measure

DATA = Path(__file__).parents[2] / "shared" / "data"
BANDS = {  # Hz
    "high-pass 200": (200, 8_000), "high-pass 300": (300, 8_000), "high-pass 400": (400, 8_000),
    "telephone": (300, 3_400), "low-pass 1000": (0, 1_000),
}  # fmt: skip


def kept(wave: np.ndarray, low: float, high: float, width: float = 30.0) -> np.ndarray:
    """The band alone, with edges that fall by all within `width` Hz."""
    hz = np.fft.rfftfreq(len(wave), 1 / RATE)
    gain = np.clip((hz - low) / width + 1, 0, 1) * np.clip((high - hz) / width + 1, 0, 1)
    return np.fft.irfft(np.fft.rfft(wave) * gain, len(wave)).astype(np.float32)


def without(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    hz = np.fft.rfftfreq(len(wave), 1 / RATE)
    return np.fft.irfft(np.fft.rfft(wave) * ((hz < low) | (hz > high)), len(wave)).astype(np.float32)


def voices(every: int) -> list[np.ndarray]:
    """(S,) each, of three corpora."""
    waves = []
    for name in ("kokoro", "speechocean", "nemo"):
        with (DATA / name / "metadata.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        waves += [load_audio(DATA / name / row["file_name"]) for row in rows[:: max(len(rows) // every, 1)][:every]]
    return waves


def man() -> np.ndarray:
    return vowel(glide(110, 125, 105, seconds=1.5)) + noise(1.5, -65)


def test_an_unfiltered_voice_is_not_in_doubt():
    found = measure(man())
    assert found.pitch_error < 0.2 and found.loudness_error < 0.4 and found.contour_error < 2


def test_without_its_fundamental_a_pitch_is_known_less_well():
    whole, cut = measure(man()), measure(kept(man(), 300, 8_000))
    assert cut.pitch == pytest.approx(whole.pitch, abs=2 * cut.pitch_error)
    assert cut.pitch_error >= 1 and cut.loudness_error > 2 and cut.contour_error > 5 and cut.pitch_range_error > 4
    assert cut.rate_error == pytest.approx(whole.rate_error, rel=0.5)


def test_a_harmonic_that_is_taken_for_the_fundamental_is_not_certain():
    """What is left of 110 Hz above 400 Hz: one strong harmonic, and weak ones above that still beat with 110 Hz."""
    sound = harmonic(np.full(RATE, 110.0), {k: (12.0 if k == 4 else 0.0 if k < 4 else 1.0) for k in range(1, 63)})
    found = measure(sound + noise(1.0, -60))
    assert found.pitch_hz == pytest.approx(440, rel=0.01) and found.pitch_error > 12


def test_a_hole_in_the_spectrum_is_found():
    cut = measure(without(man(), 200, 400))
    assert cut.pitch_error >= 1 and cut.loudness_error >= 2


def test_a_low_pass_leaves_the_pitch_and_takes_loudness():
    whole, cut = measure(man()), measure(kept(man(), 0, 500))
    assert cut.pitch == pytest.approx(whole.pitch, abs=0.1) and cut.pitch_error < 0.5
    assert cut.loudness_error > 1.4


@pytest.mark.parametrize("hz", [605, 650, 700, 1_200, 3_000])
def test_a_tone_above_all_voices_is_measured_and_has_no_level(hz):
    speaker = Reference({"pitch": 12 * np.log2(200)}, {"pitch": 0.1})
    found = label(measure(sine(hz)), Calibration.default(), speaker)
    assert found["pitch"].level is None and found["tone"].level is None


def test_a_window_shorter_than_the_hop_is_cut_right():
    f0, _ = track_f0(sine(1_000), floor=700, ceiling=1_500)
    assert np.nanmedian(f0) == pytest.approx(1_000, rel=0.01)


def value(prosody: Prosody, quantity: str) -> float | None:
    measured = getattr(prosody, quantity)
    return measured[-1] - measured[0] if quantity == "contour" and measured else measured


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded speech is beside this checkout")
def test_filtered_voices_lie_within_their_errors():
    waves = voices(14)
    whole = [measure(wave) for wave in waves]
    filters = {name: lambda wave, band=band: kept(wave, *band) for name, band in BANDS.items()}
    filters["notch"] = lambda wave: without(wave, 200, 400)
    for name, take in filters.items():
        cut = [measure(take(wave)) for wave in waves]
        in_pitch = 0.1 if name == "notch" else 0.07  # a hole that takes the fundamental of few frames is not found
        for quantity, most in (("pitch", in_pitch), ("loudness", 0.2), ("rate", 0.12), ("contour", 0.2)):
            beyond = [
                abs(value(of, quantity) - value(clean, quantity)) > 2 * getattr(of, f"{quantity}_error")
                for clean, of in zip(whole, cut, strict=True)
                if value(of, quantity) is not None and value(clean, quantity) is not None
            ]
            assert np.mean(beyond) <= most, (name, quantity, np.mean(beyond))
