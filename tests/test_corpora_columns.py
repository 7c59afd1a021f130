"""Columns of captions, ratings and dimensions: read from tables and data sets under any names, and kept by all that
is done with rows; folders prepared without them still load."""

import json
import logging
import math

import datasets
import pyarrow.parquet as pq
import pytest
from corpus_files import encoded, noise
from recordings_folder import write_folder

from xser.corpora import FEATURES, load_corpus, make_row
from xser.corpora.__main__ import main
from xser.corpora.cache import open_dataset, write_dataset
from xser.corpora.manifest import CORPUS as MANIFEST
from xser.corpora.schema import ADDED, DIMENSIONS, complete, features_with, unit_interval
from xser.corpora.shards import check_features
from xser.corpora.streaming import stream_corpus
from xser.descriptors.prepared import list_files, write_descriptors

TABLE = (
    "file_name,caption,valence,activation,dominance,votes,emotion\n"
    'a.wav,"A calm voice, low.",0.25,1,0,ANG; sad;Angry,angry\n'
    "b.wav,,,,,,\n"
)
KNOWN = {
    "caption": "A calm voice, low.", "valence": 0.25, "arousal": 1.0, "dominance": 0.0,
    "ratings": ["angry", "sad", "angry"],
}  # fmt: skip
CAPTIONS = "path,text_description,original_text,age_group,speaker\na.wav,A low voice.,we are late,elderly,s1\n"
NAMES = {"file_name": "path", "caption": "text_description", "text": "original_text", "age": "age_group"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")


def of(row: dict, names=tuple(KNOWN)) -> dict:
    return {name: row[name] for name in names}


def old(dataset: datasets.Dataset) -> datasets.Dataset:
    """Rows as an earlier version wrote them."""
    return dataset.remove_columns(list(ADDED))


def test_a_rating_on_any_scale_is_a_number_from_0_to_1():
    assert [unit_interval(value, 1, 7) for value in (1, 4, 7, 0.9, 7.1, math.nan)] == [0, 0.5, 1, None, None, None]


def test_a_table_has_captions_dimensions_and_ratings(tmp_path):
    rows = load_corpus(write_folder(tmp_path / "clips", TABLE))
    assert rows.features == FEATURES
    assert of(rows[0]) == KNOWN and of(rows[1]) == dict.fromkeys(KNOWN)


@pytest.mark.parametrize(
    ("ratings", "kept"),
    [
        (["ANG", "L"], ["angry"]), (["L"], None), ("unknown", None), ("Joyful, joyful", ["joyful", "joyful"]),
        ([], None), ("contempt", ["contempt"]),
    ],
)  # fmt: skip
def test_ratings_are_emotions_of_which_the_unknown_are_left_out(tmp_path, ratings, kept):
    table = json.dumps({"file_name": "a.wav", "ratings": ratings}) + "\n"
    rows = load_corpus(write_folder(tmp_path / "clips", table, "metadata.jsonl"), emotion_map={"L": None})
    assert rows["ratings"] == [kept]


def test_dimensions_are_on_the_scale_that_is_given(tmp_path):
    root = write_folder(tmp_path / "clips", "file_name,valence\na.wav,7\nb.wav,2.5\n")
    assert load_corpus(root, dimension_range=[1, 7])["valence"] == [1.0, 0.25]


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        ("valence\n7", {}, r"line 2: valence '7' is not within 0 to 1; its scale is dimension_range, as in \[1, 7\]"),
        ("valence\nnan", {}, "line 2: valence 'nan' is not within 0 to 1"),
        ("arousal\nhigh", {}, r"arousal 'high' is not a number from 0 to 1; .* descriptors=\['arousal'\]"),
        ("valence\n3", {"dimension_range": [7, 1]}, r"dimension_range is \[7, 1\]: give the lowest and the highest"),
        ("valence\n3", {"dimension_range": "1-7"}, "dimension_range is '1-7': give the lowest"),
        ("ratings\n[sad]", {}, r"line 2: ratings '\[sad\]' are neither emotions separated by"),
        ("ratings\nsad;b@d", {}, "line 2: emotion 'b@d' cannot stand in an answer"),
        ("arousal,activation\n1,1", {}, r"more than one column for arousal: keep one of \['arousal', 'activation'\]"),
        ("caption\nx", {"descriptors": ["caption"]}, "descriptors names 'caption', which has no levels"),
    ],
)
def test_a_mistake_in_these_columns_is_named(tmp_path, cells, options, message):
    header, row = cells.split("\n")
    with pytest.raises(ValueError, match=message):
        load_corpus(write_folder(tmp_path / "clips", f"file_name,{header}\na.wav,{row}\n"), **options)


def test_an_age_in_words_is_a_level_and_years_stay_years(tmp_path):
    root = write_folder(tmp_path / "clips", "file_name,age\na.wav,Elderly\nb.wav,31\nc.wav,unknown\n",
                        recordings=("a.wav", "b.wav", "c.wav"))  # fmt: skip
    rows = load_corpus(root)
    assert rows.features == features_with(["age"])
    assert [row["age"] for row in rows["descriptors"]] == ["Elderly", None, None] and rows["age"] == [None, 31, None]


def test_a_table_is_read_under_other_names(tmp_path, caplog):
    rows = load_corpus(write_folder(tmp_path / "clips", CAPTIONS), columns=NAMES)
    assert of(rows[0], ("caption", "text", "speaker")) == {
        "caption": "A low voice.", "text": "we are late", "speaker": "s1",
    }  # fmt: skip
    assert rows[0]["descriptors"]["age"] == "elderly" and "are not read" not in caplog.text


def test_a_mapped_column_goes_before_one_of_that_name_and_others_are_named_as_unread(tmp_path, caplog):
    table = "file_name,text,said,snr,descriptors.mood\na.wav,WE ARE LATE,we are late,47.8,calm\n"
    rows = load_corpus(write_folder(tmp_path / "clips", table), columns={"text": "said"})
    assert rows["text"] == ["we are late"] and rows["descriptors"][0]["mood"] == "calm"
    assert "columns ['text', 'snr'] are not read: columns does not name them" in caplog.text


def test_a_descriptor_may_come_from_another_column(tmp_path):
    table = "file_name,energy,how\na.wav,loud,whispering\n"
    columns = {"volume": "energy", "descriptors.style": "how"}
    (row,) = load_corpus(write_folder(tmp_path / "clips", table), columns=columns)
    assert (row["descriptors"]["volume"], row["descriptors"]["style"]) == ("loud", "whispering")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"captoin": "text_description"}, r"'captoin', which is no column of the schema \(did you mean 'caption'\?\)"),
        ({"caption": "text_descripton"}, r"is 'text_descripton', which does not exist \(did you mean 'text_descri"),
        ({"duration": "speaker"}, "'duration', which is no column of the schema"),
        ({"descriptors.": "speaker"}, "which is no column of the schema"),
        ({"caption": 3}, "columns is .*: map columns of the schema to columns of the table"),
        (["caption"], r"columns is \['caption'\]: map"),
        ({"path": "path", "file_name": "path"}, "columns names the recording twice"),
    ],
)
def test_a_mistake_in_the_mapping_of_columns_is_named(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        load_corpus(write_folder(tmp_path / "clips", CAPTIONS), columns=columns)


def test_a_manifest_is_read_under_other_keys(tmp_path, caplog):
    root = write_folder(tmp_path / "clips", "", "train.jsonl")
    line = {"wav": "a.wav", "text_description": "A low voice.", "snr": 3, "val": 4}
    (root / "train.jsonl").write_text(json.dumps(line) + "\n")
    columns = {"audio": "wav", "caption": "text_description", "valence": "val"}
    (row,) = MANIFEST.find(root, columns=columns, dimension_range=[1, 5]).rows
    assert of(row, ("caption", "valence")) == {"caption": "A low voice.", "valence": 0.75}
    assert "columns ['snr'] are not read" in caplog.text
    with pytest.raises(ValueError, match=r"columns\['text'\] is 'words', which does not exist"):
        MANIFEST.find(root, columns={"text": "words"})


@pytest.fixture
def hub_folder(tmp_path):
    """A data set of captions as `datasets` saves it, in two parts."""
    audio = [{"bytes": encoded(noise(index)), "path": None} for index in range(4)]
    known = {
        "audio": audio, "text_description": [f"caption {index}" for index in range(4)],
        "original_text": ["we are late"] * 4, "act": [1.0, 7.0, 4.0, None], "mood": ["calm", "Wild", None, "calm"],
        "speaker_id": [1, 1, 2, 2],
    }  # fmt: skip
    data = datasets.Dataset.from_dict(known).cast_column("audio", datasets.Audio(decode=False))
    parts = datasets.DatasetDict(train=data.select(range(3)), dev=data.select([3]))
    parts.save_to_disk(str(tmp_path / "captions"))
    return tmp_path / "captions"


def test_a_data_set_is_read_by_its_columns_and_kept(hub_folder, monkeypatch):
    columns = {"caption": "text_description", "text": "original_text", "arousal": "act", "speaker": "speaker_id"}
    options = {"columns": columns, "dimension_range": [1, 7], "descriptors": {"mood": ["calm", "wild"]}}
    corpus = load_corpus(hub_folder, **options)
    assert {name: part["caption"] for name, part in corpus.items()} == {
        "train": ["caption 0", "caption 1", "caption 2"], "validation": ["caption 3"],
    }  # fmt: skip
    train = corpus["train"]
    assert train["arousal"] == [0.0, 1.0, 0.5] and train["audio"][0]["bytes"] == encoded(noise(0))
    assert [row["mood"] for row in train["descriptors"]] == ["calm", "wild", None]
    assert train["text"] == ["we are late"] * 3 and train["speaker"] == ["1", "1", "2"]
    monkeypatch.setattr("xser.corpora.prepare.prepare", None)  # what is kept is not made again
    assert load_corpus(hub_folder, "dev", **options)["caption"] == ["caption 3"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"captoin": "mood"}, r"'captoin', which is no column of the schema \(did you mean 'caption'\?\)"),
        ({"splits": "mood"}, "'splits', which is no column of the schema"),
        ({"caption": "text_descripton"}, r"no column 'text_descripton' \(did you mean 'text_description'\?\)"),
        (["caption"], r"columns is \['caption'\]: map columns"),
    ],
)
def test_a_mistake_in_the_columns_of_a_data_set_is_named(hub_folder, columns, message):
    with pytest.raises(ValueError, match=message):
        load_corpus(hub_folder, columns=columns)


def test_columns_do_not_apply_to_a_corpus_of_this_package(tmp_path):
    with pytest.raises(ValueError, match="has no option 'columns'"):
        load_corpus("espeak", columns={"caption": "text"})


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_these_columns_go_through_preparation_streaming_and_annotation(tmp_path, kind, capsys):
    root = write_folder(tmp_path / "clips", TABLE)
    assert main(["prepare", str(root), "--out", str(tmp_path / "out"), "--format", kind]) == 0
    rows = load_corpus(tmp_path / "out", "train")
    assert of(rows[0]) == KNOWN and of(rows[1]) == dict.fromkeys(KNOWN)
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["with_caption"] == report["with_ratings"] == 1
    assert report["dimensions"]["valence"] == {"n": 1, "mean": 0.25, "min": 0.25, "max": 0.25}
    if kind == "parquet":
        assert next(of(row) for row in stream_corpus(tmp_path / "out", "train")) == KNOWN
    files = list_files(tmp_path / "out")
    levels = [row["descriptors"] for file in files for row in file.read_known(tmp_path / "out")]
    write_descriptors(tmp_path / "out", files, levels, tmp_path / "again")
    assert of(load_corpus(tmp_path / "again", "train")[0]) == KNOWN


def test_the_command_line_takes_a_mapping_of_columns(tmp_path, capsys):
    root = write_folder(tmp_path / "clips", CAPTIONS)
    command = ["prepare", str(root), "--out", str(tmp_path / "out"), "--columns", json.dumps(NAMES)]
    assert main([*command, "--dimension_range", "[1, 7]"]) == 0
    assert load_corpus(tmp_path / "out", "train")["caption"] == ["A low voice."]


@pytest.fixture
def old_folder(tmp_path):
    """A corpus that was prepared before there were these columns; gives its parts of either kind."""
    rows = [
        make_row(
            id=str(index), audio={"bytes": encoded(noise(index)), "path": None}, text="x", corpus="c", split="train"
        )
        for index in range(3)
    ]
    data = write_dataset(tmp_path / "rows.arrow", rows)
    old(data).save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict(train=old(data)).save_to_disk(str(tmp_path / "arrow"))
    (tmp_path / "parquet").mkdir()
    pq.write_table(old(data).data.table, tmp_path / "parquet/train-00000-of-00001.parquet", row_group_size=2)
    return tmp_path


@pytest.mark.parametrize("kind", ["plain", "arrow", "parquet"])
def test_a_folder_prepared_without_these_columns_loads_and_they_are_not_known(old_folder, kind):
    rows = load_corpus(old_folder / kind, "train")
    assert rows.features == FEATURES and rows["id"] == ["0", "1", "2"] and rows["text"] == ["x"] * 3
    assert list(rows.features) == list(FEATURES) and of(rows[2]) == dict.fromkeys(KNOWN)
    assert rows.select([1])[0]["audio"]["bytes"] == encoded(noise(1))


def test_shards_without_these_columns_are_streamed(old_folder):
    rows = list(stream_corpus(old_folder / "parquet", "train"))
    assert [row["id"] for row in rows] == ["0", "1", "2"] and of(rows[0]) == dict.fromkeys(KNOWN)
    assert list(stream_corpus(old_folder / "parquet", "train", columns=["caption"])) == [{"caption": None}] * 3


def test_a_folder_without_these_columns_is_annotated(old_folder):
    files = list_files(old_folder / "arrow")
    known = [row for file in files for row in file.read_known(old_folder / "arrow")]
    assert [of(row) for row in known] == [dict.fromkeys(KNOWN)] * 3
    levels = [{**row["descriptors"], "pitch": "low"} for row in known]
    write_descriptors(old_folder / "arrow", files, levels, old_folder / "again")
    rows = load_corpus(old_folder / "again", "train")
    assert [row["pitch"] for row in rows["descriptors"]] == ["low"] * 3 and rows["valence"] == [None] * 3


@pytest.fixture
def folder_without_range(tmp_path):
    """A corpus that was prepared before the schema had `range`, with a descriptor of its own; gives both kinds."""
    slots = {slot: of for slot, of in features_with(["mood"])["descriptors"].items() if slot != "range"}
    features = datasets.Features({**FEATURES, "descriptors": slots})
    rows = [
        make_row(["mood"], id=str(n), audio={"bytes": encoded(noise(n)), "path": None}, descriptors={"mood": "odd"})
        for n in range(3)
    ]
    rows = [{**row, "descriptors": {slot: row["descriptors"][slot] for slot in slots}} for row in rows]
    data = write_dataset(tmp_path / "rows.arrow", rows, features)
    datasets.DatasetDict(train=data).save_to_disk(str(tmp_path / "arrow"))
    (tmp_path / "parquet").mkdir()
    pq.write_table(data.data.table, tmp_path / "parquet/train-00000-of-00001.parquet", row_group_size=2)
    return tmp_path


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_a_folder_prepared_without_range_loads_and_annotation_adds_it(folder_without_range, kind):
    folder = folder_without_range / kind
    assert "range" not in load_corpus(folder, "train").features["descriptors"]
    files = list_files(folder)
    known = [row["descriptors"] for file in files for row in file.read_known(folder)]
    assert known == [{**dict.fromkeys(FEATURES["descriptors"]), "mood": "odd"}] * 3
    levels = [{**row, "range": "flat"} for row in known]
    write_descriptors(folder, files, levels, folder_without_range / "again")
    rows = load_corpus(folder_without_range / "again", "train")
    assert rows.features == features_with(["mood"]) and list(rows["descriptors"]) == levels
    assert rows[1]["audio"]["bytes"] == encoded(noise(1))


def test_folders_with_and_without_range_are_put_together(folder_without_range, tmp_path):
    row = make_row(id="new", audio={"bytes": encoded(noise(9)), "path": None}, descriptors={"range": "flat"})
    new, before = write_dataset(tmp_path / "new.arrow", [row]), load_corpus(folder_without_range / "arrow", "train")
    for parts in ([new, before], [before, new]):
        both = datasets.concatenate_datasets(parts)
        assert {row["id"]: row["descriptors"]["range"] for row in both} == {"new": "flat"} | dict.fromkeys("012")


def test_a_cached_file_without_these_columns_opens(tmp_path):
    features = datasets.Features({name: feature for name, feature in FEATURES.items() if name not in ADDED})
    row = make_row(id="a", audio={"bytes": b"x", "path": None})
    write_dataset(tmp_path / "old.arrow", [{name: row[name] for name in features}], features)
    assert open_dataset(tmp_path / "old.arrow").features == FEATURES


def test_other_missing_columns_are_still_refused(old_folder):
    rows = load_corpus(old_folder / "plain", "train")
    with pytest.raises(ValueError, match=r"columns \['speaker'\] are missing, foreign"):
        check_features(rows.remove_columns("speaker").features, "here")
    with pytest.raises(ValueError, match=r"columns \['valence'\] are missing, foreign"):
        check_features(rows.cast_column("valence", datasets.Value("string")).features, "here")
    assert complete(rows) is rows


def test_copies_whose_dimensions_differ_are_left_out(tmp_path, capsys):
    root = write_folder(tmp_path / "clips", "file_name,valence\na.wav,0.1\nb.wav,0.9\nc.wav,0.5\n",
                        recordings=("a.wav", "c.wav"))  # fmt: skip
    (root / "b.wav").write_bytes((root / "a.wav").read_bytes())
    assert main(["prepare", str(root), "--out", str(tmp_path / "out")]) == 0
    assert load_corpus(tmp_path / "out", "train")["id"] == ["c"]


@pytest.fixture
def iemocap(tmp_path):
    """Rows of IEMOCAP's five sessions, prepared."""
    rows = [
        make_row(id=str(n), audio={"bytes": encoded(noise(n)), "path": None}, emotion=("happy", "sad")[n % 2],
                 corpus="iemocap", fold=str(n + 1), split="train", speaker=str(n))
        for n in range(5)
    ]  # fmt: skip
    write_dataset(tmp_path / "rows.arrow", rows).save_to_disk(str(tmp_path / "iemocap"))
    return tmp_path / "iemocap"


def test_the_protocol_of_emobox_trains_on_all_folds_but_one(iemocap, caplog):
    with caplog.at_level(logging.WARNING):
        corpus = load_corpus(iemocap, protocol="emobox", test_fold="2")
    assert {name: part["fold"] for name, part in corpus.items()} == {"train": ["1", "3", "4", "5"], "test": ["2"]}
    assert "iemocap: folds of another size than emobox publishes: 1: 1 of 1,085" in caplog.text
    asked = load_corpus(iemocap, protocol="emobox", test_fold="2", validation_fold="1", new_texts=None)
    assert asked["validation"]["fold"] == ["1"]
    assert "validation" in load_corpus(iemocap, protocol=None, test_fold="2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "loso"}, r"protocol is 'loso'; known are \['emobox'\]"),
        ({"protocol": "emobox", "new_texts": 0.3}, "new_texts is 0.3: protocol 'emobox' tests on all sentences"),
        ({"protocol": "emobox", "test_fold": "9"}, "test_fold is '9'"),
    ],
)
def test_a_protocol_that_does_not_apply_is_refused(iemocap, options, message):
    with pytest.raises(ValueError, match=message):
        load_corpus(iemocap, **options)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"corpus": "meld", "emotion": "happy"}, r"of \['iemocap'\]; these rows are of \['meld'\]"),
        ({"corpus": "iemocap", "emotion": "frustrated"}, r"these rows have \['frustrated'\]: prepare the corpus with"),
    ],
)
def test_a_protocol_of_other_rows_is_refused(tmp_path, known, message):
    row = make_row(id="a", audio={"bytes": b"x", "path": None}, fold="1", split="train", **known)
    write_dataset(tmp_path / "rows.arrow", [row]).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(ValueError, match=message):
        load_corpus(tmp_path / "other", protocol="emobox")


def test_every_dimension_is_a_column():
    assert [FEATURES[name].dtype for name in DIMENSIONS] == ["float32"] * 3
