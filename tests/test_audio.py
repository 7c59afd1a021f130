"""Any recording to 16 kHz mono, and what is refused."""

import io
import pickle

import numpy as np
import pytest
import soundfile
import torch

from xser import audio_files_xser
from xser.audio_xser import (
    SAMPLE_RATE,
    AudioError,
    audio_name,
    load_audio,
    loudness_dbfs,
)

RATE_44K = 44_100


def tone(rate=SAMPLE_RATE, seconds=0.5, hertz=440.0, amplitude=0.5):
    time = np.arange(int(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def encode(wave, rate=SAMPLE_RATE, file_format="WAV", subtype=None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=file_format, subtype=subtype)
    return buffer.getvalue()


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "speech.wav"
    path.write_bytes(encode(tone(), subtype="FLOAT"))
    return path


@pytest.mark.parametrize(
    "wrap",
    [
        str,
        lambda path: path,
        lambda path: path.read_bytes(),
        lambda path: {"bytes": path.read_bytes(), "path": None},
        lambda path: {"bytes": None, "path": str(path)},
        lambda path: {"path": "elsewhere.wav", "bytes": path.read_bytes()},
        lambda path: (tone(), SAMPLE_RATE),
        lambda path: (tone().astype(np.float64), float(SAMPLE_RATE)),
        lambda path: (torch.tensor(tone()), SAMPLE_RATE),
        lambda path: {"array": tone(), "sampling_rate": SAMPLE_RATE},
        lambda path: {"raw": tone(), "sampling_rate": SAMPLE_RATE},
        lambda path: {"array": tone().tolist(), "sampling_rate": SAMPLE_RATE},
    ],
)
def test_every_form_of_a_recording_gives_the_same_samples(wav, wrap):
    wave = load_audio(wrap(wav))
    assert wave.dtype == np.float32
    np.testing.assert_array_equal(wave, tone())


@pytest.mark.parametrize("channels_first", [True, False])
def test_channels_are_averaged_whichever_axis_they_are_on(channels_first):
    stereo = np.stack([tone(), 0.5 * tone(hertz=550)], axis=0 if channels_first else 1)
    expected = (tone() + 0.5 * tone(hertz=550)) / 2
    np.testing.assert_allclose(load_audio((stereo, SAMPLE_RATE)), expected, atol=1e-7)


def test_stereo_file_is_averaged():
    data = encode(np.stack([tone(), 0.5 * tone()], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(load_audio(data), 0.75 * tone(), atol=1e-7)


@pytest.mark.parametrize("rate", [8_000, 22_050, RATE_44K, 48_000])
def test_other_rates_are_resampled(rate):
    wave = load_audio((tone(rate), rate))
    assert abs(len(wave) - 8_000) <= 1
    np.testing.assert_allclose(wave[400:-400], tone()[400 : len(wave) - 400], atol=2e-3)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0, 16384, -32768], np.int16), [0, 0.5, -1]),
        (np.array([0, 2**30, -(2**31)], np.int32), [0, 0.5, -1]),
        (np.array([128, 192, 0], np.uint8), [0, 0.5, -1]),
    ],
)
def test_integer_samples_are_scaled_to_full_scale(samples, expected):
    np.testing.assert_array_equal(load_audio((samples, SAMPLE_RATE)), np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("file_format", "subtype"), [("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]
)
def test_compressed_files_are_read(file_format, subtype):
    wave = load_audio(encode(tone(), file_format=file_format, subtype=subtype))
    assert abs(len(wave) - 8_000) < 2_500  # lossy formats pad
    assert loudness_dbfs(wave[:8_000]) == pytest.approx(loudness_dbfs(tone()), abs=1)


def refused(source, *parts, **options):
    with pytest.raises(AudioError) as caught:
        load_audio(source, **options)
    for part in (audio_name(source), *parts):
        assert part in str(caught.value)
    assert caught.value.source == audio_name(source)


def test_missing_empty_and_non_audio_files_are_refused_by_name(tmp_path):
    refused(tmp_path / "none.wav", "does not exist")
    refused(tmp_path, "not a file")
    empty = tmp_path / "empty.wav"
    empty.touch()
    refused(str(empty), "0 bytes")
    text = tmp_path / "text.wav"
    text.write_text("this is not audio " * 100)
    refused(text, "not audio", "flac")
    refused(b"", "0 bytes")
    refused({"path": str(tmp_path / "gone.flac"), "bytes": None}, "does not exist")


@pytest.mark.parametrize("file_format", ["WAV", "FLAC", "AIFF", "MP3"])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_truncated_file_is_refused(tmp_path, file_format, kept):
    path = tmp_path / "cut.audio"
    data = encode(np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), file_format=file_format)
    path.write_bytes(data[: int(len(data) * kept)])
    refused(path, "truncated")
    refused({"bytes": path.read_bytes(), "path": "inner/cut.audio"}, "inner/cut.audio", "truncated")


def test_streamed_wav_of_unknown_length_is_read():
    data = bytearray(encode(tone()))
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    np.testing.assert_allclose(load_audio(bytes(data)), tone(), atol=1e-4)


def test_nan_and_infinity_are_refused_with_their_count_and_time():
    wave = tone()
    wave[1600] = np.nan
    wave[3200] = np.inf
    refused((wave, SAMPLE_RATE), "2 samples", "0.100 s")
    refused(encode(wave, subtype="FLOAT"), "2 samples")


def test_recordings_without_samples_or_data_are_refused():
    refused((np.zeros(0, np.float32), SAMPLE_RATE), "no samples")
    refused(encode(np.zeros(0, np.float32)), "no samples")
    refused({"path": None, "bytes": None}, "bytes")
    refused({"sampling_rate": 16_000}, "array")
    refused({"array": tone()}, "sampling_rate")


@pytest.mark.parametrize("rate", [0, -16_000, 16, 16_000.5, True, "16000", None])
def test_impossible_rates_are_refused(rate):
    refused((tone(), rate))


def test_pairs_without_an_array_or_rate_bare_arrays_and_odd_types_are_refused():
    refused((tone(), tone()), "(array, rate)")
    refused((SAMPLE_RATE, 8_000.0), "0 axes")
    refused(tone(), "(array, rate)")
    refused(3.5, "float")
    refused((np.zeros((2, 2, 2), np.float32), SAMPLE_RATE), "3 axes")
    refused((np.zeros(100, np.int64), SAMPLE_RATE), "int64")
    refused((tone() * 32_768, SAMPLE_RATE), "32768")


def test_long_recordings_are_refused_before_they_are_decoded(wav, monkeypatch):
    refused((tone(seconds=1.5), SAMPLE_RATE), "1.50 s", "1 s", max_seconds=1.0)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    refused(wav, "0.50 s", "0.4 s", max_seconds=0.4)


def test_loudness_is_the_rms_in_decibels_below_full_scale():
    assert loudness_dbfs(tone(amplitude=1.0)) == pytest.approx(-3.01, abs=0.01)
    assert loudness_dbfs(tone(amplitude=0.01)) == pytest.approx(-43.01, abs=0.01)
    assert loudness_dbfs(tone(amplitude=0.01) + 0.5) == pytest.approx(-43.01, abs=0.01)
    assert loudness_dbfs(np.zeros(100, np.float32)) == -100
    assert loudness_dbfs(np.zeros(0, np.float32)) == -100


def test_a_missing_package_is_named(wav, monkeypatch):
    monkeypatch.setattr(audio_files_xser, "soundfile", None)
    with pytest.raises(ImportError, match="pip install soundfile"):
        load_audio(wav)
    np.testing.assert_array_equal(load_audio((tone(), SAMPLE_RATE)), tone())  # samples need no reading


def test_error_survives_pickling_between_workers():
    error = pickle.loads(pickle.dumps(AudioError("a.wav is empty", "a.wav")))
    assert (str(error), error.source) == ("a.wav is empty", "a.wav")
