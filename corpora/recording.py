"""Is a recording whole and worth hearing? Its length, and a fingerprint that the same samples share in any format."""

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from xser.audio_files_xser import AudioError, AudioFile
from xser.audio_xser import MAX_PEAK
from xser.downmix_xser import Downmix
from xser.parts_xser import NotAudioError

MIN_SECONDS = 0.1  # nothing can be told of less
MAX_BYTES = 2**30  # an Arrow array of recordings ends at twice that


@dataclass(frozen=True)
class Heard:
    """What decoding a recording from its first sample to its last has told.

    Args:
        seconds: its length.
        fingerprint: 32 hex digits: the same for the same rate and the same samples, to 16 bits and mixed to one
            channel (see `downmix_xser`), whatever the file's format.
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
    audio = _open(data)
    if audio.frames == 0:
        raise ValueError("the recording has no samples")
    if audio.seconds < MIN_SECONDS:
        raise ValueError(f"too short: {audio.seconds:.3f} s, at least {MIN_SECONDS} s")
    if max_seconds is not None and audio.seconds > max_seconds:
        raise ValueError(f"too long: {audio.seconds:.1f} s, at most {max_seconds:g} s")
    downmix = Downmix(audio.channels)
    mono = _Mono(audio.rate)
    for block in audio.blocks():
        downmix.add(mono.check(block))
        mono.add(block.mean(axis=1, dtype=np.float32))  # as nearly all recordings are mixed
    if not downmix.is_mean:
        mono = _Mono(audio.rate)
        for block in audio.blocks():
            mono.add(downmix.apply(block))
    peak = max(-mono.lowest, mono.highest)
    if peak > MAX_PEAK:
        raise ValueError(f"beyond full scale: samples reach {peak:.0f}, and full scale is 1")
    if mono.lowest == mono.highest:
        raise ValueError("digital silence: all samples are the same")
    return Heard(audio.seconds, mono.digest.hexdigest())


def _open(data: bytes) -> AudioFile:
    try:
        return AudioFile(io.BytesIO(data), "the file")
    except AudioError as error:
        cause = error.__cause__
        if isinstance(cause, (NotAudioError, soundfile.LibsndfileError)):
            raise ValueError(f"not readable as audio: {getattr(cause, 'error_string', cause)}") from error
        raise


class _Mono:
    """What one channel tells, a block at a time: its range, and a digest of it to 16 bits."""

    def __init__(self, rate: int):
        self.rate, self.frames = rate, 0
        self.lowest, self.highest = np.inf, -np.inf
        self.digest = hashlib.blake2b(str(rate).encode(), digest_size=16)

    def check(self, block: np.ndarray) -> np.ndarray:
        """A block (S, C), if all of it is finite."""
        if not np.isfinite(block).all():
            first = self.frames + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise ValueError(f"not finite: a sample is NaN or infinite, from {first / self.rate:.3f} s")
        return block

    def add(self, wave: np.ndarray) -> None:
        """The next samples (S,)."""
        self.frames += len(wave)
        self.lowest, self.highest = min(self.lowest, float(wave.min())), max(self.highest, float(wave.max()))
        self.digest.update(np.rint(wave * 32768).clip(-32768, 32767).astype("<i2").tobytes())
