"""Any recording to 16 kHz mono float32, or an error that says what is wrong with it.

A recording is what a user has: a path, bytes, an open file, samples and their rate, a value of `datasets.Audio`, or a
decoder.

Shapes: S samples, C channels.
"""

import io
import math
import numbers
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from .audio_files_xser import AudioError, AudioFile, MissingPackageError, check_rate, check_size
from .downmix_xser import Downmix
from .resampling_xser import resample

SAMPLE_RATE = 16_000  # Hz
SILENCE_FLOOR_DBFS = -100.0
MAX_PEAK = 100.0  # 40 dB above full scale: floats that were never divided by 32,768
MAX_STREAM_BYTES = 2**30  # of a file that cannot seek
STREAM_BLOCK = 2**20
FULL_SCALE = {"int16": 2**15, "int32": 2**31}
NAME_LENGTH = 300
BYTES = (bytes, bytearray, memoryview)
REMEDY = "give a path, the bytes of a file, an open binary file, (array, rate), or a dict as datasets.Audio has it"


def audio_name(source) -> str:
    """What messages call a recording: its path, or what it is; never longer than a line, and printable."""
    try:
        name = _name(source)
    except Exception:  # whatever a foreign object raises: it has no better name then
        name = f"recording of type {type(source).__name__}"
    if not name.isprintable():
        name = name.encode("unicode_escape", "backslashreplace").decode("ascii")
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 40]}…{name[-30:]}"


def _name(source) -> str:
    if isinstance(source, Mapping):
        path = source.get("path")
        if isinstance(path, (str, os.PathLike)) and path:
            return _name(path)
        given = next((source[key] for key in ("bytes", "array", "raw") if source.get(key) is not None), None)
        return "recording without data" if given is None else _name(given)
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(os.fspath(source)) or "the empty path"
    if isinstance(source, BYTES):
        return f"recording of {len(source)} bytes"
    if isinstance(source, tuple) and source:
        return _name(source[1] if len(source) == 2 and _is_number(source[0]) else source[0])
    if isinstance(source, (np.ndarray, torch.Tensor, list)):
        return f"array of shape {tuple(np.shape(source))}"
    name = _attribute(source, "name") if _is_file(source) else None
    return name if isinstance(name, str) and name else f"recording of type {type(source).__name__}"


def is_recording(value) -> bool:
    """Whether `value` is meant as one recording, rather than a list, column or generator of them."""
    one = (str, os.PathLike, *BYTES, Mapping, tuple, np.ndarray, torch.Tensor)
    return isinstance(value, one) or _is_file(value) or _is_decoder(value) or _is_decoded(value)


def list_recordings(value) -> list:
    """One recording, or a list, column or generator of them, as a list."""
    return [value] if is_recording(value) else list(undecoded(value))


def undecoded(recordings):
    """A column of `datasets.Audio` whose values are the files as they are; anything else unchanged.

    `dataset["audio"]` decodes by torchcodec, which needs FFmpeg on the system; this column needs neither. A rate that
    was given to `datasets.Audio` is left out of account. A data set with a transform of its own is left to that.
    """
    dataset, name = getattr(recordings, "source", None), getattr(recordings, "column_name", None)
    feature = (getattr(dataset, "features", None) or {}).get(name) if hasattr(dataset, "cast_column") else None
    if type(feature).__name__ != "Audio" or not feature.decode or getattr(dataset, "_format_type", None) == "custom":
        return recordings
    return dataset.cast_column(name, type(feature)(decode=False))[name]


def load_audio(source, max_seconds: float | None = None) -> np.ndarray:
    """Decode, mix the channels to one, and resample.

    Args:
        source: a path; the bytes of a file; an open binary file, which is read from its start, and left open and where
            it was; `(array, rate)`, or `(rate, array)` as Gradio gives it, with a NumPy array or torch tensor; a dict
            with `array` or `raw` and `sampling_rate`, or with `bytes` and/or `path` (a `datasets.Audio(decode=False)`
            value); or torchcodec's `AudioDecoder`, as `datasets.Audio` gives it.
            Arrays are (S,), (C, S) or (S, C), the shorter axis being the channels; floats in [-1, 1], int16, int32
            or uint8. How channels become one: see `downmix_xser`.
        max_seconds: longer recordings are refused, files before they are decoded.

    Returns:
        (S,) float32 at 16 kHz.

    Raises:
        AudioError: missing, empty, truncated or not audio; not finite; without samples; too long; or of any kind that
            is no recording. Nothing else that a source can do is raised.
        MissingPackageError: soundfile, which reads files, is not installed; it is an `ImportError`.
    """
    name = audio_name(source)
    try:
        samples, rate = _samples(source, name, max_seconds)
        check_seconds(len(samples) / rate, max_seconds, name)
        return np.ascontiguousarray(resample(_to_mono(samples, rate, name), rate, SAMPLE_RATE))
    except (AudioError, MissingPackageError):
        raise
    except MemoryError as error:
        raise AudioError(f"{name} needs more memory than there is: cut it into parts", name) from error
    except Exception as error:  # a foreign object may raise anything, and must not cost the recordings beside it
        raise AudioError(f"{name} cannot be read ({type(error).__name__}: {error!s:.200}); {REMEDY}", name) from error


def sampling_rate_of(source) -> int | None:
    """Hz of a recording before it is resampled; `None` where only decoding tells what it is."""
    try:
        if _is_decoder(source):
            return int(source.metadata.sample_rate)
        given = _given(source, audio_name(source))
        if isinstance(given, tuple):
            return int(given[1])
        with _opened(given, audio_name(source)) as stream:
            return AudioFile(stream, audio_name(source)).rate
    except Exception:  # `load_audio` says what is wrong with it
        return None


def at_speed(wave: np.ndarray, speed: float) -> np.ndarray:
    """(S,) at 16 kHz played `speed` times as fast: (S / speed,). Pitch, formants and tempo change together."""
    return wave if speed == 1 else resample(wave, round(SAMPLE_RATE * speed), SAMPLE_RATE)


def loudness_dbfs(wave: np.ndarray) -> float:
    """20 log10 of the RMS about the mean (a constant offset is not sound), at least -100 dBFS."""
    rms = float(np.std(wave, dtype=np.float64)) if len(wave) else 0.0
    return max(20 * math.log10(rms), SILENCE_FLOOR_DBFS) if rms > 0 else SILENCE_FLOOR_DBFS


def check_seconds(seconds: float, limit: float | None, name: str) -> None:
    """Refuse a recording that is longer than `limit`, by an `AudioError`."""
    if limit is not None and seconds > limit:
        size = int(limit * SAMPLE_RATE)
        raise AudioError(
            f"{name} lasts {seconds:.2f} s; the limit (max_audio_seconds) is {limit:g} s. Give it in parts: "
            f"wave = load_audio(recording), then "
            f"[(wave[i : i + {size}], {SAMPLE_RATE}) for i in range(0, len(wave), {size})]",
            name,
        )


def _samples(source, name: str, max_seconds: float | None) -> tuple[np.ndarray, int]:
    """Float samples (S,) or (S, C), and their rate in Hz."""
    given = _given(source, name)
    if isinstance(given, tuple):
        return _from_pair(*given, name, max_seconds)
    with _opened(given, name) as stream:
        file = AudioFile(stream, name)
        check_seconds(file.seconds, max_seconds, name)
        blocks = list(file.blocks())
    if not blocks:
        raise AudioError(f"{name} holds no samples", name)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), file.rate


def _to_mono(samples: np.ndarray, rate: int, name: str) -> np.ndarray:
    """(S,) or (S, C) → (S,), if all of it can be used."""
    if not samples.size:
        raise AudioError(f"{name} holds no samples", name)
    if not np.isfinite(samples).all():
        bad = np.flatnonzero(~np.isfinite(samples.reshape(len(samples), -1)).all(axis=1))
        raise AudioError(f"{name} holds {len(bad)} samples that are NaN or infinite, from {bad[0] / rate:.3f} s", name)
    wave = Downmix.of(samples).apply(samples) if samples.ndim == 2 else samples
    peak = max(float(wave.max()), -float(wave.min()))
    if peak > MAX_PEAK:
        raise AudioError(f"{name} reaches {peak:.0f} where full scale is 1: divide its samples by 32768", name)
    return wave


def _given(source, name: str) -> Any:
    """What a source holds: a pair of samples and rate, or a path, bytes or an open file."""
    if isinstance(source, Mapping):
        return _from_dict(source, name)
    if _is_decoder(source):
        source = source.get_all_samples()
    if _is_decoded(source):
        return source.data, source.sample_rate
    if isinstance(source, tuple):
        source = tuple(each.item() if _attribute(each, "ndim") == 0 else each for each in source)
        if len(source) == 2 and _is_number(source[0]) and not _is_number(source[1]):
            source = source[::-1]
        if len(source) != 2 or not _is_number(source[1]):
            raise AudioError(
                f"{name}: give one array and its rate in hertz, (array, rate), or several recordings as a list",
                name,
            )
        return source
    if isinstance(source, (str, os.PathLike, *BYTES)) or _is_file(source):
        return source
    raise AudioError(f"{name} is not a recording: {REMEDY}", name)


def _from_dict(source: Mapping, name: str) -> Any:
    """The pair, bytes or path that a dict holds."""
    array = source.get("array") if source.get("array") is not None else source.get("raw")
    if array is not None:
        rate = source.get("sampling_rate")
        if rate is None:
            raise AudioError(f"{name} has no sampling_rate: give it in hertz beside the array", name)
        if not _is_number(rate):
            raise AudioError(
                f"{name} has a sampling_rate of type {type(rate).__name__}: give a whole number of hertz", name
            )
        return array, rate
    data, path = source.get("bytes"), source.get("path")
    if data is None and path is None:
        keys = ", ".join(sorted(f"{key!s:.30}" for key in source)[:10]) or "none"
        hint = ", such as the value of its key audio" if source.get("audio") is not None else ""
        raise AudioError(f"{name}: of its keys ({keys}) none is an array, raw, bytes or path: give one{hint}", name)
    if data is not None and not isinstance(data, BYTES):
        raise AudioError(f"{name} has bytes of type {type(data).__name__}: give those of an audio file", name)
    if data is None and not isinstance(path, (str, os.PathLike)):
        raise AudioError(f"{name} has a path of type {type(path).__name__}: give a string", name)
    return path if data is None else data


def _from_pair(samples, rate, name: str, max_seconds: float | None) -> tuple[np.ndarray, int]:
    """Check an array and its rate; float samples (S,) or (S, C), and the rate in Hz."""
    check_rate(rate, name)
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    if isinstance(samples, (str, *BYTES)):
        raise AudioError(f"{name} stands beside a rate: files know theirs, so give the path or bytes alone", name)
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise AudioError(f"{name} has {samples.ndim} axes; it must have one, or two with the channels", name)
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T  # (C, S) -> (S, C)
    check_size(len(samples), samples.shape[1] if samples.ndim == 2 else 1, name)
    check_seconds(len(samples) / rate, max_seconds, name)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.name in FULL_SCALE:
        samples = samples.astype(np.float32) / FULL_SCALE[samples.dtype.name]
    elif samples.dtype.kind != "f":
        raise AudioError(f"{name} has samples of type {samples.dtype}; use floats, int16, int32 or uint8", name)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        return samples.astype(np.float32, copy=False), int(rate)


@contextmanager
def _opened(given, name: str) -> Iterator[BinaryIO]:
    """A path, bytes or an open file as a binary file that can seek; one that was open stays so, and where it is."""
    if isinstance(given, (str, os.PathLike)):
        with _open_path(given, name) as stream:
            yield stream
        return
    if isinstance(given, BYTES):
        stream, position = io.BytesIO(given), 0
    else:
        stream, position = _seekable(given, name)
    try:
        if not stream.seek(0, os.SEEK_END):
            raise AudioError(f"{name} is empty (0 bytes)", name)
        yield stream
    finally:
        stream.seek(position)


def _open_path(path: str | os.PathLike, name: str) -> BinaryIO:
    text = os.fsdecode(os.fspath(path))
    path = Path(text)
    try:
        if not path.exists():
            hint = ": it is an address, so download it, and give the path of the file" if "://" in text else ""
            raise AudioError(f"{name} does not exist{hint}", name)
        if not path.is_file():
            raise AudioError(f"{name} is not a file", name)
        if not path.stat().st_size:
            raise AudioError(f"{name} is empty (0 bytes)", name)
        return path.open("rb")
    except OSError as error:
        raise AudioError(f"{name} cannot be opened: {error.strerror}; give a file that can be", name) from error


def _seekable(file, name: str) -> tuple[BinaryIO, int]:
    """An open file and its position; what cannot seek is read to its end first."""
    try:
        if not isinstance(file.read(0), bytes):
            raise AudioError(f"{name} is open as text: open it in mode 'rb'", name)
        if file.seekable():
            return file, file.tell()
        data = bytearray()
        while len(data) <= MAX_STREAM_BYTES and (more := file.read(STREAM_BLOCK)):  # may be less than was asked for
            data += more
    except (OSError, ValueError, AttributeError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(
            f"{name} cannot be read ({error!s:.200}): give an open binary file, or its bytes", name
        ) from error
    if len(data) > MAX_STREAM_BYTES:
        raise AudioError(f"{name} does not end within {MAX_STREAM_BYTES >> 20} MiB: cut it", name)
    return io.BytesIO(data), 0


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_file(value) -> bool:
    return callable(_attribute(value, "read")) and callable(_attribute(value, "seek"))


def _is_decoder(value) -> bool:
    """torchcodec's `AudioDecoder`, by what it can do: the package may not be here."""
    return callable(_attribute(value, "get_all_samples"))


def _is_decoded(value) -> bool:
    """torchcodec's `AudioSamples`: (C, S) and a rate."""
    return isinstance(_attribute(value, "data"), torch.Tensor) and _attribute(value, "sample_rate") is not None


def _attribute(value, name: str) -> Any:
    """`None` where there is none, or where asking for it fails in any way."""
    try:
        return getattr(value, name, None)
    except Exception:  # of a foreign object
        return None


__all__ = [
    "MAX_PEAK",
    "SAMPLE_RATE",
    "AudioError",
    "at_speed",
    "audio_name",
    "check_seconds",
    "is_recording",
    "list_recordings",
    "load_audio",
    "loudness_dbfs",
    "sampling_rate_of",
    "undecoded",
]
