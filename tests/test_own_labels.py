"""Emotions and descriptors of a corpus's own: read, kept, stated, and carried through all that is done with rows."""

import json
import logging

import datasets
import pytest
from recordings_folder import write_folder

from xser.corpora import FEATURES, load_corpus
from xser.corpora.__main__ import main
from xser.corpora.audiofolder import CORPUS
from xser.corpora.hub import CORPUS as HUB
from xser.corpora.manifest import CORPUS as MANIFEST
from xser.corpora.prepare import Options, prepare
from xser.corpora.schema import features_with, own_slots
from xser.corpora.streaming import stream_corpus
from xser.descriptors.labelling import Row, new_descriptors
from xser.descriptors.prepared import list_files, write_descriptors
from xser.eval import load_rows
from xser.evaluation.predictions import read_predictions
from xser.evaluation.protocols.data import with_labels
from xser.grammar_xser import EmotionDescription, LabelSchema

TABLE = (
    "file_name,emotion,pitch,arousal,gender,age,speaker,split\n"
    "a.wav,gloomy,high,Low,F,31,s1,Train\n"
    "b.wav,ANG,,high,male,64,s2,dev\n"
    "c.wav,Joyful,low,,non-binary,,s3,Train\n"
    "d.wav,joyful,low,low,f,29,s1,train\n"
)
AROUSAL = {"descriptors": {"arousal": ["low", "mid", "high"]}}
NAMES = ("a.wav", "b.wav", "c.wav", "d.wav")
STATED = {
    "emotion": {"ANG": "angry", "Joyful": "joyful"},
    "arousal": {"Low": "low"},
    "gender": {"F": "female", "f": "female"},
    "split": {"Train": "train", "dev": "validation"},
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "clips", TABLE, recordings=NAMES)


def test_a_folder_has_its_own_emotions_and_the_descriptors_that_are_asked_for(folder, caplog):
    corpus = load_corpus(folder, **AROUSAL)
    assert {name: part["id"] for name, part in corpus.items()} == {"train": ["a", "c", "d"], "validation": ["b"]}
    train = corpus["train"]
    assert train.features == features_with(["arousal"]) and own_slots(train.features) == ["arousal"]
    assert train["emotion"] == ["gloomy", "joyful", "joyful"] and corpus["validation"]["emotion"] == ["angry"]
    assert [row["arousal"] for row in train["descriptors"]] == ["low", None, "low"]
    assert train["gender"] == ["female", "non-binary", "female"] and train["age"] == [31, None, 29]
    assert (
        "emotion: ANG → angry, Joyful → joyful" in caplog.text and "split: Train → train, dev → valid" in caplog.text
    )
    assert "emotions of its own: gloomy 1, joyful 2" in caplog.text
    assert "descriptor of its own: arousal (high 1, low 2)" in caplog.text


def test_what_is_stated_comes_again_from_the_cache(folder, caplog):
    for _ in range(2):
        caplog.clear()
        load_corpus(folder, **AROUSAL)
        assert "Joyful → joyful" in caplog.text and "gloomy 1" in caplog.text


def test_an_emotion_that_is_nearly_a_usual_one_is_asked_about(tmp_path, caplog):
    load_corpus(write_folder(tmp_path / "clips", "file_name,emotion\na.wav,hapy\nb.wav,gloomy\n"))
    assert "hapy (is it happy?) 1" in caplog.text and "gloomy 1" in caplog.text


def test_nothing_is_said_of_a_folder_with_usual_labels(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="xser"):
        load_corpus(write_folder(tmp_path / "clips", "file_name,emotion,gender\na.wav,angry,female\nb.wav,,\n"))
    assert not caplog.records


def test_gender_and_age_are_descriptors_where_they_are_asked_for(folder):
    options = {"descriptors": ["arousal", "gender", "age"]}
    rows = datasets.concatenate_datasets(list(load_corpus(folder, **options).values())).sort("id")
    assert [(row["gender"], row["age"]) for row in rows["descriptors"]] == [
        ("female", "thirties"), ("male", "sixties"), ("non-binary", None), ("female", "twenties")
    ]  # fmt: skip
    assert rows["gender"][0] == "female" and rows["age"][0] == 31


def test_ages_may_be_words_where_they_are_a_descriptor(tmp_path):
    root = write_folder(tmp_path / "clips", "file_name,age\na.wav,old\nb.wav,young\n")
    rows = load_corpus(root, descriptors={"age": ["young", "old"]})
    assert [row["age"] for row in rows["descriptors"]] == ["old", "young"] and rows["age"] == [None, None]
    with pytest.raises(ValueError, match=r"line 2: age 'old' is not one of \['young', 'elderly'\]"):
        load_corpus(root, descriptors={"age": ["young", "elderly"]})


def test_levels_of_a_usual_descriptor_may_be_others(tmp_path):
    root = write_folder(tmp_path / "clips", "file_name,pitch\na.wav,very high\nb.wav,VERY_LOW\n")
    rows = load_corpus(root, descriptors={"pitch": ["very low", "very high"]})
    assert [row["pitch"] for row in rows["descriptors"]] == ["very high", "very low"] and rows.features == FEATURES


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("metadata.csv", "file_name,descriptors.arousal,descriptors.pitch\na.wav,low,high\nb.wav,,\n"),
        (
            "metadata.jsonl",
            '{"file_name": "b.wav"}\n{"file_name": "a.wav", "descriptors": {"arousal": "low", "pitch": "high"}}\n',
        ),
    ],
)
def test_columns_under_descriptors_need_not_be_asked_for(tmp_path, name, table):
    rows = load_corpus(write_folder(tmp_path / "clips", table, name))
    levels = {row["id"]: row["descriptors"] for row in rows}
    assert rows.features == features_with(["arousal"])
    assert (levels["a"]["arousal"], levels["a"]["pitch"], levels["b"]["arousal"]) == ("low", "high", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"line 2: arousal 'Low' is not a number from 0 to 1; .*ask for a descriptor: descriptors=\['arousal'\]"),
        ({"descriptors": ["arousl"]}, r"no column 'arousl' for descriptors \(did you mean 'arousal'\?\)"),
        ({"descriptors": "arousal"}, r"descriptors is 'arousal': give columns, as in \['arousal'\]"),
        (
            {"descriptors": {"arousal": "low"}},
            r"descriptors\['arousal'\] is 'low': give at least two different levels",
        ),
        ({"descriptors": {"arousal": ["low"]}}, r"descriptors\['arousal'\] is \['low'\]: give at least two"),
        ({"descriptors": {"arousal": ["low", "mid"]}}, r"line 3: arousal 'high' is not one of \['low', 'mid'\]"),
        ({"descriptors": {"arousal": ["l0w", "high"]}}, "level of arousal 'l0w' cannot stand in an answer"),
        ({"descriptors": ["emotion"]}, "descriptors names 'emotion', which has no levels"),
        ({"descriptor": ["arousal"]}, r"has no option 'descriptor' \(did you mean 'descriptors'\?\)"),
        ({"test_speaker": ["s1"]}, r"has no option 'test_speaker' \(did you mean 'test_speakers'\?\)"),
    ],
)
def test_a_mistake_in_what_is_asked_for_is_named(folder, options, message):
    with pytest.raises(ValueError, match=message):
        load_corpus(folder, **options)


def test_levels_that_are_numbers_are_refused_with_what_to_do(tmp_path):
    root = write_folder(tmp_path / "clips", "file_name,arousal\na.wav,0.5\nb.wav,1\n")
    with pytest.raises(ValueError, match=r"line 2: level of arousal '0\.5' cannot .*; give levels as words, such as"):
        load_corpus(root, descriptors=["arousal"])


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_own_labels_are_in_what_is_prepared_and_in_its_report(folder, tmp_path, kind):
    out = tmp_path / "out"
    report = prepare(CORPUS, folder, out, AROUSAL, Options(format=kind))
    assert report["labels"] == STATED
    assert report["own_emotions"] == {"gloomy": 1, "joyful": 2}
    assert report["own_descriptors"] == {"arousal": {"high": 1, "low": 2}}
    assert report == json.loads((out / "report.json").read_text())
    page = (out / "report.html").read_text()
    assert all(f'<td class="file">{word}</td>' in page for word in ("gloomy", "arousal", "Joyful", "ANG"))
    corpus = load_corpus(out)
    assert corpus["train"].features == features_with(["arousal"])
    direct = load_corpus(folder, **AROUSAL)
    for split, part in direct.items():
        assert corpus[split].remove_columns("audio").to_list() == part.remove_columns("audio").to_list()
    if kind == "parquet":
        rows = stream_corpus(out, "train")
        assert rows.features == features_with(["arousal"])
        assert [row["descriptors"]["arousal"] for row in rows] == ["low", None, "low"]


def test_the_command_takes_names_or_json(folder, tmp_path, capsys):
    command = ["prepare", str(folder), "--out"]
    assert main([*command, str(tmp_path / "one"), "--descriptors", "arousal,gender"]) == 0
    assert main([*command, str(tmp_path / "two"), "--descriptors", json.dumps(AROUSAL["descriptors"])]) == 0
    said = capsys.readouterr().out
    assert "labels brought to one spelling: emotion: ANG → angry" in said and "emotions of its own: gloomy 1" in said
    assert own_slots(load_corpus(tmp_path / "one")["train"].features) == ["arousal", "gender"]
    assert own_slots(load_corpus(tmp_path / "two")["train"].features) == ["arousal"]
    with pytest.raises(SystemExit):
        main([*command, str(tmp_path / "three"), "--descriptors", "{arousal"])
    assert "'{arousal' is not JSON" in capsys.readouterr().err


def test_corpora_with_other_descriptors_can_be_put_together(folder, tmp_path):
    other = write_folder(tmp_path / "others", "file_name,descriptors.valence\na.wav,positive\n", recordings=("a.wav",))
    usual = write_folder(tmp_path / "usual", "file_name,pitch\nb.wav,high\n", recordings=("b.wav",))
    corpora = [load_corpus(usual), load_corpus(folder, **AROUSAL)["train"], load_corpus(other)]
    for order in (corpora, corpora[::-1]):
        together = datasets.concatenate_datasets(order)
        assert own_slots(together.features) == ["arousal", "valence"]
        levels = {(row["corpus"], row["id"]): row["descriptors"] for row in together}
        assert levels["others", "a"]["valence"] == "positive" and levels["others", "a"]["arousal"] is None
        assert levels["clips", "a"]["arousal"] == "low" and levels["usual", "b"]["pitch"] == "high"


def test_rows_are_described_with_their_own_slots(folder):
    rows = load_corpus(folder, **AROUSAL)["train"]
    schema = LabelSchema(("gloomy", "joyful"), {"pitch": ("low", "high"), "arousal": ("low", "mid", "high")})
    assert schema.describe({**rows[0], "text": None}) == EmotionDescription(
        {"pitch": "high", "arousal": "low"}, None, "gloomy"
    )


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_labels_that_are_measured_leave_own_descriptors_as_they_are(folder, tmp_path, kind):
    out = tmp_path / "out"
    prepare(CORPUS, folder, out, AROUSAL, Options(format=kind))
    files = list_files(out)
    rows = [Row.of(row, file.split, "not read") for file in files for row in file.read_known(out)]
    write_descriptors(
        out, files, [{**new_descriptors(row, {}, True), "speed": "fast"} for row in rows], tmp_path / "new"
    )
    before, after = load_corpus(out), load_corpus(tmp_path / "new")
    for split in before:
        assert after[split].features == features_with(["arousal"])
        assert [{**row, "speed": "fast"} for row in before[split]["descriptors"]] == list(after[split]["descriptors"])


def test_a_protocol_keeps_own_descriptors(folder):
    rows = load_corpus(folder, **AROUSAL)["train"]
    plan = type("Plan", (), {"rows": rows.remove_columns("audio").to_list()})()
    changed = with_labels(rows, plan, [0, 2], folds=["1", "2"])
    assert changed.features == features_with(["arousal"])
    assert [row["arousal"] for row in changed["descriptors"]] == ["low", "low"]


def test_a_folder_is_evaluated_with_the_options_that_it_is_read_with(folder):
    rows = load_rows(str(folder), "dev", None, options=AROUSAL)
    assert rows["emotion"] == ["angry"] and rows["descriptors"][0]["arousal"] == "high"


def test_predictions_of_others_may_hold_own_descriptors(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("id,emotion,arousal\nr1,gloomy,low\n")
    reference = {
        "emotion": "gloomy",
        "text": None,
        "speaker": None,
        "descriptors": {"arousal": "high", "emphasis": None},
    }
    [prediction] = read_predictions(path, {"r1": reference})
    assert prediction["descriptors"] == {"arousal": "low"}


def test_a_mapping_names_the_descriptors_of_a_data_set(tmp_path):
    data = datasets.Dataset.from_dict(
        {"audio": ["a.wav", "b.wav"], "label": ["Joyful", "joyful"], "act": [0, 1], "sex": ["F", "M"]}
    )
    data.save_to_disk(str(tmp_path / "speech"))
    write_folder(tmp_path / "speech", "")
    mapping = {
        "audio": "audio",
        "emotion": "label",
        "gender": "sex",
        "descriptors": {"arousal": {"column": "act", "map": {0: "low", 1: "high"}}, "gender": "sex"},
    }
    found = HUB.find(tmp_path / "speech", mapping=mapping)
    assert [(row["emotion"], row["gender"]) for row in found.rows] == [("joyful", "female"), ("joyful", "male")]
    assert [(row["descriptors"]["arousal"], row["descriptors"]["gender"]) for row in found.rows] == [
        ("low", "female"), ("high", "male")
    ]  # fmt: skip
    assert found.labels == {"emotion": {"Joyful": "joyful"}, "gender": {"F": "female", "M": "male"}}
    assert prepare(HUB, tmp_path / "speech", tmp_path / "out", {"mapping": mapping})["own_descriptors"] == {
        "arousal": {"high": 1, "low": 1}, "gender": {"female": 1, "male": 1}
    }  # fmt: skip


def test_keys_of_a_manifest_are_descriptors_where_they_are_asked_for(tmp_path):
    lines = ['{"audio": "a.wav", "arousal": "low", "emotion": "Gloomy"}', '{"audio": "b.wav", "emotion": "gloomy"}']
    root = write_folder(tmp_path / "clips", "\n".join(lines), "train.jsonl")
    found = MANIFEST.find(root / "train.jsonl", descriptors=["arousal"])
    assert [row["descriptors"]["arousal"] for row in found.rows] == ["low", None]
    assert [row["emotion"] for row in found.rows] == ["gloomy"] * 2
    assert found.labels == {"emotion": {"Gloomy": "gloomy"}}
    with pytest.raises(ValueError, match=r"no column 'valence' for descriptors"):
        MANIFEST.find(root / "train.jsonl", descriptors=["valence"])
