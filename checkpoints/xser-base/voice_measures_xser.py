"""A recording's measured voice as one row of numbers: how pitch and loudness run, rate, pauses, voice quality, and how
its energy lies over frequency.

They are what the descriptors' levels are made of, statistics of the same curves, and of the spectrum. Relative to what
is usual for the speaker they say most of what can be said of a mood; relative to nobody in particular, mostly who
speaks.
"""

import math

import numpy as np

from .frames_xser import FRAME_SECONDS, runs_of
from .prosody_xser import CONTOUR_POINTS, LEVEL_FLOOR, Prosody
from .voice_spectrum_xser import ANY_SOUND, BALANCE, FRAME_NAMES, spectrum_frames

MEASURES = "measures"  # the auxiliary stream of these
PERCENTILES = (5, 20, 50, 80, 95)
CURVE = ("mean", "deviation", *(f"p{percent}" for percent in PERCENTILES), "steps", "step", "start", "middle", "end")
QUANTITIES = ("pitch_range", "rate", "jitter", "shimmer", "hnr_db", "pause_seconds", "snr_db")
SLOPES = ("rise", "rise_deviation", "fall", "fall_deviation")
RUNS = ("voiced_runs", "voiced_run", "voiced_run_deviation", "unvoiced_run", "unvoiced_run_deviation")
PROSODIC_NAMES = (
    *(f"pitch_{name}" for name in CURVE),  # semitones re 1 Hz, over voiced frames
    *(f"level_{name}" for name in CURVE),  # dBFS, over speech frames
    *("periodicity_mean", "periodicity_deviation", "voiced_share", "speech_share", "log_seconds"),
    *QUANTITIES,  # as `Prosody` has them
    *(f"contour_{point}" for point in range(CONTOUR_POINTS)),
)
# What levels are cut from: semitones re 1 Hz, dBFS, semitones
LEVEL_NAMES = ("pitch_median", "loudness", "pitch_spread")
SPECTRAL_NAMES = (
    *PROSODIC_NAMES,
    *(f"pitch_{name}" for name in SLOPES),  # semitones a second
    *(f"level_{name}" for name in SLOPES),  # dB a second
    *RUNS,  # a second of speech; seconds
    *(f"voiced_{name}" for name in FRAME_NAMES),  # means over voiced frames
    *(f"voiced_{name}_deviation" for name in FRAME_NAMES),
    *(f"unvoiced_{name}" for name in ANY_SOUND),  # means over the other speech frames
    *(f"loud_{name}" for name in BALANCE),  # mean over the loudest quarter of voiced frames, from that over all
)
NAMES = (*SPECTRAL_NAMES, *LEVEL_NAMES)
NUM_MEASURES = len(NAMES)
SIZES = (len(PROSODIC_NAMES), len(SPECTRAL_NAMES), NUM_MEASURES)  # of a stream of the first ones, or of all
LEVEL = NAMES.index("level_mean")
CONTOUR = slice(NAMES.index("contour_0"), NAMES.index("contour_0") + CONTOUR_POINTS)
SLOPE_FRAMES = 3  # of 10 ms, that a slope is averaged over
MIN_FRAMES = 5  # of 10 ms, to tell a curve by
SHRINKAGE = 5.0  # recordings that the usual deviation counts for beside a speaker's own
FARTHEST = 6.0  # deviations


def voice_measures(prosody: Prosody, wave: np.ndarray | None) -> np.ndarray:
    """(NUM_MEASURES,) float32 in the order of `NAMES`, NaN where it cannot be told.

    Args:
        wave: (S,) at 16 kHz, that `prosody` was measured of; `None` for the first (SIZES[0],) alone, those of
            `PROSODIC_NAMES`, which cost far less.
    """
    voiced = ~np.isnan(prosody.f0)
    periodicity = prosody.strength[voiced] if voiced.sum() >= MIN_FRAMES else np.full(1, np.nan)
    quantities = [math.nan if (value := getattr(prosody, name)) is None else value for name in QUANTITIES]
    parts = [
        _curve(12 * np.log2(prosody.f0[voiced])),
        _curve(prosody.level[prosody.speech]),
        [periodicity.mean(), periodicity.std()],
        [voiced.mean(), prosody.speech.mean(), math.log(prosody.duration)] if len(voiced) else [math.nan] * 3,
        quantities,
        [math.nan] * CONTOUR_POINTS if prosody.contour is None else prosody.contour,
    ]
    if wave is not None:
        parts += [
            _slopes(np.where(voiced, 12 * np.log2(prosody.f0), np.nan)),
            _slopes(np.where(prosody.speech & (prosody.level > LEVEL_FLOOR), prosody.level, np.nan)),
            _runs(voiced, prosody.speech),
            _spectrum(spectrum_frames(wave, prosody), voiced, prosody),
            _of_levels(prosody),
        ]
    row = np.concatenate(parts)
    return row.astype(np.float32)


def _curve(values: np.ndarray) -> np.ndarray:
    """The statistics of `CURVE` of (T,) values, percentiles and thirds from their mean."""
    if len(values) < MIN_FRAMES:
        return np.full(len(CURVE), np.nan)
    steps = np.diff(values)
    around = values - values.mean()
    percentiles, thirds = np.percentile(around, PERCENTILES), [part.mean() for part in np.array_split(around, 3)]
    return np.array([values.mean(), values.std(), *percentiles, steps.std(), np.abs(steps).mean(), *thirds])


def _of_levels(prosody: Prosody) -> list[float]:
    """The quantities of `LEVEL_NAMES`."""
    values = (prosody.pitch, prosody.loudness, prosody.pitch_spread)
    return [math.nan if value is None else value for value in values]


def _slopes(curve: np.ndarray) -> np.ndarray:
    """Mean and deviation of how fast (T,) values rise where they do, and of how fast they fall, a second."""
    steps = [
        np.convolve(np.diff(curve[first:last]), np.ones(SLOPE_FRAMES) / SLOPE_FRAMES, mode="valid") / FRAME_SECONDS
        for first, last in runs_of(~np.isnan(curve))
        if last - first > SLOPE_FRAMES
    ]
    slopes = np.concatenate(steps) if steps else np.zeros(0)
    return np.concatenate(
        [_mean_and_deviation(part[:, None]) for part in (slopes[slopes > 0], slopes[slopes < 0])]
    ).ravel()


def _runs(voiced: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Voiced stretches: how many a second of speech, mean and deviation of their seconds; of other speech."""
    seconds = [np.diff(runs_of(mask), axis=1) * FRAME_SECONDS for mask in (voiced, speech & ~voiced)]
    rate = len(seconds[0]) / (speech.sum() * FRAME_SECONDS) if speech.any() else math.nan
    each = [[run.mean(), run.std()] if len(run) else [math.nan] * 2 for run in seconds]
    return np.array([rate, *each[0], *each[1]])


def _spectrum(frames: np.ndarray, voiced: np.ndarray, prosody: Prosody) -> np.ndarray:
    """(T, len(FRAME_NAMES)) -> statistics of voiced, of other speech, and of loud frames."""
    over_voiced = _mean_and_deviation(frames[voiced])
    over_unvoiced = _mean_and_deviation(frames[prosody.speech & ~voiced, : len(ANY_SOUND)])[0]
    of_voiced = np.flatnonzero(voiced)
    loudest = of_voiced[np.argsort(prosody.level[of_voiced], kind="stable")][-max(len(of_voiced) // 4, MIN_FRAMES) :]
    over_loud = _mean_and_deviation(frames[loudest, : len(BALANCE)])[0]
    return np.concatenate([*over_voiced, over_unvoiced, over_loud - over_voiced[0, : len(BALANCE)]])


def _mean_and_deviation(frames: np.ndarray, least: int = MIN_FRAMES) -> np.ndarray:
    """(N, F) -> (2, F) over what is known; NaN where less than `least` is."""
    known = ~np.isnan(frames)
    count = known.sum(0)
    filled = np.where(known, frames, 0.0).astype(np.float64)
    mean = np.divide(filled.sum(0), count, out=np.full(frames.shape[1], np.nan), where=count >= least)
    square = np.where(known, (filled - mean) ** 2, 0.0).sum(0)
    deviation = np.sqrt(np.divide(square, count, out=np.full(frames.shape[1], np.nan), where=count >= least))
    return np.stack([mean, deviation])


def usual_measures(rows: np.ndarray, around_median: bool = False) -> np.ndarray:
    """(N, NUM_MEASURES) of one speaker's recordings -> (2, NUM_MEASURES) mean and deviation, NaN where unknown.

    Args:
        around_median: the median stands for the mean. Levels are relative to a speaker's median, too, from which the
            mean of a few shouted recordings may lie a level away.
    """
    statistics = _mean_and_deviation(rows, least=1)
    if around_median:
        known = ~np.isnan(statistics[0])
        statistics[0, known] = np.nanmedian(rows[:, known], axis=0)
    return statistics.astype(np.float32)


def relative_measures(
    row: np.ndarray, usual: np.ndarray, own: np.ndarray | None, num_recordings: int, knows_speaker: bool = True
) -> np.ndarray:
    """A row in deviations from what is usual, 0 where it cannot be told.

    Without statistics of the speaker the level measures a microphone's gain, and what comes after `PROSODIC_NAMES`
    measures a throat and a microphone rather than an emotion, or is a level of nobody: these are 0 then.

    Args:
        row: (M,), the first M of `voice_measures`.
        usual: (2, M) mean and deviation of the training data's speakers.
        own: the same of this speaker, whose deviation, told from few recordings, is drawn towards the usual one;
            `None` where the speaker is not known.
        num_recordings: that `own` was made of.
        knows_speaker: off where `own` stands for nobody, or for another voice.
    """
    mean, deviation = usual.astype(np.float64)
    if own is not None:
        own_mean, own_deviation = own.astype(np.float64)
        shrunk = shrunk_deviation(own_deviation, deviation, num_recordings)
        mean = np.where(np.isnan(own_mean), mean, own_mean)
        deviation = np.where(np.isnan(own_mean), deviation, shrunk)
    relative = (row - mean) / np.where(deviation > 0, deviation, np.nan)
    if not knows_speaker:
        relative[LEVEL] = 0.0
        relative[len(PROSODIC_NAMES) :] = 0.0
    return np.nan_to_num(np.clip(relative, -FARTHEST, FARTHEST)).astype(np.float32)


def shrunk_deviation(own, usual, num_recordings: int):
    """A speaker's deviation, told from few recordings, drawn towards everyone's."""
    return np.sqrt((num_recordings * own**2 + SHRINKAGE * usual**2) / (num_recordings + SHRINKAGE))


__all__ = [
    "CONTOUR",
    "LEVEL",
    "MEASURES",
    "NAMES",
    "NUM_MEASURES",
    "PROSODIC_NAMES",
    "SIZES",
    "relative_measures",
    "shrunk_deviation",
    "usual_measures",
    "voice_measures",
]
