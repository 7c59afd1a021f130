"""MPEG audio files frame by frame: is the last frame whole, and are all there that the first announces?

A frame's header gives its length, so that one leads to the next. The first may hold no sound but a table with the
number of frames (Xing, Info or VBRI). A decoder guesses the length of a file without one, and stops too early where
the bit rate varies; so such a file gets one.
"""

from dataclasses import dataclass
from typing import BinaryIO

from .parts_xser import NotWholeError, Part, read_at

KBITS = {  # (MPEG-1, layer) → kbit/s of the codes 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44_100, 48_000, 32_000)
SAME = 0xFFFE0C00  # bits of a header that all frames of a file share: sync, version, layer, rate
TAG = b"ID3\4\0\0\0\0\0\x14" + bytes(20)  # without content: libsndfile knows streams of this kind by it
SEARCH = 2**16  # bytes of what is no frame, behind which others are looked for


@dataclass(frozen=True)
class Frame:
    """What a frame's header says: its length in bytes, `None` where it leaves that open; and its sizes."""

    word: int
    length: int | None
    is_mpeg1: bool
    layer: int
    is_mono: bool

    @property
    def table_at(self) -> int:
        """Where a table of Xing's kind stands in a frame."""
        side = (17 if self.is_mono else 32) if self.is_mpeg1 else (9 if self.is_mono else 17)
        return 4 + side


def is_mp3(head: bytes) -> bool:
    """Whether a frame's header stands here."""
    return _frame(head) is not None


def mp3_parts(file: BinaryIO, start: int, size: int) -> list[Part]:
    """The file behind an empty tag, with a table of its length where it lacks one.

    Raises:
        NotWholeError: the last frame is cut short, or frames are missing.
    """
    first = _frame(read_at(file, start, 4))
    if first.length is None:
        return [Part(start, size, TAG)]
    announced, announced_bytes = _announced(read_at(file, start, first.length), first)
    count, stop = _count(file, start, size, first)
    if announced is None:
        return [Part(start, size, TAG + (_table(first, count) if first.layer == 3 else b""))]
    missing = announced - (count - 1)
    is_short = announced_bytes is not None and stop - start < announced_bytes
    if missing > 1 or (missing == 1 and is_short):  # some programs count the table's own frame
        raise NotWholeError(f"is truncated: {count - 1} of {announced} frames are there")
    return [Part(start, size, TAG)]


def _frame(head: bytes) -> Frame | None:
    """What a header of four bytes says; `None` for what is none."""
    word = int.from_bytes(head[:4], "big")
    version, layer, bits, rate = word >> 19 & 3, 4 - (word >> 17 & 3), word >> 12 & 15, word >> 10 & 3
    if len(head) < 4 or word >> 21 != 0x7FF or version == 1 or layer == 4 or bits == 15 or rate == 3:
        return None
    is_mpeg1, padding, is_mono = version == 3, word >> 9 & 1, word >> 6 & 3 == 3
    length = None
    if bits:
        hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
        per_second = 1000 * KBITS[is_mpeg1, layer][bits - 1]
        if layer == 1:
            length = (12 * per_second // hertz + padding) * 4
        else:
            length = (144 if is_mpeg1 or layer == 2 else 72) * per_second // hertz + padding
    return Frame(word, length, is_mpeg1, layer, is_mono)


def _announced(data: bytes, first: Frame) -> tuple[int | None, int | None]:
    """Frames behind the first, and bytes with it, that its table announces."""
    place = first.table_at
    if data[place : place + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(data[place + 4 : place + 8], "big")
        numbers = [int.from_bytes(data[place + at : place + at + 4], "big") for at in (8, 12)]
        return (numbers[0] if flags & 1 else None), (numbers[1] if flags & 3 == 3 else None)
    if data[36:40] == b"VBRI":
        return int.from_bytes(data[50:54], "big"), int.from_bytes(data[46:50], "big")
    return None, None


def _count(file: BinaryIO, position: int, size: int, first: Frame) -> tuple[int, int]:
    """Frames from `position` on, and where the last one ends; tags and padding may follow."""
    count = 0
    while position < size:
        head = read_at(file, position, 4)
        frame = _next(head, first)
        if frame is None:
            found = _search(file, position, size, first)
            if found is None:
                if len(head) < 4 and head[:1] == b"\xff":
                    raise NotWholeError("is truncated: it ends in the header of a frame")
                break
            position = found
            continue
        if position + frame.length > size:
            raise NotWholeError(f"is truncated: {size - position} of {frame.length} bytes of its last frame are there")
        position += frame.length
        count += 1
    return count, position


def _next(head: bytes, first: Frame) -> Frame | None:
    """A frame of the same file."""
    frame = _frame(head)
    return frame if frame is not None and frame.length and not (frame.word ^ first.word) & SAME else None


def _search(file: BinaryIO, position: int, size: int, first: Frame) -> int | None:
    """Where frames go on behind something else: two that follow each other, or one at the very end."""
    data = read_at(file, position, SEARCH)
    place = 0
    while (place := data.find(b"\xff", place + 1)) >= 0:
        frame = _next(data[place : place + 4], first)
        if frame is not None:
            after = position + place + frame.length
            if after == size or _next(read_at(file, after, 4), first) is not None:
                return position + place
    return None


def _table(first: Frame, frames: int) -> bytes:
    """A frame without sound that announces how many follow it."""
    for bits in range(1, 15):  # the smallest that holds the table
        word = first.word & ~(15 << 12 | 1 << 16) | bits << 12 | 1 << 16  # without a checksum
        frame = _frame(word.to_bytes(4, "big"))
        if frame.length >= frame.table_at + 12:
            table = b"Info" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
            return (word.to_bytes(4, "big") + bytes(frame.table_at - 4) + table).ljust(frame.length, b"\0")
    return b""


__all__ = ["is_mp3", "mp3_parts"]
