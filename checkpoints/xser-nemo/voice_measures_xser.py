"""A recording's measured voice as one row of numbers: how pitch and loudness run, rate, pauses, voice quality.

They are what the descriptors' levels are made of, and statistics of the same curves. Relative to what is usual for the
speaker they say most of what can be said of a mood; relative to nobody in particular, mostly who speaks.
"""

import math

import numpy as np

from .prosody_xser import CONTOUR_POINTS, Prosody

MEASURES = "measures"  # the auxiliary stream of these
PERCENTILES = (5, 20, 50, 80, 95)
CURVE = ("mean", "deviation", *(f"p{percent}" for percent in PERCENTILES), "steps", "step", "start", "middle", "end")
QUANTITIES = ("pitch_range", "rate", "jitter", "shimmer", "hnr_db", "pause_seconds", "snr_db")
NAMES = (
    *(f"pitch_{name}" for name in CURVE),  # semitones re 1 Hz, over voiced frames
    *(f"level_{name}" for name in CURVE),  # dBFS, over speech frames
    *("periodicity_mean", "periodicity_deviation", "voiced_share", "speech_share", "log_seconds"),
    *QUANTITIES,  # as `Prosody` has them
    *(f"contour_{point}" for point in range(CONTOUR_POINTS)),
)
NUM_MEASURES = len(NAMES)
LEVEL = NAMES.index("level_mean")
MIN_FRAMES = 5  # of 10 ms, to tell a curve by
SHRINKAGE = 5.0  # recordings that the usual deviation counts for beside a speaker's own
FARTHEST = 6.0  # deviations


def voice_measures(prosody: Prosody) -> np.ndarray:
    """(NUM_MEASURES,) float32 in the order of `NAMES`, NaN where it cannot be told."""
    voiced = ~np.isnan(prosody.f0)
    periodicity = prosody.strength[voiced] if voiced.sum() >= MIN_FRAMES else np.full(1, np.nan)
    quantities = [math.nan if (value := getattr(prosody, name)) is None else value for name in QUANTITIES]
    row = np.concatenate(
        [
            _curve(12 * np.log2(prosody.f0[voiced])),
            _curve(prosody.level[prosody.speech]),
            [periodicity.mean(), periodicity.std()],
            [voiced.mean(), prosody.speech.mean(), math.log(prosody.duration)] if len(voiced) else [math.nan] * 3,
            quantities,
            [math.nan] * CONTOUR_POINTS if prosody.contour is None else prosody.contour,
        ]
    )
    return row.astype(np.float32)


def _curve(values: np.ndarray) -> np.ndarray:
    """The statistics of `CURVE` of (T,) values, percentiles and thirds from their mean."""
    if len(values) < MIN_FRAMES:
        return np.full(len(CURVE), np.nan)
    steps = np.diff(values)
    around = values - values.mean()
    percentiles, thirds = np.percentile(around, PERCENTILES), [part.mean() for part in np.array_split(around, 3)]
    return np.array([values.mean(), values.std(), *percentiles, steps.std(), np.abs(steps).mean(), *thirds])


def usual_measures(rows: np.ndarray) -> np.ndarray:
    """(N, NUM_MEASURES) of one speaker's recordings -> (2, NUM_MEASURES) mean and deviation, NaN where unknown."""
    known = ~np.isnan(rows)
    count = known.sum(0)
    filled = np.where(known, rows, 0.0).astype(np.float64)
    mean = np.divide(filled.sum(0), count, out=np.full(rows.shape[1], np.nan), where=count > 0)
    square = np.where(known, (filled - np.where(count > 0, mean, 0.0)) ** 2, 0.0).sum(0)
    deviation = np.sqrt(np.divide(square, count, out=np.full(rows.shape[1], np.nan), where=count > 0))
    return np.stack([mean, deviation]).astype(np.float32)


def relative_measures(
    row: np.ndarray, usual: np.ndarray, own: np.ndarray | None, num_recordings: int, knows_speaker: bool = True
) -> np.ndarray:
    """A row in deviations from what is usual, 0 where it cannot be told.

    Of a voice that nobody knows, the level tells a microphone's gain: it is usual then.

    Args:
        row: (NUM_MEASURES,) of `voice_measures`.
        usual: (2, NUM_MEASURES) mean and deviation of the training data's speakers.
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
    return np.nan_to_num(np.clip(relative, -FARTHEST, FARTHEST)).astype(np.float32)


def shrunk_deviation(own, usual, num_recordings: int):
    """A speaker's deviation, told from few recordings, drawn towards everyone's."""
    return np.sqrt((num_recordings * own**2 + SHRINKAGE * usual**2) / (num_recordings + SHRINKAGE))


__all__ = [
    "LEVEL",
    "MEASURES",
    "NAMES",
    "NUM_MEASURES",
    "relative_measures",
    "shrunk_deviation",
    "usual_measures",
    "voice_measures",
]
