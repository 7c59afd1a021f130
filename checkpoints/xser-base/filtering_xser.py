"""What a filter has taken from a voice, and how far its measurements may lie off for that. NumPy alone.

A telephone takes what lies below 300 Hz, and with it the fundamental of most voices. The tracker follows the distance
of the harmonics that are left, or takes the strongest of them for the fundamental: an octave or more too high. So
where the spectrum begins late or has a hole, or the fundamental is missing, or the pitch is very high, the pitch is
held against that of the envelope of 600 to 3,400 Hz, which beats with the distance of the harmonics there.

Shapes: S samples, T frames (one every 10 ms), N voiced frames, F bins.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .frames_xser import BLOCK_FRAMES, NARROW_RATE, SAMPLE_RATE, decimate, framed, hann
from .pitch_xser import track_speaker

WINDOW, FFT_SIZE = 400, 1_024  # samples at 8 kHz: 50 ms
EDGE_SHARE = 1e-4  # of the voiced frames' energy, that lies beyond an edge
LOWER_EDGE, UPPER_EDGE = 130.0, 2_000.0  # Hz: nine unfiltered voices in ten begin lower, and all end higher
HOLE_HZ, HOLE_DB = 1_500.0, 15.0  # a dip below that frequency; the deepest of unfiltered voices had 10 dB
NEAR_FUNDAMENTAL = 0.35  # of F0, on either side, where its peak is looked for
MISSING_DB = -25.0  # under the strongest bin
MISSING_SHARE = 0.05  # of the frames: the unfiltered voice with most had 4%
ODD, DOUBLED_SHARE = (1, 3, 5, 7), 0.5  # harmonics that are missing, in so many frames: half the pitch was tracked
VERY_HIGH = 400.0  # Hz: median pitch that is held against the envelope's in any case
ENVELOPE_BAND = (600.0, 3_400.0)  # Hz
ENVELOPE_TAPS = 127
MIN_FRAMES = 10  # that the envelope must tell a pitch in
UNKNOWN = 24.0  # semitones: two octaves, wider than any cut

# Errors of measurement that are added, set on real voices filtered steeply (benchmarks/filtered_voice.py)
PITCH_ERROR, RANGE_ERROR, CONTOUR_ERROR = 1.0, 8.0, 7.0  # semitones, where the fundamental or a band is missing
UPPER_SHARE = 0.03  # of the range of pitch, an octave that the spectrum ends below the upper edge
LOWER_DECIBELS, UPPER_DECIBELS, HOLE_DECIBELS = 3.3, 1.1, 3.5  # of loudness: an octave from the edges; of a hole
HOLE_SEMITONES = 1.6  # of pitch, where the fundamental may lie in a hole
NUCLEI_EDGE, RATE_ERROR = 300.0, 1.1  # Hz; syllables a second, an octave from there: syllables are counted above it


@dataclass(frozen=True)
class Doubt:
    """Standard errors that a filter adds to the measurements of a voice; none where there is no filter.

    Attributes:
        pitch, pitch_range, contour: semitones.
        loudness: dB.
        rate: syllables a second.
    """

    pitch: float = 0.0
    pitch_range: float = 0.0
    contour: float = 0.0
    loudness: float = 0.0
    rate: float = 0.0


def find_doubt(sound: np.ndarray, narrow: np.ndarray, f0: np.ndarray) -> Doubt:
    """How much less is known of a voice for what is missing of its spectrum.

    Args:
        sound: (S,) at 16 kHz, scaled.
        narrow: the same at 8 kHz.
        f0: (T,) Hz as it was tracked, NaN where unvoiced.
    """
    voiced = np.flatnonzero(~np.isnan(f0))
    if len(voiced) < MIN_FRAMES:
        return Doubt()
    spectrum, missing, doubled = _look(narrow, f0, voiced)
    lower, upper = _edges(spectrum)
    has_hole = _deepest_dip(spectrum, lower, float(np.median(f0[voiced]))) > HOLE_DB
    gap = max(float(has_hole), min(missing / MISSING_SHARE, 1.0))
    low, pitch, high = 12 * np.log2(np.percentile(f0[voiced].astype(np.float64), (5, 50, 95)))
    is_suspect = gap == 1 or lower > LOWER_EDGE or pitch > 12 * math.log2(VERY_HIGH)
    apart = _distance_of_envelope(sound, f0, pitch) if is_suspect else 0.0
    apart = UNKNOWN if doubled > DOUBLED_SHARE else apart
    weight = max(gap, apart if apart > PITCH_ERROR else 0.0)
    octaves_below, octaves_above = _octaves(lower, LOWER_EDGE), _octaves(UPPER_EDGE, upper)
    by_ceiling = UPPER_SHARE * (high - low) * octaves_above
    return Doubt(
        pitch=math.hypot(HOLE_SEMITONES if has_hole else PITCH_ERROR * gap, apart, by_ceiling),
        pitch_range=math.hypot(RANGE_ERROR * weight, 2 * by_ceiling),
        contour=CONTOUR_ERROR * weight,
        loudness=math.hypot(LOWER_DECIBELS * octaves_below, UPPER_DECIBELS * octaves_above, HOLE_DECIBELS * gap),
        rate=RATE_ERROR * _octaves(lower, NUCLEI_EDGE),
    )


def _octaves(high: float, low: float) -> float:
    """From `low` up to `high`, 0 where that lies below."""
    return math.log2(max(high / max(low, 1.0), 1.0))


@cache
def _hertz() -> np.ndarray:
    return np.fft.rfftfreq(FFT_SIZE, 1 / NARROW_RATE)


def _look(narrow: np.ndarray, f0: np.ndarray, voiced: np.ndarray) -> tuple[np.ndarray, float, float]:
    """(F,) power of the voiced frames together, the share of them without a fundamental, and of those without any
    odd harmonic, as a voice of twice the F0 that was tracked has none."""
    frames, window = framed(narrow, len(f0), WINDOW), hann(WINDOW)
    spectrum, missing, doubled = np.zeros(len(_hertz())), 0, 0
    for start in range(0, len(voiced), BLOCK_FRAMES):
        at = voiced[start : start + BLOCK_FRAMES]
        power = np.abs(np.fft.rfft(frames[at] * window, FFT_SIZE)) ** 2  # (N, F)
        spectrum += power.sum(0)
        fundamental = f0[at, None].astype(np.float64)
        is_weak = [
            np.where(np.abs(_hertz() - number * fundamental) < NEAR_FUNDAMENTAL * fundamental, power, 0).max(1)
            < 10 ** (MISSING_DB / 10) * power.max(1)
            for number in ODD
        ]
        missing += int(is_weak[0].sum())
        doubled += int(np.all(is_weak, axis=0).sum())
    return spectrum, missing / len(voiced), doubled / len(voiced)


def _edges(spectrum: np.ndarray) -> tuple[float, float]:
    """Where it begins and ends, in Hz."""
    share = np.cumsum(spectrum) / max(float(spectrum.sum()), 1e-30)
    lower, upper = np.searchsorted(share, (EDGE_SHARE, 1 - EDGE_SHARE))
    return float(_hertz()[lower]), float(_hertz()[min(upper, len(share) - 1)])


def _deepest_dip(spectrum: np.ndarray, lower: float, spacing: float) -> float:
    """In dB, between what lies on either side, from the lower edge to `HOLE_HZ`; not those between the harmonics."""
    reach = math.ceil(spacing / 2 / _hertz()[1])
    envelope = sliding_window_view(np.pad(spectrum, reach, mode="edge"), 2 * reach + 1).max(axis=1)
    decibels = 10 * np.log10(envelope + 1e-30)
    left, right = np.maximum.accumulate(decibels), np.maximum.accumulate(decibels[::-1])[::-1]
    within = (_hertz() >= lower) & (_hertz() < HOLE_HZ)
    return float((np.minimum(left, right) - decibels)[within].max(initial=0.0))


def _distance_of_envelope(sound: np.ndarray, f0: np.ndarray, pitch: float) -> float:
    """Semitones from the pitch to that of the envelope; `UNKNOWN` where that tells none."""
    envelope = np.abs(np.convolve(sound, _band_pass(), mode="same"))
    envelope -= envelope.mean()
    largest = float(np.abs(envelope).max(initial=0.0))
    if largest == 0:
        return UNKNOWN
    beats, _ = track_speaker(decimate((envelope / largest).astype(np.float32)), len(f0))
    beats = beats[~np.isnan(beats) & ~np.isnan(f0)]
    if len(beats) < MIN_FRAMES:
        return UNKNOWN
    return abs(12 * math.log2(float(np.median(beats))) - pitch)


@cache
def _band_pass() -> np.ndarray:
    """(ENVELOPE_TAPS,) of a windowed sinc."""
    steps = np.arange(ENVELOPE_TAPS) - ENVELOPE_TAPS // 2
    low, high = (2 * edge / SAMPLE_RATE for edge in ENVELOPE_BAND)
    taps = high * np.sinc(high * steps) - low * np.sinc(low * steps)
    return (taps * np.hamming(ENVELOPE_TAPS)).astype(np.float32)


__all__ = ["Doubt", "find_doubt"]
