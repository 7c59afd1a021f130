"""Is a file whole? Each container cut at many places; whole files, with what may stand around the samples."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from xser.audio_xser import AudioError, load_audio
from xser.containers_xser import find_parts
from xser.flac_xser import flac_parts
from xser.parts_xser import NotWholeError, Part, PartStream

RATE = 16_000
SHARED = Path(__file__).parents[2] / "shared" / "data"
NOISE = (np.random.default_rng(0).standard_normal(6_000) * 0.1).astype(np.float32)
# Each with a length in its header; G.721 and the like know 8 kHz alone
CUT = [
    *[("WAV", subtype, endian) for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW") for endian in ("LITTLE", "BIG")],
    *[("WAV", subtype, None) for subtype in ("PCM_U8", "DOUBLE", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32")],
    *[("WAV", f"NMS_ADPCM_{bits}", None) for bits in (16, 24, 32)],
    ("WAVEX", "PCM_16", None),
    *[
        (kind, subtype, None)
        for kind in ("RF64", "W64", "AIFF", "AU", "CAF")
        for subtype in ("PCM_16", "PCM_24", "FLOAT")
    ],
    ("CAF", "ALAC_16", None),
    ("NIST", "PCM_16", None),
    ("SVX", "PCM_16", None),
    *[("FLAC", subtype, None) for subtype in ("PCM_S8", "PCM_16", "PCM_24")],
    ("OGG", "VORBIS", None),
    ("OGG", "OPUS", None),
    ("MP3", "MPEG_LAYER_III", None),
]
KINDS = [("WAV", "PCM_16", None), ("AIFF", "PCM_16", None), ("AU", "PCM_16", None), ("CAF", "PCM_16", None),
         ("W64", "PCM_16", None), ("RF64", "PCM_16", None), ("FLAC", "PCM_16", None), ("OGG", "VORBIS", None),
         ("OGG", "OPUS", None), ("MP3", "MPEG_LAYER_III", None)]  # fmt: skip


def encode(kind: str, subtype: str | None = None, endian: str | None = None, wave=NOISE) -> bytes:
    buffer = io.BytesIO()
    rate = 8_000 if subtype in ("G721_32", "GSM610") else RATE
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype, endian=endian)
    return buffer.getvalue()


def places(size: int) -> list[int]:
    """Where a file of `size` bytes is cut: all over, and closely at both ends."""
    spread = {size * part // 40 for part in range(1, 40)}
    return sorted(spread | set(range(1, 60, 7)) | {size - cut for cut in (1, 2, 3, 4, 9, 40, 130)})


@pytest.mark.parametrize(("kind", "subtype", "endian"), CUT)
def test_a_file_cut_anywhere_is_refused_or_has_lost_no_sample(kind, subtype, endian):
    data = encode(kind, subtype, endian)
    whole = load_audio(data)
    assert len(whole) >= 6_000
    refused = 0
    for place in places(len(data)):
        try:
            wave = load_audio({"bytes": data[:place], "path": "cut.audio"})
        except AudioError as error:
            assert str(error).startswith("cut.audio ") and error.source == "cut.audio"
            refused += 1
        else:  # a byte of padding, or what follows the samples
            assert len(wave) == len(whole)
            np.testing.assert_array_equal(wave[:6_000], whole[:6_000])  # of a last block that is not full
            assert place > 0.95 * len(data)
    assert refused >= len(places(len(data))) - 2


@pytest.mark.parametrize("share", np.linspace(0.05, 0.99, 32))
def test_real_speech_in_ogg_that_is_cut_is_refused(share):
    path = next(iter(sorted(SHARED.glob("nemo/**/*.ogg"))), None)
    if path is None:
        pytest.skip("needs ../shared/data/nemo")
    data = path.read_bytes()
    with pytest.raises(AudioError, match="is truncated"):
        load_audio(data[: int(share * len(data))])


def test_no_whole_file_of_real_speech_is_refused():
    paths = sorted(SHARED.rglob("*.ogg"))[::23]
    if not paths:
        pytest.skip("needs ../shared/data")
    for path in paths:
        with path.open("rb") as file:
            assert find_parts(file) == [Part(0, path.stat().st_size)]


@pytest.mark.parametrize(("kind", "subtype", "endian"), KINDS)
@pytest.mark.parametrize("tail", [b"TAG".ljust(128, b" "), bytes(1), bytes(300), b"any other bytes \x4f\xff\xd8" * 20])
def test_what_follows_the_samples_does_not_matter(kind, subtype, endian, tail):
    data = encode(kind, subtype, endian)
    np.testing.assert_array_equal(load_audio(data + tail), load_audio(data))


ID3 = b"ID3\4\0\0\0\0\1\0" + bytes(128)


@pytest.mark.parametrize("kind", ["FLAC", "MP3"])
def test_a_tag_may_stand_before_the_samples(kind):
    data = encode(kind)
    np.testing.assert_array_equal(load_audio(ID3 + data), load_audio(data))
    with pytest.raises(AudioError, match="truncated"):
        load_audio(ID3 + data[: len(data) // 2])


# ------------------------------------------------------------------------------------------- Lengths not filled in


def streamed(kind: str) -> tuple[bytes, int]:
    """A file whose header says the length of the samples is not known, and where they begin."""
    data = bytearray(encode(kind, "PCM_16"))
    samples = {"WAV": b"data", "AU": b".snd", "CAF": b"data"}[kind]
    at = data.index(samples) + (8 if kind == "AU" else 4)
    size = 8 if kind == "CAF" else 4
    data[at : at + size] = b"\xff" * size
    return bytes(data), at + size


@pytest.mark.parametrize("kind", ["WAV", "AU", "CAF"])
def test_a_length_that_is_not_known_is_no_fault_and_no_cut_of_it_can_be_told(kind):
    data, start = streamed(kind)
    np.testing.assert_allclose(load_audio(data), NOISE, atol=1e-4)
    assert len(load_audio(data[: start + 6_000])) < 6_000  # the documented limit


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_header_that_announces_gigabytes_allocates_none(length):
    data = bytearray(encode("WAV", "PCM_16", wave=NOISE[:8]))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", length)
    assert len(load_audio(bytes(data))) == 8
    data[at : at + 4] = struct.pack("<I", 0x7FFFE000)
    with pytest.raises(AudioError, match="16 of 2147475456 bytes of samples are there"):
        load_audio(bytes(data))


def with_flac_total(total: int) -> bytes:
    data = bytearray(encode("FLAC", "PCM_16", wave=np.tile(NOISE, 3)))
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    data[18:26] = fields.to_bytes(8, "big")
    return bytes(data)


def test_a_flac_that_announces_days_allocates_none_of_it():
    with pytest.raises(AudioError, match="at most 1073741824 at a time"):
        load_audio(with_flac_total(2**36 - 1))
    with pytest.raises(AudioError, match=r"truncated: 18000 of 100000000 samples|truncated or damaged"):
        load_audio(with_flac_total(100_000_000))


def test_a_flac_of_unknown_length_is_decoded_and_told_from_a_cut_one():
    data = with_flac_total(0)
    np.testing.assert_array_equal(load_audio(data), load_audio(encode("FLAC", wave=np.tile(NOISE, 3))))
    np.testing.assert_array_equal(load_audio(data + b"TAG".ljust(128)), load_audio(data))
    for place in places(len(data)):
        with pytest.raises(AudioError, match=r"truncated|not audio"):
            load_audio(data[:place])


def test_a_flac_of_many_false_headers_is_refused_at_once():
    header = with_flac_total(0)[:42]
    with pytest.raises(NotWholeError, match="whole frame"):
        flac_parts(io.BytesIO(header + bytes.fromhex("fff8c01800b8") * 170_000), 0, 42 + 6 * 170_000)


@pytest.mark.parametrize("head", [b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"caff\0\1\0\0", b"ID3\4\0\0\0\0\0\0"])
def test_a_sparse_file_of_gigabytes_is_refused_at_once(head, tmp_path):
    path = tmp_path / "sparse.wav"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(8 * 2**30)
    with pytest.raises(AudioError, match=r"^.*sparse.wav "):
        load_audio(path)


# -------------------------------------------------------------------------------------------------------------- Ogg


def pages(data: bytes) -> list[bytes]:
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    return [data[begin:end] for begin, end in zip(starts, [*starts[1:], len(data)], strict=True)]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_without_its_last_page_one_between_or_a_byte_of_it_is_refused(subtype):
    data = encode("OGG", subtype, wave=np.tile(NOISE, 20))
    parts = pages(data)
    assert len(parts) > 4
    with pytest.raises(AudioError, match=r"does not mark the end of the stream.*ffmpeg"):
        load_audio(b"".join(parts[:-1]))
    with pytest.raises(AudioError, match="pages are missing before byte"):
        load_audio(b"".join(parts[:3] + parts[4:]))
    with pytest.raises(AudioError, match="does not match its checksum"):
        load_audio(data[:-50] + bytes([data[-50] ^ 1]) + data[-49:])
    with pytest.raises(AudioError, match=r"no page begins at byte .* and others follow"):
        load_audio(b"".join([*parts[:3], b"xy", *parts[3:]]))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_all_links_of_a_chain_are_decoded(subtype):
    one, other = (encode("OGG", subtype, wave=0.8**power * NOISE) for power in (0, 1))
    expected = np.concatenate([load_audio(one), load_audio(other)])
    np.testing.assert_array_equal(load_audio(one + other), expected)
    for place in places(len(other)):
        with pytest.raises(AudioError, match="truncated"):
            load_audio(one + other[:place])


def test_a_chain_of_unlike_recordings_says_what_they_are():
    stereo = encode("OGG", "VORBIS", wave=np.stack([NOISE, NOISE], axis=1))
    with pytest.raises(AudioError, match=r"1 channels at 16000 Hz, 2 channels at 16000 Hz: cut it at its links"):
        load_audio(encode("OGG", "VORBIS") + stereo)


# ------------------------------------------------------------------------------------------------------------- MPEG


def mp3_frames(wave: np.ndarray) -> list[bytes]:
    """Frames of a file, its table first."""
    data = encode("MP3", wave=wave)
    at = data.index(b"\xff\xf3")
    frames = []
    while data[at : at + 2] == b"\xff\xf3":
        bits, padding = data[at + 2] >> 4, data[at + 2] >> 1 & 1
        length = 72 * 1000 * (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[bits] // RATE + padding
        frames.append(data[at : at + length])
        at += length
    return frames


def test_an_mp3_without_a_table_of_its_length_is_decoded_whole():
    frames = mp3_frames(np.tile(NOISE, 8) * np.linspace(0.01, 1, 48_000, dtype=np.float32))  # the bit rate varies
    assert b"Info" in frames[0] or b"Xing" in frames[0]
    with_table, without = load_audio(b"".join(frames)), load_audio(b"".join(frames[1:]))
    assert len(with_table) == 48_000
    assert 48_000 <= len(without) <= 576 * len(frames)  # the encoder's delay is not cut off
    best = max(range(2_000), key=lambda delay: float(np.dot(without[delay : delay + 40_000], with_table[:40_000])))
    assert np.corrcoef(without[best : best + 40_000], with_table[:40_000])[0, 1] > 0.999


def test_an_mp3_that_lacks_frames_or_part_of_one_is_refused_where_that_can_be_told():
    frames = mp3_frames(np.tile(NOISE, 4))
    for last in (1, 2, 5):
        with pytest.raises(AudioError, match=r"truncated: \d+ of \d+ frames are there"):
            load_audio(b"".join(frames[:-last]))
    with pytest.raises(AudioError, match=r"truncated: \d+ of \d+ bytes of its last frame"):
        load_audio(b"".join(frames[1:])[:-3])
    load_audio(b"".join(frames[1:-2]))  # without a table nothing tells that two are missing
    load_audio(b"".join([*frames[:5], b"something else", *frames[5:]]))  # decoders pass over it


# ------------------------------------------------------------------------------------------------------------ Parts


def test_a_part_reads_as_a_file_of_its_own():
    part = PartStream(io.BytesIO(b"0123456789"), Part(3, 8, b"ab"))
    assert (part.read(), part.tell(), part.seek(-2, 2), part.read(9), part.read(1)) == (b"ab34567", 7, 5, b"67", b"")
    assert (part.seek(1), part.read(3), part.seek(-100, 1)) == (1, b"b34", 4)


def test_a_part_holds_the_error_of_its_file():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    part = PartStream(Failing(b"abc"), Part(0, 3))
    assert part.read(2) == b"" and part.error.errno == 5
