"""Ogg files page by page: are all pages there and unharmed, and where do the links of a chain begin?

A page is a header of 27 bytes, a table of segment lengths, and the segments. It holds a checksum, the number of its
stream, its own number there, and whether its stream begins or ends with it (RFC 3533).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .parts_xser import NotWholeError, Part, read_at

MAGIC = b"OggS"
HEADER = struct.Struct("<4sBBqIIIB")
BEGINS, ENDS = 2, 4  # flags of a page
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """One page: where it begins and ends, whether its stream does so with it, and its numbers."""

    start: int
    stop: int
    begins: bool
    ends: bool
    stream: int
    number: int


def ogg_parts(file: BinaryIO, start: int, size: int) -> list[Part]:
    """The links of a chain, each a part; a file that is no chain is one.

    Raises:
        NotWholeError: a page is cut short, damaged or missing, or a stream does not end.
    """
    starts = [start]
    expected: dict[int, int] = {}  # stream that has not ended → number of its next page
    for page in _pages(file, start, size):
        if page.begins:
            if not expected and page.start != start:
                starts.append(page.start)
            expected[page.stream] = page.number
        if expected.get(page.stream) != page.number:
            raise NotWholeError(f"is damaged: pages are missing before byte {page.start}")
        expected[page.stream] += 1
        if page.ends:
            del expected[page.stream]
        last = page
    if expected:
        raise NotWholeError(
            "is truncated: its last page does not mark the end of the stream; if it is all there is, as of a recorder "
            "that was never stopped, write it anew (ffmpeg -i FILE -c copy NEW)"
        )
    return [Part(begin, stop) for begin, stop in zip(starts, [*starts[1:], last.stop], strict=True)]


def _pages(file: BinaryIO, position: int, size: int) -> Iterator[Page]:
    """Pages to the end of the file, or to what is no page: tags and padding may follow the last one."""
    first = position
    while position < size:
        header = read_at(file, position, HEADER.size)
        if header[:4] != MAGIC[: len(header)]:
            if position != first and _more(file, position, size):
                raise NotWholeError(f"is damaged: no page begins at byte {position}, and others follow")
            return
        if len(header) < HEADER.size:
            raise NotWholeError("is truncated: it ends in the header of a page")
        _, _, flags, _, stream, number, checksum, segments = HEADER.unpack(header)
        table = read_at(file, position + HEADER.size, segments)
        stop = position + HEADER.size + segments + sum(table)
        if len(table) < segments or stop > size:
            raise NotWholeError("is truncated: its last page is not all there")
        page = (
            header[:22] + bytes(4) + header[26:] + table + read_at(file, position + len(header) + segments, sum(table))
        )
        if _checksum(page) != checksum:
            raise NotWholeError(f"is damaged: the page at byte {position} does not match its checksum")
        yield Page(position, stop, bool(flags & BEGINS), bool(flags & ENDS), stream, number)
        position = stop


def _more(file: BinaryIO, position: int, size: int, block: int = 2**20) -> bool:
    """Whether a page begins anywhere behind `position`."""
    while position < size:
        if MAGIC in read_at(file, position, block + len(MAGIC) - 1):
            return True
        position += block
    return False


def _checksum(page: bytes) -> int:
    """CRC-32 with the highest bit first, without inversions: zlib's, of bytes and result with their bits reversed."""
    inverted = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{inverted:032b}"[::-1], 2)


__all__ = ["ogg_parts"]
