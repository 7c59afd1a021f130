"""Several channels to one: none that is silent or turned over costs the others anything."""

import io

import numpy as np
import pytest
import soundfile

from xser.audio_xser import load_audio, loudness_dbfs
from xser.corpora import ffmpeg
from xser.corpora.recording import hear
from xser.downmix_xser import Downmix

RATE = 16_000
RANDOM = np.random.default_rng(0)
VOICE = (0.1 * RANDOM.standard_normal(24_000) * np.sin(np.arange(24_000) / 2_000) ** 2).astype(np.float32)
HISS = (0.0005 * RANDOM.standard_normal(24_000)).astype(np.float32)
OTHER = (0.05 * RANDOM.standard_normal(24_000)).astype(np.float32)
SILENT = np.zeros_like(VOICE)
MIXED = {  # channels → what they become
    "opposite": ([VOICE, -VOICE], VOICE),
    "opposite and softer": ([VOICE, -0.5 * VOICE], 0.75 * VOICE),
    "opposite, softer one first": ([-0.5 * VOICE, VOICE], 0.75 * VOICE),
    "opposite in noise": ([1.001 * VOICE + HISS, HISS - VOICE], VOICE),
    "right silent": ([VOICE, SILENT], VOICE),
    "left silent": ([SILENT, VOICE], VOICE),
    "right constant": ([VOICE, SILENT + 0.3], VOICE),
    "right noise only": ([VOICE, HISS], VOICE),
    "surround with one voice": ([SILENT, SILENT, VOICE, HISS, SILENT, SILENT], VOICE),
    "four, one opposite and one silent": ([VOICE, -VOICE, VOICE, SILENT], VOICE),
    "ordinary": ([VOICE + OTHER, VOICE - 0.5 * OTHER], VOICE + 0.25 * OTHER),
    "two speakers": ([VOICE, OTHER], (VOICE + OTHER) / 2),
    "silence": ([SILENT, SILENT], SILENT),
}


def encode(samples, kind="WAV", subtype="PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=kind, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize("case", MIXED)
def test_channels_become_what_is_in_them(case):
    channels, expected = MIXED[case]
    np.testing.assert_allclose(load_audio((np.stack(channels), RATE)), expected, atol=0.002)
    np.testing.assert_allclose(load_audio(encode(np.stack(channels, axis=1))), expected, atol=0.002)


@pytest.mark.parametrize("case", ["opposite", "right silent", "left silent", "surround with one voice"])
def test_the_level_is_that_of_the_voice_and_no_silence(case):
    wave = load_audio((np.stack(MIXED[case][0]), RATE))
    assert loudness_dbfs(wave) == pytest.approx(loudness_dbfs(VOICE), abs=0.1)


@pytest.mark.parametrize("case", ["ordinary", "two speakers", "silence"])
def test_ordinary_stereo_is_the_plain_mean_to_the_bit(case):
    samples = np.stack(MIXED[case][0], axis=1)
    np.testing.assert_array_equal(load_audio((samples, RATE)), samples.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.parametrize("size", [1, 7, 777, 24_000])
def test_blocks_of_any_size_give_the_same_as_the_whole(case, size):
    samples = np.stack(MIXED[case][0], axis=1)[: 2_000 if size < 9 else None]
    whole, parts = Downmix.of(samples), Downmix(samples.shape[1])
    blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
    for block in blocks:
        parts.add(block)
    np.testing.assert_array_equal(parts.weights(), whole.weights())
    np.testing.assert_array_equal(np.concatenate([parts.apply(block) for block in blocks]), whole.apply(samples))


def test_a_difference_at_the_threshold_is_exact_and_not_a_matter_of_rounding():
    channels = np.stack([VOICE, HISS * np.float32(np.std(VOICE) / np.std(HISS) / 10**1.5)], axis=1)
    weights = {tuple(Downmix.of(channels[order]).weights()) for order in (slice(None), slice(None, None, -1))}
    assert len(weights) == 1


@pytest.mark.parametrize("case", ["opposite", "right silent", "left silent", "right constant"])
def test_a_fingerprint_is_that_of_the_same_voice_alone_and_not_of_silence(case):
    stereo = encode(np.stack(MIXED[case][0], axis=1), subtype="FLOAT")
    assert hear(stereo).fingerprint == hear(encode(VOICE, subtype="FLOAT")).fingerprint


def test_a_fingerprint_does_not_depend_on_blocks(monkeypatch):
    data = encode(np.stack([VOICE, -0.5 * VOICE], axis=1))
    whole = hear(data)
    monkeypatch.setattr("xser.audio_files_xser.BLOCK_SAMPLES", 999)
    assert hear(data) == whole


def test_the_sound_of_a_video_is_mixed_in_the_same_way():
    flac = ffmpeg._mono_flac(encode(np.stack([VOICE, -VOICE], axis=1)))
    np.testing.assert_allclose(load_audio(flac), VOICE, atol=2**-14)
