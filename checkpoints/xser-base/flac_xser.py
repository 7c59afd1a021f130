"""FLAC files whose header does not say how long they are: is the last frame whole, and how many samples are there?

libsndfile cannot decode these at all. The number of a last frame that matches its checksum gives the length, which is
then filled in. Where the header says the length, the decoder finds out by itself what is missing.
"""

from typing import BinaryIO

from .parts_xser import NotWholeError, Part, read_at

STREAM_INFO = 42  # bytes: the magic, a block's header, and the block
TOTAL_BITS = 36
TAIL = 2**20  # bytes in which the last frame must begin; a frame has at most 65,535 samples a channel
SYNCS = (b"\xff\xf8", b"\xff\xf9")  # blocks of one size, numbered; of different sizes, with the first sample's number
MAX_CANDIDATES = 2**13  # bytes of 0xFF that are looked at, and
MAX_TRIES = 16  # headers may turn up by chance, about once in four megabytes
TAG = 128  # bytes of an ID3v1 tag


def flac_parts(file: BinaryIO, start: int, size: int) -> list[Part]:
    """The file, its length filled in where it lacks it.

    Raises:
        NotWholeError: its length is not known, and it does not end with a whole frame.
    """
    info = read_at(file, start, STREAM_INFO)
    if len(info) < STREAM_INFO:
        raise NotWholeError("is truncated: it ends in its header")
    fields = int.from_bytes(info[18:26], "big")  # rate, channels, bits a sample, total
    if fields % 2**TOTAL_BITS:
        return [Part(0, size)]
    if size > TAG and read_at(file, size - TAG, 3) == b"TAG":
        size -= TAG
    tail_start = max(start + STREAM_INFO, size - TAIL)
    total = _length(read_at(file, tail_start, size - tail_start), block_size=int.from_bytes(info[8:10], "big"))
    if total is None:
        raise NotWholeError("is truncated: it does not end with a whole frame")
    head = info[:18] + (fields + total).to_bytes(8, "big") + info[26:]
    return [Part(start + STREAM_INFO, size, head)]


def _length(tail: bytes, block_size: int) -> int | None:
    """Samples up to the end of the last frame; `None` where the tail does not end with a frame."""
    tail = tail.rstrip(b"\0") if _frame_start(tail) is None else tail
    place = _frame_start(tail)
    if place is None:
        return None
    number, header = _number(tail, place + 4)
    size, width = _block(tail, place, header)
    first = number if tail[place + 1] & 1 else number * block_size
    return None if width is None else first + size


def _frame_start(tail: bytes) -> int | None:
    """Where the last frame begins: what looks like a frame's header, from which on the CRC-16 comes out as 0."""
    place, tries = len(tail), 0
    for _ in range(MAX_CANDIDATES):
        place = tail.rfind(b"\xff", 0, max(place, 0))
        if place < 0 or tries == MAX_TRIES:
            break
        if tail[place : place + 2] not in SYNCS:
            continue
        header = _number(tail, place + 4)[1]
        width = _block(tail, place, header)[1]
        stop = header + (width or 0)
        if width is not None and stop < len(tail) and _crc(tail[place:stop], 8) == tail[stop]:
            if _crc(tail[place:], 16) == 0:
                return place
            tries += 1
    return None


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number that is written as UTF-8 writes letters, of up to seven bytes; and where it ends."""
    first = data[place] if place < len(data) else 0
    more = max(8 - (first ^ 0xFF).bit_length() - 1, 0)
    value = first & (0x7F >> (more + 1 if more else 0))
    for byte in data[place + 1 : place + 1 + more]:
        value = value << 6 | byte & 0x3F
    return value, place + 1 + more


def _block(data: bytes, place: int, after: int) -> tuple[int, int | None]:
    """Samples of a frame, and bytes between its number and its CRC-8; `None` for what is no header."""
    if after + 4 > len(data):
        return 0, None
    code, rate = data[place + 2] >> 4, data[place + 2] & 15
    if code == 0 or rate == 15 or data[place + 3] & 1:
        return 0, None
    width = {6: 1, 7: 2}.get(code, 0)
    if width:
        size = int.from_bytes(data[after : after + width], "big") + 1
    else:
        size = 192 if code == 1 else 576 << (code - 2) if code < 6 else 256 << (code - 8)
    return size, width + {12: 1, 13: 2, 14: 2}.get(rate, 0)


def _crc(data: bytes, bits: int) -> int:
    """A cyclic redundancy check, highest bit first, from 0."""
    table = _TABLES[bits]
    mask, shift, value = (1 << bits) - 1, bits - 8, 0
    for byte in data:
        value = ((value << 8) & mask) ^ table[(value >> shift) ^ byte]
    return value


def _table(bits: int, polynomial: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return table


_TABLES = {8: _table(8, 0x07), 16: _table(16, 0x8005)}

__all__ = ["flac_parts"]
