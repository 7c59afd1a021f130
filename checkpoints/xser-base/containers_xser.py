"""Is an audio file whole? Decoders say nothing of samples that a header announces and the file lacks.

| container | judged by | cannot be told |
|---|---|---|
| wav, RF64, W64, aiff, 8svx, au, caf, nist | the announced bytes of samples | a length that was never filled in |
| ogg | every page's checksum, number and end, and the mark of the last page | a chain cut between two links |
| flac | the announced samples; without, the last frame's checksum | without: a cut between two frames |
| mp3 | the announced frames; the last frame's end | without: a cut between two frames |

paf, pvf, voc, avr, ircam and wve are held against what the decoder expects of them, which is little or nothing. Files
that begin otherwise are refused here: libsndfile takes an unknown file for one of Sound Designer's, and reads it into
memory as a whole, be it of gigabytes. What follows the samples (tags, padding, other chunks) may be there or not.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from .flac_xser import flac_parts
from .mp3_xser import is_mp3, mp3_parts
from .ogg_xser import ogg_parts
from .parts_xser import NotAudioError, NotWholeError, Part, read_at

WAVES = (b"RIFF", b"RIFX", b"RF64", b"BW64")
FORMS = (b"AIFF", b"AIFC", b"8SVX", b"16SV")
OTHERS = (b" paf", b"fap ", b"PVF1", b"Creative Voice ", b"2BIT", b"ALawSoundFile")
IRCAM = tuple(bytes(order) for number in (1, 2, 3, 4) for order in ((0, number, 0xA3, 0x64), (0x64, 0xA3, number, 0)))
STREAMED = 0x7FFFF000  # lengths from here to 2^32 are what programs write when they do not know it yet
STREAMED_64 = 2**62
W64_GUID = bytes.fromhex("2e91cf11a5d628db04c10000")  # after the four letters
NIST_HEADER = 4096  # bytes at most
MAX_CHUNKS = 10_000  # more than any file has; a gigabyte of zeros looks like many


def find_parts(file: BinaryIO) -> list[Part]:
    """The parts of a file that are decoded one after the other; one, but for chained Ogg files.

    Args:
        file: of any format, that can seek; it is left at any place.

    Raises:
        NotAudioError: no format is known that begins so.
        NotWholeError: the file is truncated or damaged.
    """
    size = file.seek(0, os.SEEK_END)
    start = _after_tags(file)
    head = read_at(file, start, 16)
    if head.startswith(b"OggS"):
        return ogg_parts(file, start, size)
    if head.startswith(b"fLaC"):
        return flac_parts(file, start, size)
    if is_mp3(head):
        return mp3_parts(file, start, size)
    if not _is_known(head):
        raise NotAudioError(f"it begins with {head[:8]!r}" if head else "it holds nothing but tags")
    announced = _announced(file, head, start, size)
    if announced is not None and announced[0] + announced[1] > size:
        present = max(size - announced[0], 0)
        raise NotWholeError(f"is truncated: {present} of {announced[1]} bytes of samples are there")
    if head[:4] == b"riff" and announced is not None:  # libsndfile decodes whatever follows
        return [Part(start, sum(announced))]
    if head[:4] == b"caff" and announced is None and (place := _caf_samples(file, start, size)):
        length = (size - place).to_bytes(8, "big")  # libsndfile does not know -1, which means up to the end
        return [Part(place, size, read_at(file, start, place - start - 8) + length)]
    if head[:4] == b"BW64":  # RF64 by another name
        return [Part(start + 4, size, b"RF64")]
    return [Part(0, size)]


def _is_known(head: bytes) -> bool:
    """Whether a file of a format that libsndfile knows for sure begins so."""
    if head[:4] in WAVES:
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in FORMS
    if head[:4] == b"caff":
        return head[8:12] == b"desc"
    if head[:4] == b"riff":
        return head[4:] == W64_GUID
    return head.startswith((b".snd", b"dns.", b"NIST_1A", *OTHERS, *IRCAM))


def _after_tags(file: BinaryIO) -> int:
    """Where the audio begins: behind ID3v2 tags, which may stand before any format."""
    position = 0
    for _ in range(MAX_CHUNKS):
        tag = read_at(file, position, 10)
        if tag[:3] != b"ID3" or len(tag) < 10:
            break
        length = sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        position += 10 + length + (10 if tag[5] & 0x10 else 0)
    return position


def _announced(file: BinaryIO, head: bytes, start: int, size: int) -> tuple[int, int] | None:
    """Where the samples begin, and of how many bytes the header says that they are; `None` where it does not say."""
    if head[:4] in WAVES:
        return _wav(file, head, start, size)
    if head[:4] == b"FORM":
        samples = b"BODY" if head[8:12] in (b"8SVX", b"16SV") else b"SSND"
        return _find(_chunks(file, start + 12, size, ">4sI"), samples, STREAMED)
    if head[:4] == b"riff" and head[4:] == W64_GUID:
        return _find(_chunks(file, start + 40, size, "<16sQ", 24, 8), b"data", STREAMED_64)
    if head[:4] == b"caff":
        return _find(_caf_chunks(file, start, size), b"data", STREAMED_64)
    if head[:4] in (b".snd", b"dns."):
        offset, length = struct.unpack("<II" if head[0] == ord("d") else ">II", head[4:12].ljust(8, b"\0"))
        return (start + offset, length) if length < STREAMED else None
    if head[:7] == b"NIST_1A":
        return _nist(read_at(file, start, NIST_HEADER), start)
    return None


def _wav(file: BinaryIO, head: bytes, start: int, size: int) -> tuple[int, int] | None:
    """RF64 has its lengths in a chunk of their own, `ds64`, and 2^32 - 1 in their places."""
    long = None
    for name, position, length in _chunks(file, start + 12, size, ">4sI" if head[:4] == b"RIFX" else "<4sI"):
        if name == b"ds64" and length >= 16:
            long = int.from_bytes(read_at(file, position + 8, 8), "little")
        elif name == b"data":
            if length == 0xFFFFFFFF and long is not None:
                return (position, long) if long < STREAMED_64 else None
            return (position, length) if length < STREAMED else None
    return None


def _caf_chunks(file: BinaryIO, start: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    return _chunks(file, start + 8, size, ">4sQ", padded=1)


def _caf_samples(file: BinaryIO, start: int, size: int) -> int | None:
    """Where the samples begin."""
    return next((position for name, position, _ in _caf_chunks(file, start, size) if name == b"data"), None)


def _chunks(
    file: BinaryIO, position: int, size: int, layout: str, counted: int = 0, padded: int = 2
) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and length of each chunk's content.

    Args:
        layout: of a chunk's header: its name and its length.
        counted: bytes of the header that the length counts too.
        padded: chunks begin at multiples of so many bytes.
    """
    header = struct.calcsize(layout)
    for _ in range(MAX_CHUNKS):
        if position + header > size:
            return
        name, length = struct.unpack(layout, read_at(file, position, header))
        length = max(length - counted, 0)
        yield name, position + header, length
        position += header + length + -length % padded


def _find(chunks: Iterator[tuple[bytes, int, int]], samples: bytes, streamed: int) -> tuple[int, int] | None:
    for name, position, length in chunks:
        if name[:4] == samples:
            return (position, length) if length < streamed else None
    return None


def _nist(header: bytes, start: int) -> tuple[int, int] | None:
    """Text: its own length, then lines of a name, a type and a value."""
    lines = [line.split() for line in header.split(b"end_head")[0].split(b"\n")[1:]]
    values = {line[0]: line[-1] for line in lines if len(line) in (1, 3)}
    names = (b"sample_count", b"channel_count", b"sample_n_bytes")
    numbers = [values.get(name, b"") for name in names] + [lines[0][0] if lines and lines[0] else b""]
    if not all(number.isdigit() and len(number) < 12 for number in numbers) or b"pcm,embedded" in header:
        return None
    frames, channels, width, length = map(int, numbers)
    return start + length, frames * channels * width


__all__ = ["find_parts"]
