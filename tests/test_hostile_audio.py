"""4,000 hostile recordings: each is an answer or an `AudioError` that names it, in time, at no cost to others."""

import io
import multiprocessing
import signal
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import soundfile
import torch
from conftest import make_wave
from test_audio_sources import HOSTILE, Decoder

from xser.audio_xser import SAMPLE_RATE, AudioError, audio_name, load_audio
from xser.pipeline_xser import XSERPipeline

SEED = 20_261_129
ALONE, BATCHES, IN_LISTS, LIST_SIZE = 3_600, 4, 400, 20
MAX_SECONDS = 30.0
INPUT_LIMIT = 20  # seconds; on a busy machine, too
MAGICS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS", b"caff", b"riff", b".snd", b"NIST_1A\n", b"ID3\4",
          b"\xff\xfb\x90\x64", b"\xff\xf3\x18\xc4", b" paf", b"Creative Voice File", b"2BIT", b"")  # fmt: skip
NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFF0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
RATES = (0, 1, 999, 1_000, 8_000, 11_127, 16_000, 16_001, 44_100, 767_999, 768_000, 768_001, -16_000, 16_000.5,
         float("nan"), float("inf"), 10**40, True, "16000", None)  # fmt: skip
DTYPES = ("f2", "f4", "f8", ">f4", "i1", "i2", ">i2", "i4", "i8", "u1", "u2", "c8", "?", "O", "U3", "M8[s]")
SAMPLES = (0.0, 1e-30, 0.1, 1.0, 99.0, 101.0, 32_767.0, float("nan"), float("inf"), -float("inf"), 1e300)
REMEDIES = ("give", "can be read", "copy or download", "cut it", "must ", "use floats", "divide", "write it anew",
            "open it", "NaN or infinite", "no samples", "does not exist", "is empty", "not a file")  # fmt: skip


def containers() -> list[bytes]:
    """A short recording in each format and encoding that can be written."""
    wave = (np.random.default_rng(0).standard_normal((1_200, 2)) * 0.1).astype(np.float32)
    found = []
    for kind in sorted(set(soundfile.available_formats()) - {"RAW", "SD2"}):  # SD2 leaves a file of its own behind
        for subtype in soundfile.available_subtypes(kind):
            for samples in (wave, wave[:, 0]):
                for rate in (16_000, 8_000):
                    file = io.BytesIO()
                    try:
                        soundfile.write(file, samples, rate, format=kind, subtype=subtype)
                    except (soundfile.SoundFileError, ValueError):
                        continue
                    found.append(file.getvalue())
                    break
    return found


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """Some bytes, numbers or stretches changed, mostly in the header; now and then cut."""
    data = bytearray(data)
    head = int(rng.choice([48, 200, 600, len(data)]))
    for _ in range(int(rng.integers(1, 10))):
        at = int(rng.integers(0, max(min(head, len(data)), 1)))
        what = rng.integers(5)
        if what == 0:
            data[at : at + 1] = bytes([int(rng.integers(256))])
        elif what == 1:
            order = "little" if rng.integers(2) else "big"
            data[at : at + 4] = int(rng.choice(NUMBERS)).to_bytes(4, order)
        elif what == 2:
            data[at : at + 8] = rng.bytes(8)
        elif what == 3:
            del data[at : at + int(rng.integers(1, 30))]
        else:
            data[at:at] = rng.bytes(int(rng.integers(1, 30)))
    return bytes(data[: int(rng.integers(len(data) + 1))]) if rng.integers(4) == 0 else bytes(data)


def array(rng: np.random.Generator) -> object:
    shape = [(), (0,), (1,), (700,), (2, 700), (700, 2), (70, 90), (2, 3, 4), (0, 5), (1, 1)][int(rng.integers(10))]
    dtype = np.dtype(str(rng.choice(DTYPES)))
    with np.errstate(all="ignore"):
        values = np.asarray(rng.uniform(-1, 1, shape))
        if values.size:
            values.flat[int(rng.integers(values.size))] = SAMPLES[int(rng.integers(len(SAMPLES)))]
        if dtype.kind in "iu":
            values = np.nan_to_num(values).clip(-1, 1) * 100
        values = values.astype("i8").astype(dtype) if dtype.kind == "M" else values.astype(dtype)
    what = rng.integers(4)
    if what == 0 and dtype.kind in "fi" and dtype.isnative:
        return torch.from_numpy(np.ascontiguousarray(values))
    return values.tolist() if what == 1 else values


def source(rng: np.random.Generator, whole: list[bytes]) -> object:
    """One hostile recording."""
    data = whole[int(rng.integers(len(whole)))]
    kind = rng.integers(10)
    if kind == 0:
        return MAGICS[int(rng.integers(len(MAGICS)))] + rng.bytes(int(rng.integers(0, 3_000)))
    if kind <= 4:
        return mutated(rng, data)
    if kind == 5:
        return data[: int(rng.integers(len(data) + 1))]
    rate = RATES[int(rng.integers(len(RATES)))]
    if kind == 6:
        return (array(rng), rate) if rng.integers(2) else (rate, array(rng))
    if kind == 7:
        values = [None, data, mutated(rng, data), "none.wav", array(rng), rate, {}, [], "", b""]
        keys = ["array", "raw", "bytes", "path", "sampling_rate", "audio", 7]
        return {key: values[int(rng.integers(len(values)))] for key in keys if rng.integers(2)}
    if kind == 8:
        return io.BytesIO(mutated(rng, data)) if rng.integers(2) else Decoder(array(rng), rate)
    return HOSTILE[sorted(HOSTILE)[int(rng.integers(len(HOSTILE)))]]()


def fault(given: object) -> str | None:
    """What is wrong with the outcome for one recording; `None` for an answer or a proper error."""
    start = time.perf_counter()
    try:
        wave = load_audio(given, MAX_SECONDS)
    except AudioError as error:
        message, name = str(error), audio_name(given)
        if not message.startswith(name) or error.source != name or not message.isprintable() or len(message) > 1_200:
            return f"error without its name, or that is no line: {message!r}"
        if " object at 0x" in message or not any(remedy in message for remedy in REMEDIES):
            return f"error that does not say what to do: {message!r}"
    except Exception as error:  # the very thing that is tested
        return f"raised {error!r}"
    else:
        if wave.dtype != np.float32 or wave.ndim != 1 or not wave.size or not np.isfinite(wave).all():
            return f"gave {wave.dtype} of shape {wave.shape}"
    seconds = time.perf_counter() - start
    return f"took {seconds:.1f} s" if seconds > INPUT_LIMIT else None


def run_batch(number: int) -> list[str]:
    """Faults of one batch, in a process of its own, which a crash would end."""
    whole = containers()
    faults = []
    for index in range(number, ALONE, BATCHES):
        signal.alarm(INPUT_LIMIT)  # ends the process, even within a library
        found = fault(source(np.random.default_rng([SEED, index]), whole))
        faults += [f"{index}: {found}"] if found else []
    signal.alarm(0)
    return faults


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="needs signals of POSIX")
def test_each_hostile_recording_is_answered_or_named_in_time_and_none_ends_the_process():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert [each for faults in pool.map(run_batch, range(BATCHES)) for each in faults] == []


@pytest.mark.slow
def test_hostile_recordings_in_lists_cost_their_neighbours_nothing(tiny_pair):
    model, processor = tiny_pair
    explain = XSERPipeline(model=model, processor=processor, task="audio-emotion-explain", device="cpu",
                           slots=["emotion"], transcript=False)  # fmt: skip
    good = [(make_wave(0.4, seed), SAMPLE_RATE) for seed in range(4)]
    expected = [explain(each)["scores"] for each in good]
    whole = containers()
    for number in range(IN_LISTS // LIST_SIZE):
        rng = np.random.default_rng([SEED, ALONE + number])
        bad = [source(rng, whole) for _ in range(LIST_SIZE)]
        sources = [each for index in range(4) for each in (*bad[5 * index : 5 * index + 5], good[index])]
        answers = explain(sources)
        assert len(answers) == len(sources)
        for index in range(4):
            assert answers[6 * index + 5]["scores"] == pytest.approx(expected[index], abs=1e-5)
        for answer in answers:
            assert answer["status"] in ("ok", "no_speech", "too_short") or answer["error"]
