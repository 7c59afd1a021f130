"""A folder of recordings as a corpus: its table, its recordings, its splits, its cache, the command line."""

import json
import logging
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_files import left_out, noise

from xser.corpora import FEATURES, espeak, load_corpus, make_row
from xser.corpora.__main__ import main
from xser.corpora.audiofolder import CORPUS
from xser.corpora.checking import examine
from xser.corpora.folds import Splitting, hold_out
from xser.corpora.prepare import Options, prepare

SHARED = Path(__file__).parents[2] / "shared" / "data"


def write_recording(path: Path) -> None:
    """Noise of 0.3 s, another for each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(zlib.crc32(path.name.encode()), 0.3), 16_000)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path, cache):
    """A function that writes a table, and a recording for each name in it that ends in .wav or .flac."""

    def make(table: str | bytes, recordings: tuple[str, ...] = ("a.wav", "b.wav")) -> Path:
        root = tmp_path / "clips"
        for name in recordings:
            write_recording(root / name)
        root.mkdir(exist_ok=True)
        (root / "metadata.csv").write_bytes(table.encode() if isinstance(table, str) else table)
        return root

    return make


@pytest.fixture(params=["load_corpus", "prepare"])
def read(request, tmp_path):
    """Both ways to read a folder: as it is, and into a prepared one."""
    if request.param == "load_corpus":
        return load_corpus
    return lambda root: prepare(CORPUS, root, tmp_path / "prepared")


def test_all_columns_come_into_the_one_schema(folder):
    root = folder(
        "file_name,id,text,emotion,pitch,volume,speed,tone,emphasis,speaker,gender,age,language,session,fold,raw_text\n"
        "sub/a.flac,u1,we are late,anger,high,loud,fast,rising,are late, anna ,female,31,en,s1,f1,We are late!\n",
        ("sub/a.flac",),
    )
    (row,) = load_corpus(root)
    assert load_corpus(root).features == FEATURES
    levels = {"pitch": "high", "volume": "loud", "speed": "fast", "tone": "rising", "emphasis": ["are", "late"]}
    who = {"speaker": "anna", "gender": "female", "age": 31, "language": "en", "session": "s1", "fold": "f1"}
    assert row == make_row(
        id="u1", audio={"bytes": None, "path": str(root / "sub/a.flac")}, text="we are late", emotion="angry",
        descriptors=levels, **who, corpus="clips", duration=pytest.approx(0.3),
    )  # fmt: skip


def test_what_is_not_in_the_table_is_none(folder):
    row = load_corpus(folder("file_name\na.wav\n"))[0]
    known = {name for name, value in row.items() if value is not None}
    assert known == {"id", "audio", "descriptors", "corpus", "duration"}
    assert set(row["descriptors"].values()) == {None} and row["id"] == "a"


def test_no_emphasised_word_is_not_the_same_as_not_known(folder):
    rows = load_corpus(folder("file_name,emphasis\na.wav,none\nb.wav,\n"))
    assert [row["descriptors"]["emphasis"] for row in rows] == [[], None]


@pytest.mark.parametrize("text", ["transcription", "sentence"])
def test_columns_have_aliases(folder, text):
    row = load_corpus(folder(f"file_name,{text},label,speaker_id\na.wav,hello,joy,ben\n"))[0]
    assert (row["text"], row["emotion"], row["speaker"]) == ("hello", "happy", "ben")


@pytest.mark.parametrize(
    ("label", "emotion"),
    [("anger", "angry"), ("happiness", "happy"), ("Sadness", "sad"), ("fear", "fearful"), ("surprise", "surprised"),
     ("disgust", "disgusted"), ("bored", "bored"), ("neutral", "neutral")],
)  # fmt: skip
def test_emotion_nouns_become_adjectives(folder, label, emotion):
    assert load_corpus(folder(f"file_name,emotion\na.wav,{label}\n"))["emotion"] == [emotion]


def test_emotion_map_names_the_labels_of_a_folder(folder):
    root = folder("file_name,emotion\na.wav,W\nb.wav,L\n")
    assert load_corpus(root, emotion_map={"W": "angry", "L": None})["emotion"] == ["angry", None]
    assert load_corpus(root, emotion_map={"W": "rage", "L": "Joy"})["emotion"] == ["rage", "happy"]
    with pytest.raises(ValueError, match=r"emotion_map\['W'\]: emotion 'r@ge' cannot stand in an answer"):
        load_corpus(root, emotion_map={"W": "r@ge"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file_name,mood\na.wav,x\n", r"metadata\.csv: column 'mood' is not known; known are .*'emotion'"),
        ("text\nhello\n", "column 'file_name' is missing"),
        ("file_name,text,sentence\na.wav,x,y\n", "more than one column for text"),
        ("file_name,text,text\na.wav,x,y\n", "more than one column for text"),
        ("file_name,emotion\na.wav,angry\nb.wav,1\n", r"line 3: emotion '1' cannot stand in an answer.*emotion_map"),
        ("file_name,emotoin\na.wav,sad\n", r"'emotoin' is not known \(did you mean 'emotion'\?\).*descriptors="),
        ("file_name,pitch\na.wav,huge\n", r"line 2: pitch 'huge' is not one of \['low', 'normal', 'high'\]"),
        ("file_name,age\na.wav,31 y\n", "line 2: age '31 y' is not a whole number"),
        ("file_name,age\na.wav,nan\n", "line 2: age 'nan' is not a whole number"),
        ("file_name,text\na.wav,well, then\n", "line 2: its number of cells is not that of the header, 2"),
        ("file_name,text\n,hello\n", "line 2: file_name is empty"),
        ("file_name\n../a.wav\n", r"line 2: file_name '\.\./a\.wav' leads out of"),
        ("file_name\nsub/../../a.wav\n", "leads out of"),
        ("file_name\n/etc/passwd\n", "leads out of"),
        ("file_name\n", r"metadata\.csv: the table is empty"),
        ("", "column 'file_name' is missing"),
    ],
)
def test_mistakes_in_the_table_are_named(folder, read, table, message):
    with pytest.raises(ValueError, match=message):
        read(folder(table))


def test_a_table_that_is_not_utf8_is_named(folder, read):
    with pytest.raises(ValueError, match=r"metadata\.csv is not UTF-8 .*at byte 21\): save it as UTF-8"):
        read(folder("file_name,text\na.wav,\xe9t\xe9\n".encode("latin-1")))


def test_byte_order_marks_and_line_separators_of_unicode_are_fine(folder):
    root = folder("\ufefffile_name,text\r\na.wav,été\u2028fini\r\n".encode())
    assert load_corpus(root)["text"] == ["été\u2028fini"]


def test_bad_rows_are_left_out_named_and_counted_and_the_others_kept(folder, tmp_path, caplog):
    root = folder(
        "file_name,id\na.wav,1\ngone.wav,2\nempty.wav,3\ncut.wav,4\ncut.flac,5\nnoise.wav,6\nhush.wav,7\nb.wav,1\nb.wav,8\n",
        ("a.wav", "b.wav", "cut.wav", "cut.flac"),
    )
    (root / "empty.wav").touch()
    for name in ("cut.wav", "cut.flac"):
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: len(data) // 2])
    (root / "noise.wav").write_bytes(b"this is not audio at all" * 40)
    soundfile.write(root / "hush.wav", np.zeros(0), 16_000)
    with caplog.at_level(logging.WARNING):
        assert load_corpus(root)["id"] == ["1", "8"]
    report = prepare(CORPUS, root, tmp_path / "prepared")
    reasons = left_out(report)
    assert (report["n"], len(reasons)) == (2, 7)
    assert reasons["gone.wav"] == "the file is missing" and reasons["empty.wav"] == "the file is empty"
    assert "truncated" in reasons["cut.wav"] and "truncated" in reasons["cut.flac"]
    assert "not readable as audio" in reasons["noise.wav"] and "no samples" in reasons["hush.wav"]
    assert reasons["b.wav (metadata.csv, line 9)"] == "duplicate id: '1' is that of line 2"
    assert "7 of 9 rows left out: " in caplog.text
    assert all(f"{name}: {reason}" in caplog.text for name, reason in reasons.items())


def test_the_warning_comes_again_from_the_cache(folder, caplog):
    root = folder("file_name\na.wav\ngone.wav\n")
    for _ in range(2):
        caplog.clear()
        assert len(load_corpus(root)) == 1
        assert "1 of 2 rows left out: gone.wav: the file is missing" in caplog.text


def test_nothing_left_is_an_error(folder, read):
    with pytest.raises(ValueError, match=r"none of 1 recordings is left: gone.*: the file is missing"):
        read(folder("file_name\ngone.wav\n"))


def test_recordings_are_checked_once_until_table_or_folder_change(folder, monkeypatch):
    root = folder("file_name\na.wav\nb.wav\n")
    load_corpus(root)
    checked = []
    monkeypatch.setattr(
        "xser.corpora.audiofolder.examine", lambda row, **how: checked.append(row["id"]) or examine(row, **how)
    )
    load_corpus(root)
    assert not checked
    (root / "b.wav").unlink()
    assert load_corpus(root)["id"] == ["a"] and len(checked) == 2
    (root / "metadata.csv").write_text("file_name,text\na.wav,hello\n")
    assert load_corpus(root)["text"] == ["hello"] and len(checked) == 3


SPEAKERS = "file_name,speaker\n" + "".join(f"{name}{i}.wav,{name}\n" for name in "abcd" for i in range(3))
RECORDINGS = tuple(f"{name}{i}.wav" for name in "abcd" for i in range(3))


def test_held_out_speakers_are_in_their_split_alone(folder):
    corpus = load_corpus(folder(SPEAKERS, RECORDINGS), test_speakers=["b"], validation_fraction=0.2)
    assert list(corpus) == ["train", "validation", "test"]
    assert set(corpus["test"]["speaker"]) == {"b"} and set(corpus["test"]["split"]) == {"test"}
    assert [len(part) for part in corpus.values()] == [6, 3, 3]
    assert not set(corpus["train"]["speaker"]) & set(corpus["validation"]["speaker"])
    assert all(part.features == FEATURES for part in corpus.values())


def test_speakers_can_be_named_for_validation(folder):
    root = folder(SPEAKERS, RECORDINGS)
    corpus = load_corpus(root, test_speakers=["b"], validation_speakers=["d"])
    assert set(corpus["validation"]["speaker"]) == {"d"} and set(corpus["train"]["speaker"]) == {"a", "c"}
    assert set(load_corpus(root, split="test", test_speakers=["b"])["speaker"]) == {"b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_speakers": ["x", "b"]}, r"test_speakers \['x'\] do not exist; there are \['a', 'b', 'c', 'd'\]"),
        ({"test_speakers": "b"}, "test_speakers is 'b': give a list"),
        ({"test_speakers": ["b"], "validation_speakers": ["b"]}, r"\['b'\] stand in test_speakers and in validation"),
        ({"test_speakers": ["b"], "validation_fraction": 1.5}, "validation_fraction is 1.5"),
        ({"test_speakers": ["b"], "validation_speakers": ["a"], "validation_fraction": 0.1}, "give one of the two"),
        ({"test_speakers": ["a", "b"], "validation_speakers": ["c", "d"]}, "nothing is left to train on"),
        ({"test_speakers": ["a", "b", "c", "d"]}, "nothing is left to train on"),
    ],
)
def test_wrong_speakers_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        load_corpus(folder(SPEAKERS, RECORDINGS), **options)


def test_speakers_that_are_not_known_cannot_be_held_out(folder):
    with pytest.raises(ValueError, match="1 of 2 rows have no speaker"):
        hold_out(load_corpus(folder("file_name,speaker\na.wav,x\nb.wav,\n")), ["x"])


def test_the_column_split_is_kept_and_shared_speakers_are_named(folder, caplog):
    root = folder("file_name,speaker,split\na.wav,x,train\nb.wav,x,test\n")
    corpus = load_corpus(root)
    assert {name: part["id"] for name, part in corpus.items()} == {"train": ["a"], "test": ["b"]}
    assert "1 speakers are in more than one split" in caplog.text and "['x']" in caplog.text
    with pytest.raises(ValueError, match=r"no split 'dev'; it has \['train', 'test'\]"):
        load_corpus(root, split="dev")
    with pytest.raises(ValueError, match="'split' holds splits already"):
        load_corpus(root, test_speakers=["x"])


def test_a_split_for_some_rows_only_is_refused(folder):
    with pytest.raises(ValueError, match="'split' is empty in 1 of 2 rows"):
        load_corpus(folder("file_name,split\na.wav,train\nb.wav,\n"))


def test_a_folder_without_splits_is_all_train(folder):
    root = folder("file_name\na.wav\nb.wav\n")
    assert len(load_corpus(root, split="train")) == 2
    with pytest.raises(ValueError, match="has no split 'test': it has no splits"):
        load_corpus(root, split="test")


def test_limit_is_taken_evenly_over_a_sorted_table(folder):
    assert load_corpus(folder(SPEAKERS, RECORDINGS), limit=4)["speaker"] == ["a", "b", "c", "d"]


def test_what_is_no_corpus_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="'espek' is neither one of"):
        load_corpus("espek")
    with pytest.raises(FileNotFoundError, match="neither one of"):
        load_corpus(tmp_path)


def test_make_row_refuses_what_is_no_column():
    with pytest.raises(ValueError, match=r"\['speakr'\] are no columns"):
        make_row(speakr="x")
    with pytest.raises(ValueError, match=r"\['loudness'\] are no columns"):
        make_row(descriptors={"loudness": "loud"})


def test_a_folder_is_prepared_by_its_path_with_the_rows_that_it_loads_with(folder, tmp_path, capsys):
    root = folder(SPEAKERS.replace("a0.wav", "gone.wav"), RECORDINGS)
    out = tmp_path / "prepared"
    assert main(["prepare", str(root), "--out", str(out), "--test_speakers", "b", "--validation_fraction", "0.2"]) == 0
    assert "audiofolder: 11 recordings" in capsys.readouterr().out and (out / "report.html").is_file()
    report = json.loads((out / "report.json").read_text())
    assert report["left_out"] == [{"file": "gone.wav", "reason": "the file is missing"}]
    assert report["by_split"]["test"] == 3 and report["options"]["test_speakers"] == ["b"]
    direct = load_corpus(root, test_speakers=["b"], validation_fraction=0.2)
    saved = load_corpus(out)
    for split, rows in direct.items():
        assert without(saved[split], "audio") == without(rows, "audio")
        recordings = [Path(row["audio"]["path"]).read_bytes() for row in rows]
        assert [row["audio"]["bytes"] for row in saved[split]] == recordings  # so the folder can be moved
    assert len(load_corpus(out, split="test", limit=2)) == 2
    with pytest.raises(ValueError, match=r"is prepared already: \['test_speakers'\] do not apply"):
        load_corpus(out, test_speakers=["a"])
    assert not list(tmp_path.glob("prepared.partial*"))


def without(dataset, *columns) -> list[dict]:
    return dataset.remove_columns(list(columns)).to_list()


def test_the_splits_of_a_table_are_kept_and_refused_where_they_share_speakers(folder, tmp_path, capsys):
    root = folder("file_name,speaker,split\na.wav,x,train\nb.wav,x,dev\n")
    command = ["prepare", str(root), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main(command)
    assert "1 of 1 speakers are in more than one split: ['x']" in capsys.readouterr().err
    assert main([*command, "--allow_shared_speakers"]) == 0
    assert {name: part["id"][:] for name, part in load_corpus(tmp_path / "out").items()} == {
        "train": ["a"],
        "validation": ["b"],
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["shared_speakers"] == {"x": ["train", "validation"]}
    assert report["labels"] == {"split": {"dev": "validation"}}


@pytest.mark.parametrize("source", ["no/such/folder", "espek"])
def test_prepare_ends_with_a_message_and_leaves_nothing(tmp_path, capsys, source):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", source, "--out", str(tmp_path / "out")])
    assert stop.value.code == 2 and f"corpus '{source}' is neither" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_prepare_never_overwrites(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["prepare", str(folder("file_name\na.wav\n")), "--out", str(tmp_path)])
    assert "exists already" in capsys.readouterr().err


@pytest.fixture
def synthesiser():
    pytest.importorskip("espeakng_loader", reason="synthesis needs pip install xser[espeak]")


def test_espeak_is_prepared_without_a_source_and_with_the_rows_that_it_loads_with(tmp_path, cache, synthesiser):
    command = [sys.executable, "-m", "xser.corpora", "prepare", "espeak", "--out", str(tmp_path / "out")]
    command += ["--split", "test", "--sizes", '{"test": 6}']
    subprocess.run(command, check=True, env={**os.environ}, cwd=tmp_path, capture_output=True)
    (split,) = (prepared := load_corpus(tmp_path / "out"))
    assert split == "test" and prepared["test"].features == FEATURES
    direct = load_corpus("espeak", "test", limit=6)
    assert without(prepared["test"], "audio") == without(direct, "audio")
    assert [row["audio"]["bytes"] for row in prepared["test"]] == [row["audio"]["bytes"] for row in direct]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["n"], report["source"], report["left_out"]) == (6, None, []) and report["with_text"] == 6
    assert report["options"] == {"split": "test", "sizes": {"test": 6}}
    assert (tmp_path / "out" / "report.html").is_file()


SPEAK = espeak.render


def test_espeak_goes_on_where_it_was_stopped(tmp_path, synthesiser, monkeypatch):
    spoken = []

    def render(utterance):
        if len(spoken) == 5:
            raise KeyboardInterrupt
        spoken.append(utterance.id)
        return SPEAK(utterance)

    options = {"split": "test", "sizes": {"test": 8}}
    with monkeypatch.context() as patch:
        patch.setattr(espeak, "render", render)
        with pytest.raises(KeyboardInterrupt):
            prepare(espeak.CORPUS, None, tmp_path / "out", options, workers=1, rows_a_shard=2)
    assert not (tmp_path / "out").exists()
    again = []
    monkeypatch.setattr(espeak, "render", lambda utterance: again.append(utterance.id) or SPEAK(utterance))
    assert prepare(espeak.CORPUS, None, tmp_path / "out", options, rows_a_shard=2)["n"] == 8
    assert sorted(again) == [f"espeak-0-test-{index:06}" for index in range(4, 8)]


def test_another_recipe_of_espeak_begins_anew(monkeypatch):
    (row,) = espeak.find(split="test", sizes={"test": 1}).rows
    monkeypatch.setitem(espeak.PITCH, "high", 1.5)
    (other,) = espeak.find(split="test", sizes={"test": 1}).rows
    assert row["id"] == other["id"] and row["audio"]["path"] != other["audio"]["path"]


def test_splits_of_espeak_share_voices_and_the_report_says_so(tmp_path, capsys, synthesiser):
    sizes = json.dumps({"train": 12, "validation": 12, "test": 12, "test_unseen": 6, "adapt": 6})
    assert main(["prepare", "espeak", "--out", str(tmp_path / "out"), "--sizes", sizes]) == 0
    assert "train, validation and test are of the same voices" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "report.json").read_text())["shared_speakers"]


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--split", "dev"], "espeak has no split 'dev'"), (["--sizes", '{"test": 0}'], r"sizes\['test'\] is 0"),
     (["--source", "x"], "--source is unknown")],
)  # fmt: skip
def test_mistakes_in_the_options_of_espeak_are_named(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        main(["prepare", "espeak", "--out", str(tmp_path / "out"), *options])
    assert re.search(message, capsys.readouterr().err) and not list(tmp_path.iterdir())


def a_fortieth(folder: Path, root: Path) -> Path:
    """Every fortieth line of a folder's table, with its recordings by links."""
    root.mkdir()
    header, *lines = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (root / "metadata.csv").write_text(header + "".join(lines[::40]), encoding="utf-8")
    for path in folder.iterdir():
        if path.is_dir():
            (root / path.name).symlink_to(path)
    return root


@pytest.mark.skipif(not (SHARED / "nemo").is_dir(), reason="nEMO is not beside this checkout")
def test_nemo_loads_with_two_speakers_held_out(cache, tmp_path):
    assert len(CORPUS.find(SHARED / "nemo").rows) == 3_775
    corpus = load_corpus(a_fortieth(SHARED / "nemo", tmp_path / "nemo"), test_speakers=["EB0", "WR0"])
    assert sum(len(part) for part in corpus.values()) == 95
    assert set(corpus["test"]["speaker"]) == {"EB0", "WR0"}
    emotions = {"angry", "fearful", "happy", "sad", "surprised", "neutral"}
    assert set(corpus["train"]["emotion"]) == emotions == set(corpus["test"]["emotion"])


@pytest.mark.skipif(not (SHARED / "speechocean").is_dir(), reason="speechocean762 is not beside this checkout")
def test_speechocean_loads_without_emotions(cache, tmp_path):
    rows = CORPUS.find(SHARED / "speechocean").rows
    assert len(rows) == 1_625 and len({row["speaker"] for row in rows}) == 125
    dataset = load_corpus(a_fortieth(SHARED / "speechocean", tmp_path / "speechocean"))
    assert len(dataset) == 41 and set(dataset["emotion"]) == {None} and min(dataset["duration"]) > 0


@pytest.mark.skipif(not (SHARED / "ravdess").is_dir(), reason="RAVDESS, cut short, is not beside this checkout")
def test_ravdess_cut_short_has_no_transcripts_and_is_dealt_to_four_folds_of_actors(cache, tmp_path):
    found = CORPUS.find(SHARED / "ravdess")
    assert len({row["emotion"] for row in found.rows}) == 8 and {row["text"] for row in found.rows} == {None}
    splits, _ = Splitting(speaker_folds=4, test_fold="1").assign(found.rows)
    actors = {fold: {row["speaker"] for row in found.rows if row["fold"] == fold} for fold in "1234"}
    assert sorted(map(len, actors.values())) == [4, 5, 5, 5] and len(set.union(*actors.values())) == 19
    women = [sum(int(actor[2:]) % 2 == 0 for actor in each) for each in actors.values()]
    assert max(women) - min(women) <= 1
    tested = {row["speaker"] for row, split in zip(found.rows, splits, strict=True) if split == "test"}
    assert tested == actors["1"]
    report = prepare(
        CORPUS,
        a_fortieth(SHARED / "ravdess", tmp_path / "ravdess"),
        tmp_path / "out",
        options=Options(splitting=Splitting(speaker_folds=4, validation_fold="none")),
    )
    assert report["left_out"] == [] and report["with_text"] == 0 and report["n"] == 29
    assert set(load_corpus(tmp_path / "out", test_fold="2")) == {"train", "validation", "test"}
