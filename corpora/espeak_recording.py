"""What eSpeak NG spoke as a recording: 16 kHz, at a level, between two edges of near-silence; FLAC when asked for."""

import io
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import soundfile
import torch
import torchaudio

from xser.corpora import espeak_synthesis

SAMPLE_RATE = 16_000
AUDIBLE = 0.01  # of the peak: what lies below it at either end is the voice's own silence


class SpokenAudio(dict):
    """`{"bytes": …, "path": …}` of an utterance, spoken whenever its bytes are asked for, so never held.

    Args:
        path: that of no file: it stands for all that the sound depends on.
        render: speaks it, as float32 (S,) at 16 kHz.
    """

    def __init__(self, path: str, render: Callable[[], np.ndarray]):
        super().__init__(path=path)
        self._render = render

    def __missing__(self, key: str) -> bytes:
        if key != "bytes":
            raise KeyError(key)
        flac = io.BytesIO()
        soundfile.write(flac, self._render(), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        return flac.getvalue()


def recorded(
    raw: np.ndarray, dbfs: float, noise_dbfs: float, edges: tuple[float, float], noise_seed: int
) -> np.ndarray:
    """eSpeak NG's output as float32 (S,) at 16 kHz.

    Args:
        raw: float32 at `espeak_synthesis.SAMPLE_RATE`; the silence at its ends, whose length depends on the voice, is
            cut off.
        dbfs: RMS of the speech.
        noise_dbfs: of white noise under all of it.
        edges: seconds before and after the speech.
        noise_seed: of the noise.
    """
    speech = _resampler()(torch.from_numpy(_trim(raw))).numpy()
    speech *= _amplitude(dbfs) / math.sqrt(np.mean(np.square(speech, dtype=np.float64)))
    wave = np.pad(speech, [round(seconds * SAMPLE_RATE) for seconds in edges])
    return wave + _amplitude(noise_dbfs) * np.random.default_rng(noise_seed).standard_normal(len(wave), np.float32)


def _amplitude(dbfs: float) -> float:
    return 10 ** (dbfs / 20)


def _trim(wave: np.ndarray) -> np.ndarray:
    sound = np.flatnonzero(np.abs(wave) > AUDIBLE * np.abs(wave).max())
    return wave[sound[0] : sound[-1] + 1]


@cache
def _resampler() -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(espeak_synthesis.SAMPLE_RATE, SAMPLE_RATE)
