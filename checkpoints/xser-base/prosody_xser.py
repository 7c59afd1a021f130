"""What a voice does in one recording, measured: pitch, loudness, rate, intonation, pauses, voice quality.

NumPy alone; a second of sound takes a few milliseconds on one core. Nothing here knows words, speakers or levels.

Shapes: S samples, T frames (one every 10 ms).

Source: [1] De Jong and Wempe (2009), "Praat script to detect syllable nuclei and measure speech rate automatically",
Behavior Research Methods 41(2): voiced peaks of intensity between dips.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .filtering_xser import find_doubt
from .frames_xser import (
    BLOCK_FRAMES,
    FRAME_SECONDS,
    HOP,
    NARROW_RATE,
    SAMPLE_RATE,
    decimate,
    framed,
    hann,
    has_rumble,
    runs_of,
    scaled,
    without_rumble,
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
POSSIBLE_RATE = (0.8, 12.0)  # syllables a second: of 2,700 recordings of read speech the slowest had 1.0
POSSIBLE_PITCH = (55.0, 550.0)  # Hz: what lies at the ends of the tracker's range may lie beyond them

# Errors of measurement: of recordings that noise, a shift or cut edges disturb (benchmarks/measurement_error.py) about
# 68% deviate by less than one of them at 10 dB SNR, and more where there is less noise
EDGE_SECONDS = 0.05  # of voice, or of speech, that are missed or too many where it begins and ends
NOISE_SHARE = 0.3  # of the voice that noise as strong as the speech hides; goes with its amplitude
NOISE_POWERS = 3.0  # that noise adds to loudness: its own, and what goes with the weak frames that it hides
MIN_RANGE = 1.0  # semitones: a voice that moves less is not measured better
PITCH_SHARE, CONTOUR_SHARE = 1 / 3, 2.5  # of the error of the range: a median moves less, a difference of ends more
COUNT_ERROR = 0.5  # times sqrt(n), of n nuclei: about the mean bias against the syllables of nEMO's transcripts

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
        pitch, pitch_error: median F0 in semitones re 1 Hz (12 log2 Hz), and its error.
        pitch_hz: the same median in Hz.
        pitch_range, pitch_range_error: semitones from the 5th to the 95th percentile of F0, and its error.
        pitch_spread, pitch_spread_error: semitones from the 10th to the 90th percentile of F0, and its error. The few
            frames of creak that end a phrase, or of a wrong octave, move it less than `pitch_range`.
        loudness, loudness_error: RMS over speech frames, about the mean, in dBFS, and its error in dB.
        rate, rate_error: syllable nuclei a second of speech, counted in the signal, and its error.
        text_rate, text_rate_error: the same by a transcript, and its error. `measure`, which has none, leaves them
            None; `rate_xser.with_text_rate` fills them in.
        text_fits: whether that transcript can be what is said here; None without one.
        contour, contour_error: semitones relative to `pitch` at five points from start to end of the voiced part of
            the last phrase, and the error of the difference of two of them.
        pauses, pause_seconds: silences of more than 0.2 s within the speech: how many, and how long together.
        jitter, shimmer: mean difference of neighbouring cycles' lengths and amplitudes, as a share of their means.
        hnr_db: harmonics-to-noise ratio in dB, at most 40.

    An error is a standard error of measurement: how far the value would move for reasons that are not the voice, such
    as noise, of which there is no more than `snr_db` and `hnr_db` leave, and where speech is found to begin and end.
    How far another recording of the same voice would lie is another matter.
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
    pitch_range_error: float | None
    loudness: float | None
    loudness_error: float | None
    rate: float | None
    rate_error: float | None
    contour: tuple[float, ...] | None
    contour_error: float | None
    pauses: int
    pause_seconds: float
    jitter: float | None
    shimmer: float | None
    hnr_db: float | None
    text_rate: float | None = None
    text_rate_error: float | None = None
    text_fits: bool | None = None
    pitch_spread: float | None = None
    pitch_spread_error: float | None = None


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
    if has_rumble(sound):
        sound, loss = scaled(without_rumble(sound))
        gain += loss
    power = _frame_power(sound)
    level = _decibels(power)  # re the largest sample
    narrow = decimate(sound)
    f0, strength = track_speaker(narrow, len(level))
    audible = len(level) > 0 and level.max() + gain > SILENCE_DBFS
    clear = ~np.isnan(f0) & (strength >= CLEAR_PERIODICITY)
    speech = _speech_frames(level, clear) if audible else np.zeros(len(level), bool)
    f0 = np.where(speech, f0, np.nan).astype(np.float32)
    voiced = ~np.isnan(f0)
    pauses = [int(last - first) for first, last in runs_of(~speech) if first > 0 and last < len(speech)]
    speech_seconds = int(speech.sum()) * FRAME_SECONDS
    loudness = 10 * math.log10(power[speech].mean()) if speech.any() else None  # re the largest sample
    snr_db = None if loudness is None else max(loudness - _noise_floor(level), 0.0)
    jitter, shimmer, hnr_db = voice_quality(sound, f0)
    noise = 10 ** (-max(snr_db or 0.0, hnr_db or 0.0) / 20)  # at most: amplitude over that of the speech
    pitch = _pitch(f0[voiced], noise)
    has_range = len(f0[voiced]) >= MIN_RANGE_FRAMES
    contour = None if pitch.median is None else _contour(f0, strength, speech, pitch.median)
    doubt = find_doubt(sound, narrow, f0)
    nuclei = _nuclei(narrow, voiced) if speech_seconds >= MIN_RATE_SECONDS else 0
    return Prosody(
        duration=len(sound) / SAMPLE_RATE,
        speech_seconds=speech_seconds,
        voiced_seconds=int(voiced.sum()) * FRAME_SECONDS,
        f0=f0,
        strength=strength,
        level=np.maximum(level + gain, LEVEL_FLOOR).astype(np.float32),
        speech=speech,
        snr_db=snr_db,
        pitch=pitch.median,
        pitch_error=None if pitch.median is None else math.hypot(pitch.error, doubt.pitch),
        pitch_hz=None if pitch.median is None else 2 ** (pitch.median / 12),
        pitch_range=pitch.range if has_range else None,
        pitch_range_error=math.hypot(pitch.range_error, doubt.pitch_range) if has_range else None,
        loudness=None if loudness is None else loudness + gain,
        loudness_error=None
        if loudness is None
        else math.hypot(_loudness_error(speech_seconds, noise), doubt.loudness),
        rate=nuclei / speech_seconds if nuclei else None,
        rate_error=math.hypot(_rate_error(nuclei, speech_seconds, snr_db), doubt.rate) if nuclei else None,
        contour=contour,
        contour_error=None if contour is None else math.hypot(CONTOUR_SHARE * pitch.range_error, doubt.contour),
        pauses=len(pauses),
        pause_seconds=sum(pauses) * FRAME_SECONDS,
        jitter=jitter,
        shimmer=shimmer,
        hnr_db=hnr_db,
        pitch_spread=pitch.spread if has_range else None,
        pitch_spread_error=math.hypot(pitch.spread_error, doubt.pitch_range) if has_range else None,
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


class _Pitch(NamedTuple):
    """Of the voiced frames, in semitones: median, 5th to 95th and 10th to 90th percentile, and the error of each."""

    median: float | None = None
    range: float | None = None
    spread: float | None = None
    error: float | None = None
    range_error: float | None = None
    spread_error: float | None = None


def _pitch(f0: np.ndarray, noise: float) -> _Pitch:
    """Measure the pitch of voiced frames (T,) Hz; nothing is known of too few.

    The share of them that are missed at edges and in noise, or are too many, moves a percentile by as large a share of
    the range, if those frames lie on one side of it; the median by what lies between it and its neighbours, which is
    more where a voice falls into a low and a high part.
    """
    if len(f0) < MIN_PITCH_FRAMES:
        return _Pitch()
    share = math.hypot(EDGE_SECONDS / (len(f0) * FRAME_SECONDS), NOISE_SHARE * noise)
    around = 50 * min(share, 0.9)
    semitones = 12 * np.log2(f0.astype(np.float64))
    places = (5, 10, 50 - around, 50, 50 + around, 90, 95)
    lowest, low, below, median, above, high, highest = map(float, np.percentile(semitones, places))
    range_error, spread_error = (share * max(extent, MIN_RANGE) for extent in (highest - lowest, high - low))
    error = max(PITCH_SHARE * range_error, (above - below) / 2)
    return _Pitch(median, highest - lowest, high - low, error, range_error, spread_error)


def _rate_error(nuclei: int, speech_seconds: float, snr_db: float | None) -> float:
    """In syllables a second: miscounted nuclei, and noise that is taken for speech, such as a hum in the pauses."""
    rate = nuclei / speech_seconds
    return math.hypot(COUNT_ERROR * math.sqrt(nuclei) / speech_seconds, rate * 10 ** (-(snr_db or 0.0) / 20))


def _loudness_error(speech_seconds: float, noise: float) -> float:
    """In dB: silence taken for speech, or speech for silence, changes the mean power, and so does noise."""
    return 10 / math.log(10) * math.hypot(EDGE_SECONDS / speech_seconds, NOISE_POWERS * noise**2)


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


__all__ = ["POSSIBLE_PITCH", "POSSIBLE_RATE", "Prosody", "measure"]
