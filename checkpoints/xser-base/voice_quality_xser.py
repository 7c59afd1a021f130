"""Quality of a voice, cycle by cycle: jitter, shimmer and the harmonics-to-noise ratio. NumPy alone.

Shapes: S samples, T frames (one every 10 ms), P pulses, W samples of a window, L lags.

Source: [1] Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio
of a sampled sound", IFA Proceedings 17.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .frames_xser import FRAME_SECONDS, HOP, SAMPLE_RATE, runs_of

MIN_CYCLES = 8
MAX_PERIOD_RATIO, MAX_AMPLITUDE_RATIO = 1.3, 1.6  # of neighbouring cycles; beyond, one was missed (Praat's defaults)
MAX_HARMONICITY = 0.9999  # 40 dB


def voice_quality(sound: np.ndarray, f0: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Local jitter and shimmer as shares, harmonics-to-noise ratio in dB, over neighbouring cycles.

    A cycle's length is the lag at which the sound around its pulse, a Hann window of 1.5 periods, best matches that
    around the next; its amplitude is the RMS there; the match r itself gives r / (1 - r), harmonics over noise ([1],
    equation 4).
    """
    runs = [pulses for run in runs_of(~np.isnan(f0)) if len(pulses := _pulses(sound, f0, *run)) > 3]
    if sum(map(len, runs)) < MIN_CYCLES:
        return None, None, None
    periods, amplitudes, matches = zip(*(_cycles(sound, run) for run in runs), strict=True)
    jitter = _local_change(periods, MAX_PERIOD_RATIO)
    shimmer = _local_change(amplitudes, MAX_AMPLITUDE_RATIO)
    match = np.clip(np.concatenate(matches), 1 - MAX_HARMONICITY, MAX_HARMONICITY)
    return jitter, shimmer, float(np.mean(10 * np.log10(match / (1 - match))))


def _local_change(runs: Sequence[np.ndarray], max_ratio: float) -> float | None:
    """Mean difference of neighbours over the mean, without pairs that differ by more than `max_ratio`."""
    before, after = (np.concatenate([run[part] for run in runs]) for part in (slice(-1), slice(1, None)))
    kept = np.maximum(before, after) <= max_ratio * np.minimum(before, after)
    if kept.sum() < MIN_CYCLES - 1:
        return None
    return float(np.abs(before - after)[kept].mean() / ((before + after)[kept].mean() / 2))


def _pulses(sound: np.ndarray, f0: np.ndarray, first: int, last: int) -> np.ndarray:
    """Samples at which the glottis closes, about, in the voiced frames first..last: (P,).

    F0 integrates to a phase that passes a whole number once a cycle, at a place that is the same in every cycle; the
    largest sample nearby, in the direction in which the sound is more peaked, tells which.
    """
    centres = (np.arange(first, last) + 0.5) * HOP
    phase = np.concatenate(([0.0], np.cumsum((f0[first : last - 1] + f0[first + 1 : last]) / 2 * FRAME_SECONDS)))
    cycles = np.arange(math.floor(phase[-1]) + 1)
    at = np.interp(cycles, phase, centres)
    period = SAMPLE_RATE / np.interp(at, centres, f0[first:last])
    stretch = sound[first * HOP : last * HOP]
    sign = 1.0 if np.dot(stretch * stretch, stretch) >= 0 else -1.0
    offset = _largest_near(sign * sound, at, period / 2) - at
    turn = np.exp(2j * np.pi * offset / period)
    box = min(7, len(turn))
    smooth = np.convolve(turn, np.ones(box), mode="same")
    at = at + np.unwrap(np.angle(smooth)) / (2 * np.pi) * period
    return _largest_near(sign * sound, at, period / 4)


def _largest_near(sound: np.ndarray, at: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The largest sample within `reach` samples of each place: (P,), (P,) -> (P,) int."""
    steps = np.arange(-math.ceil(reach.max()), math.ceil(reach.max()) + 1)
    places = np.clip(np.rint(at).astype(int)[:, None] + steps, 0, len(sound) - 1)  # (P, W)
    values = np.where(np.abs(steps) <= reach[:, None], sound[places], -np.inf)
    return places[np.arange(len(at)), values.argmax(axis=1)]


def _cycles(sound: np.ndarray, pulses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Periods in samples, amplitudes and matches, of a cycle from each pulse but the last: (P - 1,) each."""
    nominal = np.diff(pulses)
    typical = int(np.median(nominal))
    reach, slack = typical * 3 // 4, max(typical // 8, 2)
    steps = np.arange(-reach, reach + 1)
    weight = np.cos(np.pi / 2 * steps / (reach + 1)) ** 2
    padded = np.pad(sound, 2 * (reach + slack)).astype(np.float64)
    start = pulses[:-1] + 2 * (reach + slack)
    here = padded[start[:, None] + steps]  # (P, W)
    wide = np.arange(-reach - slack, reach + slack + 1)
    next_cycle = padded[(start + nominal)[:, None] + wide]
    there, there_squared = (sliding_window_view(cycle, len(steps), axis=1) for cycle in (next_cycle, next_cycle**2))
    energy = (here**2) @ weight
    product = np.einsum("pw,plw->pl", here * weight, there)  # (P, L, W) -> (P, L), without copies of the views
    product /= np.sqrt(np.maximum(energy[:, None] * np.einsum("w,plw->pl", weight, there_squared), 1e-30))
    best = np.clip(product.argmax(axis=1), 1, product.shape[1] - 2)
    left, top, right = (product[np.arange(len(best)), best + offset] for offset in (-1, 0, 1))
    shift = np.clip((left - right) / (2 * np.minimum(left - 2 * top + right, -1e-9)), -0.5, 0.5)
    return nominal + best - slack + shift, np.sqrt(energy / weight.sum()), top - (left - right) * shift / 4


__all__ = ["voice_quality"]
