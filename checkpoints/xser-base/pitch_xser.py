"""Fundamental frequency of a voice, tracked by autocorrelation. NumPy alone.

Shapes: S samples, T frames (one every 10 ms), L lags, K candidates.

Sources:
    [1] Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of
        a sampled sound", IFA Proceedings 17: autocorrelation over the window's own, candidates, costs of a path.
    [2] De Looze and Hirst (2008), "Detecting changes in key and range for the automatic modelling and coding of
        intonation", Speech Prosody: a second pass within a range that the first one tells.
"""

import math

import numpy as np

from .frames_xser import BLOCK_FRAMES, HOP, NARROW_RATE, decimate, framed, hann, scaled

# By the names of [1]; the values were tuned on resynthesised speech (benchmarks/f0_accuracy.py)
LAG_RATE = 16_000  # Hz: lags are finer than samples, so that a parabola fits a peak at 600 Hz
WIDE_RANGE = (50.0, 600.0)  # Hz, of the first pass
SPEAKER_RANGE = (0.5, 2.5)  # times the first pass' median, of the second; surprise rises by more than an octave
PERIODS = 3  # of the lowest pitch in a window
CANDIDATES = 8  # a frame
VOICING_THRESHOLD = 0.5  # periodicity at which a frame is as likely voiced as not
SILENCE_THRESHOLD = 0.03  # amplitude over that of the loudest frame; weaker frames are rather unvoiced
OCTAVE_COST = 0.02  # an octave: of two equal peaks the shorter lag is the period
OCTAVE_JUMP_COST = 0.5  # an octave between neighbouring frames
VOICING_COST = 0.2  # of a change between voiced and unvoiced


def track_f0(wave: np.ndarray, floor: float = 55.0, ceiling: float = 500.0) -> tuple[np.ndarray, np.ndarray]:
    """Fundamental frequency by autocorrelation, in one pass [1].

    A frame's autocorrelation is divided by that of its window; its peaks are candidates, an unvoiced one is added, and
    the Viterbi algorithm finds the path that costs least in weak candidates, jumps and changes of voicing.

    Args:
        wave: float (S,), 16 kHz mono.
        floor, ceiling: Hz, of what is looked for.

    Returns:
        F0 in Hz, (T,) float32, NaN where unvoiced; periodicity in 0..1, (T,) float32.

    Raises:
        ValueError: the wave has more than one axis, or the range is empty or beyond 20 to 2,000 Hz.
    """
    if not 20 <= floor < ceiling <= 2_000:
        raise ValueError(f"F0 from {floor} to {ceiling} Hz: give floor < ceiling within 20 to 2000 Hz")
    sound, _ = scaled(wave)
    return _track(decimate(sound), -(-len(sound) // HOP), floor, ceiling)


def track_speaker(narrow: np.ndarray, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a sound at 8 kHz, in two passes, the second within the range of this voice [2]: F0 (T,), periodicity (T,)."""
    first_pass, _ = _track(narrow, num_frames, *WIDE_RANGE, step=2)
    voiced = first_pass[~np.isnan(first_pass)]
    floor, ceiling = WIDE_RANGE
    if len(voiced):
        median = float(np.median(voiced))
        floor, ceiling = max(SPEAKER_RANGE[0] * median, floor), min(SPEAKER_RANGE[1] * median, ceiling)
    return _track(narrow, num_frames, floor, ceiling)


def _track(
    narrow: np.ndarray, num_frames: int, floor: float, ceiling: float, step: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """`track_f0` of a sound at 8 kHz, in every `step`-th frame."""
    if not num_frames:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    frames = framed(narrow, num_frames, round(PERIODS / floor * NARROW_RATE))[::step]
    num_frames = len(frames)
    blocks = [
        _candidates(frames[start : start + BLOCK_FRAMES], floor, ceiling)
        for start in range(0, num_frames, BLOCK_FRAMES)
    ]
    hz, periodicity, energy = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    found = periodicity > 0  # (T, K)
    score = np.full((num_frames, CANDIDATES + 1), -np.inf)
    score[:, :-1][found] = (periodicity + OCTAVE_COST * np.log2(hz / floor))[found]
    amplitude = np.sqrt(energy / max(float(energy.max()), 1e-30))
    score[:, -1] = VOICING_THRESHOLD + np.maximum(0, 2 - amplitude * (1 + VOICING_THRESHOLD) / SILENCE_THRESHOLD)
    path = _best_path(np.log2(hz), score, step)
    voiced = path < CANDIDATES
    chosen = np.arange(num_frames), np.where(voiced, path, 0)
    f0 = np.where(voiced, hz[chosen], np.nan)
    strength = np.where(voiced, periodicity[chosen], periodicity.max(axis=1))
    return f0.astype(np.float32), strength.astype(np.float32)


def _candidates(frames: np.ndarray, floor: float, ceiling: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The highest peaks of each frame's autocorrelation over the window's own ([1], equation 9).

    Returns:
        hz (T, K); periodicity (T, K) in 0..1, 0 where there is no peak; energy (T,).
    """
    width = frames.shape[1]
    first, last = math.floor(LAG_RATE / ceiling), math.ceil(LAG_RATE / floor)
    oversampling = LAG_RATE // NARROW_RATE
    size = _fft_size(width + last // oversampling + 2)  # so that no lag wraps around
    windowed = frames - frames.mean(axis=1, keepdims=True)
    windowed *= hann(width)
    spectrum = np.fft.rfft(windowed, size)
    power = spectrum.real**2 + spectrum.imag**2
    correlation = np.fft.irfft(power, size * oversampling)[:, : last + 2]  # (T, L); the longer transform interpolates
    energy = correlation[:, 0]
    lags = np.arange(first - 1, last + 2)
    scale = _hann_autocorrelation(lags / (oversampling * width)) * np.where(energy > 0, energy, 1)[:, None]
    normalised = correlation[:, first - 1 :] / scale
    middle = normalised[:, 1:-1]
    peaks = (middle > normalised[:, :-2]) & (middle >= normalised[:, 2:]) & (middle > VOICING_THRESHOLD / 2)
    bonus = (OCTAVE_COST * np.log2(LAG_RATE / lags[1:-1] / floor)).astype(np.float32)
    ranked = np.where(peaks, middle + bonus, -np.inf)
    if ranked.shape[1] < CANDIDATES:
        ranked = np.pad(ranked, ((0, 0), (0, CANDIDATES - ranked.shape[1])), constant_values=-np.inf)
    best = np.argpartition(ranked, -CANDIDATES, axis=1)[:, -CANDIDATES:]  # (T, K)
    found = np.take_along_axis(ranked, best, axis=1) > -np.inf
    best = np.where(found, best, 0)
    left, top, right = (np.take_along_axis(normalised, best + offset, axis=1) for offset in (0, 1, 2))
    # rounding can make a flat top of a peak
    curvature = np.where(found, np.minimum(left - 2 * top + right, -1e-7), -1)
    shift = np.where(found, np.clip((left - right) / (2 * curvature), -0.5, 0.5), 0)  # of the parabola's top, in lags
    height = top - (left - right) * shift / 4
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)  # long lags overshoot [1]
    return LAG_RATE / (first + best + shift), np.where(found, height, 0), energy


def _fft_size(least: int) -> int:
    """The next power of two, or 5/8 or 3/4 of it."""
    power = 1 << (least - 1).bit_length()
    return min(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= least)


def _hann_autocorrelation(lag: np.ndarray) -> np.ndarray:
    """Of a Hann window, over its value at lag 0; lags in widths of the window ([1], equation 8)."""
    angle = 2 * np.pi * lag
    return ((1 - lag) * (2 / 3 + np.cos(angle) / 3) + np.sin(angle) / (2 * np.pi)).astype(np.float32)


def _best_path(octave: np.ndarray, score: np.ndarray, step: int) -> np.ndarray:
    """Viterbi: (T, K) log2 Hz, (T, K + 1) scores, the last of them unvoiced -> (T,) which candidate."""
    voicing, jumping = VOICING_COST / step, OCTAVE_JUMP_COST / step  # change is cheaper where there is more time
    num_frames, unvoiced = octave.shape
    previous = np.zeros(score.shape, np.intp)
    total = score[0]
    for start in range(1, num_frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, num_frames)
        cost = np.full((stop - start, unvoiced + 1, unvoiced + 1), voicing)  # (T, to, from)
        jump = octave[start:stop, :, None] - octave[start - 1 : stop - 1, None, :]
        np.multiply(np.abs(jump), jumping, out=cost[:, :-1, :-1])
        cost[:, -1, -1] = 0
        for frame in range(start, stop):
            reached = total - cost[frame - start]
            reached.argmax(axis=1, out=previous[frame])
            total = reached.max(axis=1) + score[frame]
    path = [int(total.argmax())]
    for row in previous[:0:-1].tolist():
        path.append(row[path[-1]])
    return np.array(path[::-1])


__all__ = ["SPEAKER_RANGE", "WIDE_RANGE", "track_f0", "track_speaker"]
