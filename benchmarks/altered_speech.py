"""Recordings of speech, altered as users' recordings are: noise, rooms, telephones, whispering, pieces, long silence.

Every function takes a wave (S,) at 16 kHz and a generator, and returns another, not always as long.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import butter, fftconvolve, lfilter, resample_poly, sosfilt

from xser.frames_xser import HOP
from xser.pitch_xser import track_f0

RATE = 16_000  # Hz
TRACT_WINDOW, TRACT_HOP, TRACT_ORDER = 512, 128, 18


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0


def speech_rms(wave: np.ndarray) -> float:
    """Of the frames of 20 ms that are at most 30 dB below the loudest."""
    powers = np.square(wave[: len(wave) // 320 * 320], dtype=np.float64).reshape(-1, 320).mean(1)
    return float(np.sqrt(powers[powers > powers.max() / 1_000].mean()))


def with_noise(wave: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`noise` (S,) added so far below the speech."""
    return wave + noise * (speech_rms(wave) / max(rms(noise), 1e-12) * 10 ** (-snr_db / 20))


def babble(voices: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """Several other recordings at once, each as loud."""
    sound = np.zeros(count)
    for voice in voices:
        sound += np.roll(np.resize(voice / max(rms(voice), 1e-9), count), int(rng.integers(count)))
    return sound


def band_limited(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """A telephone's band, or another, in Hz."""
    return sosfilt(butter(4, (low, high), "bandpass", fs=RATE, output="sos"), wave)


def reverberant(wave: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Echoes as strong as the voice itself, that fall by 60 dB in `seconds`."""
    time = np.arange(round(seconds * RATE)) / RATE
    echoes = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    echoes /= np.sqrt(np.square(echoes).sum())
    echoes[0] += 1
    return fftconvolve(wave, echoes)[: len(wave)]


def clipped(wave: np.ndarray, share: float) -> np.ndarray:
    """Amplified until that share of the samples that are not near silence is cut off."""
    size = np.abs(wave)
    limit = np.quantile(size[size > 0.05 * size.max()], 1 - share)
    return np.clip(wave, -limit, limit)


def at_pitch(wave: np.ndarray, factor: float) -> np.ndarray:
    """Pitch and formants times `factor`, as of a smaller speaker; as much faster."""
    return resample_poly(wave, 100, round(100 * factor))


def whispered(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise in place of the voice, through the same vocal tract."""
    return through_tract_of(wave, rng.standard_normal(len(wave)))


def with_voice_at(wave: np.ndarray, hertz: float, rng: np.random.Generator) -> np.ndarray:
    """The median pitch moved there, under the same formants: a voice raised in fear, or a lower one."""
    f0, _ = track_f0(wave)
    if np.isnan(f0).all():
        return wave
    moved = np.resize(np.repeat(f0 * (hertz / np.nanmedian(f0)), HOP), len(wave))
    is_voiced = ~np.isnan(moved)
    moved = np.where(is_voiced, moved, hertz)
    pulses = np.diff(np.floor(np.cumsum(moved) / RATE), prepend=0) * np.sqrt(RATE / moved)
    noise = rng.standard_normal(len(wave))
    return through_tract_of(wave, np.where(is_voiced, pulses + 0.1 * noise, noise))


def through_tract_of(wave: np.ndarray, source: np.ndarray) -> np.ndarray:
    """`source` (S,) in place of the voice: linear prediction, frame by frame."""
    window = np.hanning(TRACT_WINDOW + 1)[:-1]
    padded = np.pad(lfilter([1, -0.95], [1], wave), TRACT_WINDOW)
    frames = sliding_window_view(padded, TRACT_WINDOW)[::TRACT_HOP] * window
    sources = np.fft.rfft(sliding_window_view(np.pad(source, TRACT_WINDOW), TRACT_WINDOW)[::TRACT_HOP] * window)
    correlation = np.fft.irfft(np.square(np.abs(np.fft.rfft(frames, 2 * TRACT_WINDOW))))[:, : TRACT_ORDER + 1]
    correlation[:, 0] = 1.0001 * correlation[:, 0] + 1e-9
    lags = np.abs(np.subtract.outer(np.arange(TRACT_ORDER), np.arange(TRACT_ORDER)))
    taps = np.linalg.solve(correlation[:, lags], correlation[:, 1:, None])[..., 0]
    left = np.sqrt(np.maximum(correlation[:, 0] - (taps * correlation[:, 1:]).sum(1), 0))
    tract = np.fft.rfft(np.pad(-taps, ((0, 0), (1, 0)), constant_values=1.0), TRACT_WINDOW)
    pieces = np.fft.irfft(sources * left[:, None] / tract, TRACT_WINDOW) * window
    sound = np.zeros(len(padded))
    for number, piece in enumerate(pieces):
        sound[number * TRACT_HOP : number * TRACT_HOP + TRACT_WINDOW] += piece
    sound = lfilter([1], [1, -0.95], sound[TRACT_WINDOW : TRACT_WINDOW + len(wave)])
    return sound * (rms(wave) / max(rms(sound), 1e-12))


def excerpt(wave: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A piece that holds speech: among all pieces one of the louder half, by the energy within."""
    length = round(seconds * RATE)
    if len(wave) <= length:
        return wave
    energy = np.concatenate([[0], np.cumsum(np.square(wave, dtype=np.float64))])
    starts = np.arange(0, len(wave) - length + 1, 160)
    powers = energy[starts + length] - energy[starts]
    start = int(rng.choice(starts[powers >= max(np.median(powers), powers.max() / 10)]))
    return wave[start : start + length]


def in_silence(wave: np.ndarray, seconds: float, noise_db: float | None, rng: np.random.Generator) -> np.ndarray:
    """Somewhere within so much silence, digital or with noise so far below the speech."""
    count = max(round(seconds * RATE), len(wave))
    sound, start = np.zeros(count), int(rng.integers(count - len(wave) + 1))
    sound[start : start + len(wave)] = wave
    if noise_db is not None:
        sound += rng.standard_normal(count) * speech_rms(wave) * 10 ** (-noise_db / 20)
    return sound


def in_16_bits(wave: np.ndarray, dbfs: float) -> np.ndarray:
    """At that RMS, rounded as a file of 16 bits holds it."""
    return np.round(wave * (10 ** (dbfs / 20) / max(rms(wave), 1e-12)) * 32_768) / 32_768
