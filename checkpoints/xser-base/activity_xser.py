"""Whether a recording holds speech, or other sounds alone: noise, tones, clicks, hums, music.

Speech moves: its spectrum changes several times a second, from closed to open and from one vowel to the next, and its
harmonics glide, where those of music stay and jump. A window of 0.6 s is described by how its spectrum is shaped and
moves, and by how periodic and how steady its harmonics are; a network of one hidden layer (`activity_weights_xser`)
judges each window by that, and the recording by the windows that are most like speech. NumPy alone.

Shapes: S samples, T frames (one every 20 ms), F features of a frame, N windows, D statistics of a window.
"""

import math

import numpy as np

from .activity_weights_xser import HIDDEN_BIAS, HIDDEN_WEIGHT, MEAN, OUTPUT_BIAS, OUTPUT_WEIGHT, SCALE
from .frames_xser import HOP, NARROW_RATE, decimate, framed, hann, scaled

STEP = 2  # frames of `frames_xser` from one to the next
WINDOW, WINDOW_STEP = 30, 8  # frames
BELOW_PEAK = 40.0  # dB: weaker frames take no part in a window's statistics
FLOOR = 1e-6  # of the mean power: what is weaker is not seen
SHORT, SHORT_SIZE = 200, 256  # samples at 8 kHz: 25 ms for the shape of the spectrum, and its transform
LONG, LONG_SIZE = 512, 1_024  # 64 ms for single harmonics
NUM_BANDS, BAND_EDGES = 18, (80.0, 3_900.0)  # Hz
NUM_CEPSTRA = 9
HARMONICS = slice(3, 250)  # bins of 15.6 Hz
LOCAL = 9  # bins that a harmonic is held against
LATER = 3  # frames after which a steady harmonic is where it was
LAGS = np.arange(13, 101)  # samples at 8 kHz: 80 to 615 Hz
PERIODIC = 0.5  # autocorrelation
STEADY, GLIDING = 0.01, 0.12  # octaves that the period moves by in a frame
MEANS = (*range(1, NUM_CEPSTRA), *range(2 * NUM_CEPSTRA, 2 * NUM_CEPSTRA + 6))  # features whose mean counts
DEVIATIONS = slice(2 * NUM_CEPSTRA + 4)  # and whose standard deviation
LIMIT = 4.0  # standard deviations that a statistic counts for at most


def contains_speech(wave: np.ndarray) -> bool:
    """Whether there is speech anywhere in a recording: `speech_evidence` above 0.

    Args:
        wave: float (S,), 16 kHz mono, without NaN.
    """
    return speech_evidence(wave) > 0


def speech_evidence(wave: np.ndarray) -> float:
    """Log-odds for speech, of the windows of a recording that are most like it; the same at every gain.

    Args:
        wave: float (S,), 16 kHz mono, without NaN.

    Returns:
        Above 0 for speech; minus infinity where there is no sound at all.

    Raises:
        ValueError: the wave has more than one axis.
    """
    statistics = window_statistics(wave)
    if statistics is None:
        return -math.inf
    standard = np.clip((statistics - MEAN) / SCALE, -LIMIT, LIMIT)  # (N, D)
    evidence = np.tanh(standard @ HIDDEN_WEIGHT + HIDDEN_BIAS) @ OUTPUT_WEIGHT + OUTPUT_BIAS  # (N,)
    neighbours = np.convolve(evidence, np.ones(3))[1:-1] / np.convolve(np.ones(len(evidence)), np.ones(3))[1:-1]
    return float(neighbours.max())


def window_statistics(wave: np.ndarray) -> np.ndarray | None:
    """What windows of 0.6 s are judged by, (N, D): means and standard deviations over their frames that sound.

    A shorter recording is one window. `None` where there is no sound.
    """
    sound, _ = scaled(wave)
    power = float(np.mean(np.square(sound, dtype=np.float64))) if len(sound) else 0.0
    if not power:
        return None
    level, features = _frames(sound, power)
    width = min(WINDOW, len(level))
    starts = np.arange(0, len(level) - width + 1, WINDOW_STEP)
    if starts[-1] != len(level) - width:
        starts = np.append(starts, len(level) - width)

    def sums(values: np.ndarray) -> np.ndarray:  # (T, ...) -> (N, ...)
        total = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
        return total[starts + width] - total[starts]

    sounding = (level > level.max() - BELOW_PEAK * math.log(10) / 10).astype(float)
    count = sums(sounding)
    counted = np.maximum(count, 1)[:, None]
    mean = sums(features * sounding[:, None]) / counted
    deviation = np.sqrt(np.maximum(sums(np.square(features) * sounding[:, None]) / counted - mean**2, 0))
    loudness = np.log(sums(np.exp(level)) / width)
    own = np.stack(
        [count / width, np.full(len(starts), width / WINDOW), np.maximum(loudness - loudness.max(), -10)], 1
    )
    return np.concatenate([mean[:, MEANS], deviation[:, DEVIATIONS], own], axis=1)


def _frames(sound: np.ndarray, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Level in nepers of power (T,), and features (T, F): cepstra, their slopes, and what single harmonics do."""
    num_frames, narrow = -(-len(sound) // HOP), decimate(sound)
    short = np.abs(np.fft.rfft(framed(narrow, num_frames, SHORT)[::STEP] * hann(SHORT), SHORT_SIZE)) ** 2
    short = short.astype(np.float64) / (0.375 * SHORT)  # the power of a Hann window
    cepstra = np.log(short @ _BANDS + FLOOR * power) @ _COSINES
    slopes = np.zeros_like(cepstra)
    slopes[1:-1] = (cepstra[2:] - cepstra[:-2]) / 2
    long = framed(narrow, num_frames, LONG)[::STEP]
    spectrum = np.fft.rfft((long - long.mean(axis=1, keepdims=True)) * hann(LONG), LONG_SIZE)
    spectrum = spectrum.real**2 + spectrum.imag**2
    tones = _tones(np.log(spectrum[:, ::2] / (0.375 * LONG) + 0.1 * FLOOR * power)[:, HARMONICS])
    level = np.log(short.sum(axis=1) / (SHORT_SIZE / 2) + FLOOR * power)
    return level, np.concatenate([cepstra, slopes, tones, _periods(spectrum)], axis=1)


def _tones(spectrum: np.ndarray) -> np.ndarray:
    """How flat a log spectrum is, how far single harmonics stand out, and whether they stay: (T, bins) -> (T, 3)."""
    flatness = spectrum.mean(axis=1) - np.log(np.exp(spectrum).mean(axis=1))
    total = np.cumsum(np.pad(spectrum, ((0, 0), (LOCAL // 2 + 1, LOCAL // 2)), mode="edge"), axis=1)
    fine = spectrum - (total[:, LOCAL:] - total[:, :-LOCAL]) / LOCAL
    energy = np.square(fine).sum(axis=1) + 1e-3 * fine.shape[1]
    stays = np.zeros(len(fine))
    if len(fine) > LATER:
        stays[:-LATER] = (fine[:-LATER] * fine[LATER:]).sum(axis=1) / np.sqrt(energy[:-LATER] * energy[LATER:])
        stays[-LATER:] = stays[-LATER - 1]
    return np.stack([flatness, np.sqrt(energy / fine.shape[1]), stays], axis=1)


def _periods(spectrum: np.ndarray) -> np.ndarray:
    """How periodic, and whether the period stays or glides, by autocorrelation: (T, bins) -> (T, 3)."""
    correlation = np.fft.irfft(spectrum, LONG_SIZE)
    window = np.fft.irfft(np.abs(np.fft.rfft(hann(LONG), LONG_SIZE)) ** 2, LONG_SIZE)
    normalised = correlation[:, LAGS] / np.maximum(correlation[:, :1], 1e-20) * (window[0] / window[LAGS])
    periodicity = np.clip(normalised.max(axis=1), 0, 1)
    octaves = np.log2(LAGS[normalised.argmax(axis=1)])
    moves = np.abs(np.diff(octaves, prepend=octaves[:1]))
    is_periodic = periodicity > PERIODIC
    glides = is_periodic & (moves >= STEADY) & (moves < GLIDING)
    return np.stack([periodicity, is_periodic & (moves < STEADY), glides], axis=1)


def _mel_bands() -> np.ndarray:
    """(bins, bands) triangles of equal weight, evenly spaced in mel."""
    low, high = (2_595 * math.log10(1 + edge / 700) for edge in BAND_EDGES)
    edges = 700 * (10 ** (np.linspace(low, high, NUM_BANDS + 2) / 2_595) - 1)
    hertz = np.arange(SHORT_SIZE // 2 + 1)[:, None] * NARROW_RATE / SHORT_SIZE
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return triangles / triangles.sum(axis=0)


_BANDS = _mel_bands()
_COSINES = np.cos(np.pi / NUM_BANDS * (np.arange(NUM_BANDS)[:, None] + 0.5) * np.arange(NUM_CEPSTRA))
_COSINES *= np.where(np.arange(NUM_CEPSTRA), math.sqrt(2 / NUM_BANDS), math.sqrt(1 / NUM_BANDS))

__all__ = ["contains_speech", "speech_evidence", "window_statistics"]
