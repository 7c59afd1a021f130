"""Annotating a prepared corpus: labels told by its training split, nothing lost by bad files, stops and old labels."""

import io
import json
import shutil
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from xser.calibration_xser import Calibration
from xser.corpora import FEATURES, load_corpus, make_row
from xser.corpora.shards import parquet_name, shard_writer
from xser.corpora.workshop import DiskFullError
from xser.descriptors import measuring, noting
from xser.descriptors.__main__ import main
from xser.descriptors.annotate import annotate
from xser.descriptors.measuring import measure_row, measure_rows
from xser.descriptors.report import eta_squared

RATE = 16_000
USUAL = {"anna": (210.0, "female"), "beth": (230.0, "female"), "dan": (110.0, "male"), "ed": (125.0, "male")}  # Hz
STEPS = range(-4, 5)  # of a speaker's nine recordings: semitones, 2 dB, a syllable


def voice(pitch: float, decibels: float, step: int = 0, seconds: float = 0.8) -> np.ndarray:
    """(S,) more syllables of a harmonic tone, that glides further, at a greater step, with silence around it."""
    time = np.arange(int(seconds * RATE)) / RATE
    hertz = pitch * 2 ** ((time / seconds - 0.5) * (5 + step / 2) / 12)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.03 * 10 ** (decibels / 20)
    wave *= 0.6 + 0.4 * np.cos(2 * np.pi * (6 + 0.75 * step) * time)
    noise = np.random.default_rng(0).standard_normal(int((seconds + 0.4) * RATE)) * 1e-4
    noise[int(0.2 * RATE) : int(0.2 * RATE) + len(wave)] += wave
    return noise


def wav(wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="WAV")
    return file.getvalue()


def rows_of(split: str, steps, **more) -> list[dict]:
    return [
        make_row(
            id=f"{split}-{speaker}-{step}",
            audio={"bytes": wav(voice(hertz * 2 ** (step / 12), 2 * step, step)), "path": None},
            text=" ".join(["na"] * (6 + step)),
            emotion="angry" if step > 0 else "sad",
            speaker=speaker,
            gender=gender,
            corpus="toy",
            split=split,
            **more,
        )
        for speaker, (hertz, gender) in USUAL.items()
        for step in steps
    ]


TRAIN = rows_of("train", STEPS)
TEST = rows_of("test", (-4, 4))


def save(folder, train=TRAIN, test=TEST):
    """Tables, and not rows: of rows `datasets` would encode the recordings anew."""
    tables = {"train": train, "test": test}
    parts = {
        name: datasets.Dataset(pa.Table.from_pylist(part, schema=FEATURES.arrow_schema))
        for name, part in tables.items()
    }
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp("corpora") / "toy")


@pytest.fixture
def toy(saved, tmp_path):
    """A fresh copy of a prepared corpus."""
    return shutil.copytree(saved, tmp_path / "toy")


@pytest.fixture(scope="module")
def annotated(saved, tmp_path_factory):
    """(folder, report) of a corpus that was annotated."""
    folder = shutil.copytree(saved, tmp_path_factory.mktemp("annotated") / "toy")
    (folder / "report.json").write_text("{}")
    return folder, annotate(folder, workers=1)


def levels(folder, split: str, slot: str) -> dict[str, str | None]:
    part = load_corpus(folder, split)
    return {name: of[slot] for name, of in zip(part["id"], part["descriptors"], strict=True)}


@pytest.mark.parametrize(
    ("slot", "low", "high"), [("pitch", "low", "high"), ("volume", "quiet", "loud"), ("speed", "slow", "fast")]
)
def test_the_ends_of_every_speaker_are_told_in_every_split(annotated, slot, low, high):
    folder, _ = annotated
    for split in ("train", "test"):
        told = levels(folder, split, slot)
        for speaker in USUAL:
            assert (told[f"{split}-{speaker}--4"], told[f"{split}-{speaker}-4"]) == (low, high)


def test_recordings_and_all_else_stay_as_they_were(annotated, saved):
    folder, _ = annotated
    for split in ("train", "test"):
        old, new = load_corpus(saved, split), load_corpus(folder, split)
        assert new.remove_columns("descriptors").to_list() == old.remove_columns("descriptors").to_list()
        assert new._fingerprint != old._fingerprint
    assert (folder / "report.json").read_text() == "{}"
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


def test_the_training_split_alone_sets_the_cuts(annotated):
    calibration = Calibration.load(annotated[0] / "calibration.json")
    assert (calibration.corpus, calibration.split, calibration.num_utterances) == ("toy", "train", len(TRAIN))


def test_the_table_has_value_and_reason_of_every_recording_and_slot(annotated):
    table = pq.read_table(annotated[0] / "descriptors.parquet").to_pylist()
    assert len(table) == 5 * (len(TRAIN) + len(TEST))
    assert all((line["level"] is None) == (line["reason"] is not None) for line in table)
    assert all((line["level"] is None) == (line["confidence"] is None) for line in table)
    (anna,) = (line for line in table if line["id"] == "train-anna-0" and line["slot"] == "pitch")
    assert anna["value"] == pytest.approx(210, rel=0.02) and anna["value"] == anna["pitch_hz"]
    assert (anna["unit"], anna["basis"], anna["quantity"]) == ("Hz", "speaker", "pitch")
    assert "range" in {line["slot"] for line in table}


def test_the_report_counts_levels_and_reasons_and_what_the_emotion_explains(annotated):
    folder, report = annotated
    assert json.loads((folder / "descriptors.json").read_text()) == report
    for slot, told in report["told"].items():
        assert told == sum(report["levels"][slot].values())
        assert told + sum(report["not_told"][slot].values()) == report["n"] == len(TRAIN) + len(TEST)
    assert report["quantity"]["speed"] == {"text_rate": report["n"]}
    pitch = report["eta_squared_of_emotion"]["pitch"]
    assert pitch["n"] == report["n"]
    assert pitch["value"] < 0.3 and pitch["relative_to_reference"] > 0.5  # men and women part only the values


def test_eta_squared_is_the_share_between_groups():
    assert eta_squared([1, 1, 3, 3], ["a", "a", "b", "b"]) == 1
    assert eta_squared([0, 2, 2, 4], ["a", "a", "b", "b"]) == pytest.approx(0.5)
    assert eta_squared([0, 2], ["a", "a"]) is None and eta_squared([], []) is None


def test_labels_that_are_there_are_kept_unless_asked_otherwise(tmp_path):
    known = [{**row, "descriptors": {**row["descriptors"], "pitch": "normal"}} for row in TEST]
    report = annotate(save(tmp_path / "toy", test=known), workers=1)
    assert set(levels(tmp_path / "toy", "test", "pitch").values()) == {"normal"}
    assert levels(tmp_path / "toy", "test", "volume")["test-ed-4"] == "loud"
    assert report["labels_kept"]["pitch"] == len(TEST)
    annotate(tmp_path / "toy", overwrite=True, workers=1)
    assert levels(tmp_path / "toy", "test", "pitch")["test-ed-4"] == "high"


def test_a_recording_that_cannot_be_read_is_named_and_loses_no_other(tmp_path):
    broken = [{**TEST[0], "audio": {"bytes": b"RIFF, but no more", "path": None}}, *TEST[1:]]
    report = annotate(save(tmp_path / "toy", test=broken), workers=1)
    assert [row["id"] for row in report["unread"]] == [TEST[0]["id"]] and report["unread"][0]["reason"]
    told = levels(tmp_path / "toy", "test", "pitch")
    assert told.pop(TEST[0]["id"]) is None and None not in told.values()


def test_parquet_shards_are_annotated_too(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    for index, part in enumerate((TRAIN[:20], TRAIN[20:])):
        with shard_writer(folder / parquet_name("train", index, 2), "parquet", FEATURES.arrow_schema) as write:
            for row in part:
                write(row)
    annotate(folder, workers=1)
    part = load_corpus(folder, "train", cache_dir=tmp_path / "cache")
    assert part["id"] == [row["id"] for row in TRAIN]
    assert part[8]["descriptors"]["pitch"] == "high" and part[35]["descriptors"]["volume"] == "loud"


def test_a_run_that_was_stopped_goes_on_where_it_was(toy, monkeypatch, annotated):
    calls = []

    def counted(row, word_times):
        calls.append(row["id"])
        if len(calls) == 21:
            raise KeyboardInterrupt
        return measure_row(row, word_times)

    monkeypatch.setattr(noting, "NOTED_ROWS", 10)
    monkeypatch.setattr(measuring, "measure_row", counted)
    with pytest.raises(KeyboardInterrupt):
        annotate(toy, workers=1)
    assert set(levels(toy, "train", "pitch").values()) == {None}  # nothing is changed yet
    annotate(toy, workers=1)
    assert len(calls) == 21 + len(TRAIN) + len(TEST) - 20
    assert levels(toy, "train", "pitch") == levels(annotated[0], "train", "pitch")
    assert not toy.with_name("toy.annotating").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_named_and_what_was_measured_is_kept(toy, monkeypatch):
    open_path = Path.open

    def open_full(path: Path, mode: str = "r", *arguments, **options):
        if mode == "wb" and path.suffix == ".arrow":
            return open_path(Path("/dev/full"), "wb", buffering=0)
        return open_path(path, mode, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        with pytest.raises(DiskFullError, match=r"the disk is full: make room.*toy\.annotating keeps what"):
            annotate(toy, workers=1)
    assert set(levels(toy, "train", "pitch").values()) == {None}
    monkeypatch.setattr(measuring, "measure_row", None)  # would fail if it was called
    annotate(toy, workers=1)
    assert levels(toy, "train", "pitch")["train-ed-4"] == "high"


def test_a_kill_while_old_and_new_change_places_loses_nothing(toy):
    before = toy.with_name("toy.annotating") / "notes" / "before"
    before.parent.mkdir(parents=True)
    toy.rename(before)
    annotate(toy, workers=1)
    assert levels(toy, "train", "pitch")["train-ed-4"] == "high"
    assert [path.name for path in toy.parent.iterdir()] == ["toy"]


def test_a_new_speaker_can_be_judged_by_their_own_recordings(tmp_path):
    stranger = [
        {**row, "id": f"new{row['id']}", "speaker": "gail", "gender": None} for row in TRAIN if "anna" in row["id"]
    ]
    folder = save(tmp_path / "toy", test=stranger)
    assert annotate(folder, workers=1)["basis"]["pitch"]["corpus"] == len(stranger)
    report = annotate(folder, own_references=True, overwrite=True, workers=1)
    assert report["basis"]["pitch"] == {"speaker": len(TRAIN) + len(stranger)}
    assert levels(folder, "test", "pitch")["newtrain-anna-4"] == "high"


def test_a_wrong_split_or_folder_is_named_and_changes_nothing(toy, tmp_path):
    with pytest.raises(ValueError, match=r"no split 'dev'.*\['train', 'test'\]"):
        annotate(toy, "dev", workers=1)
    with pytest.raises(ValueError, match="'test' is no training split"):
        annotate(toy, "test", workers=1)
    with pytest.raises(FileNotFoundError, match="prepare"):
        annotate(tmp_path, workers=1)
    assert set(levels(toy, "train", "pitch").values()) == {None}


def test_without_speakers_cuts_can_be_relative_to_the_gender(tmp_path):
    folder = save(tmp_path / "toy", train=[{**row, "speaker": None} for row in TRAIN])
    with pytest.raises(ValueError, match="relative to the speaker"):
        annotate(folder, workers=1)
    assert annotate(folder, relative_to="gender", workers=1)["basis"]["pitch"] == {"gender": len(TRAIN) + len(TEST)}


def test_emphasis_is_told_where_it_is_asked_for(toy):
    report = annotate(toy, word_times="letters", workers=1)
    assert report["told"]["emphasis"] + sum(report["not_told"]["emphasis"].values()) == report["n"]
    told = levels(toy, "train", "emphasis").values()
    assert (
        sum(of is not None for of in told) + sum(of is not None for of in levels(toy, "test", "emphasis").values())
        == report["told"]["emphasis"]
    )


@pytest.mark.parametrize(
    ("text", "language", "word_times", "reason"),
    [
        (None, "en", "letters", "no transcript"),
        ("… ?", "en", "letters", "no transcript"),
        ("na na", None, "espeak", "no language"),
        ("na " * 200, None, "letters", "not aligned"),
        ("na na", None, "letters", "few words"),  # nothing stands out of two words
    ],
)
def test_why_the_emphasis_cannot_be_told_is_said_and_the_rest_is_measured(text, language, word_times, reason):
    measured = measure_row({**TRAIN[4], "text": text, "language": language}, word_times)
    assert (measured.emphasis, measured.no_emphasis) == (None, reason)
    assert measured.prosody.pitch_hz == pytest.approx(210, rel=0.02)


def test_a_language_that_espeak_does_not_speak_loses_no_measurement():
    pytest.importorskip("espeakng_loader", reason="the extra espeak is not installed")
    measured = measure_row({**TRAIN[4], "language": "tlh"}, "espeak")
    assert measured.no_emphasis == "eSpeak NG does not speak the language" and measured.prosody.pitch_hz > 200
    regional = measure_row({**TRAIN[4], "language": "fr_FR"}, "espeak")  # it knows fr and fr-fr, and no fr_FR
    assert regional.no_emphasis != measured.no_emphasis


def test_a_missing_synthesiser_is_named_before_anything_is_measured(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ImportError, match=r"pip install xser\[espeak\]"):
        annotate(toy, word_times="espeak", workers=1)
    assert [path.name for path in toy.parent.iterdir()] == ["toy"]


def test_processes_measure_what_one_does():
    assert [of.to_dict() for of in measure_rows(TEST, workers=2)] == [of.to_dict() for of in measure_rows(TEST)]
    with pytest.raises(ValueError, match="workers is 0: give at least 1"):
        next(measure_rows(TEST, workers=0))


def test_commands_measure_and_check(annotated, tmp_path, capsys):
    low, usual, high, broken = (str(tmp_path / f"{name}.wav") for name in ("low", "usual", "high", "broken"))
    for path, step in ((low, -4), (usual, 0), (high, 4)):
        soundfile.write(path, voice(210 * 2 ** (step / 12), 2 * step), RATE)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    judge = ["--calibration", str(annotated[0] / "calibration.json"), "--reference", low, usual, high]
    assert main(["measure", broken, high, "--json", *judge]) == 1
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert "broken" in err and answer["file"] == high
    assert answer["labels"]["pitch"]["level"] == "high"
    assert answer["measured"]["pitch_hz"] == pytest.approx(210 * 2 ** (4 / 12), rel=0.02)
    assert main(["measure", high, *judge]) == 0
    assert "high" in capsys.readouterr().out
    assert main(["check", high, "--pitch", "low", "--volume", "loud", *judge]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("pitch" in line and "contradict" in line for line in lines)
    assert any("volume" in line and "agree" in line for line in lines)


def test_commands_tell_the_speed_by_what_is_said_where_it_is_given(annotated, tmp_path, capsys):
    file = str(tmp_path / "new.wav")
    soundfile.write(file, voice(210, 0), RATE)
    judge = ["--calibration", str(annotated[0] / "calibration.json")]
    of = {}
    for text in (None, "na na na na na na na na na na"):
        assert main(["measure", file, "--json", *judge, *(["--text", text, "--language", "en"] if text else [])]) == 0
        of[text] = json.loads(capsys.readouterr().out)
        assert of[text]["labels"]["speed"]["quantity"] == ("text_rate" if text else "rate")
        assert of[text]["measured"]["rate"] == of[None]["measured"]["rate"]
    assert of[text]["measured"]["text_rate"] > 8 and of[None]["measured"]["text_rate"] is None
    assert main(["check", file, "--speed", "fast", "--text", text, *judge, "--margin", "0"]) == 0
    assert "agree" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["measure", file, file, "--text", "na na"])
    assert "--text is what is said in one recording, and 2 are given" in capsys.readouterr().err


def test_too_few_recordings_for_cuts_can_be_judged_by_the_built_in_ones(tmp_path, capsys):
    folder = str(save(tmp_path / "few", train=TRAIN[:4], test=TEST[:1]))
    with pytest.raises(SystemExit):
        main(["annotate", folder, "--workers", "1"])
    assert "or by the built-in one" in capsys.readouterr().err
    assert main(["annotate", folder, "--workers", "1", "--calibration", "built-in"]) == 0
    report = json.loads((tmp_path / "few" / "descriptors.json").read_text())
    assert report["calibration"]["corpus"] == "built-in" and report["told"]["pitch"] + report["told"]["tone"] > 0


def test_the_command_annotates_and_names_mistakes(toy, capsys):
    assert main(["annotate", str(toy), "--workers", "1"]) == 0
    assert "pitch" in capsys.readouterr().out and (toy / "descriptors.json").is_file()
    with pytest.raises(SystemExit):
        main(["check", str(toy / "none.wav")])
    assert "no claim is given" in capsys.readouterr().err
