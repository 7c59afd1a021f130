"""What a host library, a program or a careless caller gives as a recording: taken, or refused by an `AudioError`."""

import io
import os
import pathlib
import sys
import tempfile
import threading
from collections import UserDict
from fractions import Fraction
from functools import partial

import datasets
import numpy as np
import pytest
import soundfile
import torch
from conftest import make_wave

from xser.audio_xser import (
    SAMPLE_RATE,
    AudioError,
    audio_name,
    is_recording,
    list_recordings,
    load_audio,
    sampling_rate_of,
    undecoded,
)
from xser.pipeline_xser import XSERPipeline

WAVE = make_wave(0.5)
INT16 = np.rint(WAVE * 2**15).astype(np.int16)


def encode(wave=INT16, rate=SAMPLE_RATE, kind="WAV", subtype=None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


WAV = encode()
EXPECTED = INT16.astype(np.float32) / 2**15


class Samples:
    """torchcodec's `AudioSamples`."""

    def __init__(self, data, sample_rate):
        self.data, self.sample_rate = data, sample_rate


class Decoder:
    """torchcodec's `AudioDecoder`, as `datasets.Audio` wraps it."""

    def __init__(self, data=None, sample_rate=SAMPLE_RATE):
        self.data_ = torch.from_numpy(EXPECTED)[None] if data is None else data
        self.metadata = Samples(None, sample_rate)

    def get_all_samples(self):
        return Samples(self.data_, self.metadata.sample_rate)

    def __getitem__(self, key):
        return {"array": self.data_.numpy().mean(0), "sampling_rate": self.metadata.sample_rate}[key]


class Pipe(io.RawIOBase):
    """A file that cannot seek and gives little at a time."""

    def __init__(self, data):
        self.rest = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.rest.readinto(memoryview(buffer)[:100])


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "speech.wav"
    path.write_bytes(WAV)
    return path


FORMS = {
    "Gradio's pair": lambda path: (SAMPLE_RATE, INT16),
    "Gradio's pair, one column": lambda path: (SAMPLE_RATE, INT16[:, None]),
    "pair with a rate of NumPy": lambda path: (INT16, np.int64(SAMPLE_RATE)),
    "pair with a rate of torch": lambda path: (torch.from_numpy(INT16), torch.tensor(SAMPLE_RATE)),
    "pair with a fraction": lambda path: (Fraction(SAMPLE_RATE), INT16),
    "decoder": lambda path: Decoder(),
    "decoded": lambda path: Decoder().get_all_samples(),
    "BytesIO": lambda path: io.BytesIO(WAV),
    "open file": lambda path: path.open("rb"),
    "open file without a buffer": lambda path: path.open("rb", buffering=0),
    "pipe": lambda path: io.BufferedReader(Pipe(WAV)),
    "pipe without a buffer": lambda path: Pipe(WAV),
    "mapping": lambda path: UserDict(bytes=WAV, path=None),
    "memoryview": lambda path: memoryview(WAV),
    "path of bytes": lambda path: type("Path", (os.PathLike,), {"__fspath__": lambda self: os.fsencode(path)})(),
    "big-endian": lambda path: (EXPECTED.astype(">f4"), SAMPLE_RATE),
    "half": lambda path: (torch.from_numpy(EXPECTED).double().requires_grad_(), SAMPLE_RATE),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_samples_and_is_one_recording(form, path):
    source = FORMS[form](path)
    assert is_recording(source) and list_recordings(source) == [source]
    assert audio_name(source).isprintable()
    np.testing.assert_array_equal(load_audio(source), EXPECTED)


def test_an_open_file_is_read_from_its_start_and_left_open_where_it_was(path):
    with path.open("rb") as file:
        file.seek(77)
        assert audio_name(file) == str(path)
        assert sampling_rate_of(file) == SAMPLE_RATE
        np.testing.assert_array_equal(load_audio(file), EXPECTED)
        assert not file.closed and file.tell() == 77
        np.testing.assert_array_equal(load_audio(file), EXPECTED)
        file.seek(0, os.SEEK_END)
    written = io.BytesIO()
    written.write(WAV)
    np.testing.assert_array_equal(load_audio(written), EXPECTED)  # at its end, as after writing
    with tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(WAV)
        np.testing.assert_array_equal(load_audio(spooled), EXPECTED)


@pytest.mark.parametrize(
    ("source", "rate"),
    [
        ((8_000, INT16), 8_000),
        ((INT16, 44_100), 44_100),
        ({"array": INT16, "sampling_rate": 8_000}, 8_000),
        ({"bytes": encode(rate=22_050), "path": None}, 22_050),
        (io.BytesIO(encode(rate=22_050)), 22_050),
        (Decoder(sample_rate=48_000), 48_000),
        (Samples(torch.zeros(1, 9), 48_000), 48_000),
        (b"nothing", None),
        ("none.wav", None),
        (object(), None),
        ((INT16, "fast"), None),
    ],
)
def test_the_rate_is_known_without_decoding_where_it_can_be(source, rate):
    assert sampling_rate_of(source) == rate


def test_channels_of_a_decoder_are_mixed_and_its_rate_resampled():
    data = torch.stack([torch.from_numpy(EXPECTED), torch.zeros(len(EXPECTED))])
    np.testing.assert_allclose(load_audio(Decoder(data)), EXPECTED, atol=1e-7)
    assert len(load_audio(Decoder(data, 8_000))) == 2 * len(EXPECTED)


# ----------------------------------------------------------------------------------------------- Columns of data sets


@pytest.fixture(scope="module")
def column_paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("column")
    paths = []
    for index in range(3):
        paths.append(folder / f"{index}.wav")
        paths[-1].write_bytes(encode(np.rint(make_wave(0.4 + 0.2 * index, index) * 2**15).astype(np.int16)))
    return [str(path) for path in paths]


@pytest.fixture
def explain(tiny_pair):
    model, processor = tiny_pair
    return XSERPipeline(model=model, processor=processor, task="audio-emotion-explain", device="cpu")


def audio_set(paths, **options):
    return datasets.Dataset.from_dict({"audio": paths, "text": ["a"] * 3}).cast_column(
        "audio", datasets.Audio(**options)
    )


COLUMNS = {
    "decoding": lambda paths: audio_set(paths)["audio"],
    "at a rate": lambda paths: audio_set(paths, sampling_rate=16_000)["audio"],
    "not decoding": lambda paths: audio_set(paths, decode=False)["audio"],
    "of bytes": lambda paths: datasets.Dataset.from_dict(
        {"audio": [{"bytes": pathlib.Path(path).read_bytes(), "path": None} for path in paths]}
    ).cast_column("audio", datasets.Audio())["audio"],
    "formatted": lambda paths: audio_set(paths).with_format("numpy")["audio"],
    "of torch": lambda paths: audio_set(paths).with_format("torch")["audio"],
    "selected": lambda paths: audio_set(paths).select([0, 1, 2])["audio"],
}


@pytest.mark.parametrize("form", COLUMNS)
def test_a_column_of_a_data_set_needs_no_torchcodec(form, column_paths):
    waves = [load_audio(source) for source in list_recordings(COLUMNS[form](column_paths))]
    for wave, path in zip(waves, column_paths, strict=True):
        np.testing.assert_array_equal(wave, load_audio(path))


def test_a_streamed_column_needs_no_torchcodec(column_paths):
    stream = audio_set(column_paths).to_iterable_dataset()["audio"]
    assert [len(load_audio(source)) for source in undecoded(stream)] == [6_400, 9_600, 12_800]


def test_a_transform_of_the_user_is_left_alone(column_paths):
    data = audio_set(column_paths, decode=False).with_transform(lambda rows: {"audio": [(WAVE, SAMPLE_RATE)] * 3})
    assert undecoded(data["audio"]) is not None
    assert [len(load_audio(source)) for source in undecoded(data["audio"])] == [len(WAVE)] * 3


def test_other_lists_are_unchanged():
    for other in ([1, 2], iter([1]), datasets.Dataset.from_dict({"text": ["a"]})["text"], "a.wav", None):
        assert undecoded(other) is other


def test_the_pipeline_takes_a_column_files_pairs_and_decoders(explain, column_paths):
    explain = partial(explain, slots=["emotion"], transcript=False)
    expected = [explain(path) for path in column_paths]
    arrays = [soundfile.read(path, dtype="int16")[0] for path in column_paths]
    forms = [
        COLUMNS["decoding"](column_paths),
        [io.BytesIO(encode(array)) for array in arrays],
        [(SAMPLE_RATE, array) for array in arrays],
        [Decoder(torch.from_numpy(array / np.float32(2**15))[None]) for array in arrays],
    ]
    for form in forms:
        for answer, alone in zip(explain(form), expected, strict=True):
            assert answer["emotion"] == alone["emotion"]
            assert answer["scores"] == pytest.approx(alone["scores"], abs=1e-5)
    for one in (io.BytesIO(encode(arrays[0])), (SAMPLE_RATE, arrays[0]), forms[3][0]):
        assert explain(one)["scores"] == pytest.approx(expected[0]["scores"], abs=1e-5)


# Files that libsndfile can decode but not seek in
UNSEEKABLE = [
    *[("WAV", subtype) for subtype in ("GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32")],
    *[("AU", subtype) for subtype in ("G721_32", "G723_24", "G723_40")],
    ("W64", "GSM610"),
]


@pytest.mark.parametrize(("kind", "subtype"), UNSEEKABLE)
def test_codecs_that_cannot_seek_are_decoded_and_cost_no_others(kind, subtype, explain, tmp_path):
    path = tmp_path / "old.audio"
    path.write_bytes(encode(INT16, 8_000, kind, subtype))
    wave = load_audio(path)
    assert len(wave) >= 2 * len(INT16)
    expected = load_audio((INT16, 8_000))
    assert np.corrcoef(wave[: len(expected)], expected)[0, 1] > 0.9
    answers = explain([path, (WAVE, SAMPLE_RATE), path.read_bytes()], slots=["emotion"], transcript=False)
    assert [answer["status"] for answer in answers] == ["ok"] * 3


# ---------------------------------------------------------------------------------------------------- Hostile sources


def raising(error):
    def fail(*_arguments, **_options):
        raise error

    return fail


def foreign(**methods):
    return type("Foreign", (), methods)()


def text_file():
    return io.StringIO("not bytes")


def closed_file():
    file = io.BytesIO(WAV)
    file.close()
    return file


HOSTILE = {
    "array that raises": lambda: (foreign(__array__=raising(RuntimeError("no array"))), 16_000),
    "array that exits the recursion": lambda: (foreign(__array__=raising(RecursionError())), 16_000),
    "array that lacks a module": lambda: (foreign(__array__=raising(ImportError("No module named 'x'"))), 16_000),
    "array of objects": lambda: (np.array([{}, []], dtype=object), 16_000),
    "array of text": lambda: (np.array(["a", "b"]), 16_000),
    "array of bools": lambda: (np.ones(99, bool), 16_000),
    "array of complex": lambda: (np.ones(99, complex), 16_000),
    "array of dates": lambda: (np.zeros(99, "datetime64[s]"), 16_000),
    "array of records": lambda: (np.zeros(99, [("a", "f4")]), 16_000),
    "no axes": lambda: (np.float32(0.5), 16_000),
    "ragged": lambda: ([[0.1], [0.1, 0.2]], 16_000),
    "huge by strides": lambda: (np.broadcast_to(np.float32(0), (2**40,)), 16_000),
    "huge in two axes": lambda: (np.broadcast_to(np.float32(0), (2**20, 2**20)), 16_000),
    "many channels": lambda: (np.zeros((500, 700), np.float32), 16_000),
    "no channels": lambda: (np.zeros((0, 700), np.float32), 16_000),
    "beyond float32": lambda: (np.full(999, 1e300), 16_000),
    "tensor without data": lambda: (torch.zeros(99, device="meta"), 16_000),
    "sparse tensor": lambda: (torch.zeros(9, 9).to_sparse(), 16_000),
    "complex tensor": lambda: (torch.zeros(99, dtype=torch.complex64), 16_000),
    "text beside a rate": lambda: ("a.wav", 16_000),
    "rate NaN": lambda: (INT16, float("nan")),
    "rate infinite": lambda: (INT16, float("inf")),
    "rate of 401 digits": lambda: (INT16, 10**400),
    "rate of 9,001 digits": lambda: (INT16, 10**9000),
    "rate in words": lambda: (INT16, "16 kHz"),
    "rate 44.1": lambda: (INT16, 44.1),
    "rate True": lambda: (INT16, True),
    "three": lambda: (INT16, 16_000, "x"),
    "empty tuple": lambda: (),
    "two paths": lambda: ("a.wav", "b.wav"),
    "nothing": lambda: None,
    "a number": lambda: 3,
    "a set": lambda: {1, 2},
    "a class": lambda: dict,
    "a module": lambda: sys,
    "a lock": threading.Lock,
    "NUL in a path": lambda: "a\0b.wav",
    "lone surrogate in a path": lambda: "a\ud800b.wav",
    "undecodable byte in a path": lambda: "a\udcffb.wav",
    "newline in a path": lambda: "a\nb.wav",
    "path too long": lambda: "a" * 5_000,
    "empty path": lambda: "",
    "an address": lambda: "https://example.org/speech.wav",
    "a folder": lambda: os.sep,
    "a device": lambda: "/dev/zero",
    "path that raises": lambda: type("Path", (os.PathLike,), {"__fspath__": raising(RuntimeError("no path"))})(),
    "path that is no text": lambda: type("Path", (os.PathLike,), {"__fspath__": lambda self: 5})(),
    "attributes that raise": lambda: foreign(__getattr__=raising(RuntimeError("no attribute"))),
    "bytes of text": lambda: {"bytes": "RIFF", "path": None},
    "bytes of a list": lambda: {"bytes": [1, 2], "path": "a.wav"},
    "path of a number": lambda: {"bytes": None, "path": 5},
    "path of bytes": lambda: {"path": b"a.wav"},
    "array of a dict": lambda: {"array": {}, "sampling_rate": 16_000},
    "rate of a dict": lambda: {"array": INT16, "sampling_rate": {}},
    "rate of a list": lambda: {"array": INT16, "sampling_rate": [16_000]},
    "empty dict": dict,
    "a whole row": lambda: {"audio": {"path": "a.wav"}, "text": "x"},
    "keys of many kinds": lambda: {1: 2, None: 3, (): 4},
    "mapping that raises": lambda: type("Mapping", (UserDict,), {"get": raising(KeyError("x"))})(),
    "text file": text_file,
    "closed file": closed_file,
    "file that raises": lambda: foreign(read=raising(OSError(5, "Input/output error")), seek=raising(OSError(5, "x"))),
    "file of numbers": lambda: foreign(read=lambda self, n=-1: 5, seek=lambda self, *a: 0),
    "endless file": lambda: foreign(read=lambda self, n=-1: bytes(max(n, 0)), seek=0, seekable=lambda self: False),
    "decoder that raises": lambda: foreign(get_all_samples=raising(RuntimeError("FFmpeg is missing"))),
    "decoder of nothing": lambda: foreign(get_all_samples=lambda self: None),
    "decoder without a rate": lambda: Decoder(sample_rate=None),
    "decoder of whole numbers": lambda: Decoder(torch.zeros(1, 99, dtype=torch.int64)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_is_given_an_audio_error_names_it_and_nothing_else_is_raised(case):
    source = HOSTILE[case]()
    with pytest.raises(AudioError) as caught:
        load_audio(source, max_seconds=30)
    message, name = str(caught.value), audio_name(source)
    assert message.startswith(name) and len(message) > len(name) + 10
    assert message.isprintable() and len(message) < 1_200 and " object at 0x" not in message
    assert caught.value.source == name
    assert isinstance(is_recording(source), bool)
    assert sampling_rate_of(source) is None or isinstance(sampling_rate_of(source), int)


@pytest.mark.parametrize("case", ["huge by strides", "huge in two axes", "a device", "endless file"])
def test_without_a_limit_huge_sources_are_refused_as_well(case):
    with pytest.raises(AudioError):
        load_audio(HOSTILE[case]())


def test_a_file_that_fails_while_it_is_read_is_named_with_its_error(path):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 200:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(AudioError, match=r"Input/output error"):
        load_audio(Failing(WAV))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(path):
    path.chmod(0)
    with pytest.raises(AudioError, match="Permission denied"):
        load_audio(path)


def test_a_path_that_may_not_be_looked_at_is_named(path, monkeypatch):
    monkeypatch.setattr(pathlib.Path, "exists", raising(PermissionError(13, "Permission denied")))
    with pytest.raises(AudioError, match=r"speech.wav cannot be opened: Permission denied"):
        load_audio(path)


def test_a_name_tells_nothing_of_files_and_their_endings(tmp_path):
    for ending in ("raw", "gsm", "vox", "mp3", "txt"):
        path = tmp_path / f"speech.{ending}"
        path.write_bytes(WAV)
        np.testing.assert_array_equal(load_audio(path), EXPECTED)
        path.write_bytes(bytes(range(256)) * 20)
        with pytest.raises(AudioError, match="not audio"):
            load_audio(path)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2_000_000_000])
def test_a_file_of_an_impossible_rate_is_refused_before_it_is_decoded(rate):
    data = bytearray(WAV)
    data[24:28] = rate.to_bytes(4, "little")
    with pytest.raises(AudioError, match=f"has rate {rate}; it must be a whole number of hertz, 1000 to 768000"):
        load_audio(bytes(data))


def test_45_seconds_name_the_limit_and_a_way_to_cut_that_works(explain):
    long = np.tile(INT16, 90)
    with pytest.raises(
        AudioError, match=r"lasts 45.00 s; the limit \(max_audio_seconds\) is 30 s. Give it in parts: "
    ) as caught:
        explain((long, SAMPLE_RATE))
    example = str(caught.value).partition("Give it in parts: ")[2]
    setting, _, parts = example.partition(", then ")
    names = {"load_audio": load_audio, "recording": (long, SAMPLE_RATE)}
    exec(setting, names)
    cut = eval(parts, names)
    assert [len(wave) / rate for wave, rate in cut] == [30, 15]
    assert [len(explain.preprocess(part)[0]) for part in cut] == [480_000, 240_000]


def test_hostile_sources_in_a_list_cost_the_others_nothing(explain):
    sources = [each for case in list(HOSTILE)[:20] for each in (HOSTILE[case](), (WAVE, SAMPLE_RATE))]
    answers = explain(sources, slots=["emotion"], transcript=False)
    assert [answer["status"] for answer in answers] == ["error", "ok"] * 20
    assert all(answer["error"] for answer in answers[::2])
