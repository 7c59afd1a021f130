"""Any `datasets` data set by a mapping: its columns, its splits, its recordings."""

import io
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pytest
import soundfile

from xser.corpora.hub import CORPUS, StoredAudio
from xser.corpora.schema import FEATURES, make_row

NAMES = ["anger", "joy", "other", "neutral"]
MAPPING = {
    "audio": "audio",
    "text": "transcription",
    "emotion": {"column": "label", "map": {"joy": "happy", "other": None}},
    "speaker": "speaker_id",
    "age": "years",
    "language": {"value": "de"},
}


def wav(index: int) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.full(160, index / 100), 16_000, format="WAV")
    return out.getvalue()


def make_dataset(count: int = 4, first: int = 0, **columns) -> datasets.Dataset:
    """Rows with stored recordings and class labels."""
    indices = range(first, first + count)
    known = {
        "audio": [{"bytes": wav(index), "path": f"{index}.wav"} for index in indices],
        "transcription": [f"line {index}" for index in indices],
        "label": [index % 4 for index in indices],
        "speaker_id": [index // 2 for index in indices],
        "years": [31.0 if index % 2 else None for index in indices],
        **columns,
    }
    dataset = datasets.Dataset.from_dict(known)
    if "audio" not in columns:
        dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    return dataset if "label" in columns else dataset.cast_column("label", datasets.ClassLabel(names=NAMES))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def save(tmp_path):
    """A function that saves a data set, or splits of one, by `save_to_disk`."""

    def make(**splits: datasets.Dataset) -> Path:
        folder = tmp_path / "speech"
        data = splits["none"] if "none" in splits else datasets.DatasetDict(splits)
        data.save_to_disk(str(folder))
        return folder

    return make


def test_columns_class_labels_maps_and_values_come_into_the_schema(save):
    folder = save(none=make_dataset())
    found = CORPUS.find(folder, mapping=MAPPING)
    assert found.left_out == {}
    assert [dict(row, audio=None) for row in found.rows] == [
        make_row(id=f"all/{index}", text=f"line {index}", emotion=emotion, speaker=speaker, age=age,
                 language="de", corpus="speech")
        for index, (emotion, speaker, age) in enumerate(
            [("angry", "0", None), ("happy", "0", 31), (None, "1", None), ("neutral", "1", 31)]
        )
    ]  # fmt: skip
    assert set(found.rows[0]) == set(FEATURES)


def test_stored_recordings_come_by_row_when_asked_for(save):
    rows = CORPUS.find(save(none=make_dataset()), mapping=MAPPING).rows
    assert [row["audio"]["bytes"] for row in rows] == [wav(index) for index in range(4)]
    assert all(isinstance(row["audio"], StoredAudio) and row["audio"]["path"] is None for row in rows)
    assert dict(rows[2]["audio"]) == {"bytes": wav(2), "path": None}


def test_finding_rows_holds_no_recording_in_memory(save):
    size, count = 2**20, 16
    audio = [{"bytes": bytes([index]) * size, "path": None} for index in range(count)]
    folder = save(none=make_dataset(count, audio=audio))
    before = pyarrow.total_allocated_bytes()
    rows = CORPUS.find(folder, mapping=MAPPING).rows
    assert pyarrow.total_allocated_bytes() - before < size
    assert [row["audio"]["bytes"][:1] for row in rows] == [bytes([index]) for index in range(count)]


def test_splits_are_kept_where_there_are_several(save):
    folder = save(train=make_dataset(3), dev=make_dataset(2, first=3))
    rows = CORPUS.find(folder, mapping=MAPPING).rows
    assert [(row["id"], row["split"]) for row in rows] == [
        ("train/0", "train"), ("train/1", "train"), ("train/2", "train"),
        ("dev/0", "validation"), ("dev/1", "validation"),
    ]  # fmt: skip
    assert rows[3]["audio"]["bytes"] == wav(3)


def test_a_single_split_is_none(save):
    assert {row["split"] for row in CORPUS.find(save(train=make_dataset()), mapping=MAPPING).rows} == {None}


def test_splits_are_renamed_and_chosen_by_the_mapping(save):
    folder = save(train=make_dataset(3), dev=make_dataset(2), unlabelled=make_dataset(1))
    found = CORPUS.find(folder, mapping={**MAPPING, "splits": {"train": "train", "dev": "validation"}})
    assert [row["split"] for row in found.rows] == ["train"] * 3 + ["validation"] * 2
    assert found.left_out == {"split unlabelled": "1 rows of a split that splits does not name"}


def test_a_column_may_say_the_split(save):
    folder = save(none=make_dataset(part=["a", "a", "b", "b"]))
    mapping = {**MAPPING, "split": {"column": "part", "map": {"a": "train", "b": "test"}}}
    assert [row["split"] for row in CORPUS.find(folder, mapping=mapping).rows] == ["train", "train", "test", "test"]


def test_labels_that_are_numbers_or_text_are_mapped_too(save):
    folder = save(none=make_dataset(label=[0, 1, 2, None]))
    mapping = {**MAPPING, "emotion": {"column": "label", "map": {0: "angry", "1": "sad", 2: None}}}
    assert [row["emotion"] for row in CORPUS.find(folder, mapping=mapping).rows] == ["angry", "sad", None, None]


def test_class_label_minus_one_is_not_known(save):
    label = make_dataset().cast_column("label", datasets.Value("int64")).remove_columns("label")
    label = label.add_column("label", [-1, 0, 1, 3], feature=datasets.ClassLabel(names=NAMES))
    assert [row["emotion"] for row in CORPUS.find(save(none=label), mapping=MAPPING).rows] == [
        None, "angry", "happy", "neutral"
    ]  # fmt: skip


def test_levels_and_emphasis_are_columns_like_others(save):
    folder = save(none=make_dataset(2, high=["high", None], words=[["line"], []]))
    rows = CORPUS.find(folder, mapping={**MAPPING, "pitch": "high", "emphasis": "words"}).rows
    assert [(row["descriptors"]["pitch"], row["descriptors"]["emphasis"]) for row in rows] == [
        ("high", ["line"]), (None, [])
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "json", "csv"])
def test_folders_of_files_load_too(tmp_path, kind):
    folder = tmp_path / "speech"
    (folder / "clips").mkdir(parents=True)
    for split, first in (("train", 0), ("test", 3)):
        data = make_dataset(3, first=first)
        if kind != "parquet":
            for index in range(first, first + 3):
                (folder / f"clips/{index}.wav").write_bytes(wav(index))
            labels = [NAMES[label] for label in data["label"]]
            data = data.remove_columns(["audio", "label"]).add_column("label", labels)
            data = data.add_column("audio", [f"clips/{index}.wav" for index in range(first, first + 3)])
        getattr(data, f"to_{kind}")(str(folder / f"{split}.{'jsonl' if kind == 'json' else kind}"))
    rows = CORPUS.find(folder, mapping=MAPPING).rows
    assert [(row["split"], row["text"], row["emotion"], row["speaker"]) for row in rows] == [
        ("train", "line 0", "angry", "0"), ("train", "line 1", "happy", "0"), ("train", "line 2", None, "1"),
        ("test", "line 3", "neutral", "1"), ("test", "line 4", "angry", "2"), ("test", "line 5", "happy", "2"),
    ]  # fmt: skip
    if kind == "parquet":
        assert rows[4]["audio"] == {"bytes": wav(4), "path": None}
    else:
        assert rows[4]["audio"] == {"bytes": None, "path": str(folder / "clips/4.wav")}


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_one_file_loads_too(tmp_path, suffix):
    if suffix == "parquet":
        make_dataset().to_parquet(str(tmp_path / "data.parquet"))
    else:
        make_dataset().save_to_disk(str(tmp_path / "saved"))
        (tmp_path / "saved/data-00000-of-00001.arrow").rename(tmp_path / "data.arrow")
    rows = CORPUS.find(tmp_path / f"data.{suffix}", mapping=MAPPING).rows
    assert [row["audio"]["bytes"] for row in rows] == [wav(index) for index in range(4)]
    assert [row["emotion"] for row in rows] == ["angry", "happy", None, "neutral"]


def test_bytes_without_a_path_are_recordings(save):
    folder = save(none=make_dataset(2, audio=[wav(5), None]))
    found = CORPUS.find(folder, mapping=MAPPING)
    assert [dict(row["audio"]) for row in found.rows] == [{"bytes": wav(5), "path": None}]
    assert found.left_out == {"all/1": "the row has no recording"}


def test_rows_without_a_recording_are_named(save, tmp_path):
    audio = ["here.wav", "gone.wav", None, ""]
    folder = save(none=make_dataset(audio=audio))
    (folder / "here.wav").write_bytes(wav(0))
    found = CORPUS.find(folder, mapping=MAPPING)
    assert [(row["id"], row["audio"]["path"]) for row in found.rows] == [("all/0", str(folder / "here.wav"))]
    assert found.left_out == {
        "all/1": "the recording is missing: gone.wav",
        "all/2": "the row has no recording",
        "all/3": "the row has no recording",
    }
    (folder / "here.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"no recording is left: .*all/0.*missing: here\.wav"):
        CORPUS.find(folder, mapping=MAPPING)


def test_a_mapping_in_yaml_may_be_an_option_or_the_source(save, tmp_path):
    folder = save(train=make_dataset(2), dev=make_dataset(2))
    text = """
        audio: audio
        emotion: {column: label, map: {joy: happy, other: null}}
        corpus: {value: mine}
        splits: {dev: test}
    """
    (tmp_path / "mapping.yaml").write_text(text)
    rows = CORPUS.find(folder, mapping=str(tmp_path / "mapping.yaml")).rows
    assert [(row["id"], row["emotion"], row["corpus"], row["split"]) for row in rows] == [
        ("dev/0", "angry", "mine", "test"), ("dev/1", "happy", "mine", "test")
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"mapping\.yaml: 'dataset' is missing: an id on the Hub, or a folder"):
        CORPUS.find(tmp_path / "mapping.yaml")
    (tmp_path / "mapping.yaml").write_text(f"dataset: speech\n{text.replace('        ', '')}")
    again = CORPUS.find(tmp_path / "mapping.yaml").rows
    make_dataset(1).to_parquet(str(tmp_path / "other.parquet"))
    with pytest.raises(ValueError, match=r"splits \['dev'\] do not exist; the data set has \['train'\]"):
        CORPUS.find(tmp_path / "other.parquet", mapping=tmp_path / "mapping.yaml")  # not the one that it names
    assert [dict(row, audio=dict(row["audio"])) for row in again] == [
        dict(row, audio=dict(row["audio"])) for row in rows
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mood": "label"}, r"mapping: \['mood'\] are not known; known are \['id', 'audio', .*'splits'\]"),
        ({"duration": "x"}, r"\['duration'\] are not known"),
        ({"text": "sentence"}, r"text: there is no column 'sentence'; the data set has \['audio', 'transcription', "),
        ({"text": ["a"]}, r"mapping: text is \['a'\]: give NAME, \{column: NAME, "),
        ({"text": {"column": "a", "mapp": {}}}, "mapping: text is .*: give NAME"),
        ({"audio": {"value": "a.wav"}}, "'audio' should name the column of recordings"),
        ({"audio": "years"}, r"audio: column 'years' is double: recordings should be files, paths or bytes"),
        ({"emotion": {"column": "label", "map": {"joy": "gl@d"}}}, r"\['joy'\]: emotion 'gl@d' cannot stand in an"),
        ({"emotion": "years"}, r"row all/1: emotion '31' cannot stand in an answer: .*; or name it in emotion_map"),
        ({"descriptors": ["label"]}, r"mapping: descriptors is \['label'\]: give a map, as in"),
        ({"descriptors": {"mood 1": "label"}}, r"mapping: descriptors: descriptor 'mood 1' cannot stand in an answer"),
        ({"descriptors": {"mood": "lable"}}, r"mood: there is no column 'lable' \(did you mean 'label'\?\); the"),
        ({"emotoin": "label"}, r"\['emotoin'\] are not known \(did you mean 'emotion'\?\)"),
        ({"age": "transcription"}, r"row all/0: age 'line 0' is not a whole number of years"),
        ({"splits": {"train": "train"}}, r"splits \['train'\] do not exist; the data set has \['all'\]"),
        ({"splits": ["all"]}, r"splits is \['all'\]: give a map of names"),
        ({"splits": {"all": "train"}, "split": "label"}, "give split, a column, or splits"),
    ],
)
def test_a_mistake_in_the_mapping_is_named_with_what_there_is(save, change, message):
    with pytest.raises(ValueError, match=message):
        CORPUS.find(save(none=make_dataset()), mapping={**MAPPING, **change})


@pytest.mark.parametrize(
    ("text", "message"),
    [("audio: [", r"mapping\.yaml is not YAML"), ("audio", r"mapping\.yaml should map columns, as in `audio: audio`")],
)
def test_a_mapping_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "mapping.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        CORPUS.find(tmp_path / "mapping.yaml")


def test_a_data_set_that_is_not_there_is_named(tmp_path, save):
    with pytest.raises(ValueError, match="speech: a mapping is needed"):
        CORPUS.find(save(none=make_dataset()))
    with pytest.raises(FileNotFoundError, match=r"gone is no folder, no file of .*, and no id like owner/name"):
        CORPUS.find(tmp_path / "gone", mapping=MAPPING)
    with pytest.raises(OSError, match="nobody/nothing"):
        CORPUS.find(Path("nobody/nothing"), mapping=MAPPING)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        CORPUS.find(tmp_path / "empty", mapping=MAPPING)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech/data.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match=r"data set .*speech cannot be loaded: "):
        CORPUS.find(tmp_path / "speech", mapping=MAPPING)


def test_no_script_of_a_data_set_is_run(tmp_path):
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "scripted.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(ValueError, match=r"scripted cannot be loaded: .*scripts are no longer supported"):
        CORPUS.find(folder, mapping=MAPPING)
