"""A recording cut into frames of 10 ms, and into stretches of them. NumPy alone.

Shapes: S samples at 16 kHz, T frames, W samples of a window.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SAMPLE_RATE = 16_000  # Hz
NARROW_RATE = 8_000  # Hz: above 4 kHz there is more noise than voice
FRAME_SECONDS = 0.01
HOP = 160  # samples a frame
BLOCK_FRAMES = 1_000  # analysed at once, which bounds the memory
RUMBLE_HZ, RUMBLE_SHARE, RUMBLE_TAPS = 40.0, 0.2, 1_601  # what lies below is no voice; of the power, to take it away


def scaled(wave) -> tuple[np.ndarray, float]:
    """The wave about its mean with its largest sample at 1, float32 (S,), and the dB that were taken off."""
    wave = np.asarray(wave)
    if wave.ndim != 1:
        raise ValueError(f"a wave has one axis (samples, mono); this one has shape {wave.shape}")
    sound = wave.astype(np.float64)
    sound -= sound.mean() if len(sound) else 0.0
    largest = float(np.abs(sound).max()) if len(sound) else 0.0
    if largest < 1e-9:  # what is left of a constant is rounding
        return np.zeros(len(sound), np.float32), 0.0
    return (sound / largest).astype(np.float32), 20 * math.log10(largest)


def has_rumble(sound: np.ndarray) -> bool:
    """Whether much of a sound's power lies below all voices, as that of wind, handling or a drifting offset does."""
    width = 2 * HOP
    blocks = sound[: len(sound) // width * width].reshape(-1, width).mean(axis=1)
    return len(blocks) > 0 and float(blocks.var()) > RUMBLE_SHARE * float(sound.var())


def without_rumble(sound: np.ndarray) -> np.ndarray:
    """(S,) less what lies below `RUMBLE_HZ`."""
    steps = np.arange(RUMBLE_TAPS) - RUMBLE_TAPS // 2
    taps = np.sinc(2 * RUMBLE_HZ / SAMPLE_RATE * steps) * np.hamming(RUMBLE_TAPS)
    reach = RUMBLE_TAPS // 2
    below = np.convolve(np.pad(sound, reach, mode="edge"), (taps / taps.sum()).astype(np.float32), mode="valid")
    return sound - below


def decimate(sound: np.ndarray) -> np.ndarray:
    """16 to 8 kHz by a half-band filter of 31 taps, whose even ones are zero but one: (S,) -> (ceil(S / 2),)."""
    if not len(sound):
        return sound
    odd = np.arange(-15, 16, 2)
    taps = np.sinc(odd / 2) * np.cos(np.pi * odd / 34) ** 2
    taps *= 0.5 / taps.sum()
    even_samples, odd_samples = sound[::2], np.append(sound[1::2], np.zeros(len(sound) % 2, np.float32))
    return even_samples / 2 + np.convolve(odd_samples, taps.astype(np.float32))[7 : 7 + len(even_samples)]


def framed(sound: np.ndarray, num_frames: int, width: int) -> np.ndarray:
    """Windows at 8 kHz, centred on their frames, zeros beyond the ends: (S / 2,) -> (T, width), a view."""
    hop = HOP * NARROW_RATE // SAMPLE_RATE
    before = (width - hop) // 2
    sound, before = sound[max(-before, 0) :], max(before, 0)  # a window shorter than the hop begins within it
    padded = np.zeros(num_frames * hop + width, np.float32)
    padded[before : before + len(sound)] = sound
    return sliding_window_view(padded, width)[: num_frames * hop : hop]


def hann(width: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(width) + 0.5) / width)).astype(np.float32)


def runs_of(mask: np.ndarray) -> np.ndarray:
    """(T,) bool -> (runs, 2): where each run of True starts, and where it has ended."""
    edges = np.diff(mask.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges).reshape(-1, 2)


__all__ = [
    "BLOCK_FRAMES", "FRAME_SECONDS", "HOP", "NARROW_RATE", "SAMPLE_RATE", "decimate", "framed", "hann",
    "has_rumble", "runs_of", "scaled", "without_rumble",
]  # fmt: skip
