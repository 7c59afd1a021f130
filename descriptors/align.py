"""When each word of a transcript is spoken in its recording.

Three aligners, none chosen behind the caller's back:

    align(wave, text)                                  # by the sounds that letters stand for: no weights, any language
    align(wave, text, EspeakAligner("pl"))             # by how eSpeak NG says it (`align_espeak`)
    align(wave, text, CTCAligner(model, processor))    # by a CTC head or model (`align_ctc`)

The first warps what is expected of the words, loudness and hiss, to what is heard (`dtw`); there may be a pause
before, between and after them.

Shapes: S samples, T frames heard (every 10 ms), P frames expected, F features, W words.
"""

import unicodedata
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xser.descriptors.dtw import dtw
from xser.letters_xser import BUZZ, FRAMES, HISS, SONORANT, STOP, VOWEL, sounds

SAMPLE_RATE = 16_000  # Hz
HOP = 160  # samples a frame
FRAME_SECONDS = HOP / SAMPLE_RATE
PAUSE = -1  # owner of an expected frame that belongs to no word

_WINDOW, _FFT = 400, 512  # samples: 25 ms
_INAUDIBLE = 1e-4  # peak, of full scale: 3 steps of 16 bits
_RANGE_DB = 35.0  # below the recording's loud frames; what is softer is a pause
_LOUD = 95  # percentile of the frames' levels
_SOFT_SHARE = 0.05  # of the frames: what a pause sounds like where all is noise
_MIN_SOUND_FRAMES = 2  # 50 sounds a second: nobody speaks that fast
_TEMPO_COST = (
    0.2  # of a frame's change in tempo; distances of frames that have nothing to do with each other are about 1
)

# What a class of sounds is expected to be: level and hiss (energy beyond 3 kHz against that below 1 kHz), up to a
# shift and scale of the recording's own. By eye, on the training part of the espeak corpus.
_EXPECTED = {VOWEL: (0.0, -1.0), SONORANT: (-0.8, -1.0), HISS: (-1.2, 2.0), BUZZ: (-1.0, 0.8), STOP: (-2.0, 0.3)}
_LOWEST_HZ, _LOW_HZ, _HISS_HZ = 80, (100, 1_000), 3_000
_ANCHOR_COST = 1.0  # of hearing another word where one is known to be
_FLOOR = 1e-5  # of a window's power, where a full-scale tone has 1e4: below what recordings hold


class AlignmentError(ValueError):
    """A transcript that cannot be what is said in the recording."""


@dataclass(frozen=True)
class Word:
    """A word and when it is spoken.

    Attributes:
        text: as the transcript writes it, without punctuation around it.
        start, end: seconds.
        confidence: 0 to 1, how well the sound fits the word. It compares words of one aligner, not aligners, and a
            wrong transcript may fit well enough by letters.
    """

    text: str
    start: float
    end: float
    confidence: float


class Aligner(Protocol):
    """What finds words: (S,) float32 at 16 kHz and W words to W `Word`s, or an `AlignmentError`."""

    def __call__(self, wave: np.ndarray, words: list[str]) -> list[Word]: ...


def align_by_letters(wave: np.ndarray, words: list[str], anchors: np.ndarray | None = None) -> list[Word]:
    """The aligner that needs no weights and no language: vowels are loud, hisses are high, stops are silent.

    Args:
        wave, words: see `Aligner`.
        anchors: (W, 2) seconds from and to which each word is known to be spoken; it may go on before and after.
    """
    power = frame_power(scaled(wave))
    active = find_active(power)
    kinds = [sounds(word) for word in words]
    check_room(int(active.sum()), kinds)
    heard = standardised(_level_and_hiss(power), active)
    frames = [(index, kind) for index, word in enumerate(kinds) for kind in word for _ in range(FRAMES[kind])]
    expected = np.array([_EXPECTED[kind] for _, kind in frames])
    return warp_words(words, heard, active, expected, np.array([index for index, _ in frames]), _TEMPO_COST, anchors)


def align(wave: np.ndarray, text: str, aligner: Aligner = align_by_letters) -> list[Word]:
    """Find the words of a transcript in its recording.

    Args:
        wave: (S,) float at 16 kHz.
        text: the transcript, in words parted by spaces; ideographs are a word each.
        aligner: what finds them.

    Returns:
        The words of `split_words(text)`, in order; none starts before the one before it ends.

    Raises:
        ValueError: the text holds no word, or the wave is not (S,) of finite numbers.
        AlignmentError: nothing is said in the recording, or the text is too long for it.
    """
    words = split_words(text)
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise ValueError(f"wave of shape {wave.shape} must be (S,) of finite numbers, 16 kHz mono")
    if not len(wave) or np.ptp(wave) < 2 * _INAUDIBLE:
        raise AlignmentError(f"nothing is said in the recording: {len(wave) / SAMPLE_RATE:.2f} s of silence")
    return aligner(np.asarray(wave, dtype=np.float32), words)


def split_words(text: str) -> list[str]:
    """The words of a transcript, without the punctuation around them: `'"No," she said…'` → `No she said`.

    Raises:
        ValueError: it holds none.
    """
    words = [word for token in text.split() for word in _parts(token)]
    if not words:
        raise ValueError(f"text {text!r} holds no word to find")
    return words


def _parts(token: str) -> list[str]:
    """The words of what stands between spaces: one, none, or each ideograph and what lies between them."""
    parts, run = [], ""
    for char in token:
        if "IDEOGRAPH" in unicodedata.name(char, ""):
            parts += [run, char]
            run = ""
        else:
            run += char
    return [part for part in map(_bare, [*parts, run]) if part]


def _bare(token: str) -> str:
    """Without what is neither letter, mark nor digit at both ends."""
    kept = [i for i, char in enumerate(token) if unicodedata.category(char)[0] in "LMN"]
    if not any(unicodedata.category(token[i])[0] in "LN" for i in kept):
        return ""
    return token[kept[0] : kept[-1] + 1]


# ------------------------------------------------------------------ what is heard


def scaled(wave: np.ndarray) -> np.ndarray:
    """About its mean, and with a peak of 1, so that nothing depends on gain or offset."""
    centred = wave - wave.mean()
    return (centred / np.abs(centred).max()).astype(np.float32)


def frame_power(wave: np.ndarray) -> np.ndarray:
    """Power spectrum of the 25 ms around every 10th ms of a scaled wave, (S,) -> (T, 257), T = S // 160 + 1."""
    padded = np.pad(wave, (_WINDOW // 2, _WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: len(wave) + 1 : HOP]
    spectrum = np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32), _FFT)
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32)


def find_active(power: np.ndarray) -> np.ndarray:
    """Frames that are not a pause, (T, 257) -> (T,) bool."""
    level = _level_db(power)
    return level > np.percentile(level, _LOUD) - _RANGE_DB


def check_room(num_frames: int, kinds: list[str]) -> None:
    """Refuse words of more sounds than anybody says in so many frames."""
    needed = sum(map(len, kinds))
    if num_frames < _MIN_SOUND_FRAMES * needed:
        raise AlignmentError(
            f"{len(kinds)} words of about {needed} sounds do not fit into {num_frames * FRAME_SECONDS:.2f} s of "
            "speech: is the transcript another recording's?"
        )


def standardised(features: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance over the frames `among`, (T, F)."""
    return (features - features[among].mean(0)) / np.maximum(features[among].std(0), 1e-3)


def _level_db(power: np.ndarray) -> np.ndarray:
    """Level without what lies below speech, (T, 257) -> (T,)."""
    return 10 * np.log10(power[:, _bin(_LOWEST_HZ) :].sum(1) + _FLOOR)


def _level_and_hiss(power: np.ndarray) -> np.ndarray:
    """In dB, smoothed over neighbours, (T, 257) -> (T, 2); what is softer than a pause is as soft as one."""
    level = _level_db(power)
    level = np.maximum(level, np.percentile(level, _LOUD) - _RANGE_DB)
    low, high = power[:, _bin(_LOW_HZ[0]) : _bin(_LOW_HZ[1])].sum(1), power[:, _bin(_HISS_HZ) :].sum(1)
    hiss = 10 * np.log10((high + _FLOOR) / (low + _FLOOR))
    return np.stack([_smooth(level, (1, 2, 3, 2, 1)), _smooth(hiss, (1, 1, 1))], axis=1)


def _smooth(track: np.ndarray, weights: tuple[int, ...]) -> np.ndarray:
    padded = np.pad(track, len(weights) // 2, mode="edge")
    return np.convolve(padded, np.array(weights) / sum(weights), mode="valid")


def _bin(hertz: float) -> int:
    return round(hertz * _FFT / SAMPLE_RATE)


# ------------------------------------------------------------------ what is heard to what is expected


def warp_words(
    words: list[str],
    heard: np.ndarray,
    active: np.ndarray,
    expected: np.ndarray,
    owner: np.ndarray,
    tempo_cost: float,
    anchors: np.ndarray | None = None,
) -> list[Word]:
    """Words where their expected frames come to lie in what is heard.

    Args:
        words: W of them.
        heard: (T, F), standardised over active frames.
        active: (T,) bool, false in pauses.
        expected: (P, F) in any scale, without pauses.
        owner: (P,) index of the word that a frame belongs to, never decreasing; each word has one at least.
        tempo_cost: of a frame's change in tempo; frames that have nothing to do with each other are about 1 apart.
        anchors: as in `align_by_letters`.
    """
    expected = standardised(expected, np.ones(len(expected), dtype=bool))
    expected, owner = _to_length(expected, owner, int(active.sum()), len(words))
    expected, owner = _with_pauses(expected, owner, _pause(heard, active))
    distance = _distances(heard, expected)
    for index, (start, end) in enumerate([] if anchors is None else anchors):
        within = slice(round(start / FRAME_SECONDS), round(end / FRAME_SECONDS) + 1)
        distance[within] += _ANCHOR_COST * (owner != index)
    change = np.where(owner == PAUSE, 0.0, tempo_cost)  # a pause may last, or not be
    path, _ = dtw(distance, change, change)
    owners, last = owner[path[:, 1]], (len(heard) - 1) * FRAME_SECONDS
    found, start = [], 0.0
    for index, word in enumerate(words):
        t, p = path[owners == index].T
        start = max((int(t[0]) - 0.5) * FRAME_SECONDS, start)  # neighbours may share a frame
        end = max(min((int(t[-1]) + 0.5) * FRAME_SECONDS, last), start)
        found.append(Word(word, start, end, _similarity(heard[t], expected[p])))
        start = end
    return found


def _to_length(expected: np.ndarray, owner: np.ndarray, num_frames: int, num_words: int):
    """Expected frames repeated or left out evenly, to as many as are heard, one a word at least."""
    kept = np.arange(num_frames) * len(expected) // num_frames
    first = np.searchsorted(owner, np.arange(num_words))
    kept = np.sort(np.concatenate([kept, first[~np.isin(np.arange(num_words), owner[kept])]]))
    return expected[kept], owner[kept]


def _with_pauses(expected: np.ndarray, owner: np.ndarray, pause: np.ndarray):
    """One frame of pause before, between and after the words."""
    places = np.concatenate([[0], np.flatnonzero(np.diff(owner)) + 1, [len(owner)]])
    return np.insert(expected, places, pause, axis=0), np.insert(owner, places, PAUSE)


def _pause(heard: np.ndarray, active: np.ndarray) -> np.ndarray:
    """What a pause sounds like in this recording, (F,): its inactive or softest frames; feature 0 is the level."""
    if not active.all():
        return heard[~active].mean(0)
    soft = np.argsort(heard[:, 0], kind="stable")[: max(1, round(_SOFT_SHARE * len(heard)))]
    return heard[soft].mean(0)


def _distances(heard: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Euclidean, over the root of twice the number of features: about 1 between unrelated frames, (T, P)."""
    squares = (heard**2).sum(1)[:, None] + (expected**2).sum(1) - 2 * heard @ expected.T
    return np.sqrt(np.maximum(squares, 0) / (2 * heard.shape[1]))


def _similarity(heard: np.ndarray, expected: np.ndarray) -> float:
    """Cosine of what is heard and what is expected over all of a word, not below 0."""
    scale = np.sqrt((heard**2).sum() * (expected**2).sum())
    return float(max((heard * expected).sum() / max(scale, 1e-9), 0.0))
