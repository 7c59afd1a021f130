"""A part of a file as a stream of its own: one link of a chained Ogg file, or a file with a mended header."""

import io
import os
from dataclasses import dataclass
from typing import BinaryIO


class NotAudioError(ValueError):
    """A file of no known format; the message says how it begins."""


class NotWholeError(ValueError):
    """A file that lacks something; the message goes on after the file's name: "is truncated: …"."""


@dataclass(frozen=True)
class Part:
    """What a decoder reads as one file: `head`, then bytes `start` to `stop` of a file.

    Args:
        head: stands before them: a header that the file lacks, or a mended one.
    """

    start: int
    stop: int
    head: bytes = b""


class PartStream:
    """A `Part` as a binary file that never raises: a decoder in C cannot pass an exception on, so `error` holds it.

    It has no name: a decoder would believe a name's ending rather than the content.

    Args:
        file: can read and seek.
        part: of it.
    """

    def __init__(self, file: BinaryIO, part: Part):
        self.file, self.part = file, part
        self.size = len(part.head) + part.stop - part.start
        self.position = 0
        self.error: Exception | None = None

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        if origin + offset >= 0:  # broken headers lead before the start
            self.position = origin + offset
        return self.position

    def read(self, size: int = -1) -> bytes:
        size = self.size if size < 0 else size
        data = self.part.head[self.position : self.position + size]
        place = self.part.start + self.position + len(data) - len(self.part.head)
        wanted = min(size - len(data), self.part.stop - place)
        if wanted > 0 and self.error is None:
            try:
                data += read_at(self.file, place, wanted)
            except Exception as error:  # whatever the file of a user raises
                self.error = error
        self.position += len(data)
        return data

    def write(self, data: bytes) -> int:
        """Only that a decoder asks whether there is one."""
        raise io.UnsupportedOperation("write")


def read_at(file: BinaryIO, position: int, size: int) -> bytes:
    """At most `size` bytes from `position` on; fewer at the end of the file."""
    file.seek(position)
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):  # a file without a buffer may give less
        data += more
    return data


__all__ = ["NotAudioError", "NotWholeError", "Part", "PartStream", "read_at"]
