"""Recordings under harder conditions than those they were made in: noise, telephone, room, lossy codecs, clipping.

    python eval.py --model DIR --corpus espeak --condition "noise, 10 dB" --output results.json

A condition takes a wave (S,) float32 at 16 kHz and a seed, and gives one of the same length, dtype and, but for
clipping, about the same loudness. It is a function of both: the same seed gives the same wave.
"""

import io
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
import soundfile
import torch
from torchaudio.functional import mu_law_decoding, mu_law_encoding, resample

from xser.audio_xser import SAMPLE_RATE

Condition = Callable[[np.ndarray, int], np.ndarray]
AS_RECORDED = "as recorded"

TELEPHONE_BAND = (300.0, 3_400.0)  # Hz, ITU-T G.712
TELEPHONE_RATE, TELEPHONE_CODES = 8_000, 256  # Hz and values a sample, ITU-T G.711
REVERBERATION_SECONDS = 0.6  # in which a room's echoes fall by 60 dB: a large office
DIRECT_TO_REVERBERANT = 0.0  # dB: a microphone a few steps away
COMPRESSION = 0.9  # of the codec's range, 1 the strongest
CLIPPED_SHARE = 0.05  # of the samples that are not near silence


def _unchanged(wave: np.ndarray, seed: int) -> np.ndarray:
    return wave


def _noise(wave: np.ndarray, seed: int, snr_db: float) -> np.ndarray:
    """Stationary noise with the recording's own long-term spectrum, so that no band is spared."""
    spectrum = np.abs(np.fft.rfft(wave))
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(spectrum))
    noise = np.fft.irfft(spectrum * np.exp(1j * phase), len(wave))
    return _as_loud(wave, wave + noise * _rms(wave) / max(_rms(noise), 1e-12) * 10 ** (-snr_db / 20))


def _telephone(wave: np.ndarray, seed: int) -> np.ndarray:
    """300 to 3,400 Hz at 8 kHz, in 8 bits by the mu-law."""
    spectrum, hertz = np.fft.rfft(wave), np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    low, high = TELEPHONE_BAND
    band = 1 / np.sqrt((1 + (low / np.maximum(hertz, 1e-3)) ** 8) * (1 + (hertz / high) ** 16))
    narrow = resample(_tensor(np.fft.irfft(spectrum * band, len(wave))), SAMPLE_RATE, TELEPHONE_RATE)
    peak = narrow.abs().max().clamp(min=1e-9)
    coded = mu_law_decoding(mu_law_encoding(narrow / peak, TELEPHONE_CODES), TELEPHONE_CODES) * peak
    return _as_loud(wave, _fit(resample(coded, TELEPHONE_RATE, SAMPLE_RATE).numpy(), len(wave)))


def _room(wave: np.ndarray, seed: int) -> np.ndarray:
    """The sound, and echoes that decay: noise under an exponential (Polack's model of late reverberation)."""
    times = np.arange(round(REVERBERATION_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    echoes = np.random.default_rng(seed).standard_normal(len(times)) * 10 ** (-3 * times / REVERBERATION_SECONDS)
    echoes *= 10 ** (-DIRECT_TO_REVERBERANT / 20) / np.sqrt(np.square(echoes).sum())
    echoes[0] = 1.0
    size = len(wave) + len(echoes)
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(echoes, size), size)
    return _as_loud(wave, wet[: len(wave)])


def _codec(wave: np.ndarray, seed: int, container: str, subtype: str) -> np.ndarray:
    """To a lossy format and back, by libsndfile."""
    file = io.BytesIO()
    peak = max(float(np.abs(wave).max(initial=0.0)), 1e-9)
    soundfile.write(
        file, wave * (0.9 / peak), SAMPLE_RATE, format=container, subtype=subtype, compression_level=COMPRESSION
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return _as_loud(wave, _fit(_aligned(decoded, wave), len(wave)))


def _clipping(wave: np.ndarray, seed: int) -> np.ndarray:
    """Overdriven: the samples beyond the 95th percentile of the sounding ones are cut off."""
    sounding = np.abs(wave)[np.abs(wave) > 0.01 * np.abs(wave).max(initial=0.0)]
    limit = np.quantile(sounding, 1 - CLIPPED_SHARE) if len(sounding) else 0.0
    return np.clip(wave, -limit, limit).astype(np.float32)


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0


def _as_loud(wave: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """`changed` with the RMS of `wave`: louder would be another condition."""
    return (changed * (_rms(wave) / max(_rms(changed), 1e-12))).astype(np.float32)


def _fit(wave: np.ndarray, length: int) -> np.ndarray:
    return np.pad(wave, (0, max(length - len(wave), 0)))[:length]


def _aligned(decoded: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Without the delay that a codec has put in front: the lag of the largest cross-correlation."""
    size = len(decoded) + len(wave)
    correlation = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(wave, size)), size)
    return decoded[int(correlation[: max(len(decoded) - len(wave) + 1, 1)].argmax()) :]


def _tensor(wave: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))


def perturb(wave: np.ndarray, name: str, utterance: str) -> np.ndarray:
    """`wave` under the condition of that name, by a seed that is the utterance's own."""
    return CONDITIONS[name](wave, zlib.crc32(utterance.encode()))


CONDITIONS: dict[str, Condition] = {
    AS_RECORDED: _unchanged,
    **{f"noise, {snr_db} dB": partial(_noise, snr_db=snr_db) for snr_db in (20, 10, 0)},
    "telephone": _telephone,
    "room": _room,
    "MP3": partial(_codec, container="MP3", subtype="MPEG_LAYER_III"),
    "Opus": partial(_codec, container="OGG", subtype="OPUS"),
    "clipping": _clipping,
}
