"""MELD by its official layout: a release of full size, built here by its naming and its published counts."""

import csv
import io
import itertools
import os
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_files import by, known, plant

from xser.corpora import load_corpus
from xser.corpora.ffmpeg import extract_audio
from xser.corpora.meld import CORPUS, find, read
from xser.corpora.prepare import prepare

HEADER = ("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
          "StartTime", "EndTime")  # fmt: skip
EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
COUNTS = {
    "train": (4710, 1743, 1205, 1109, 683, 271, 268),
    "dev": (470, 163, 150, 153, 111, 22, 40),
    "test": (1256, 402, 281, 345, 208, 68, 50),
}
DIALOGUES = {"train": [n for n in range(1039) if n != 60], "dev": list(range(114)), "test": list(range(280))}
WITHOUT_ROW = {
    "train": (),
    "dev": ((49, 4), (49, 5), (66, 9), (66, 10)),
    "test": ((93, 5), (93, 6), (93, 7), (108, 1), (108, 2)),
}
FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
SPEAKERS = ("Rachel", "Joey", "Phoebe", "Ross", "Monica", "Chandler", "Joey and Ross", "Dr. Harad", "Both")


def utterances(split: str) -> list[tuple[int, int]]:
    """(dialogue, utterance) of every row: numbers have gaps where clips have no row."""
    dialogues, total = DIALOGUES[split], sum(COUNTS[split])
    each, more = divmod(total, len(dialogues))
    keys = []
    for place, dialogue in enumerate(dialogues):
        free = (number for number in itertools.count() if (dialogue, number) not in WITHOUT_ROW[split])
        keys += [(dialogue, number) for number in itertools.islice(free, each + (place < more))]
    return keys


def rows_of(split: str) -> list[dict]:
    emotions = [emotion for emotion, count in zip(EMOTIONS, COUNTS[split], strict=True) for _ in range(count)]
    random.Random(0).shuffle(emotions)
    return [
        row(dialogue, number, emotion, SPEAKERS[place % len(SPEAKERS)])
        for place, ((dialogue, number), emotion) in enumerate(zip(utterances(split), emotions, strict=True))
    ]


def row(dialogue: int, number: int, emotion: str = "joy", speaker: str = "Ross", text: str = "Oh, hi!") -> dict:
    return {
        **dict.fromkeys(HEADER, "1"),
        "Utterance": text,
        "Speaker": speaker,
        "Emotion": emotion,
        "Dialogue_ID": dialogue,
        "Utterance_ID": number,
        "StartTime": "00:16:16,059",
        "EndTime": "00:16:21,731",
    }


def write_table(path: Path, rows: list[dict], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, HEADER)  # CRLF, as published
        writer.writeheader()
        writer.writerows(rows)


REPLACED = random.Random(1).sample(utterances("test"), 132)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """All clips and tables, with clips of no row, second versions, and stubs of macOS."""
    root = tmp_path_factory.mktemp("meld") / "MELD.Raw"
    for split, folder in FOLDERS.items():
        write_table(root / f"{split}_sent_emo.csv", rows_of(split))
        keys = [*utterances(split), *WITHOUT_ROW[split]]
        plant(root / folder, ["dia{}_utt{}.mp4".format(*key) for key in keys])
    test = root / FOLDERS["test"]
    plant(test, ["final_videos_testdia{}_utt{}.mp4".format(*key) for key in REPLACED])
    plant(test, ["._dia{}_utt{}.mp4".format(*key) for key in utterances("test")[:50]], b"\0" * 212)
    return root


@pytest.fixture(scope="module")
def plain(release):
    return find(release)


@pytest.fixture
def small(tmp_path):
    """Two utterances of a split each."""
    root = tmp_path / "MELD.Raw"
    for split, folder in FOLDERS.items():
        write_table(root / f"{split}_sent_emo.csv", [row(0, 0, "sadness", "Joey"), row(0, 1, "anger", "Gary")])
        plant(root / folder, ["dia0_utt0.mp4", "dia0_utt1.mp4"])
    return root


def test_the_release_has_as_many_rows_as_published(plain):
    assert by(plain.rows, "split") == {"train": 9_989, "validation": 1_109, "test": 2_610}
    assert len({row["id"] for row in plain.rows}) == 13_708


def test_each_split_has_the_published_emotions(plain):
    names = ("neutral", "happy", "surprised", "angry", "sad", "disgusted", "fearful")
    for split, ours in (("train", "train"), ("dev", "validation"), ("test", "test")):
        rows = [row for row in plain.rows if row["split"] == ours]
        assert by(rows, "emotion") == dict(zip(names, COUNTS[split], strict=True))


def test_clips_without_a_row_are_named_and_nothing_else_is_left_out(plain):
    assert plain.left_out == {
        f"{FOLDERS[split]}/dia{dialogue}_utt{number}.mp4": f"{split}_sent_emo.csv has no row of it"
        for split, keys in WITHOUT_ROW.items()
        for dialogue, number in keys
    }


def test_the_clip_that_dev_lacks_is_named_and_1108_stay(release):
    clip = release / "dev_splits_complete" / "dia110_utt7.mp4"
    aside = clip.with_name("aside")
    clip.rename(aside)
    try:
        found = find(release)
    finally:
        aside.rename(clip)
    assert by(found.rows, "split")["validation"] == 1_108
    assert found.left_out["dev_splits_complete/dia110_utt7.mp4"] == "the clip is missing" and len(found.left_out) == 10


def test_second_versions_are_taken_only_when_asked_for(release, plain):
    found = find(release, replacements="final_videos_test")
    second = {row["id"] for row in found.rows if "final_videos" in row["audio"]["path"]}
    assert second == {"test_dia{}_utt{}".format(*key) for key in REPLACED} and len(second) == 132
    assert [row["id"] for row in found.rows] == [row["id"] for row in plain.rows]
    assert not any("final_videos" in row["audio"]["path"] for row in plain.rows)
    with pytest.raises(ValueError, match=r"replacements is 'both', not one of \['plain', 'final_videos_test'\]"):
        find(release, replacements="both")


def test_a_clip_with_only_a_second_version_is_not_taken_in_silence(small):
    clip = small / FOLDERS["test"] / "dia0_utt1.mp4"
    clip.rename(clip.with_name("final_videos_testdia0_utt1.mp4"))
    found = find(small)
    assert by(found.rows, "split")["test"] == 1
    assert found.left_out == {
        "output_repeated_splits_test/dia0_utt1.mp4": "only final_videos_testdia0_utt1.mp4 is there, which "
        "replacements='final_videos_test' takes"
    }
    assert len(find(small, replacements="final_videos_test").rows) == 6


def test_a_row_holds_what_the_table_says(small):
    rows = {row["id"]: row for row in find(small).rows}
    assert known(rows["dev_dia0_utt0"]) == {
        "id": "dev_dia0_utt0", "text": "Oh, hi!", "emotion": "sad", "speaker": "Joey", "gender": "male",
        "language": "en", "corpus": "meld", "split": "validation",
    }  # fmt: skip
    clip = small / "dev_splits_complete" / "dia0_utt0.mp4"
    assert rows["dev_dia0_utt0"]["audio"] == {"bytes": None, "path": str(clip)}
    assert rows["test_dia0_utt1"]["speaker"] == "Gary" and rows["test_dia0_utt1"]["gender"] is None


def test_speakers_are_kept_and_gender_is_known_of_six(plain):
    genders = {row["speaker"]: row["gender"] for row in plain.rows}
    assert genders == {
        "Rachel": "female", "Phoebe": "female", "Monica": "female", "Joey": "male", "Ross": "male", "Chandler": "male",
        "Joey and Ross": None, "Dr. Harad": None, "Both": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "homes",
    [
        {"train": "train/train_splits", "dev": "dev/dev_splits_complete", "test": "test/output_repeated_splits_test"},
        {"train": "audio/train", "dev": "audio/dev", "test": "audio/test"},
        {"train": "MELD.Raw/train_splits", "dev": "MELD.Raw/val", "test": "MELD.Raw/test_splits"},
    ],
)
def test_clips_and_tables_may_be_nested(tmp_path, homes):
    root = tmp_path / "test_of_train"  # the names of folders above the source say nothing
    for split, home in homes.items():
        plant(root / home, ["dia0_utt0.MP4"])
        write_table(root / home.split("/")[0] / f"{split}_sent_emo.csv", [row(0, 0)])
    found = find(root)
    assert {row["id"]: row["audio"]["path"] for row in found.rows} == {
        f"{split}_dia0_utt0": str(root / home / "dia0_utt0.MP4") for split, home in homes.items()
    }
    assert found.left_out == {}


def test_wav_and_flac_beside_or_apart_from_the_mp4_are_preferred(small):
    plant(small / "train_splits", ["dia0_utt0.wav"])
    plant(small / "wav" / "train", ["dia0_utt1.flac"])
    paths = [Path(row["audio"]["path"]) for row in find(small).rows if row["split"] == "train"]
    assert paths == [small / "train_splits" / "dia0_utt0.wav", small / "wav" / "train" / "dia0_utt1.flac"]


def test_old_tables_with_control_characters_have_their_quotes_back(small):
    write_table(
        small / "train_sent_emo.csv", [row(0, 0, "joy", "Joey\x92s Doctor", "I\x92m \x93here\x94\x85 w\x81ell")]
    )
    raw = (small / "train_sent_emo.csv").read_bytes()
    assert b"\xc2\x92" in raw and raw.count(b"\r\n") == 2
    (found,) = [row for row in find(small).rows if row["split"] == "train"]
    assert found["text"] == "I’m “here”… well" and found["speaker"] == "Joey’s Doctor"


def test_tables_of_today_keep_their_quotes_and_may_begin_with_a_byte_order_mark(small):
    write_table(small / "train_sent_emo.csv", [row(0, 0, text="I’m  here,\nreally…")], encoding="utf-8-sig")
    (found,) = [row for row in find(small).rows if row["split"] == "train"]
    assert found["text"] == "I’m here, really…"


def test_a_table_in_another_encoding_is_named(small):
    write_table(small / "train_sent_emo.csv", [row(0, 0, text="I’m here")], encoding="cp1252")
    with pytest.raises(
        ValueError, match=r"train_sent_emo\.csv is not UTF-8 \(invalid start byte at byte \d+\): save it"
    ):
        find(small)


def test_a_table_without_its_columns_is_named(small):
    (small / "dev_sent_emo.csv").write_text("Utterance,Speaker,Label\nhi,Joey,joy\n")
    with pytest.raises(
        ValueError, match=r"dev_sent_emo\.csv: columns \['emotion', 'dialogue_id', 'utterance_id'\] are m"
    ):
        find(small)


def test_two_versions_of_a_table_are_refused_and_two_copies_are_not(small):
    copy = small / "train" / "train_sent_emo.csv"
    copy.parent.mkdir()
    shutil.copy(small / "train_sent_emo.csv", copy)
    assert len(find(small).rows) == 6
    write_table(copy, [row(0, 0)])
    with pytest.raises(ValueError, match=r"train_sent_emo\.csv and .*train/train_sent_emo\.csv differ: take one away"):
        find(small)


def test_rows_that_are_not_understood_are_named_and_the_others_stay(small):
    rows = [row(0, 0, "Joy"), row(0, 1, "ecstasy"), row(0, 0, "fear"), row(0, "x"), row(0, 2)]
    write_table(small / "train_sent_emo.csv", rows)
    with (small / "train_sent_emo.csv").open("a") as file:
        file.write("9,cut off,Joey,joy")
    found = find(small)
    assert [(row["id"], row["emotion"]) for row in found.rows if row["split"] == "train"] == [
        ("train_dia0_utt0", "happy")
    ]
    reasons = found.left_out
    assert reasons["train_sent_emo.csv, line 3"].startswith("emotion 'ecstasy' is not one of ['neutral', 'joy'")
    assert reasons["train_sent_emo.csv, line 4"] == "its dialogue and utterance are those of line 2"
    assert reasons["train_sent_emo.csv, line 5"] == "Dialogue_ID '0' and Utterance_ID 'x' are not both numbers"
    assert reasons["train_sent_emo.csv, line 7"] == "its number of cells is not that of the header"
    assert reasons["train_splits/dia0_utt2.mp4"] == "the clip is missing"
    assert reasons["train_splits/dia0_utt1.mp4"] == "train_sent_emo.csv has no row of it"


def test_a_split_without_table_or_clips_is_named_once(small):
    (small / "dev_sent_emo.csv").unlink()
    shutil.rmtree(small / "train_splits")
    found = find(small)
    assert by(found.rows, "split") == {"test": 2}
    assert found.left_out == {
        "dev_sent_emo.csv": "the table is missing",
        "train_splits": "no clip is there; is train.tar.gz unpacked?",
    }


def test_what_is_not_meld_is_named(tmp_path, small):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find(tmp_path / "nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"is not MELD: looked for train_sent_emo\.csv, .*; there is dia0_utt0\.mp"
    ):
        find(small / "train_splits")
    for folder in FOLDERS.values():
        shutil.rmtree(small / folder)
    with pytest.raises(
        FileNotFoundError, match=r"no clip of any .*train_splits/dia0_utt0\.mp4 .*is train\.tar\.gz unpacked"
    ):
        find(small)


def test_the_corpus_names_the_options_of_find_and_reads_by_ffmpeg():
    assert CORPUS.name == "meld" and set(CORPUS.options) == {"replacements"}
    assert (CORPUS.find, CORPUS.read) == (find, read)


# -------------------------------------------------------------------------------------------------------- FFmpeg


def surround(channels: int, seconds: float = 0.5, rate: int = 16_000) -> np.ndarray:
    """(S, C) int16: a different constant in every channel, and a tone in the third."""
    samples = np.tile(np.arange(1, channels + 1, dtype=np.int16) * 100, (int(seconds * rate), 1))
    if channels > 2:
        time = np.arange(len(samples)) / rate
        samples[:, 2] = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    return samples


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """A function that puts a program `ffmpeg` first on PATH, which runs a shell script."""

    def make(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "ffmpeg").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{folder}/arguments"\n{script}\n')
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder / "arguments"

    return make


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "-dia0_utt0.mp4"
    path.write_bytes(b"not really a film")
    return path


def streamed(samples: np.ndarray) -> bytes:
    """A wav file as FFmpeg writes it to a pipe: it does not know the lengths when it begins."""
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
    data = bytearray(file.getvalue())
    place = data.index(b"data")
    data[4:8] = data[place + 4 : place + 8] = b"\xff" * 4
    return bytes(data)


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 8])
def test_channels_without_sound_do_not_weaken_the_one_that_has_it(fake_ffmpeg, clip, tmp_path, channels):
    samples = surround(channels)
    (tmp_path / "out.wav").write_bytes(streamed(samples))
    arguments = fake_ffmpeg(f'cat "{tmp_path}/out.wav"')
    data = read(clip)
    assert data[:4] == b"fLaC"
    mono, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    expected = samples[:, 2] if channels > 2 else np.rint(samples.mean(axis=1)).astype(np.int16)
    assert rate == 16_000 and np.array_equal(mono, expected)
    given = arguments.read_text().split("\n")
    assert given[given.index("-i") + 1] == f"file:{clip}" and given[given.index("-ar") + 1] == "16000"


def test_what_ffmpeg_says_of_a_broken_clip_is_the_reason(fake_ffmpeg, clip):
    fake_ffmpeg(
        'echo "[mov @ 0x55d2a7c0] moov atom not found" >&2\n'
        'echo "[in#0 @ 0x55d2a7c0] Error opening input: Invalid data found" >&2\necho >&2\nexit 183'
    )
    with pytest.raises(
        ValueError,
        match=r"^FFmpeg cannot read the file: Error opening input: Invalid data found$",
    ):
        read(clip)


def test_a_clip_without_sound_is_named(fake_ffmpeg, clip, tmp_path):
    (tmp_path / "out.wav").write_bytes(streamed(np.zeros((0, 2), np.int16)))
    fake_ffmpeg(f'cat "{tmp_path}/out.wav"')
    with pytest.raises(ValueError, match="FFmpeg found no sound in the file: its track is empty"):
        read(clip)
    (tmp_path / "out.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"FFmpeg found no sound in the file$"):
        read(clip)


def test_ffmpeg_that_does_not_end_is_stopped(fake_ffmpeg, clip):
    fake_ffmpeg("exec sleep 60")
    with pytest.raises(ValueError, match=r"FFmpeg did not end within 0\.5 s"):
        extract_audio(clip, timeout=0.5)


def test_without_ffmpeg_the_error_says_how_to_install_it(monkeypatch, clip, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ImportError, match=r"no program `ffmpeg` is on PATH: install it \(apt install ffmpeg, brew install"
    ):
        read(clip)


def noise(path: Path, seconds: float, seed: int) -> None:
    """What a fake FFmpeg takes for a film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * 16_000), dtype=np.int16)
    path.write_bytes(streamed(samples[:, None]))


@pytest.fixture
def films(tmp_path, fake_ffmpeg):
    """Each split with a good clip; train with one of a minute too much, a broken one, and none for its fourth row."""
    fake_ffmpeg(
        'for word in "$@"; do case "$word" in file:*) clip="${word#file:}";; esac; done\n'
        'if grep -q broken "$clip"; then echo "moov atom not found" >&2; exit 1; fi\ncat "$clip"'
    )
    root = tmp_path / "MELD.Raw"
    for seed, (split, folder) in enumerate(FOLDERS.items()):
        write_table(root / f"{split}_sent_emo.csv", [row(0, n) for n in range(4 if split == "train" else 1)])
        noise(root / folder / "dia0_utt0.mp4", 0.5, seed)
    noise(root / "train_splits" / "dia0_utt1.mp4", 61, 9)
    (root / "train_splits" / "dia0_utt2.mp4").write_text("broken")
    return root


def test_preparing_names_what_is_cut_wrong_broken_or_missing_and_keeps_the_others(films, tmp_path):
    report = prepare(CORPUS, films, tmp_path / "out", workers=1)
    assert {entry["file"]: entry["reason"] for entry in report["left_out"]} == {
        "train_splits/dia0_utt1.mp4": "too long: 61.0 s, at most 60 s",
        "train_splits/dia0_utt2.mp4": "FFmpeg cannot read the file: moov atom not found",
        "train_splits/dia0_utt3.mp4": "the clip is missing",
    }
    assert report["n"] == 3 and report["by_split"] == {"train": 1, "validation": 1, "test": 1}
    assert "and share 1 of 1 speakers: the leading characters of the series" in report["splitting"]
    assert len(load_corpus(tmp_path / "out", split="dev")) == 1  # as its makers call it


def test_preparing_ends_at_once_where_there_is_no_ffmpeg(films, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(ImportError, match="install it"):
        prepare(CORPUS, films, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_wav_file_is_read_as_it_is_without_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "dia0_utt0.wav").write_bytes(b"RIFF as it is")
    assert read(tmp_path / "dia0_utt0.wav") == b"RIFF as it is"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no program ffmpeg is on PATH")
@pytest.mark.parametrize("channels", [2, 6])
def test_a_real_mp4_gives_its_tone_and_a_broken_one_a_reason(tmp_path, channels):
    rate = 48_000
    samples = np.zeros((rate, channels), np.int16)
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
    for channel in (2,) if channels == 6 else (0, 1):
        samples[:, channel] = tone
    soundfile.write(tmp_path / "in.wav", samples, rate)
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        tmp_path / "in.wav",
        "-c:a",
        "aac",
        "-b:a",
        "384k",
        tmp_path / "clip.mp4",
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    heard, heard_rate = soundfile.read(io.BytesIO(read(tmp_path / "clip.mp4")))
    middle = heard[4_000:12_000]
    assert heard_rate == 16_000 and len(heard) == pytest.approx(16_000, abs=1_600)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.1)
    assert np.argmax(np.abs(np.fft.rfft(middle))) * 2 == 440  # bins of 2 Hz
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"FFmpeg cannot read the file: .+"):
        read(tmp_path / "broken.mp4")
