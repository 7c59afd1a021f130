"""What two prepared corpora share is found, whatever the files' formats and names."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from xser.corpora import load_corpus, make_row
from xser.corpora.__main__ import main
from xser.corpora.cache import write_dataset
from xser.corpora.folds import Splitting
from xser.corpora.leakage import SharedAudio, SharedSpeaker, find_leaks
from xser.corpora.prepare import Options, prepare
from xser.corpora.source import Corpus, Found


def noise(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(3200) * 2000).astype(np.int16)


@pytest.fixture
def make(tmp_path):
    """A function that prepares recordings, seed → (speaker, suffix), as a corpus of this name; gives the folder."""

    def make(folder: str, corpus: str, recordings: dict[int, tuple[str | None, str]], kind: str = "arrow") -> Path:
        source = tmp_path / f"{folder}-source"
        source.mkdir()
        for seed, (_, suffix) in recordings.items():
            soundfile.write(source / f"{folder}{seed}{suffix}", noise(seed), 16_000)

        def find(source: Path) -> Found:
            rows = []
            for seed, (speaker, suffix) in recordings.items():
                name, split = f"{folder}{seed}", ("train", "test")[seed % 2]
                audio = {"bytes": None, "path": str(source / f"{name}{suffix}")}
                rows.append(make_row(id=name, audio=audio, speaker=speaker, corpus=corpus, split=split))
            return Found(rows)

        options = Options(format=kind, splitting=Splitting(allow_shared_speakers=True))
        prepare(Corpus(corpus, find, licence=""), source, tmp_path / folder, options=options)
        return tmp_path / folder

    return make


def rows_of(folder: Path) -> list[dict]:
    return [row for part in load_corpus(folder).values() for row in part]


def test_the_same_recording_is_found_in_another_format_under_another_name(make):
    a = make("a", "one", {0: ("x", ".wav"), 1: ("y", ".wav"), 2: ("x", ".wav")})
    b = make("b", "two", {1: ("x", ".flac"), 2: ("z", ".wav"), 4: ("x", ".wav")})
    leaks = find_leaks(rows_of(a), rows_of(b))
    assert leaks.audio == [SharedAudio("a1", "b1", "test", "test"), SharedAudio("a2", "b2", "train", "train")]
    assert leaks and not leaks.speakers and not leaks.unread  # "x" of another corpus is somebody else


def test_the_same_speaker_of_the_same_corpus_is_found(make):
    a = make("a", "one", {0: ("x", ".wav"), 2: ("x", ".wav"), 1: ("y", ".wav"), 3: (None, ".wav")})
    b = make("b", "one", {4: ("x", ".wav"), 5: ("z", ".wav"), 7: (None, ".wav")})
    leaks = find_leaks(rows_of(a), rows_of(b))
    assert leaks.speakers == [SharedSpeaker("one", "x", 2, 1)] and not leaks.audio


def test_nothing_is_shared_by_what_has_nothing_in_common(make):
    leaks = find_leaks(rows_of(make("a", "one", {0: ("x", ".wav")})), rows_of(make("b", "one", {2: ("y", ".wav")})))
    assert not leaks and leaks.rows() == []


def test_a_recording_that_cannot_be_heard_is_named_and_the_others_compared(tmp_path):
    soundfile.write(tmp_path / "good.wav", noise(0), 16_000)
    names = ("good.wav", "gone.wav")
    rows = [make_row(id=name, audio={"bytes": None, "path": str(tmp_path / name)}) for name in names]
    dataset = write_dataset(tmp_path / "rows.arrow", rows)
    leaks = find_leaks(dataset, dataset)
    assert leaks.audio == [SharedAudio("good.wav", "good.wav", None, None)]
    assert leaks.unread == {"gone.wav": "the file is missing"}


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_the_command_line_tells_by_a_table_and_the_exit_status(make, kind, capsys, tmp_path):
    a = make("a", "one", {0: ("x", ".wav"), 1: ("y", ".wav"), 2: ("x", ".wav")}, kind)
    b = make("b", "one", {1: ("z", ".flac"), 4: ("x", ".wav")}, kind)
    assert main(["leakage", str(a), str(b)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "shared" and str(a) in lines[0] and str(b) in lines[0]
    assert [line.split() for line in lines[2:4]] == [
        ["speaker", "x", "(one)", "2", "rows", "1", "rows"],
        ["recording", "a1", "(test)", "b1", "(test)"],
    ]
    assert lines[4] == "they share 1 recordings and 1 speakers"
    assert main(["leakage", str(a), str(b), "--split_a", "test", "--split_b", "train"]) == 0
    assert capsys.readouterr().out == "they share no recording and no speaker\n"
    assert not (tmp_path / "cache").exists()


def test_speakers_that_a_corpus_shares_by_design_are_named_and_are_no_leak(make, capsys):
    folder = make("a", "meld", {0: ("Ross", ".wav"), 1: ("Ross", ".wav")})
    assert main(["leakage", str(folder), str(folder), "--split_a", "train", "--split_b", "test"]) == 0
    printed = capsys.readouterr().out
    assert "speaker Ross (meld)" in printed and "speakers of meld are shared by design: the leading" in printed
    assert main(["leakage", str(folder), str(folder)]) == 1  # the same recordings


def test_a_long_table_is_cut(make, capsys):
    a = make("a", "one", dict.fromkeys(range(25), (None, ".wav")))
    assert main(["leakage", str(a), str(a)]) == 1
    printed = capsys.readouterr().out
    assert "and 5 more" in printed and "they share 25 recordings and 0 speakers" in printed


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["leakage", str(tmp_path / "a"), str(tmp_path / "b")])
    assert stop.value.code == 2 and "is neither one of" in capsys.readouterr().err
