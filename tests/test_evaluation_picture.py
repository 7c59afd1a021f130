"""The picture of an explanation, and the pitch track in it."""

import numpy as np
import pytest
from conftest import make_wave
from PIL import Image

from xser.evaluation.picture import draw_explanation, pitch_track

EXPLANATION = {
    "status": "ok",
    "emotion": "angry",
    "scores": {"angry": 0.7, "happy": 0.2, "sad": 0.1},
    "descriptors": {"pitch": "high", "volume": "loud"},
    "emphasis": ["never"],
    "transcript": "you never said that it costs $5 or $6",
    "explanation": 'Sounds angry (70%): high pitch, loud, with stress on "never".',
}


def hum(pitch, seconds=0.6):
    times = np.arange(int(seconds * 16_000)) / 16_000
    return sum(np.sin(2 * np.pi * n * pitch * times) / n for n in range(1, 5)).astype(np.float32)


@pytest.mark.parametrize("pitch", [75, 118, 230, 440])
def test_the_pitch_of_a_hum_is_found(pitch):
    times, track = pitch_track(hum(pitch))
    assert np.all(np.abs(track - pitch) < 0.01 * pitch)
    assert times[0] == pytest.approx(0.02) and np.allclose(np.diff(times), 0.01)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert np.isnan(pitch_track(noise)[1]).all()
    assert np.isnan(pitch_track(np.zeros(16_000, np.float32))[1]).all()


def test_less_than_a_frame_has_no_track():
    times, track = pitch_track(np.zeros(100, np.float32))
    assert len(times) == len(track) == 0


@pytest.mark.parametrize("wave", [make_wave(1.2), np.zeros(16_000, np.float32), make_wave(0.01)])
@pytest.mark.parametrize(
    "explanation",
    [
        EXPLANATION,
        dict.fromkeys(EXPLANATION) | {"status": "no_speech"},
        EXPLANATION | {"emphasis": [], "transcript": None, "descriptors": {}, "explanation": "Sounds angry. " * 30},
    ],
)
def test_a_picture_is_drawn_of_every_explanation(tmp_path, wave, explanation):
    path = draw_explanation(explanation, wave, tmp_path / "new" / "picture.png", title="recording.wav")
    with Image.open(path) as image:
        assert image.size == (1300, 728) and image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert (pixels < 250).mean() > 0.005  # something is on it
    assert (pixels[:, :10] == 255).all() and (pixels[:, -10:] == 255).all()  # and nothing runs over its sides


def test_the_waveform_drawn_is_the_one_given(tmp_path):
    first, second = (draw_explanation(EXPLANATION, make_wave(1, seed), tmp_path / f"{seed}.png") for seed in (1, 2))
    assert first.read_bytes() != second.read_bytes()


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"picture\.jpg'; it must end in \.png"):
        draw_explanation(EXPLANATION, make_wave(1), tmp_path / "picture.jpg")
    with pytest.raises(ValueError, match="no samples to draw"):
        draw_explanation(EXPLANATION, np.empty(0, np.float32), tmp_path / "picture.png")
