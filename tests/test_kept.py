"""What was computed from a recording is computed once, whoever asks; another recording is computed anew."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import soundfile
from conftest import make_wave

from xser.corpora import kept, make_row
from xser.corpora.cache import write_dataset, written_beside
from xser.corpora.kept import computed_once, stamp


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing is kept beyond a test."""
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kept"


@pytest.fixture
def recordings(tmp_path):
    """Eight files, (T_i, 2) of each when `count` looks at it."""
    paths = [tmp_path / f"{index}.wav" for index in range(8)]
    for index, path in enumerate(paths):
        soundfile.write(path, make_wave(0.02 * (index + 1), seed=index), 16_000)
    return paths


@pytest.fixture
def dataset(tmp_path):
    def dataset(paths, corpus="mine"):
        rows = [
            make_row(id=f"r{i}", audio={"path": str(p), "bytes": None}, corpus=corpus) for i, p in enumerate(paths)
        ]
        path = tmp_path / f"{len(list(tmp_path.glob('*.arrow')))}.arrow"
        return write_dataset(path, rows)

    return dataset


class Count:
    """(T, 2) of a recording's length; notes what it was asked for."""

    def __init__(self, broken: str = "none"):
        self.asked, self.broken, self.lock = [], broken, threading.Lock()

    def __call__(self, audio: dict) -> np.ndarray:
        name = audio["path"].rsplit("/", 1)[-1]
        with self.lock:
            self.asked.append(name)
        if name == self.broken:
            raise ValueError(f"{name} is broken")
        samples = soundfile.info(audio["path"]).frames
        return np.arange(2 * (samples // 320)).reshape(-1, 2) + samples / 3


def run(rows, count, kind="length-1", **options):
    return computed_once(kind, rows, count, "counting", **options)


def test_each_recording_is_computed_once_over_different_selections(recordings, dataset):
    rows, count = dataset(recordings), Count()
    first = run(rows.select([1, 2, 3]), count)
    assert sorted(count.asked) == ["1.wav", "2.wav", "3.wav"]
    assert [len(each) for each in first] == [2, 3, 4]
    everything = run(rows, count)
    assert sorted(count.asked) == sorted(path.name for path in recordings)
    backwards = run(rows.select(range(7, -1, -1)), count)
    assert len(count.asked) == 8
    for index, path in enumerate(recordings):
        expected = Count()({"path": str(path)}).astype(np.float32)
        assert np.array_equal(everything[index], expected) and np.array_equal(backwards[7 - index], expected)
    for index, each in zip((1, 2, 3), first, strict=True):
        assert np.array_equal(each, everything[index])


def test_a_file_that_was_changed_is_computed_again(recordings, dataset):
    rows, count = dataset(recordings), Count()
    before = run(rows, count)
    soundfile.write(recordings[4], make_wave(0.3, seed=9), 16_000)
    count.asked.clear()
    after = run(rows, count)
    assert count.asked == ["4.wav"]
    assert len(after[4]) == 15 and len(before[4]) == 5
    assert all(np.array_equal(before[index], after[index]) for index in range(8) if index != 4)


def test_what_came_before_an_error_is_kept(recordings, dataset):
    rows, count = dataset(recordings), Count(broken="5.wav")
    with pytest.raises(ValueError, match=r"5\.wav is broken"):
        run(rows, count)
    again = Count()
    assert len(run(rows, again)) == 8
    assert {"5.wav", "6.wav", "7.wav"} >= set(again.asked) >= {"5.wav"}


def test_an_error_at_the_first_recording_leaves_no_file(recordings, dataset, cache):
    with pytest.raises(ValueError, match=r"0\.wav is broken"):
        run(dataset(recordings), Count(broken="0.wav"))
    assert not list(cache.glob("*"))


def test_another_kind_another_corpus_and_another_type_are_files_of_their_own(recordings, dataset, cache):
    rows, count = dataset(recordings[:3]), Count()
    run(rows, count)
    half = run(rows, count, kind="half-1", dtype=np.float16)
    other = run(dataset(recordings[:3], corpus="the other/one"), count)
    unnamed = run(dataset(recordings[:3], corpus=None), count)
    assert len(count.asked) == 12
    assert {each.dtype for each in half} == {np.dtype(np.float16)}
    assert {each.dtype for each in (*other, *unnamed)} == {np.dtype(np.float32)}
    assert sorted(path.name for path in cache.iterdir()) == [
        "mine-half-1.npz",
        "mine-length-1.npz",
        "recordings-length-1.npz",
        "the-other-one-length-1.npz",
    ]
    assert {each.dtype for each in run(rows, count, kind="half-1", dtype=np.float16)} == {np.dtype(np.float16)}
    assert len(count.asked) == 12


def test_the_same_recording_twice_is_computed_once(recordings, dataset):
    count = Count()
    values = run(dataset([recordings[0], recordings[1], recordings[0]]), count)
    assert sorted(count.asked) == ["0.wav", "1.wav"]
    assert np.array_equal(values[0], values[2]) and not np.array_equal(values[0], values[1])


def test_what_another_process_wrote_in_the_meantime_stays(recordings, dataset):
    rows = dataset(recordings)
    inner, outer = Count(), Count()

    def while_another_writes(audio):
        if not inner.asked:
            run(rows.select([7]), inner)
        return outer(audio)

    run(rows.select([0]), while_another_writes)
    nothing = Count()
    run(rows.select([0, 7]), nothing)
    assert nothing.asked == []


def test_bytes_stand_for_themselves_and_files_for_place_size_and_time(recordings):
    data = recordings[0].read_bytes()
    assert stamp({"bytes": data, "path": None}) == stamp({"bytes": data, "path": "elsewhere.wav"})
    assert stamp({"bytes": data + b"x", "path": None}) != stamp({"bytes": data, "path": None})
    here, there = ({"bytes": None, "path": str(path)} for path in recordings[:2])
    assert stamp(here) == stamp(here) != stamp(there)
    assert stamp({"bytes": None, "path": "missing.wav"}) == stamp({"bytes": None, "path": "missing.wav"})


@pytest.mark.parametrize("keep_others", [True, False])
def test_two_processes_may_fill_one_place_and_the_first_to_finish_stays(tmp_path, keep_others):
    """Of a place named by a digest; of any other, what is there is never taken for what was written."""
    place = tmp_path / "digest"
    with pytest.raises(OSError) if not keep_others else nullcontext(), written_beside(place, keep_others) as late:
        late.mkdir()
        (late / "values").write_text("late")
        with written_beside(place, keep_others) as early:
            early.mkdir()
            (early / "values").write_text("early")
    assert (place / "values").read_text() == "early"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def lengths(audio: dict) -> np.ndarray:
    """What pickles: (1, 1) samples of a recording, or an error where it is named."""
    if audio["path"].endswith("5.wav"):
        raise ValueError("recording 5 is broken")
    return np.array([[soundfile.info(audio["path"]).frames]])


def test_processes_give_the_same_in_order_and_keep_what_came_before_an_error(recordings, dataset, monkeypatch, cache):
    monkeypatch.setattr(kept, "MANY", 2)
    found = computed_once("lengths", dataset(recordings[:5]), lengths, "lengths", in_processes=True)
    assert [int(each[0, 0]) for each in found] == [320 * (index + 1) for index in range(5)]
    with pytest.raises(ValueError, match="recording 5 is broken"):
        computed_once("lengths", dataset(recordings[4:]), lengths, "lengths", in_processes=True)
    assert len(kept._read(cache / "mine-lengths.npz")) == 5
