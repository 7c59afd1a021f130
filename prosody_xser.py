"""What a voice does in one recording, measured: pitch, loudness, rate, intonation, pauses, voice quality.

NumPy alone; a second of sound takes a few milliseconds on one core. Nothing here knows words, speakers or levels.

Shapes: S samples, T frames (one every 10 ms), W samples of a window, L lags, K candidates, P pulses.

Sources:
    [1] Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of
        a sampled sound", IFA Proceedings 17: autocorrelation over the window's own, candidates, costs of a path.
    [2] De Looze and Hirst (2008), "Detecting changes in key and range for the automatic modelling and coding of
        intonation", Speech Prosody: a second pass within a range that the first one tells.
    [3] De Jong and Wempe (2009), "Praat script to detect syllable nuclei and measure speech rate automatically",
        Behavior Research Methods 41(2): voiced peaks of intensity between dips.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SAMPLE_RATE = 16_000  # Hz
FRAME_SECONDS = 0.01
HOP = 160  # samples a frame
LEVEL_FLOOR = -100.0  # dB, where digital silence is put
SILENCE_DBFS = -80.0  # a recording whose loudest frame lies below holds no speech: 16 bits end at -98 dBFS

# Speech frames
CONTRAST = 10.0  # dB from noise floor to peak, below which nothing tells sound from noise
ABOVE_FLOOR, ABOVE_FLOOR_SHARE = 7.0, 0.3  # dB, or that share of the contrast where it is less
BELOW_PEAK = 35.0  # dB: weaker frames are no speech, however low the noise
PAUSE_SECONDS = 0.2  # longer silences are pauses, shorter ones stops and closures, part of the speech
CLEAR_PERIODICITY = 0.8  # of frames that are voice, whatever lies around them: 6 dB of harmonics over noise
CLICK_FRAMES = 3  # what stands alone and is no longer is no speech

# Pitch, by the names of [1]; the values were tuned on resynthesised speech (benchmarks/f0_accuracy.py)
PITCH_RATE = 8_000  # Hz: above 4 kHz there is more noise than periodicity
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
BLOCK_FRAMES = 1_000  # analysed at once, which bounds the memory

# What can be told from how much
MIN_PITCH_FRAMES = 4
MIN_RANGE_FRAMES = 20
MIN_CONTOUR_FRAMES = 12
MIN_RATE_SECONDS = 0.3
MIN_CYCLES = 8

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
MAX_PERIOD_RATIO, MAX_AMPLITUDE_RATIO = 1.3, 1.6  # of neighbouring cycles; beyond, one was missed (Praat's defaults)
MAX_HARMONICITY = 0.9999  # 40 dB


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
    errors and fits the window to the voice [2]. Speech frames are told by their energy, against the noise floor and
    the peak of the recording, and by clear periodicity (`_speech_frames`). All but `level` and `loudness` is the same
    at every gain.

    Args:
        wave: float (S,), 16 kHz mono, not normalised, without NaN; of any length, zero included.

    Raises:
        ValueError: the wave has more than one axis.
    """
    sound, gain = _scaled(wave)
    power = _frame_power(sound)
    level = _decibels(power)  # re the largest sample
    narrow = _decimate(sound)
    f0, strength = _track_speaker(narrow, len(level))
    audible = len(level) > 0 and level.max() + gain > SILENCE_DBFS
    clear = ~np.isnan(f0) & (strength >= CLEAR_PERIODICITY)
    speech = _speech_frames(level, clear) if audible else np.zeros(len(level), bool)
    f0 = np.where(speech, f0, np.nan).astype(np.float32)
    voiced = ~np.isnan(f0)
    octaves = np.log2(f0[voiced].astype(np.float64))
    pauses = [int(last - first) for first, last in _runs(~speech) if first > 0 and last < len(speech)]
    pitch, pitch_error = _pitch(12 * octaves)
    loudness, loudness_error = _loudness(power[speech])
    rate, rate_error = _rate(_nuclei(narrow, voiced), int(speech.sum()))
    jitter, shimmer, hnr_db = _voice_quality(sound, f0)
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
    sound, _ = _scaled(wave)
    return _track(_decimate(sound), -(-len(sound) // HOP), floor, ceiling)


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
    for first, last in _runs(~speech):
        if first > 0 and last < len(speech) and last - first <= round(PAUSE_SECONDS / FRAME_SECONDS):
            speech[first:last] = True
    for first, last in _runs(speech):
        if last - first <= CLICK_FRAMES:
            speech[first:last] = False
    return speech


def _scaled(wave) -> tuple[np.ndarray, float]:
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


def _runs(mask: np.ndarray) -> np.ndarray:
    """(T,) bool -> (runs, 2): where each run of True starts, and where it has ended."""
    edges = np.diff(mask.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges).reshape(-1, 2)


def _decimate(sound: np.ndarray) -> np.ndarray:
    """16 to 8 kHz by a half-band filter of 31 taps, whose even ones are zero but one: (S,) -> (ceil(S / 2),)."""
    if not len(sound):
        return sound
    odd = np.arange(-15, 16, 2)
    taps = np.sinc(odd / 2) * np.cos(np.pi * odd / 34) ** 2
    taps *= 0.5 / taps.sum()
    even_samples, odd_samples = sound[::2], np.append(sound[1::2], np.zeros(len(sound) % 2, np.float32))
    return even_samples / 2 + np.convolve(odd_samples, taps.astype(np.float32))[7 : 7 + len(even_samples)]


def _framed(sound: np.ndarray, num_frames: int, width: int) -> np.ndarray:
    """Windows at 8 kHz, centred on their frames, zeros beyond the ends: (S / 2,) -> (T, width), a view."""
    hop = HOP * PITCH_RATE // SAMPLE_RATE
    before = (width - hop) // 2
    padded = np.zeros(num_frames * hop + width, np.float32)
    padded[before : before + len(sound)] = sound
    return sliding_window_view(padded, width)[: num_frames * hop : hop]


def _hann(width: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(width) + 0.5) / width)).astype(np.float32)


def _track_speaker(narrow: np.ndarray, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Two passes: F0 (T,), periodicity (T,)."""
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
    frames = _framed(narrow, num_frames, round(PERIODS / floor * PITCH_RATE))[::step]
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
    oversampling = LAG_RATE // PITCH_RATE
    size = _fft_size(width + last // oversampling + 2)  # so that no lag wraps around
    windowed = frames - frames.mean(axis=1, keepdims=True)
    windowed *= _hann(width)
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
    curvature = np.where(
        found, np.minimum(left - 2 * top + right, -1e-7), -1
    )  # rounding can make a flat top of a peak
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
    """How many syllable nuclei: peaks of the vowels' band that are voiced or nearly, between dips of 2 dB [3]."""
    if not voiced.any():
        return 0
    width, size = 200, 256  # 25 ms
    frames = _framed(narrow, len(voiced), width)
    low, high = (round(edge * size / PITCH_RATE) for edge in NUCLEUS_BAND)
    window = _hann(width)
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
    for first, last in _runs(speech)[::-1]:
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


def _voice_quality(sound: np.ndarray, f0: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Local jitter and shimmer as shares, harmonics-to-noise ratio in dB, over neighbouring cycles.

    A cycle's length is the lag at which the sound around its pulse, a Hann window of 1.5 periods, best matches that
    around the next; its amplitude is the RMS there; the match r itself gives r / (1 - r), harmonics over noise ([1],
    equation 4).
    """
    runs = [pulses for run in _runs(~np.isnan(f0)) if len(pulses := _pulses(sound, f0, *run)) > 3]
    if sum(map(len, runs)) < MIN_CYCLES:
        return None, None, None
    periods, amplitudes, matches = zip(*(_cycles(sound, run) for run in runs), strict=True)
    jitter = _local_change(periods, MAX_PERIOD_RATIO)
    shimmer = _local_change(amplitudes, MAX_AMPLITUDE_RATIO)
    match = np.clip(np.concatenate(matches), 1 - MAX_HARMONICITY, MAX_HARMONICITY)
    return jitter, shimmer, float(np.mean(10 * np.log10(match / (1 - match))))


def _local_change(runs, max_ratio: float) -> float | None:
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


__all__ = ["FRAME_SECONDS", "Prosody", "measure", "track_f0"]
