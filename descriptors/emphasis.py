"""Which words of a recording are emphasised: those that stand out from the others in pitch, loudness and length.

Every cue is relative to the other words of the same utterance: the peak of F0 above their declining line, level above
theirs, and duration above what a word's sounds need at their tempo. Cues count in steps of a size that matters, each
capped, so that an octave error or a click is no more than one strong cue.

The steps, weights and limits below were set on the training part of the espeak corpus, which stresses a word by 3.4
semitones and about 10 dB. There level alone would do; pitch and level weigh the same here because speakers use both.

Shapes: T frames, W words.
"""

import math

import numpy as np

from xser.calibration_xser import NOISY, UNVOICED
from xser.descriptors.align import Word
from xser.frames_xser import FRAME_SECONDS
from xser.letters_xser import expected_frames
from xser.levels_xser import NEAR_A_CUT
from xser.prosody_xser import Prosody

FEW_WORDS = "few words"
STEPS = (1.0, 2.0, 0.35)  # semitones, dB, octaves of duration: the spread of words that are not stressed, about
WEIGHTS = (1.0, 1.0, 0.5)
MOST_STEPS = 5.0  # a cue counts for
LIMIT = 6.0  # prominence from which a word is emphasised
MARGIN = 0.75  # nearer to that it cannot be told
MIN_WORDS = 3  # with fewer there is nothing to stand out from
MIN_SNR_DB = 5.0  # below, noise fills the dips that prominence is measured from
MIN_VOICED_FRAMES = 3  # of a word, for its pitch
PEAK = 90  # percentile of a word's F0


def prominence(prosody: Prosody, words: list[Word]) -> np.ndarray:
    """How much each word stands out from the others.

    Args:
        prosody: of the recording.
        words: its words with their times, in order.

    Returns:
        (W,) in steps, about 0 for a word like the others; NaN where no speech was found in the word, or there is no
        other word. A word without pitch is judged by level and duration.
    """
    cues = np.clip(_cues(prosody, words) / STEPS, -MOST_STEPS, MOST_STEPS)
    return np.where(np.isnan(cues[:, 1]), np.nan, np.nan_to_num(cues) @ WEIGHTS)


def emphasised(prosody: Prosody, words: list[Word]) -> list[str] | None:
    """The emphasised words in order of speech: none, one or several; None where it cannot be told, see `why_not`."""
    scores = prominence(prosody, words)
    if why_not(prosody, scores) is not None:
        return None
    return [word.text for word, score in zip(words, scores, strict=True) if score > LIMIT]


def why_not(prosody: Prosody, scores: np.ndarray) -> str | None:
    """Why the emphasis of a recording cannot be told, from its words' prominence, (W,); None where it can."""
    known = scores[np.isfinite(scores)]
    if prosody.pitch is None:
        return UNVOICED
    if prosody.snr_db is not None and prosody.snr_db < MIN_SNR_DB:
        return NOISY
    if len(known) < MIN_WORDS:
        return FEW_WORDS
    return NEAR_A_CUT if np.any(np.abs(known - LIMIT) < MARGIN) else None


def _cues(prosody: Prosody, words: list[Word]) -> np.ndarray:
    """Semitones, dB and octaves of duration above the other words, (W, 3); NaN where unknown."""
    everyone = range(len(words))
    peak, centre, end = _pitch(prosody, words).T
    times = np.array([(word.start + word.end) / 2 for word in words])
    pitch = np.array([peak[k] - _expected_pitch(times, centre, k) for k in everyone])
    # a rise to the very end is a question's, not a stress: in the last word only what falls back counts
    pitch[-1:] = np.minimum(pitch, peak - end)[-1:]
    level, stretch = _level(prosody, words), _stretch(words)
    above = [[track[k] - _median_of_others(track, k) for k in everyone] for track in (level, stretch)]
    return np.stack([pitch, *np.array(above)], axis=1)


def _inside(prosody: Prosody, word: Word) -> np.ndarray:
    """Speech frames of a word, (T,) bool."""
    middle = (np.arange(len(prosody.f0)) + 0.5) * FRAME_SECONDS
    return (middle >= word.start) & (middle < word.end) & prosody.speech


def _pitch(prosody: Prosody, words: list[Word]) -> np.ndarray:
    """Peak, median and end of each word's F0 in semitones re 1 Hz, (W, 3); NaN where it is hardly voiced."""
    semitones = 12 * np.log2(prosody.f0.astype(np.float64))
    found = np.full((len(words), 3), np.nan)
    for index, word in enumerate(words):
        voiced = semitones[_inside(prosody, word) & np.isfinite(semitones)]
        if len(voiced) >= MIN_VOICED_FRAMES:
            found[index] = np.percentile(voiced, PEAK), np.median(voiced), np.median(voiced[-MIN_VOICED_FRAMES:])
    return found


def _level(prosody: Prosody, words: list[Word]) -> np.ndarray:
    """Mean level of each word's louder half, its vowels, in dBFS, (W,); NaN without speech."""
    found = np.full(len(words), np.nan)
    for index, word in enumerate(words):
        level = np.sort(prosody.level[_inside(prosody, word)].astype(np.float64))
        if len(level):
            found[index] = level[len(level) // 2 :].mean()
    return found


def _stretch(words: list[Word]) -> np.ndarray:
    """Octaves by which each word is longer than its sounds need at an ordinary tempo, (W,)."""
    seconds = [max(word.end - word.start, FRAME_SECONDS) for word in words]
    return np.log2([s / (FRAME_SECONDS * expected_frames(word.text)) for s, word in zip(seconds, words, strict=True)])


def _expected_pitch(times: np.ndarray, centre: np.ndarray, k: int) -> float:
    """F0 of word k in semitones if it were like the others: their median, on a line that may fall (Theil and Sen)."""
    others = np.isfinite(centre)
    others[k] = False
    x, y = times[others], centre[others]
    if not len(x):
        return math.nan
    first, second = np.triu_indices(len(x), 1)
    slope = 0.0
    if len(x) >= MIN_WORDS:
        slope = min(np.median((y[second] - y[first]) / np.maximum(x[second] - x[first], FRAME_SECONDS)), 0.0)
    return float(np.median(y - slope * x) + slope * times[k])


def _median_of_others(values: np.ndarray, k: int) -> float:
    others = np.delete(values, k)
    others = others[np.isfinite(others)]
    return float(np.median(others)) if len(others) else math.nan
