"""eSpeak NG in this process, without a system package: SSML in, waveform out.

`espeakng-loader` brings the library (GPL-3.0) and its data. The library keeps state in global variables that leak from
one utterance into the next (phases, random numbers), so it is loaded afresh for each: 3 ms that make an utterance the
same whatever was spoken before it. Each thread loads a copy of its own: two threads speak at the same time.
Its C interface: https://github.com/espeak-ng/espeak-ng/blob/master/src/include/espeak-ng/speak_lib.h
"""

import _ctypes
import ctypes
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

SAMPLE_RATE = 22_050  # of eSpeak NG's output

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when the callback has had everything
_UTF8_SSML = 0x01 | 0x10  # espeakCHARS_UTF8 | espeakSSML
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class UnknownVoiceError(ValueError):
    """A voice or language that eSpeak NG does not have."""


class _Thread(threading.local):
    folder: tempfile.TemporaryDirectory | None = None  # of the thread's copy of the library, deleted with the thread


_THREAD = _Thread()


def speak(ssml: str, voice: str, rate: int = 175, pitch: int = 50, pitch_range: int = 50) -> np.ndarray:
    """Speak one utterance: the same arguments give the same samples.

    Args:
        ssml: text with SSML tags, without the outer `<speak>`.
        voice: accent and variant, as in `"en-us+m3"`.
        rate: words a minute, 80 to 450.
        pitch, pitch_range: 0 to 100, 50 is the voice's own.

    Returns:
        float32 (S,) at `SAMPLE_RATE`, in [-1, 1].

    Raises:
        ImportError: `espeakng-loader` is not installed.
        UnknownVoiceError: the voice is not known to eSpeak NG.
        ValueError: it gave no sound.
    """
    text = f"<speak>{ssml}</speak>".encode()
    blocks: list[np.ndarray] = []

    def receive(samples, num_samples: int, events) -> int:
        if samples and num_samples > 0:
            blocks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0  # go on

    with loaded_library() as library:
        callback = _CALLBACK(receive)  # kept by this name while the library may call it
        library.espeak_SetSynthCallback(callback)
        set_voice(library, voice)
        # Half of the usual volume leaves room for loud voices and for an emphasised word
        for parameter, value in ((_RATE, rate), (_VOLUME, 50), (_PITCH, pitch), (_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8_SSML, None, None)
    if not blocks:
        raise ValueError(f"voice {voice!r} gave no sound for {ssml!r}")
    return np.concatenate(blocks).astype(np.float32) / 32_768


@contextmanager
def loaded_library() -> Iterator[ctypes.CDLL]:
    """eSpeak NG, freshly loaded and initialised for synchronous synthesis at `SAMPLE_RATE`; unloaded at the end.

    Raises:
        ImportError: `espeakng-loader` is not installed.
        RuntimeError: the library does not start as it should.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise ImportError(
            "eSpeak NG, which speaks the espeak corpus and can find words, is loaded by espeakng-loader, which is not "
            "installed: pip install xser[espeak]"
        ) from error
    if _THREAD.folder is None:
        _THREAD.folder = tempfile.TemporaryDirectory(prefix="xser-espeak-")
        shutil.copy(espeakng_loader.get_library_path(), _THREAD.folder.name)
    library = ctypes.CDLL(str(Path(_THREAD.folder.name, Path(espeakng_loader.get_library_path()).name)))
    try:
        data_path = espeakng_loader.get_data_path()
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), 0)
        if rate != SAMPLE_RATE:
            raise RuntimeError(f"eSpeak NG started at {rate} Hz, {SAMPLE_RATE} expected (its data: {data_path})")
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        yield library
    finally:
        library.espeak_Terminate()
        close = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # the latter on Windows
        close(library._handle)


def library_version() -> str | None:
    """Of the package that brings the library and its data; None where it is not installed."""
    try:
        return version("espeakng-loader")
    except PackageNotFoundError:
        return None


def set_voice(library: ctypes.CDLL, voice: str) -> None:
    """Choose the voice or language of what is spoken next.

    Raises:
        UnknownVoiceError: eSpeak NG has none of that name.
    """
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise UnknownVoiceError(f"voice {voice!r} is not known to eSpeak NG; one such is 'en-us', or 'en-us+m3'")
