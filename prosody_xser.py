"""What a voice does in one recording, measured: pitch, loudness, rate, intonation, pauses, voice quality.

NumPy alone; a second of sound takes a few milliseconds on one core. Nothing here knows words, speakers or levels.

Shapes: S samples, T frames (one every 10 ms).

Source: [1] De Jong and Wempe (2009), "Praat script to detect syllable nuclei and measure speech rate automatically",
Behavior Research Methods 41(2): voiced peaks of intensity between dips.
"""

import math
from dataclasses import dataclass

import numpy as np

from .frames_xser import (
    BLOCK_FRAMES,
    FRAME_SECONDS,
    HOP,
    NARROW_RATE,
    SAMPLE_RATE,
    decimate,
    framed,
    hann,
    runs_of,
    scaled,
)
from .pitch_xser import track_speaker
from .voice_quality_xser import voice_quality

LEVEL_FLOOR = -100.0  # dB, where digital silence is put
SILENCE_DBFS = -80.0  # a recording whose loudest frame lies below holds no speech: 16 bits end at -98 dBFS

# Speech frames
CONTRAST = 10.0  # dB from noise floor to peak, below which nothing tells sound from noise
ABOVE_FLOOR, ABOVE_FLOOR_SHARE = 7.0, 0.3  # dB, or that share of the contrast where it is less
BELOW_PEAK = 35.0  # dB: weaker frames are no speech, however low the noise
PAUSE_SECONDS = 0.2  # longer silences are pauses, shorter ones stops and closures, part of the speech
CLEAR_PERIODICITY = 0.8  # of frames that are voice, whatever lies around them: 6 dB of harmonics over noise
CLICK_FRAMES = 3  # what stands alone and is no longer is no speech

# What can be told from how much
MIN_PITCH_FRAMES = 4
MIN_RANGE_FRAMES = 20
MIN_CONTOUR_FRAMES = 12
MIN_RATE_SECONDS = 0.3

# Standard errors. Neighbouring frames say nearly the same, so a stretch of them counts as one observation. On nEMO,
# two halves of a recording (stretches of 0.3 s in turn) differ by 0.9 of this error in pitch and 1.2 in loudness.
PITCH_UNIT_SECONDS = 0.1
LOUDNESS_UNIT_SECONDS = 0.2
COUNT_ERROR = 0.5  # times sqrt(n), of n nuclei: against the syllables of nEMO's transcripts, speakers together

# Syllable nuclei
NUCLEUS_BAND = (300.0, 2_500.0)  # Hz: where vowels are strong, and voice bars and fricatives are not
NUCLEUS_SMOOTHING = 2.0  # frames, standard deviation
NUCLEUS_DIP = 2.0  # dB, on either side
NUCLEUS_VOICING = 4  # frames: a voiced one has to be as near; creaky vowels are voiced in part
NUCLEUS_BELOW_PEAK = 28.0  # dB

CONTOUR_POINTS = 5


@dataclass(frozen=True)
class Prosody:
    """One recording, measured; None where it cannot be told. Frame t is centred at (t + 0.5) · 10 ms.

    Attributes:
        duration, speech_seconds, voiced_seconds: seconds; speech includes gaps of up to 0.2 s.
        f0: (T,) float32 Hz, NaN where unvoiced.
        strength: (T,) float32 periodicity in 0..1.
        level: (T,) float32 RMS about the mean in dBFS, at least -100.
        speech: (T,) bool, speech frames.
        snr_db: RMS of speech frames over the noise floor, in dB; a lower bound where the recording has no pause.
        pitch, pitch_error: median F0 in semitones re 1 Hz (12 log2 Hz), and its standard error.
        pitch_hz: the same median in Hz.
        pitch_range: semitones from the 5th to the 95th percentile of F0.
        loudness, loudness_error: RMS over speech frames, about the mean, in dBFS, and its standard error in dB.
        rate, rate_error: syllable nuclei a second of speech, counted in the signal, and its standard error.
        contour: semitones relative to `pitch` at five points from start to end of the voiced part of the last phrase.
        pauses, pause_seconds: silences of more than 0.2 s within the speech: how many, and how long together.
        jitter, shimmer: mean difference of neighbouring cycles' lengths and amplitudes, as a share of their means.
        hnr_db: harmonics-to-noise ratio in dB, at most 40.
    """

    duration: float
    speech_seconds: float
    voiced_seconds: float
    f0: np.ndarray
    strength: np.ndarray
    level: np.ndarray
    speech: np.ndarray
    snr_db: float | None
    pitch: float | None
    pitch_error: float | None
    pitch_hz: float | None
    pitch_range: float | None
    loudness: float | None
    loudness_error: float | None
    rate: float | None
    rate_error: float | None
    contour: tuple[float, ...] | None
    pauses: int
    pause_seconds: float
    jitter: float | None
    shimmer: float | None
    hnr_db: float | None


def measure(wave: np.ndarray) -> Prosody:
    """Measure one recording.

    F0 is tracked twice: from 50 to 600 Hz, then within half to 2.5 times the median found, which undoes most octave
    errors and fits the window to the voice (`pitch_xser`). Speech frames are told by their energy, against the noise
    floor and the peak of the recording, and by clear periodicity (`_speech_frames`). All but `level` and `loudness`
    is the same at every gain.

    Args:
        wave: float (S,), 16 kHz mono, not normalised, without NaN; of any length, zero included.

    Raises:
        ValueError: the wave has more than one axis.
    """
    sound, gain = scaled(wave)
    power = _frame_power(sound)
    level = _decibels(power)  # re the largest sample
    narrow = decimate(sound)
    f0, strength = track_speaker(narrow, len(level))
    audible = len(level) > 0 and level.max() + gain > SILENCE_DBFS
    clear = ~np.isnan(f0) & (strength >= CLEAR_PERIODICITY)
    speech = _speech_frames(level, clear) if audible else np.zeros(len(level), bool)
    f0 = np.where(speech, f0, np.nan).astype(np.float32)
    voiced = ~np.isnan(f0)
    octaves = np.log2(f0[voiced].astype(np.float64))
    pauses = [int(last - first) for first, last in runs_of(~speech) if first > 0 and last < len(speech)]
    pitch, pitch_error = _pitch(12 * octaves)
    loudness, loudness_error = _loudness(power[speech])
    rate, rate_error = _rate(_nuclei(narrow, voiced), int(speech.sum()))
    jitter, shimmer, hnr_db = voice_quality(sound, f0)
    spread = np.percentile(12 * octaves, (5, 95)) if len(octaves) >= MIN_RANGE_FRAMES else None
    return Prosody(
        duration=len(sound) / SAMPLE_RATE,
        speech_seconds=int(speech.sum()) * FRAME_SECONDS,
        voiced_seconds=int(voiced.sum()) * FRAME_SECONDS,
        f0=f0,
        strength=strength,
        level=np.maximum(level + gain, LEVEL_FLOOR).astype(np.float32),
        speech=speech,
        snr_db=None if loudness is None else max(loudness - _noise_floor(level), 0.0),
        pitch=pitch,
        pitch_error=pitch_error,
        pitch_hz=None if pitch is None else 2 ** (pitch / 12),
        pitch_range=None if spread is None else float(spread[1] - spread[0]),
        loudness=None if loudness is None else loudness + gain,
        loudness_error=loudness_error,
        rate=rate,
        rate_error=rate_error,
        contour=None if pitch is None else _contour(f0, strength, speech, pitch),
        pauses=len(pauses),
        pause_seconds=sum(pauses) * FRAME_SECONDS,
        jitter=jitter,
        shimmer=shimmer,
        hnr_db=hnr_db,
    )


def _speech_frames(level: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Which frames are speech: (T,) dB, (T,) clearly periodic -> (T,) bool.

    Speech lies at most 35 dB below the peak (what 0.1 s exceed), and above the noise floor (the 10th percentile of the
    frames that are not digital silence) by 7 dB, or by 0.3 of the distance from there to the peak where that is less.
    The latter is not asked of clearly periodic frames, for a recording without pauses shows no noise floor, nor where
    peak and floor are less than 10 dB apart. Gaps of up to 0.2 s are closures and count as speech; clicks that stand
    alone do not.
    """
    peak, floor = _peak(level), _noise_floor(level)
    speech = level > max(peak - BELOW_PEAK, LEVEL_FLOOR)
    if peak - floor >= CONTRAST:
        speech &= clear | (level > floor + min(ABOVE_FLOOR, ABOVE_FLOOR_SHARE * (peak - floor)))
    for first, last in runs_of(~speech):
        if first > 0 and last < len(speech) and last - first <= round(PAUSE_SECONDS / FRAME_SECONDS):
            speech[first:last] = True
    for first, last in runs_of(speech):
        if last - first <= CLICK_FRAMES:
            speech[first:last] = False
    return speech


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 10 ** (LEVEL_FLOOR / 10)))


def _frame_power(sound: np.ndarray) -> np.ndarray:
    """(S,) -> (T,) mean power of 30 ms around each frame, weighted 1, 2, 1 by 10 ms; a constant has no power."""
    num_frames = -(-len(sound) // HOP)
    if not num_frames:
        return np.zeros(0)
    missing = num_frames * HOP - len(sound)
    blocks = np.pad(sound, (0, missing), mode="edge").reshape(num_frames, HOP).astype(np.float64)
    sums = np.einsum("tw,tw->t", blocks, blocks)
    sums[-1] -= missing * blocks[-1, -1] ** 2
    sums[blocks.max(axis=1) == blocks.min(axis=1)] = 0.0
    counts = np.full(num_frames, float(HOP))
    counts[-1] -= missing
    kernel = np.array([1.0, 2.0, 1.0])
    return np.convolve(sums, kernel)[1:-1] / np.convolve(counts, kernel)[1:-1]


def _peak(level: np.ndarray) -> float:
    """What 0.1 s of the frames exceed, in dB."""
    return float(np.sort(level)[-min(len(level), 10)])


def _noise_floor(level: np.ndarray) -> float:
    """10th percentile of the frames that are not digital silence, in dB."""
    sounding = level[level > LEVEL_FLOOR]
    return float(np.percentile(sounding, 10)) if len(sounding) else LEVEL_FLOOR


def _pitch(semitones: np.ndarray) -> tuple[float | None, float | None]:
    """Median, and its standard error by the spread of the frames and how many say something of their own."""
    if len(semitones) < MIN_PITCH_FRAMES:
        return None, None
    low, median, high = np.percentile(semitones, (15.87, 50, 84.13))
    independent = max(len(semitones) * FRAME_SECONDS / PITCH_UNIT_SECONDS, 1)
    return float(median), float(math.sqrt(math.pi / 2) * max((high - low) / 2, 0.1) / math.sqrt(independent))


def _loudness(power: np.ndarray) -> tuple[float | None, float | None]:
    """RMS in dB, and its standard error by the spread of stretches about as long as a syllable."""
    if not len(power):
        return None, None
    mean = float(power.mean())
    stretches = max(round(len(power) * FRAME_SECONDS / LOUDNESS_UNIT_SECONDS), 1)
    means = np.array([part.mean() for part in np.array_split(power, stretches)])
    spread = means.std(ddof=1) / mean if stretches > 1 else 1.0
    return 10 * math.log10(mean), float(10 / math.log(10) * spread / math.sqrt(stretches))


def _nuclei(narrow: np.ndarray, voiced: np.ndarray) -> int:
    """How many syllable nuclei: peaks of the vowels' band that are voiced or nearly, between dips of 2 dB [1]."""
    if not voiced.any():
        return 0
    width, size = 200, 256  # 25 ms
    frames = framed(narrow, len(voiced), width)
    low, high = (round(edge * size / NARROW_RATE) for edge in NUCLEUS_BAND)
    window = hann(width)
    amplitude = np.concatenate(
        [
            np.abs(np.fft.rfft(frames[start : start + BLOCK_FRAMES] * window, size)[:, low:high]).sum(axis=1)
            for start in range(0, len(voiced), BLOCK_FRAMES)
        ]
    )
    envelope = _smoothed(_decibels((amplitude / amplitude.max()) ** 2), NUCLEUS_SMOOTHING)
    peak = np.zeros(len(envelope), bool)
    peak[1:-1] = (envelope[1:-1] > envelope[:-2]) & (envelope[1:-1] >= envelope[2:])
    near_voiced = np.convolve(voiced, np.ones(2 * NUCLEUS_VOICING + 1))[NUCLEUS_VOICING:-NUCLEUS_VOICING] > 0
    peak &= near_voiced & (envelope > envelope.max() - NUCLEUS_BELOW_PEAK)
    nuclei: list[int] = []
    for at in np.flatnonzero(peak).tolist():
        dip = min(envelope[at], envelope[nuclei[-1]]) - envelope[nuclei[-1] : at].min() if nuclei else math.inf
        if dip >= NUCLEUS_DIP:
            nuclei.append(at)
        elif envelope[at] > envelope[nuclei[-1]]:
            nuclei[-1] = at
    return len(nuclei)


def _smoothed(values: np.ndarray, deviation: float) -> np.ndarray:
    """(T,) by a Gaussian; the ends are continued."""
    reach = math.ceil(3 * deviation)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def _rate(nuclei: int, speech: int) -> tuple[float | None, float | None]:
    """Nuclei a second of `speech` frames, and its standard error."""
    seconds = speech * FRAME_SECONDS
    if not nuclei or seconds < MIN_RATE_SECONDS:
        return None, None
    return nuclei / seconds, COUNT_ERROR * math.sqrt(nuclei) / seconds


def _contour(f0: np.ndarray, strength: np.ndarray, speech: np.ndarray, pitch: float) -> tuple[float, ...] | None:
    """Five points of the last phrase that has enough voiced frames; a phrase is speech between pauses.

    Each is the value of a straight line, fitted by least squares to the voiced frames around it, the near and the
    periodic ones with more weight: that smooths, bridges unvoiced frames, and does not flatten the ends.
    """
    for first, last in runs_of(speech)[::-1]:
        frames = first + np.flatnonzero(~np.isnan(f0[first:last]))
        if len(frames) < MIN_CONTOUR_FRAMES:
            continue
        semitones = 12 * np.log2(f0[frames].astype(np.float64)) - pitch
        points = np.linspace(frames[0], frames[-1], CONTOUR_POINTS)
        distances = (frames - points[:, None]) / (points[1] - points[0])  # (5, frames)
        return tuple(float(_local_line(distance, semitones, strength[frames] ** 4)) for distance in distances)
    return None


def _local_line(distance: np.ndarray, value: np.ndarray, trust: np.ndarray) -> float:
    """Value at distance 0 of a line fitted under Gaussian weights (Cleveland 1979, locally weighted regression)."""
    weight = trust * (np.exp(-2 * distance**2) + 1e-6)  # the rest keeps the fit defined in the middle of a long gap
    weight /= weight.sum()
    mean_distance, mean_value = weight @ distance, weight @ value
    centred = distance - mean_distance
    slope = weight @ (centred * (value - mean_value)) / (weight @ centred**2 + 0.01)  # a ridge, for few frames
    return mean_value - slope * mean_distance


__all__ = ["Prosody", "measure"]
