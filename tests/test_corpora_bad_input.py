"""Bad input through `prepare`: each fault is a named error or a row of the report, and loses nothing else."""

import contextlib
import csv
import errno
import io
import json
import os
from pathlib import Path

import pytest
from corpus_files import RATE, Toy, all_rows, encoded, left_out, noise

from xser.audio_xser import load_audio
from xser.corpora import load_corpus
from xser.corpora.catalogue import find_corpus
from xser.corpora.folds import Splitting
from xser.corpora.prepare import Options, prepare
from xser.corpora.source import Corpus, Found
from xser.corpora.workshop import DiskFullError


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path / "source").fill()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "prepared"


def write(root: Path, name: str, data: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def audiofolder(root: Path, header: str, rows: list[str]) -> Corpus:
    """metadata.csv, and distinct noise for each row's first cell."""
    write(root, "metadata.csv", "\n".join([header, *rows, ""]))
    for index, row in enumerate(rows):
        write(root, row.split(",")[0], encoded(noise(index)))
    return find_corpus("audiofolder")


# ------------------------------------------------------------------------------------------------------- Recordings


def test_the_content_of_a_file_counts_and_not_its_extension(tmp_path, out):
    names = ["flac.wav", "wav.mp3", "mp3.ogg", "notes.txt", "none", "text.wav", "empty.flac"]
    corpus = audiofolder(tmp_path / "clips", "file_name", names)
    write(tmp_path / "clips", "flac.wav", encoded(noise(10), "FLAC"))
    write(tmp_path / "clips", "mp3.ogg", encoded(noise(11, 0.5), "MP3"))
    write(tmp_path / "clips", "text.wav", "this is no recording " * 40)
    write(tmp_path / "clips", "empty.flac", b"")
    report = prepare(corpus, tmp_path / "clips", out)
    assert {row["id"] for row in all_rows(out)} == {"flac", "wav", "mp3", "notes", "none"}
    assert all(len(load_audio(row["audio"])) >= 0.2 * RATE for row in all_rows(out))
    reasons = left_out(report)
    assert reasons["text.wav"].startswith("not readable as audio") and reasons["empty.flac"] == "the file is empty"


def test_recordings_of_one_corpus_may_have_any_rates_and_channels(toy, out):
    rates = {"8k": 8_000, "22k": 22_050, "44k": 44_100, "48k": 48_000}
    for name, rate in rates.items():
        samples = noise(rate, 0.5, rate)
        toy.add(f"a_sad_{name}.wav", encoded(samples[: len(samples) // 2 * 2].reshape(-1, 2), rate=rate))
    prepare(toy.corpus, toy.root, out)
    rows = {row["id"]: row for row in all_rows(out)}
    assert len(rows) == 12 + len(rates)
    for name in rates:
        row = rows[f"a_sad_{name}"]
        assert row["duration"] == pytest.approx(0.25, abs=1e-4)
        assert len(load_audio(row["audio"])) == pytest.approx(0.25 * RATE, abs=2)


# ------------------------------------------------------------------------------------------------------- Tables


def msp_podcast_csv(split: str = "Train") -> str:
    cells = ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set", f"a.wav,N,1,1,1,é,Male,{split}"]
    return "\n".join([*cells, ""])


MELD_HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
NEMO_HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"
TABLES = {  # corpus → the table, what is in it, and a recording that should be there
    "audiofolder": ("metadata.csv", "file_name,text\na.wav,été\n", "a.wav"),
    "nemo": ("data.tsv", f"{NEMO_HEADER}\nWR0_fear_1.wav\tfear\té\té\tWR0\tmale\t30\n", "samples/WR0_fear_1.wav"),
    "meld": ("train_sent_emo.csv", f"{MELD_HEADER}\n1,Café,Ross,joy,x,0,0\n", "train_splits/dia0_utt0.wav"),
    "msp-podcast": ("Labels/labels_consensus.csv", msp_podcast_csv(), "Audios/a.wav"),
    "crema-d": ("VideoDemographics.csv", "ActorID,Age,Sex\n1001,51,Mâle\n", "AudioWAV/1001_DFA_ANG_XX.wav"),
    "manifest": ("train.jsonl", '{"audio": "a.wav", "text": "été"}\n', "a.wav"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_not_utf_8_is_named_with_the_byte(name, tmp_path, out):
    table, text, recording = TABLES[name]
    root = tmp_path / "corpus"
    write(root, recording, encoded(noise(0)))
    write(root, table, text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"{table.rpartition('/')[2]}.* not UTF-8 .*byte \d+"):
        prepare(find_corpus(name), root, out)
    assert list(tmp_path.iterdir()) == [root]
    write(root, table, text)
    assert prepare(find_corpus(name), root, out)["n"] == 1


def test_speakers_of_nemo_have_no_stray_spaces(tmp_path, out):
    lines = [NEMO_HEADER]
    for index, speaker in enumerate(("WR0", "EB0", "KD0")):
        lines.append(f"{speaker}_fear_1.wav\tfear\tx\tx\t        {speaker}\tmale\t30")
        write(tmp_path / "nEMO", f"samples/{speaker}_fear_1.wav", encoded(noise(index)))
    write(tmp_path / "nEMO", "data.tsv", "\n".join([*lines, ""]))
    report = prepare(find_corpus("nemo"), tmp_path / "nEMO", out)
    assert report["by_speaker"] == report["by_fold"] == {"EB0": 1, "KD0": 1, "WR0": 1}


def test_stray_spaces_make_no_second_speaker_that_could_come_into_another_split(toy, out):
    def find(source: Path) -> Found:
        found = toy.find(source)
        for row in found.rows[::2]:
            row |= {"speaker": f"  {row['speaker']}\t", "fold": f"{row['fold']} ", "session": " "}
        return found

    report = prepare(Corpus("toy", find, licence=""), toy.root, out)
    assert report["by_speaker"] == report["by_fold"] == {"a": 4, "b": 4, "c": 4}
    assert report["by_session"] == {"s-a": 2, "s-b": 2, "s-c": 2, "not known": 6}
    assert prepare(Corpus("toy", find, licence=""), toy.root, out.with_name("two"),
                   options=Options(splitting=Splitting(test_speakers=["a"])))["by_split"]["test"] == 4  # fmt: skip


def test_labels_in_other_spellings_are_the_same_emotions(tmp_path, out):
    spellings = ["anger", "Angry", " ANGRY ", "Happiness", "joy", "Fear", "Surprise", "DISGUST", "Neutral", "Sadness"]
    rows = [f"{index}.wav,{label}" for index, label in enumerate(spellings)]
    report = prepare(audiofolder(tmp_path / "clips", "file_name,emotion", rows), tmp_path / "clips", out)
    assert report["own_emotions"] == {} and report["by_emotion"] == {
        "angry": 3, "disgusted": 1, "fearful": 1, "happy": 2, "neutral": 1, "sad": 1, "surprised": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("nemo", {"\tfear\t": "\tFear \t"}),
        ("meld", {",joy,": ", JOY,", "Emotion": "emotion"}),
        ("msp-podcast", {",N,": ",n ,", "EmoClass": "emoclass", "Train": "train "}),
        ("manifest", {'"text": "été"': '"emotion": "HAPPINESS"'}),
    ],
)
def test_official_tables_may_spell_labels_and_columns_otherwise(name, spelt, tmp_path, out):
    table, text, recording = TABLES[name]
    for official, other in spelt.items():
        assert official in text
        text = text.replace(official, other)
    write(tmp_path / "corpus", recording, encoded(noise(0)))
    write(tmp_path / "corpus", table, text)
    emotion = {"nemo": "fearful", "meld": "happy", "msp-podcast": "neutral", "manifest": "happy"}[name]
    assert prepare(find_corpus(name), tmp_path / "corpus", out)["by_emotion"] == {emotion: 1}


def test_ids_that_differ_in_their_table_and_rows_that_name_one_file_twice_are_told_apart(tmp_path, out):
    """The same id twice, and the same file under two ids: one row each."""
    text = io.StringIO()
    rows = [("a.wav", "1"), ("b.wav", "1"), ("a.wav", "2"), ("c.wav", "3")]
    csv.writer(text).writerows([("file_name", "id"), *rows])
    corpus = audiofolder(tmp_path / "clips", "file_name", ["a.wav", "b.wav", "c.wav"])
    write(tmp_path / "clips", "metadata.csv", text.getvalue())
    report = prepare(corpus, tmp_path / "clips", out)
    assert [row["id"] for row in all_rows(out)] == ["1", "3"]
    assert left_out(report) == {
        "b.wav (metadata.csv, line 3)": "duplicate id: '1' is that of line 2",
        "a.wav": "same audio, same labels: as a.wav",
    }


# ------------------------------------------------------------------------------------------------------- Stops


@pytest.mark.parametrize(
    "name", ["plan.json", "train-00001.json", "dataset_dict.json", "state.json", "report.json", "report.html"]
)
def test_a_disk_that_is_full_at_any_file_is_named_and_a_rerun_goes_on(name, toy, out, monkeypatch):
    write_text = Path.write_text

    def on_full_disk(path: Path, *arguments, **options) -> int:
        if path.name.startswith(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", on_full_disk)
        with pytest.raises(DiskFullError, match="the disk is full: make room, then give the same command again"):
            prepare(toy.corpus, toy.root, out, rows_a_shard=2)
    finished = len(list(out.with_name("prepared.partial").glob("notes/*.json")))
    assert not out.exists() and finished == {"plan.json": 0, "train-00001.json": 1}.get(name, 6)
    toy.read_paths.clear()
    assert prepare(toy.corpus, toy.root, out, rows_a_shard=2)["n"] == 12
    assert len(toy.read_paths) == 12 - 2 * finished


def stop_at_first_new(seen: set[Path], moment: str):
    """An `os.replace` that is interrupted before or after a file comes to its place that no earlier run got to."""
    replace = os.replace

    def interrupted(source: Path, target: Path) -> None:
        new = target not in seen
        seen.add(target)
        if moment == "after" or not new:
            replace(source, target)
        if new:
            raise KeyboardInterrupt

    return interrupted


@pytest.mark.parametrize(("kind", "moment"), [("arrow", "before"), ("parquet", "after")])
def test_interrupts_at_every_file_lose_nothing(kind, moment, toy, out, monkeypatch, tmp_path):
    """Each run goes on with what the one before has left, and gets one file further."""
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    toy.add("a_sad_x.wav", (toy.root / "a_sad_1.wav").read_bytes())  # a duplicate: a shard is written twice
    options = Options(format=kind)
    whole = prepare(toy.corpus, toy.root, tmp_path / "whole", options=options, rows_a_shard=5)
    toy.read_paths.clear()
    seen: set[Path] = set()
    while not out.exists():
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(os, "replace", stop_at_first_new(seen, moment))
            prepare(toy.corpus, toy.root, out, options=options, rows_a_shard=5)
    files = 10 if kind == "parquet" else 17  # plan, 3 shards, 3 notes, 2 reports, the whole; for arrow 7 states
    assert len(seen) == files
    assert len(toy.read_paths) <= 3 * 13  # a finished shard is never read again
    assert json.loads((out / "report.json").read_text()) == whole
    for split, part in load_corpus(tmp_path / "whole").items():
        assert load_corpus(out)[split].to_list() == part.to_list()
