"""Any recording to 16 kHz mono float32, or an error that says what is wrong with it.

Shapes: S samples, C channels.
"""

import io
import math
import numbers
import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

try:
    import soundfile
except (ImportError, OSError):  # OSError: libsndfile itself is missing
    soundfile = None
try:
    import torchaudio
except (ImportError, OSError):  # OSError: a torchaudio built for another torch
    torchaudio = None

SAMPLE_RATE = 16_000  # Hz
SILENCE_FLOOR_DBFS = -100.0
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; beyond these a rate is a slip, such as 16 for 16 kHz
MAX_PEAK = 100.0  # 40 dB above full scale: floats that were never divided by 32,768
SAMPLE_CHUNKS = {b"RIFF": ("<4sI", b"data"), b"FORM": (">4sI", b"SSND")}  # wav and aiff: chunk header, samples
STREAMED_LENGTH = 0x7FFFF000  # lengths from here on are what programs write when they do not know it yet
FULL_SCALE = {"int16": 2**15, "int32": 2**31}
FORMATS = "wav, flac, ogg (vorbis, opus), mp3, aiff, au"


class AudioError(ValueError):
    """A recording that cannot be used; the message starts with its name, which `source` holds too."""

    def __init__(self, message: str, source: str = ""):
        super().__init__(message)
        self.source = source


def audio_name(source) -> str:
    """What messages call a recording: its path, or what it is."""
    if isinstance(source, dict):
        if source.get("path"):
            return str(source["path"])
        given = next((source[key] for key in ("bytes", "array", "raw") if source.get(key) is not None), None)
        return "recording without data" if given is None else audio_name(given)
    if isinstance(source, (str, os.PathLike)):
        return str(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"recording of {len(source)} bytes"
    if isinstance(source, tuple) and source:
        return audio_name(source[0])
    if isinstance(source, (np.ndarray, torch.Tensor, list)):
        return f"array of shape {tuple(np.shape(source))}"
    return f"recording of type {type(source).__name__}"


def is_recording(value) -> bool:
    """Whether `value` is meant as one recording, rather than a list, column or generator of them."""
    one = (str, os.PathLike, bytes, bytearray, memoryview, dict, tuple, np.ndarray, torch.Tensor)
    return isinstance(value, one)


def load_audio(source, max_seconds: float | None = None) -> np.ndarray:
    """Decode, average the channels, and resample.

    Args:
        source: a path; the bytes of a file; `(array, rate)` with a NumPy array or torch tensor; or a dict with `array`
            or `raw` and `sampling_rate`, or with `bytes` and/or `path` (a `datasets.Audio(decode=False)` value).
            Arrays are (S,), (C, S) or (S, C), the shorter axis being the channels; floats in [-1, 1], int16, int32
            or uint8.
        max_seconds: longer recordings are refused, files before they are decoded.

    Returns:
        (S,) float32 at 16 kHz.

    Raises:
        AudioError: missing, empty, truncated or not audio; not finite; without samples; too long.
        ImportError: a package that this recording needs is not installed.
    """
    name = audio_name(source)
    if isinstance(source, dict):
        source = _from_dict(source, name)
    if isinstance(source, tuple):
        samples, rate = _from_pair(source, name)
    elif isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        samples, rate = _decode(source, name, max_seconds)
    else:
        raise AudioError(f"{name} is not a recording: give a path, bytes, (array, rate) or a dict", name)
    if not samples.size:
        raise AudioError(f"{name} holds no samples", name)
    check_seconds(len(samples) / rate, max_seconds, name)
    wave = samples.mean(axis=1, dtype=np.float32) if samples.ndim == 2 else samples  # (S, C) -> (S,)
    if not np.isfinite(wave).all():
        bad = np.flatnonzero(~np.isfinite(wave))
        raise AudioError(f"{name} holds {len(bad)} samples that are NaN or infinite, from {bad[0] / rate:.3f} s", name)
    peak = float(np.abs(wave).max())
    if peak > MAX_PEAK:
        raise AudioError(f"{name} reaches {peak:.0f} where full scale is 1: divide its samples by 32768", name)
    return np.ascontiguousarray(wave if rate == SAMPLE_RATE else _resample(wave, rate, name), dtype=np.float32)


def sampling_rate_of(source) -> int | None:
    """Hz of a recording before it is resampled; `None` where only decoding tells what it is."""
    if isinstance(source, dict):
        source = (
            _from_dict(source, audio_name(source))
            if source.get("array") is None
            else (None, source.get("sampling_rate"))
        )
    if isinstance(source, tuple):
        return source[1] if len(source) == 2 else None
    try:
        stream = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else str(source)
        return soundfile.info(stream).samplerate
    except (soundfile.LibsndfileError, OSError):
        return None


def at_speed(wave: np.ndarray, speed: float) -> np.ndarray:
    """(S,) at 16 kHz played `speed` times as fast: (S / speed,). Pitch, formants and tempo change together."""
    return wave if speed == 1 else _resample(wave, round(SAMPLE_RATE * speed), "a recording at another speed")


def loudness_dbfs(wave: np.ndarray) -> float:
    """20 log10 of the RMS about the mean (a constant offset is not sound), at least -100 dBFS."""
    rms = float(np.std(wave, dtype=np.float64)) if len(wave) else 0.0
    return max(20 * math.log10(rms), SILENCE_FLOOR_DBFS) if rms > 0 else SILENCE_FLOOR_DBFS


def check_seconds(seconds: float, limit: float | None, name: str) -> None:
    """Refuse a recording that is longer than `limit`, by an `AudioError`."""
    if limit is not None and seconds > limit:
        raise AudioError(f"{name} lasts {seconds:.2f} s; the limit (max_audio_seconds) is {limit:g} s", name)


def _from_dict(source: dict, name: str):
    """The pair, bytes or path that a dict holds."""
    array = source.get("array") if source.get("array") is not None else source.get("raw")
    if array is not None:
        if source.get("sampling_rate") is None:
            raise AudioError(f"{name} has no sampling_rate: give it in hertz beside the array", name)
        return array, source["sampling_rate"]
    data = source.get("bytes") if source.get("bytes") is not None else source.get("path")
    if data is None:
        raise AudioError(f"{name}: of its keys {sorted(source)} none of array, raw, bytes, path has a value", name)
    return data


def _from_pair(pair: tuple, name: str) -> tuple[np.ndarray, int]:
    """Check `(array, rate)`; float samples (S,) or (S, C), and the rate in Hz."""
    if len(pair) != 2 or isinstance(pair[1], bool) or not isinstance(pair[1], numbers.Real):
        raise AudioError(f"{name}: give the array and its rate in hertz as (array, rate), in this order", name)
    samples, rate = pair
    if rate != int(rate) or not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"{name} has rate {rate}; it must be a whole number of hertz, {MIN_RATE} to {MAX_RATE}", name)
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise AudioError(f"{name} has {samples.ndim} axes; it must have one, or two with the channels", name)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.name in FULL_SCALE:
        samples = samples.astype(np.float32) / FULL_SCALE[samples.dtype.name]
    elif samples.dtype.kind != "f":
        raise AudioError(f"{name} has samples of type {samples.dtype}; use floats, int16, int32 or uint8", name)
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T  # (C, S) -> (S, C)
    return samples.astype(np.float32, copy=False), int(rate)


def _decode(source, name: str, max_seconds: float | None) -> tuple[np.ndarray, int]:
    """Read a file or its bytes by libsndfile; samples (S, C) and the rate in Hz."""
    if soundfile is None:
        raise ImportError(f"{name}: reading audio files needs soundfile (pip install soundfile)")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise AudioError(f"{name} does not exist", name)
        if not path.is_file():
            raise AudioError(f"{name} is not a file", name)
        size = path.stat().st_size
    else:
        path, size = io.BytesIO(source), len(source)
    if not size:
        raise AudioError(f"{name} is empty (0 bytes)", name)
    try:
        with path.open("rb") if isinstance(path, Path) else io.BytesIO(source) as stream:
            check_samples_are_whole(stream, name)
        with soundfile.SoundFile(path) as file:
            check_seconds(file.frames / file.samplerate, max_seconds, name)
            samples = file.read(dtype="float32", always_2d=True)
            if len(samples) < file.frames:
                raise AudioError(f"{name} is truncated: {len(samples)} of {file.frames} samples are there", name)
            return samples, file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{name} is truncated or not audio ({error}); {FORMATS} can be read", name) from error


def check_samples_are_whole(stream: BinaryIO, name: str) -> None:
    """Refuse a wav or aiff file whose header announces more samples than there are: libsndfile says nothing of it.

    Args:
        stream: a file of any format, that can seek; it is left at any place.
        name: what the error calls it.

    Raises:
        AudioError: the file is truncated.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    form = stream.read(12)[:4]
    if form not in SAMPLE_CHUNKS:
        return
    layout, samples_chunk = SAMPLE_CHUNKS[form]
    position = 12
    while position + 8 <= size:
        stream.seek(position)
        chunk, length = struct.unpack(layout, stream.read(8))
        present = size - position - 8
        if chunk == samples_chunk:
            if present < length < STREAMED_LENGTH:
                raise AudioError(f"{name} is truncated: {present} of {length} bytes of samples are there", name)
            return
        position += 8 + length + length % 2


@lru_cache(maxsize=8)
def _resampler(rate: int) -> torch.nn.Module:
    return torchaudio.transforms.Resample(rate, SAMPLE_RATE)


def _resample(wave: np.ndarray, rate: int, name: str) -> np.ndarray:
    if torchaudio is None:
        raise ImportError(
            f"{name} has {rate} Hz: resampling to {SAMPLE_RATE} Hz needs torchaudio, in the version made for "
            f"torch {torch.__version__} (pip install torchaudio)"
        )
    with torch.no_grad():
        return _resampler(rate)(torch.tensor(wave)).numpy()


__all__ = [
    "MAX_PEAK",
    "SAMPLE_RATE",
    "AudioError",
    "at_speed",
    "audio_name",
    "check_samples_are_whole",
    "check_seconds",
    "is_recording",
    "load_audio",
    "loudness_dbfs",
    "sampling_rate_of",
]
