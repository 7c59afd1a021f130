"""Word times by how eSpeak NG says the transcript: its speech, whose word times it tells, is warped to the recording.

Needs the extra `espeak`. Good for any language that eSpeak NG speaks, and for words whose letters say little.
"""

import ctypes
from functools import cache

import numpy as np
import torch
import torchaudio

from xser.corpora import espeak_synthesis
from xser.descriptors.align import (
    FRAME_SECONDS,
    HOP,
    SAMPLE_RATE,
    AlignmentError,
    Word,
    check_room,
    find_active,
    frame_power,
    scaled,
    standardised,
    warp_words,
)
from xser.letters_xser import sounds

_UTF8 = 0x01  # espeakCHARS_UTF8: no SSML, so that no word is taken for a tag
_LIST_END, _WORD = 0, 1  # espeak_EVENT_TYPE
_RATE, _WORDS_A_MINUTE = 1, 175  # espeak_PARAMETER, and the rate that recordings come close to
_OTHER_NAMES = {"zh": "cmn", "zh-cn": "cmn", "zh-tw": "cmn", "zh-hk": "yue"}  # eSpeak NG's for a language's code
_TEMPO_COST = 0.05  # of `warp_words`: the order of sounds, and their likeness, say enough
_COEFFICIENTS, _DELTA_FRAMES = 13, 5


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class EspeakAligner:
    """Dynamic time warping between a recording and eSpeak NG's speech of its words, by MFCC and their slopes.

    Args:
        voice: a language, as in the schema (`"pl"`, `"fr-FR"`; a region that eSpeak NG does not know is left away), or
            eSpeak NG's name of a voice, such as `"en-us+f2"`.

    Raises:
        ImportError: `espeakng-loader` is not installed (when words are aligned).
        UnknownVoiceError: eSpeak NG has no such voice (likewise).
    """

    def __init__(self, voice: str):
        self.voice = _name(voice.replace("_", "-"))

    def __call__(self, wave: np.ndarray, words: list[str]) -> list[Word]:
        wave = scaled(wave)
        active = find_active(frame_power(wave))
        check_room(int(active.sum()), [sounds(word) for word in words])
        speech, starts = self._speak(words)
        speech = scaled(speech)
        spoken = np.flatnonzero(find_active(frame_power(speech)))
        expected = _features(speech)[spoken[0] : spoken[-1] + 1]
        owner = _owners(np.round(np.array(starts) / FRAME_SECONDS).astype(int) - spoken[0], len(expected))
        return warp_words(words, standardised(_features(wave), active), active, expected, owner, _TEMPO_COST)

    def _speak(self, words: list[str]) -> tuple[np.ndarray, list[float]]:
        language, _, region = self.voice.partition("-")
        try:
            return speak_words(words, self.voice)
        except espeak_synthesis.UnknownVoiceError:
            if not region:
                raise
            return speak_words(words, _name(language))


def speak_words(words: list[str], voice: str) -> tuple[np.ndarray, list[float]]:
    """Speak words in one breath.

    Returns:
        float32 (S,) at 16 kHz, and the second at which each word starts. eSpeak NG runs some words together ("of
        the"); such ones share their time by their number of sounds.

    Raises:
        ImportError: `espeakng-loader` is not installed.
        UnknownVoiceError: the voice is not known to eSpeak NG.
        AlignmentError: it gave no sound.
    """
    text = " ".join(words)
    blocks: list[np.ndarray] = []
    begun: dict[int, float] = {}  # second by place in the text

    def receive(samples, num_samples: int, events) -> int:
        index = 0
        while events[index].type != _LIST_END:
            if events[index].type == _WORD:
                begun.setdefault(events[index].text_position - 1, events[index].sample / espeak_synthesis.SAMPLE_RATE)
            index += 1
        if samples and num_samples > 0:
            blocks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0  # go on

    with espeak_synthesis.loaded_library() as library:
        callback = _CALLBACK(receive)  # kept by this name while the library may call it
        library.espeak_SetSynthCallback(callback)
        espeak_synthesis.set_voice(library, voice)
        library.espeak_SetParameter(_RATE, _WORDS_A_MINUTE, 0)
        encoded = text.encode()
        library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _UTF8, None, None)
    if not blocks:
        raise AlignmentError(f"voice {voice!r} gave no sound for {text!r}")
    samples = np.concatenate(blocks).astype(np.float32) / 32_768
    speech = _resampler()(torch.from_numpy(samples)).numpy()
    return speech, _starts(words, begun, len(speech) / SAMPLE_RATE)


def _starts(words: list[str], begun: dict[int, float], seconds: float) -> list[float]:
    """The second at which each word starts; those that eSpeak NG does not tell lie between their neighbours'."""
    known, place = [], 0
    for word in words:
        times = [time for at, time in begun.items() if place <= at < place + len(word)]
        known.append(min(times, default=None))
        place += len(word) + 1
    known[0] = 0.0 if known[0] is None else known[0]
    anchors = [index for index, time in enumerate(known) if time is not None]
    lengths = np.cumsum([0, *(len(sounds(word)) for word in words)])
    places = [lengths[index] for index in anchors] + [lengths[-1]]
    times = np.maximum.accumulate([known[index] for index in anchors] + [seconds])
    return np.interp(lengths[:-1], places, times).tolist()


def _owners(starts: np.ndarray, num_frames: int) -> np.ndarray:
    """The word that each frame belongs to, from the frame at which each starts: (W,) -> (P,).

    Each word has a frame at least, though eSpeak NG may tell a start in the silence at an end, or one start of two.
    """
    places = np.arange(len(starts))
    if num_frames < len(starts):
        raise AlignmentError(f"{len(starts)} words are spoken in {num_frames * FRAME_SECONDS:.2f} s by eSpeak NG")
    firsts = np.maximum.accumulate(np.clip(starts - places, 0, num_frames - len(starts))) + places
    return np.searchsorted(firsts[1:], np.arange(num_frames), side="right")


def _name(language: str) -> str:
    return _OTHER_NAMES.get(language.lower(), language)


def _features(wave: np.ndarray) -> np.ndarray:
    """MFCC and their slopes, (S,) -> (T, 26), a frame every 10 ms."""
    mfcc = _mfcc()(torch.from_numpy(wave))
    slopes = torchaudio.functional.compute_deltas(mfcc, win_length=_DELTA_FRAMES)
    return torch.cat([mfcc, slopes]).T.double().numpy()


@cache
def _mfcc() -> torchaudio.transforms.MFCC:
    spectrogram = {"n_fft": 512, "win_length": 400, "hop_length": HOP, "n_mels": 26, "f_min": 60.0, "f_max": 7_600.0}
    return torchaudio.transforms.MFCC(SAMPLE_RATE, _COEFFICIENTS, log_mels=True, melkwargs=spectrogram)


@cache
def _resampler() -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(espeak_synthesis.SAMPLE_RATE, SAMPLE_RATE)
