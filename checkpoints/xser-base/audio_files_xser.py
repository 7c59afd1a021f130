"""Audio files of any kind, a block of samples at a time; what is wrong with one is an `AudioError` that names it.

Shapes: S samples, C channels.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from .containers_xser import find_parts
from .parts_xser import NotAudioError, NotWholeError, Part, PartStream

try:
    import soundfile
except (ImportError, OSError):  # OSError: libsndfile itself is missing
    soundfile = None

FORMATS = "wav, flac, ogg (vorbis, opus), mp3, aiff, au"
REMEDY = "copy or download it again"
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; beyond these a rate is a slip, such as 16 for 16 kHz
MAX_CHANNELS = 64
MAX_SAMPLES = 2**30  # of all channels: 4 GB as float32, 18 hours at 16 kHz
BLOCK_SAMPLES = 2**21
UNKNOWN = 2**62  # frames from here on are what libsndfile says when it does not know them


class AudioError(ValueError):
    """A recording that cannot be used; the message starts with its name, which `source` holds too."""

    def __init__(self, message: str, source: str = ""):
        super().__init__(message)
        self.source = source


class MissingPackageError(ImportError):
    """A package that files need is not installed: no fault of the recording, and the same for all files."""


class AudioFile:
    """An audio file whose header has been read, and found to agree with the file.

    Args:
        stream: can read and seek; it is not closed.
        name: what errors call it.

    Attributes: `rate` in Hz, `channels`, `frames` (samples of each channel, as the header says).

    Raises:
        AudioError: truncated, damaged, not audio, or of a rate or size that no recording of speech has.
        MissingPackageError: soundfile is not installed.
    """

    def __init__(self, stream: BinaryIO, name: str):
        if soundfile is None:
            raise MissingPackageError(f"{name}: reading audio files needs soundfile (pip install soundfile)")
        self.stream, self.name = stream, name
        try:
            self.parts = find_parts(stream)
        except NotAudioError as error:
            raise AudioError(f"{name} is not audio: {error}; {FORMATS} can be read", name) from error
        except NotWholeError as error:
            raise AudioError(f"{name} {error}; {REMEDY}", name) from error
        except OSError as error:
            raise AudioError(f"{name} cannot be read: {error.strerror or error}", name) from error
        kinds, self.frames = set(), 0
        for part in self.parts:
            with self._open(part) as file:
                kinds.add((file.samplerate, file.channels))
                self.frames += file.frames
        if len(kinds) > 1:
            listed = ", ".join(f"{channels} channels at {rate} Hz" for rate, channels in sorted(kinds))
            raise AudioError(f"{name} is a chain of recordings with {listed}: cut it at its links", name)
        ((self.rate, self.channels),) = kinds
        check_rate(self.rate, name)
        check_size(self.frames, self.channels, name)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.frames / self.rate

    def blocks(self, frames: int | None = None) -> Iterator[np.ndarray]:
        """Float32 samples (S, C), from the first to the last.

        Args:
            frames: at most so many at a time; some megabytes if not given.

        Raises:
            AudioError: the file is damaged, or holds less than its header says.
        """
        frames = frames or max(BLOCK_SAMPLES // self.channels, 1)
        for part in self.parts:
            with self._open(part) as file:
                done = 0
                while len(block := self._read(file, frames, done)):
                    done += len(block)
                    yield block
                self._raise_unread()
                # for MPEG audio it is an estimate, and its frames have been counted
                if done < file.frames and file.format != "MP3":
                    present = f"{done} of {file.frames} samples are there"
                    raise AudioError(f"{self.name} is truncated: {present}; {REMEDY}", self.name)

    def _open(self, part: Part) -> "soundfile.SoundFile":
        self._view = PartStream(self.stream, part)
        try:
            file = soundfile.SoundFile(self._view)
        except soundfile.SoundFileError as error:
            self._raise_unread()
            reason = f"libsndfile: {_reason(error)}"
            raise AudioError(
                f"{self.name} is truncated or not audio ({reason}); {FORMATS} can be read", self.name
            ) from error
        if not 0 <= file.frames < UNKNOWN:
            file.close()
            raise AudioError(
                f"{self.name} is damaged or streamed: its header has no length; write it anew, such as by ffmpeg",
                self.name,
            )
        return file

    def _read(self, file: "soundfile.SoundFile", frames: int, done: int) -> np.ndarray:
        try:
            return file.read(frames, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            self._raise_unread()
            where = f"from {done / self.rate:.3f} s on (libsndfile: {_reason(error)})"
            raise AudioError(f"{self.name} is truncated or damaged {where}; {REMEDY}", self.name) from error

    def _raise_unread(self) -> None:
        """What went wrong in reading the file rather than in decoding it."""
        error = self._view.error
        if error is not None:
            raise AudioError(f"{self.name} cannot be read: {error}", self.name) from error


def check_rate(rate, name: str) -> None:
    """Refuse what cannot be a recording's rate, by an `AudioError`."""
    if not MIN_RATE <= rate <= MAX_RATE or rate != int(rate):  # NaN is refused by the first
        raise AudioError(
            f"{name} has rate {rate!s:.20}; it must be a whole number of hertz, {MIN_RATE} to {MAX_RATE}", name
        )


def check_size(frames: int, channels: int, name: str) -> None:
    """Refuse what is no recording of speech by its shape, by an `AudioError`."""
    if channels > MAX_CHANNELS:
        raise AudioError(f"{name} has {channels} channels; give at most {MAX_CHANNELS}, or one of them", name)
    if frames * channels > MAX_SAMPLES:
        raise AudioError(
            f"{name} has {frames} samples in {channels} channels; give at most {MAX_SAMPLES} at a time: cut it", name
        )


def _reason(error: "soundfile.SoundFileError") -> str:
    """libsndfile's words, without the address of the stream that it read from."""
    words = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return words.removeprefix("Error : ").strip(". ").lower() or "no reason given"


__all__ = ["AudioError", "AudioFile", "MissingPackageError", "check_rate", "check_size"]
