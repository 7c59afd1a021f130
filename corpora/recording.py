"""Is a recording whole and worth hearing? Its length, and a fingerprint that the same samples share in any format."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from xser.audio_xser import MAX_PEAK, check_samples_are_whole

MIN_SECONDS = 0.1  # nothing can be told of less
MAX_BYTES = 2**30  # an Arrow array of recordings ends at twice that
BLOCK_FRAMES = 2**19


@dataclass(frozen=True)
class Heard:
    """What decoding a recording from its first sample to its last has told.

    Args:
        seconds: its length.
        fingerprint: 32 hex digits: the same for the same rate and the same samples, to 16 bits and averaged over
            channels, whatever the file's format.
    """

    seconds: float
    fingerprint: str


def read_recording(path: str | os.PathLike, read: Callable[[Path], bytes] = Path.read_bytes) -> bytes:
    """A file's bytes by `read`.

    Raises:
        ValueError: the file is missing, empty, or larger than can be stored; or `read` says what is wrong with it.
    """
    size = file_size(path)
    if size > MAX_BYTES:
        raise ValueError(f"the file is too large: {size / 2**20:.0f} MiB, at most {MAX_BYTES >> 20} MiB")
    return read(Path(path))


def file_size(path: str | os.PathLike) -> int:
    """Bytes of a file that is there and not empty; else `ValueError`."""
    path = Path(path)
    if not os.path.isfile(path):  # which also takes names that are too long, or loops of links
        raise ValueError("the file is missing")
    size = path.stat().st_size
    if size == 0:
        raise ValueError("the file is empty")
    return size


def open_recording(file: BinaryIO) -> soundfile.SoundFile:
    """Open a recording by its content; its name does not matter.

    Raises:
        ValueError: it is not audio, has no samples, or fewer than its header promises.
    """
    check_samples_are_whole(file, "the file")
    file.seek(0)
    try:
        audio = soundfile.SoundFile(file)
    except soundfile.SoundFileError as error:
        raise ValueError(f"not readable as audio: {_without_source(error)}") from error
    if audio.frames == 0:
        audio.close()
        raise ValueError("the recording has no samples")
    return audio


def hear(data: bytes, max_seconds: float | None = None) -> Heard:
    """Decode a recording as a whole, a block at a time.

    Args:
        data: the bytes of a file that libsndfile reads.
        max_seconds: the longest that is accepted; judged by the header, before anything is decoded.

    Raises:
        ValueError: not audio, truncated, without samples, too short, too long, not finite, far beyond full scale, or
            digital silence.
    """
    if not data:
        raise ValueError("the file is empty")
    with open_recording(_Buffer(data)) as audio:
        seconds = audio.frames / audio.samplerate
        if seconds < MIN_SECONDS:
            raise ValueError(f"too short: {seconds:.3f} s, at least {MIN_SECONDS} s")
        if max_seconds is not None and seconds > max_seconds:
            raise ValueError(f"too long: {seconds:.1f} s, at most {max_seconds:g} s")
        digest = hashlib.blake2b(str(audio.samplerate).encode(), digest_size=16)
        frames, lowest, highest = 0, np.inf, -np.inf
        for block in _blocks(audio):
            mono = block.mean(axis=1, dtype=np.float32)  # (S, C) -> (S,)
            if not np.isfinite(mono).all():
                first = frames + int(np.flatnonzero(~np.isfinite(mono))[0])
                raise ValueError(f"not finite: a sample is NaN or infinite, from {first / audio.samplerate:.3f} s")
            frames += len(mono)
            lowest, highest = min(lowest, float(mono.min())), max(highest, float(mono.max()))
            digest.update(np.rint(mono * 32768).clip(-32768, 32767).astype("<i2").tobytes())
        if frames < audio.frames:
            raise ValueError(f"the file is truncated: {frames} of {audio.frames} samples are there")
    if max(-lowest, highest) > MAX_PEAK:
        raise ValueError(f"beyond full scale: samples reach {max(-lowest, highest):.0f}, and full scale is 1")
    if lowest == highest:
        raise ValueError("digital silence: all samples are the same")
    return Heard(seconds, digest.hexdigest())


class _Buffer(io.BytesIO):
    """Stays where it is when a broken header leads before the start; an exception here would only be printed."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


def _blocks(audio: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Float blocks (S, C)."""
    while True:
        try:
            block = audio.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise ValueError(f"the file is truncated or damaged: {_without_source(error)}") from error
        if not len(block):
            return
        yield block


def _without_source(error: soundfile.SoundFileError) -> str:
    """libsndfile's words, without the address of the buffer that it read from."""
    return error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
