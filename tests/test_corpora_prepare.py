"""Preparing a corpus: what is kept, left out and counted, how it is split, what an interrupt or a full disk leaves."""

import errno
import fcntl
import json
import multiprocessing
import os
import re
import signal
import struct
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
from corpus_files import RATE, Toy, all_rows, encoded, left_out, noise

from xser.audio_xser import AudioError, load_audio
from xser.corpora import FEATURES, load_corpus, make_row
from xser.corpora.__main__ import main
from xser.corpora.catalogue import MODULES, find_corpus
from xser.corpora.folds import Splitting
from xser.corpora.parallel import AHEAD, map_in_order
from xser.corpora.prepare import Options, prepare
from xser.corpora.recording import hear
from xser.corpora.source import Corpus, Found
from xser.corpora.workshop import DiskFullError


@pytest.fixture
def toy(tmp_path):
    """Three speakers with four recordings each."""
    return Toy(tmp_path / "source").fill()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "prepared"


def test_the_folder_loads_and_the_report_counts_what_is_in_it(toy, out, tmp_path):
    toy.add("c_contempt_9.wav")
    report = prepare(toy.corpus, toy.root, out)
    loaded = datasets.load_from_disk(str(out))
    assert isinstance(loaded, datasets.DatasetDict) and all(part.features == FEATURES for part in loaded.values())
    for row in all_rows(out):
        name = row["audio"]["path"]
        assert name == f"{row['id']}.wav" and row["audio"]["bytes"] == (toy.root / name).read_bytes()
        assert row["duration"] == pytest.approx(0.2)
    assert report == json.loads((out / "report.json").read_text())
    assert report == {
        "corpus": "toy",
        "source": "source",
        "options": {},
        "licence": "none at all",
        "splitting": "Fold c is test, fold b is validation, the rest is train",
        "n": 13,
        "hours": round(13 * 0.2 / 3600, 4),
        "hours_by_split": {"train": 0.0002, "validation": 0.0002, "test": 0.0003},
        "by_split": {"train": 4, "validation": 4, "test": 5},
        "by_session": {"s-a": 4, "s-b": 4, "s-c": 5},
        "by_fold": {"a": 4, "b": 4, "c": 5},
        "by_emotion": {"contempt": 1, "happy": 6, "neutral": 3, "sad": 3},
        "by_speaker": {"a": 4, "b": 4, "c": 5},
        "by_gender": {"not known": 13},
        "by_language": {"not known": 13},
        "by_split_and_emotion": {
            "train": {"happy": 2, "neutral": 1, "sad": 1},
            "validation": {"happy": 2, "neutral": 1, "sad": 1},
            "test": {"contempt": 1, "happy": 2, "neutral": 1, "sad": 1},
        },
        "by_seconds": {"0": 13},
        "with_text": 0,
        "with_caption": 0,
        "with_ratings": 0,
        "dimensions": {"valence": {"n": 0}, "arousal": {"n": 0}, "dominance": {"n": 0}},
        "shared_speakers": {},
        "labels": {},
        "own_emotions": {"contempt": 1},
        "own_descriptors": {},
        "left_out": [{"file": "extra.txt", "reason": "it is no recording"}],
    }
    assert {split: len(part) for split, part in load_corpus(out).items()} == report["by_split"]
    assert {path.name for path in tmp_path.iterdir()} == {"source", "prepared"}
    assert str(tmp_path) not in "".join(path.read_text(errors="ignore") for path in out.rglob("*") if path.is_file())


def broken_recordings() -> dict[str, tuple[bytes, str]]:
    """Name → bytes, and what the reason begins with."""
    whole, flac = encoded(noise(0)), encoded(noise(1), "FLAC")
    lying = bytearray(whole)  # the length of the whole is right, that of the samples is not
    struct.pack_into("<I", lying, 40, len(whole) * 2)
    spoilt = noise(2).astype(np.float32) / 2**15
    spoilt[800] = np.nan
    loud = noise(3).astype(np.float32)
    return {
        "empty": (b"", "the file is empty"),
        "text": (b"this is not audio at all" * 40, "not readable as audio: "),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\nsize 12345\n", "not readable as audio: "),
        "head": (whole[:20], "not readable as audio: "),
        "cut": (whole[: len(whole) // 2], "the file is truncated: "),
        "lying": (bytes(lying), "the file is truncated: "),
        "flac": (flac[: len(flac) // 2], "the file is truncated"),
        "hush": (encoded(np.zeros(0, np.int16)), "the recording has no samples"),
        "silent": (encoded(np.zeros(4000, np.int16)), "digital silence: "),
        "constant": (encoded(np.full(4000, 7, np.int16)), "digital silence: "),
        "nan": (encoded(spoilt, subtype="FLOAT"), "not finite: a sample is NaN or infinite, from 0.050 s"),
        "loud": (encoded(loud, subtype="FLOAT"), "beyond full scale: "),
        "short": (encoded(noise(4, 0.09)), "too short: 0.090 s, at least 0.1 s"),
        "long": (encoded(noise(5, 2.0)), "too long: 2.0 s, at most 1.5 s"),
    }


def test_every_kind_of_broken_file_is_named_and_loses_no_other(toy, out):
    broken = broken_recordings()
    for name, (data, _) in broken.items():
        toy.add(f"a_sad_{name}.wav", data)
    (toy.root / "b_sad_dir.wav").mkdir()
    (toy.root / "b_sad_link.wav").symlink_to("nowhere.wav")
    report = prepare(toy.corpus, toy.root, out, options=Options(max_seconds=1.5))
    assert report["n"] == 12
    reasons = left_out(report)
    assert len(reasons) == len(report["left_out"]) == len(broken) + 3
    for name, (_, reason) in broken.items():
        assert reasons[f"a_sad_{name}.wav"].startswith(reason)
    assert reasons["b_sad_dir.wav"] == reasons["b_sad_link.wav"] == "the file is missing"


def test_all_that_is_kept_decodes_and_all_that_does_not_decode_is_left_out(toy, out):
    for name, (data, _) in broken_recordings().items():
        toy.add(f"a_sad_{name}.wav", data)
    toy.add("a_sad_mp3.wav", encoded(noise(60, 0.5), "MP3"))
    toy.add("a_sad_aiff.wav", encoded(noise(61), "AIFF"))
    toy.add("a_sad_stereo.wav", encoded(noise(62).reshape(-1, 2), "FLAC"))
    prepare(toy.corpus, toy.root, out)
    kept = {row["id"] for row in all_rows(out)}
    for row in all_rows(out):
        assert len(load_audio(row["audio"])) >= 1600
    assert kept >= {"a_sad_mp3", "a_sad_aiff", "a_sad_stereo"}  # content decides, not the name
    for name in ("empty", "text", "pointer", "head", "cut", "lying", "flac", "hush", "nan", "loud"):
        with pytest.raises(AudioError):
            load_audio(broken_recordings()[name][0])


def test_random_bytes_are_an_error_by_name_whatever_they_claim_to_be():
    rng = np.random.default_rng(0)
    whole = {kind: bytearray(encoded(noise(6), kind)) for kind in ("WAV", "FLAC", "AIFF", "OGG")}
    for index in range(200):
        data = bytearray(whole[["WAV", "FLAC", "AIFF", "OGG"][index % 4]])
        for place in rng.integers(4, 200, size=8):
            data[place] = rng.integers(256)
        try:
            assert hear(bytes(data), 60).seconds >= 0.1
        except ValueError as error:
            assert str(error)


def test_a_file_that_cannot_be_read_is_left_out_and_an_error_of_the_system_stops(toy, out):
    def read(path: Path) -> bytes:
        if path.name == "a_sad_1.wav":
            raise OSError(number, os.strerror(number))
        return path.read_bytes()

    corpus = Corpus("toy", toy.find, licence="", read=read)
    number = errno.EMFILE
    with pytest.raises(OSError, match="Too many open files"):
        prepare(corpus, toy.root, out)
    assert not out.exists()
    number = errno.EIO
    assert left_out(prepare(corpus, toy.root, out))["a_sad_1.wav"] == "cannot be read: Input/output error"


def test_a_missing_program_is_an_error_and_not_thousands_of_bad_files(toy, out):
    def read(path: Path) -> bytes:
        raise ImportError("FFmpeg is needed")

    with pytest.raises(ImportError, match="FFmpeg is needed"):
        prepare(Corpus("toy", toy.find, licence="", read=read), toy.root, out)
    assert not out.exists()


def test_copies_with_other_labels_are_all_left_out(toy, out):
    same = noise(50)
    toy.add("a_sad_x.wav", encoded(same))
    toy.add("a_happy_x.wav", encoded(same, "FLAC"))  # other bytes, the same samples
    report = prepare(toy.corpus, toy.root, out)
    assert report["n"] == 12 and not {row["id"] for row in all_rows(out)} & {"a_sad_x", "a_happy_x"}
    assert left_out(report)["a_sad_x.wav"] == "same audio, other labels: as a_happy_x.wav; here emotion 'sad'"
    assert left_out(report)["a_happy_x.wav"] == "same audio, other labels: as a_sad_x.wav; here emotion 'happy'"


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_of_copies_with_the_same_labels_the_first_is_kept(toy, out, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    for name in ("x", "y", "z"):
        toy.add(f"a_sad_{name}.wav", encoded(noise(50)))
    report = prepare(toy.corpus, toy.root, out, options=Options(format=kind), rows_a_shard=3)
    assert left_out(report)["a_sad_y.wav"] == left_out(report)["a_sad_z.wav"]
    assert left_out(report)["a_sad_z.wav"] == "same audio, same labels: as a_sad_x.wav"
    ids = load_corpus(out, split="train")["id"][:]
    assert ids == ["a_happy_0", "a_happy_2", "a_neutral_3", "a_sad_1", "a_sad_x"] and report["by_split"]["train"] == 5


def test_copies_may_be_kept_but_never_in_two_splits(toy, out):
    for name in ("a_sad_x", "a_sad_y", "a_sad_z"):
        toy.add(f"{name}.wav", encoded(noise(50)))
    toy.splits = dict.fromkeys([path.stem for path in toy.root.iterdir()], "train") | {"a_sad_z": "test"}
    options = Options(keep_duplicates=True, splitting=Splitting(allow_shared_speakers=True))
    report = prepare(toy.corpus, toy.root, out, options=options)
    assert {"a_sad_x", "a_sad_y"} <= {row["id"] for row in all_rows(out)}
    assert left_out(report)["a_sad_z.wav"] == "same audio, same labels: as a_sad_x.wav"
    assert report["options"] == {"keep_duplicates": True, "allow_shared_speakers": True}


def test_the_same_samples_have_one_fingerprint_in_every_lossless_format():
    same = noise(1)
    prints = [hear(encoded(same, kind)).fingerprint for kind in ("WAV", "FLAC", "AIFF")]
    prints.append(hear(encoded(np.stack([same, same], axis=1))).fingerprint)
    prints.append(hear(encoded(same / np.float32(2**15), subtype="FLOAT")).fingerprint)
    assert len(set(prints)) == 1
    assert hear(encoded(same, rate=8000)).fingerprint != prints[0] != hear(encoded(same[:-1])).fingerprint


def test_a_long_recording_is_heard_in_blocks_with_the_same_result(monkeypatch):
    data = encoded(noise(1, 1.0))
    whole = hear(data)
    monkeypatch.setattr("xser.audio_files_xser.BLOCK_SAMPLES", 777)
    assert hear(data) == whole


def test_of_rows_with_one_id_the_second_is_left_out(toy, out):
    def find(source: Path) -> Found:
        found = toy.find(source)
        found.rows[5]["id"] = found.rows[0]["id"]
        return found

    report = prepare(Corpus("toy", find, licence=""), toy.root, out)
    assert left_out(report)["b_happy_2.wav"] == "duplicate id: 'a_happy_0' is that of a_happy_0.wav"
    assert report["n"] == 11


def test_nothing_left_is_an_error_that_leaves_nothing(toy, out, tmp_path):
    for path in toy.root.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of 12 recordings is left: a_happy_0: the file is empty.*and 2 more"):
        prepare(toy.corpus, toy.root, out)
    assert list(tmp_path.iterdir()) == [toy.root]


def test_a_split_of_which_nothing_is_left_is_empty_and_reported(toy, out, caplog):
    for path in toy.root.glob("c_*"):
        path.write_bytes(b"")
    report = prepare(toy.corpus, toy.root, out)
    assert report["by_split"] == {"train": 4, "validation": 4, "test": 0} and report["hours_by_split"]["test"] == 0
    assert "nothing is left of split test" in caplog.text and len(load_corpus(out, split="test")) == 0


def test_recordings_that_a_data_set_stores_are_taken_as_they_are(toy, out):
    data = {f"train/{index}": encoded(noise(index)) for index in range(3)}
    rows = [make_row(id=name, audio={"bytes": stored, "path": None}) for name, stored in data.items()]
    rows.append(make_row(id="train/3", audio={"bytes": b"", "path": None}))
    report = prepare(Corpus("hub", lambda _: Found(rows), licence=""), toy.root, out)
    assert {row["audio"]["path"]: row["audio"]["bytes"] for row in all_rows(out)} == data
    assert left_out(report) == {"train/3": "the file is empty"}


def test_few_recordings_are_in_memory_at_a_time_and_order_is_kept():
    begun, seen = [], []
    for result in map_in_order(lambda item: item * 10, (begun.append(item) or item for item in range(100)), workers=3):
        seen.append(result)
        assert len(begun) - len(seen) < 3 * AHEAD
    assert seen == [item * 10 for item in range(100)]


def test_limit_takes_evenly_of_every_split(toy, out):
    prepare(toy.corpus, toy.root, out, options=Options(limit=2))
    ids = {split: part["id"][:] for split, part in load_corpus(out).items()}
    assert ids["train"] == ["a_happy_0", "a_neutral_3"] and [len(part) for part in ids.values()] == [2, 2, 2]


@pytest.mark.parametrize(
    "options", [{"format": "csv"}, {"max_seconds": 0}, {"limit": 0}, {"max_seconds": float("nan")}]
)
def test_options_that_make_no_sense_are_refused(options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        Options(**options)


def test_existing_folders_are_never_touched(toy, out):
    out.mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        prepare(toy.corpus, toy.root, out)
    out.rmdir()
    workshop = out.with_name("prepared.partial")
    workshop.mkdir()
    (workshop / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match=r"holds \['thesis\.txt'\]: take it away first"):
        prepare(toy.corpus, toy.root, out)
    assert (workshop / "thesis.txt").exists()


def test_two_processes_do_not_prepare_the_same_folder(toy, out):
    workshop = out.with_name("prepared.partial")
    workshop.mkdir()
    with (workshop / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another process is at work"):
            prepare(toy.corpus, toy.root, out)
    assert prepare(toy.corpus, toy.root, out)["n"] == 12


def slow_prepare(toy: Toy, out: Path, kind: str) -> None:
    def read(path: Path) -> bytes:
        time.sleep(0.05)
        return path.read_bytes()

    corpus = Corpus("toy", toy.find, licence="none at all", read=read)
    prepare(corpus, toy.root, out, options=Options(format=kind), workers=1, rows_a_shard=2)


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_a_killed_run_goes_on_where_it_was(toy, out, tmp_path, kind, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    toy.add("a_sad_x.wav", (toy.root / "a_sad_1.wav").read_bytes())  # a duplicate, found at the very end
    process = multiprocessing.get_context("fork").Process(target=slow_prepare, args=(toy, out, kind))
    process.start()
    notes = out.with_name("prepared.partial") / "notes"
    while process.is_alive() and not (notes.is_dir() and len(list(notes.glob("*.json"))) >= 2):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL and not out.exists()
    finished = len(list(notes.glob("*.json")))
    report = prepare(toy.corpus, toy.root, out, options=Options(format=kind), rows_a_shard=2)
    assert 2 <= finished < 7 and len(toy.read_paths) == 13 - 2 * finished
    whole = prepare(toy.corpus, toy.root, tmp_path / "whole", options=Options(format=kind), rows_a_shard=2)
    assert report == whole and whole["n"] == 12
    for split, part in load_corpus(tmp_path / "whole").items():
        assert load_corpus(out)[split].to_list() == part.to_list()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["prepared", "source", "whole"]


@pytest.mark.parametrize("change", ["source", "options"])
def test_a_run_that_was_stopped_begins_anew_where_source_or_options_changed(toy, out, change):
    corpus = Corpus("toy", toy.find, licence="", read=lambda path: stop(path))

    def stop(path: Path) -> bytes:
        if path.name.startswith("c"):
            raise KeyboardInterrupt
        return path.read_bytes()

    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, toy.root, out, workers=1, rows_a_shard=2)
    assert list(out.with_name("prepared.partial").glob("notes/*.json"))
    if change == "source":
        os.utime(toy.root / "c_sad_1.wav", (1, 1))
    options = Options(max_seconds=30.0) if change == "options" else None
    prepare(toy.corpus, toy.root, out, options=options, rows_a_shard=2)
    assert len(toy.read_paths) == 12


def fill_disk_after(count: int, monkeypatch) -> None:
    """The disk is full from the file after `count` shards: the kernel's own error."""
    opened, open_path = [], Path.open

    def open_shard(path: Path, mode: str = "r", *arguments, **options):
        if mode == "wb" and path.name.startswith(("data-", "train-", "validation-", "test-")):
            opened.append(path)
            if len(opened) > count:
                return open_path(Path("/dev/full"), "wb", buffering=0)
        return open_path(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_shard)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_a_full_disk_is_named_and_what_was_finished_is_kept(toy, out, kind, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk_after(3, patch)
        with pytest.raises(DiskFullError, match=r"the disk is full: make room.*prepared\.partial keeps what") as error:
            prepare(toy.corpus, toy.root, out, options=Options(format=kind), rows_a_shard=2)
    assert error.value.errno == errno.ENOSPC and not out.exists()
    toy.read_paths.clear()
    assert prepare(toy.corpus, toy.root, out, options=Options(format=kind), rows_a_shard=2)["n"] == 12
    assert len(toy.read_paths) == 12 - 3 * 2


def test_the_page_needs_nothing_else_and_shows_names_as_they_are(toy, out):
    toy.add("<b>_sad_1.wav")
    toy.add("a_sad_cut.wav", b"RIFF")
    report = prepare(toy.corpus, toy.root, out)
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 3 and "&lt;b&gt;" in page and "<b>" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page) and "<script" not in page
    assert "toy: 13 recordings" in page and "a_sad_cut.wav" in page and report["splitting"] in page


def split_rows(**columns) -> list[dict]:
    """Rows from columns given as strings, a letter a row; "-" is None."""
    count = len(next(iter(columns.values())))
    rows = [{"speaker": None, "split": None, "fold": None} for _ in range(count)]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = None if value == "-" else value
    return rows


@pytest.mark.parametrize(
    ("options", "columns", "expected"),
    [
        ({}, {"fold": "123123"}, "tvx"),  # the last is test, the one before it validation
        ({}, {"fold": ["9", "10", "8"]}, "vxt"),
        ({}, {"fold": "12"}, "tx"),
        ({}, {"fold": "11"}, "t"),
        ({}, {"fold": "--"}, "t"),
        ({}, {"fold": "12", "split": ["test", "dev"]}, ["test", "dev"]),
        ({"test_fold": "1"}, {"fold": "123"}, "xtv"),
        ({"test_fold": "2"}, {"fold": "123", "split": ["a", "b", "a"]}, "vxt"),
        ({"test_fold": "1", "validation_fold": "2"}, {"fold": "123"}, "xvt"),
        ({"validation_fold": "3"}, {"fold": "123"}, "txv"),
        ({"validation_fold": "none"}, {"fold": "123"}, "ttx"),
        ({"no_split": True}, {"fold": "123", "split": ["a", "b", "a"]}, "t"),
        ({"test_speakers": ["a"], "validation_speakers": ["b"]}, {"speaker": "abc", "fold": "123"}, "xvt"),
    ],
)
def test_rows_are_split(options, columns, expected):
    splits, _ = Splitting(**options).assign(split_rows(**columns))
    if isinstance(expected, str):
        names = {"t": "train", "v": "validation", "x": "test"}
        expected = [names[letter] for letter in expected]
    assert splits == [expected[index % len(expected)] for index in range(len(splits))]


@pytest.mark.parametrize(
    ("options", "columns", "message"),
    [
        ({"test_fold": "9"}, {"fold": "123"}, r"test_fold is '9'; there are \['1', '2', '3'\]"),
        ({"test_fold": "1", "validation_fold": "1"}, {"fold": "123"}, "'1' is test_fold and validation_fold"),
        ({"test_fold": "1", "validation_fold": "2"}, {"fold": "12"}, "nothing is left to train on"),
        ({"test_fold": "1"}, {"fold": "11"}, r"all rows are in fold \['1'\]"),
        ({}, {"fold": "12-"}, "1 of 3 rows have no fold: give test_speakers"),
        ({}, {"split": "ab-"}, "'split' is empty in 1 of 3 rows"),
        ({}, {"split": ["train", "../x"]}, r"split '\.\./x' \(1 rows\) is no name"),
        ({"no_split": True, "test_fold": "1"}, {"fold": "12"}, "give one of these"),
        ({"test_speakers": ["z"]}, {"speaker": "ab"}, r"test_speakers \['z'\] do not exist"),
        ({}, {"split": "ab", "speaker": "xx"}, "1 of 1 speakers are in more than one split: .*'x'.*allow_shared"),
        ({"test_fold": "1"}, {"fold": "122", "speaker": "xxy"}, r"1 of 2 speakers are in more than one split"),
    ],
)
def test_splits_that_make_no_sense_or_share_speakers_are_refused(options, columns, message):
    with pytest.raises(ValueError, match=message):
        Splitting(**options).assign(split_rows(**columns))


def test_official_splits_that_share_speakers_by_design_are_taken_as_they_are_and_explained(toy, out):
    toy.splits = {path.stem: "test" if "sad" in path.stem else "train" for path in toy.root.iterdir()}
    corpus = Corpus("meld", toy.find, licence="")
    with pytest.raises(ValueError, match=r"3 of 3 speakers are in more than one split"):
        prepare(toy.corpus, toy.root, out)
    assert not out.with_name("prepared.partial").exists()
    report = prepare(corpus, toy.root, out)
    assert "share 3 of 3 speakers: the leading characters of the series speak in all" in report["splitting"]
    assert report["shared_speakers"] == {speaker: ["test", "train"] for speaker in "abc"}
    assert "3 speakers are in more than one split" in (out / "report.html").read_text()


def test_a_prepared_corpus_can_be_split_anew_by_its_folds(toy, out):
    prepare(toy.corpus, toy.root, out)
    corpus = load_corpus(out, test_fold="a", validation_fold="none")
    assert {split: set(part["fold"]) for split, part in corpus.items()} == {"train": {"b", "c"}, "test": {"a"}}
    assert set(corpus["test"]["split"]) == {"test"} and corpus["test"].features == FEATURES
    with pytest.raises(ValueError, match="test_fold is 'z'"):
        load_corpus(out, test_fold="z")


@pytest.fixture
def clips(tmp_path):
    """A folder with metadata.csv."""
    folder = tmp_path / "clips"
    folder.mkdir()
    lines = ["file_name,emotion,speaker"]
    for index in range(6):
        soundfile.write(folder / f"{index}.wav", noise(index), RATE)
        lines.append(f"{index}.wav,{'WL'[index % 2]},{'abc'[index // 2]}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_command_line_prepares_a_corpus_by_name(clips, out, capsys):
    command = ["prepare", "audiofolder", "--source", str(clips), "--out", str(out), "--test_speakers", "c"]
    assert main([*command, "--emotion_map", '{"W": "angry", "L": null}', "--max_seconds", "9", "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert "audiofolder: 6 recordings, 0.00 hours (train 4, test 2)" in printed and f"written to {out}" in printed
    report = json.loads((out / "report.json").read_text())
    asked = {"emotion_map": {"W": "angry", "L": None}, "max_seconds": 9.0, "test_speakers": ["c"]}
    assert report["options"] == asked and report["by_emotion"] == {"angry": 3, "not known": 3}


def test_options_of_a_corpus_reach_it(tmp_path, out):
    for name in ("03-01-05-01-01-01-01", "03-02-05-01-01-01-02"):
        soundfile.write(tmp_path / f"{name}.wav", noise(int(name[-1])), RATE)
    command = ["prepare", "ravdess", "--source", str(tmp_path), "--out", str(out), "--no_split"]
    assert main([*command, "--channel", "song"]) == 0
    (row,) = all_rows(out)
    assert row["id"] == "03-02-05-01-01-01-02" and row["split"] == "train" and row["corpus"] == "ravdess"
    assert json.loads((out / "report.json").read_text())["options"] == {"channel": "song", "no_split": True}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audiofolder", "--source", "nowhere"], "nowhere does not exist: give the folder"),
        (["audiofolder", "--source", "clips", "--descriptors", "mood"], "no column 'mood' for descriptors"),
        (["audiofolder", "--source", "clips", "--limit", "0"], "limit is 0"),
        (["audiofolder"], "the following arguments are required: --source"),
        (["iemocap"], "the following arguments are required: --source"),
        (["iemocap", "--source", "clips", "--improvised_only", "maybe"], "'maybe' is neither true nor false"),
        (["iemocap", "--source", "clips", "--improvised_only", "false"], "clips"),
    ],
)
def test_mistakes_on_the_command_line_are_named(arguments, message, clips, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(clips.parent)
    with pytest.raises(SystemExit) as stop:
        main(["prepare", *arguments, "--out", "prepared"])
    assert stop.value.code == 2 and re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == [clips]


def test_an_interrupt_ends_with_a_word_of_how_to_go_on(clips, out, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xser.corpora.checking.hear", interrupt)
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "prepare",
                "audiofolder",
                "--source",
                str(clips),
                "--out",
                str(out),
                "--emotion_map",
                '{"W":null,"L":null}',
            ]
        )
    assert stop.value.code == 130 and "give the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("name", MODULES)
def test_every_corpus_is_found_by_its_name_and_tells_its_options(name, capsys):
    corpus = find_corpus(name)
    assert corpus.name == name
    with pytest.raises(SystemExit) as stop:
        main(["prepare", name, "--help"])
    assert stop.value.code == 0
    help_text = capsys.readouterr().out
    assert all(f"--{option}" in help_text for option in corpus.options)


def test_a_corpus_that_must_be_prepared_first_says_how():
    with pytest.raises(FileNotFoundError, match=r"xser prepare iemocap --source DIR --out DIR"):
        load_corpus("iemocap")
    with pytest.raises(ValueError, match=r"corpus 'iemocapp' is not known; known are .*'iemocap'"):
        find_corpus("iemocapp")
