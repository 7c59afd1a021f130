"""Read speech: LibriSpeech-style folders, and manifests in JSONL."""

import json
import logging
from collections import Counter
from pathlib import Path

import pytest

from xser.corpora.librispeech import CORPUS as LIBRISPEECH
from xser.corpora.manifest import CORPUS as MANIFEST
from xser.corpora.schema import ADDED, make_row

SPEAKERS = """; The meaning of the fields in left-to-right order is as follows:
;
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
60   | M | train-clean-100  | 20.18 | | CBW | Simon
84   | F | dev-clean        |  8.02 | Christie Nowak
1688 | M | test-other       |  9.07 | Tim Bulkeley
"""
SUBSETS = {"dev-clean/84": 3, "test-other/1688": 2, "train-clean-100/60": 4}


@pytest.fixture
def librispeech(tmp_path):
    root = tmp_path / "LibriSpeech"
    for place, count in SUBSETS.items():
        reader = Path(place).name
        for chapter in (f"{reader}1", f"{reader}2"):
            folder = root / place / chapter
            folder.mkdir(parents=True)
            names = [f"{reader}-{chapter}-{index:04}" for index in range(count)]
            for name in names:
                (folder / f"{name}.flac").touch()
            lines = "".join(f"{name} IT'S LINE {index}\n" for index, name in enumerate(names))
            (folder / f"{reader}-{chapter}.trans.txt").write_text(lines)
    (root / "SPEAKERS.TXT").write_text(SPEAKERS)
    return root


def test_librispeech_comes_by_subset_with_readers_and_small_letters(librispeech):
    found = LIBRISPEECH.find(librispeech)
    assert (len(found.rows), found.left_out) == (18, {})
    assert Counter((row["session"], row["split"], row["speaker"], row["gender"]) for row in found.rows) == {
        ("dev-clean", "validation", "84", "female"): 6,
        ("test-other", "test", "1688", "male"): 4,
        ("train-clean-100", "train", "60", "male"): 8,  # his name has pipes
    }
    first = found.rows[0]
    assert first["audio"] == {"bytes": None, "path": str(librispeech / "dev-clean/84/841/84-841-0000.flac")}
    assert (first["id"], first["text"], first["language"]) == ("84-841-0000", "it's line 0", "en")
    assert first["emotion"] is first["age"] is first["fold"] is None and first["corpus"] == "librispeech"


def test_librispeech_comes_from_a_part_of_it_too(librispeech, monkeypatch, caplog):
    found = LIBRISPEECH.find(librispeech / "dev-clean")
    assert {(row["session"], row["gender"]) for row in found.rows} == {("dev-clean", "female")}
    monkeypatch.chdir(librispeech / "dev-clean")
    assert LIBRISPEECH.find(Path(".")).rows == found.rows
    (librispeech / "SPEAKERS.TXT").unlink()
    assert {row["gender"] for row in LIBRISPEECH.find(librispeech).rows} == {None}
    assert "has no SPEAKERS.TXT: readers' genders are not known" in caplog.text


def test_librispeech_style_takes_other_formats_letters_and_languages(tmp_path):
    folder = tmp_path / "corpus/evening/anna/1"
    folder.mkdir(parents=True)
    (folder / "anna-1-0000.wav").touch()
    (folder / "anna-1.trans.txt").write_text("anna-1-0000 Dzień dobry\n", encoding="utf-8")
    (row,) = LIBRISPEECH.find(tmp_path / "corpus", language="pl").rows
    assert (row["text"], row["speaker"], row["session"], row["split"]) == ("Dzień dobry", "anna", "evening", None)
    assert row["language"] == "pl"


def test_librispeech_names_what_lacks_its_other_half(librispeech):
    folder = librispeech / "dev-clean/84/841"
    (folder / "84-841-0001.flac").unlink()
    (folder / "84-841-0009.flac").touch()
    (folder / "84-841-0000.wav").touch()
    with (folder / "84-841.trans.txt").open("a") as file:
        file.write("84-841-0002 AGAIN\n84-841-0010\n")
    (librispeech / "test-other/1688/16881/1688-16881.trans.txt").write_bytes(b"1688-16881-0000 CAF\xc9\n")
    found = LIBRISPEECH.find(librispeech)
    assert len(found.rows) == 15
    assert found.left_out == {
        "dev-clean/84/841/84-841-0000.wav": "a second recording of 84-841-0000",
        "84-841-0001": "the recording is missing",
        "84-841-0002 (dev-clean/84/841/84-841.trans.txt)": "an earlier line has this utterance",
        "dev-clean/84/841/84-841.trans.txt, line 5": "84-841-0010 has no words",
        "dev-clean/84/841/84-841-0009.flac": "it has no transcript",
        "test-other/1688/16881/1688-16881.trans.txt": "not UTF-8 (invalid continuation byte at byte 19)",
        "test-other/1688/16881/1688-16881-0000.flac": "it has no transcript",
        "test-other/1688/16881/1688-16881-0001.flac": "it has no transcript",
    }


def test_another_folder_is_no_librispeech(tmp_path):
    (tmp_path / "clips").mkdir()
    with pytest.raises(FileNotFoundError, match=r"is not LibriSpeech: looked for dev-clean/84/.*; there is clips"):
        LIBRISPEECH.find(tmp_path)


# manifests


@pytest.fixture
def manifest(tmp_path):
    """A function that writes lines (dicts, or text as it is) and the recordings a.wav and sub/b.flac."""

    def make(*lines: dict | str, name: str = "clips/train.jsonl") -> Path:
        path = tmp_path / name
        (path.parent / "sub").mkdir(parents=True, exist_ok=True)
        (path.parent / "a.wav").touch()
        (path.parent / "sub/b.flac").touch()
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        return path

    return make


@pytest.mark.parametrize("key", ["audio", "audio_filepath", "path", "file_name"])
def test_a_manifest_for_asr_has_recordings_and_text_alone(manifest, key):
    path = manifest({key: "sub/b.flac", "text": "we are late", "duration": 1.9, "offset": 0})
    assert MANIFEST.find(path).rows == [
        make_row(
            id="sub/b",
            audio={"bytes": None, "path": str(path.parent / "sub/b.flac")},
            text="we are late",
            corpus="clips",
        )
    ]


def test_all_that_a_manifest_knows_comes_into_the_schema(manifest):
    who = {"id": 7, "speaker_id": 12, "gender": "F", "age": "31", "language": "en", "session": "s", "fold": 2}
    levels = {"pitch": "High", "volume": "loud", "speed": None, "tone": "rising", "emphasis": ["are", "late"]}
    line = {"audio": "a.wav", "transcription": " we are late ", "label": "Anger", "split": "test", **who, **levels}
    (row,) = MANIFEST.find(manifest(line)).rows
    assert row["descriptors"] == {
        "pitch": "high", "volume": "loud", "speed": None, "tone": "rising", "range": None,
        "emphasis": ["are", "late"],
    }  # fmt: skip
    known = {name: row[name] for name in row if name not in ("audio", "descriptors", "corpus", "duration", *ADDED)}
    assert known == {
        "id": "7", "text": "we are late", "emotion": "angry", "speaker": "12", "gender": "female", "age": 31,
        "language": "en", "session": "s", "fold": "2", "split": "test",
    }  # fmt: skip


def test_a_manifest_may_have_absolute_paths_and_labels_of_its_own(manifest, tmp_path):
    (tmp_path / "far.wav").touch()
    path = manifest({"audio": str(tmp_path / "far.wav"), "emotion": "W"}, {"audio": "a.wav", "emotion": "L"})
    rows = MANIFEST.find(path, emotion_map={"W": "angry", "L": None}).rows
    assert [(row["audio"]["path"], row["emotion"]) for row in rows] == [
        (str(tmp_path / "far.wav"), "angry"),
        (str(path.parent / "a.wav"), None),
    ]
    with pytest.raises(ValueError, match=r"emotion_map\['W'\]: emotion 'r@ge' cannot stand"):
        MANIFEST.find(path, emotion_map={"W": "r@ge"})


def test_manifests_of_a_folder_are_its_splits(manifest):
    manifest({"audio": "a.wav"}, name="clips/train_manifest.jsonl")
    path = manifest({"audio": "sub/b.flac"}, name="clips/dev.jsonl")
    assert {row["id"]: row["split"] for row in MANIFEST.find(path.parent).rows} == {
        "a": "train",
        "sub/b": "validation",
    }
    (path.parent / "train_manifest.jsonl").unlink()
    assert [row["split"] for row in MANIFEST.find(path.parent).rows] == [None]


def test_missing_recordings_and_ids_that_came_before_are_named(manifest):
    path = manifest({"audio": "a.wav"}, "", {"audio": "gone.wav"}, {"audio": "sub/b.flac", "id": "a"})
    found = MANIFEST.find(path)
    assert [row["id"] for row in found.rows] == ["a"]
    assert found.left_out == {
        "train.jsonl, line 3 (gone.wav)": "the recording is missing",
        "train.jsonl, line 4 (sub/b.flac)": "id 'a' has come before",
    }
    with pytest.raises(FileNotFoundError, match=r"no recording is left: .*line 1 \(gone.wav\)"):
        MANIFEST.find(manifest({"audio": "gone.wav"}))


def test_keys_that_are_not_known_are_named_once(manifest, caplog):
    path = manifest({"audio": "a.wav", "pnc": "yes"}, {"audio": "sub/b.flac", "pnc": "no", "emtion": "sad"})
    with caplog.at_level(logging.WARNING):
        assert len(MANIFEST.find(path).rows) == 2
    (record,) = caplog.records
    assert "keys ['emtion', 'pnc'] are not known" in record.getMessage()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio": "a.wav"', r"line 2: not JSON"),
        ('["a.wav"]', "line 2: a JSON object was expected"),
        ({"text": "x"}, r"line 2: the recording should be one path under one of \['audio'.*its keys: \['text'\]"),
        ({"audio": ["a.wav"]}, "line 2: the recording should be one path"),
        ({"audio": "a.wav", "path": "b.wav"}, "line 2: the recording should be one path"),
        ({"audio": "a.wav", "offset": 1.5}, r"line 2: offset is 1\.5: parts of recordings are not read"),
        (
            {"audio": "a.wav", "text": "x", "sentence": "y"},
            r"line 2: more than one key for text: keep one of \['text'",
        ),
        ({"audio": "a.wav", "text": ["x"]}, r"line 2: text \['x'\] is not text"),
        ({"audio": "a.wav", "text": 5}, "line 2: text 5 is not text"),
        ({"audio": "a.wav", "emotion": "meh!"}, r"line 2: emotion 'meh!' cannot stand in an answer: .*emotion_map"),
        ({"audio": "a.wav", "emotion": ["sad"]}, r"line 2: emotion \['sad'\] is not text"),
        ({"audio": "a.wav", "age": "31 y"}, "line 2: age '31 y' is not a whole number"),
        ({"audio": "a.wav", "pitch": "huge"}, r"line 2: pitch 'huge' is not one of \['low', 'normal', 'high'\]"),
        ({"audio": "a.wav", "emphasis": [1]}, r"line 2: emphasis \[1\] is neither words nor a list of words"),
    ],
)
def test_a_broken_line_is_an_error_that_names_it(manifest, line, message):
    with pytest.raises(ValueError, match=rf"train\.jsonl, {message}"):
        MANIFEST.find(manifest({"audio": "a.wav"}, line))


def test_a_manifest_that_is_not_utf_8_is_named_by_line(manifest):
    path = manifest()
    path.write_bytes(b'{"audio": "a.wav"}\n{"audio": "sub/b.flac", "text": "caf\xe9"}\n')
    with pytest.raises(ValueError, match=r"train\.jsonl, line 2: not UTF-8"):
        MANIFEST.find(path)


def test_a_folder_without_manifests_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(FileNotFoundError, match=r"looked for \*\.jsonl.*there is a\.wav"):
        MANIFEST.find(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl does not exist"):
        MANIFEST.find(tmp_path / "gone.jsonl")
