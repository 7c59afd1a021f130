"""Tables of a folder as tools write them: read as they are meant, or an error that says what to do."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recordings_folder import recording, write_folder

from xser.corpora import FEATURES, load_corpus
from xser.corpora.audiofolder import CORPUS
from xser.corpora.manifest import CORPUS as MANIFEST

ROWS = [("a.wav", "we, too", "sad"), ("b.wav", "never", "angry")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make(tmp_path):
    """A function that writes a folder with this table."""

    def write(table, name: str = "metadata.csv", recordings=("a.wav", "b.wav")):
        if isinstance(table, pa.Table):
            path = write_folder(tmp_path / "clips", "", "x", recordings)
            (path / "x").unlink()
            pq.write_table(table, path / name)
            return path
        return write_folder(tmp_path / "clips", table, name, recordings)

    return write


def known(folder, **options) -> list[tuple]:
    dataset = load_corpus(folder, **options)
    assert dataset.features == FEATURES
    return [(f"{row['id']}.wav", row["text"], row["emotion"]) for row in dataset]


def csv_of(separator: str, index: str | None = None, rows=ROWS, header=("file_name", "text", "emotion")) -> str:
    lines = [header, *rows]
    if index is not None:
        lines = [(index, *header), *((str(number), *row) for number, row in enumerate(rows))]
    quoted = [[f'"{cell}"' if separator in cell else cell for cell in line] for line in lines]
    return "".join(separator.join(line) + "\n" for line in quoted)


@pytest.mark.parametrize("index", [None, "", "Unnamed: 0", "index"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_indices_are_known(make, separator, index):
    assert known(make(csv_of(separator, index))) == ROWS


def test_tabs_in_a_file_of_that_name(make):
    assert known(make(csv_of("\t"), "metadata.tsv")) == ROWS


def test_lines_of_json(make):
    lines = [{"file_name": name, "text": text, "emotion": emotion} for name, text, emotion in ROWS]
    assert known(make("\n".join(map(json.dumps, lines)), "metadata.jsonl")) == ROWS
    lines = [
        {"audio": {"path": name, "bytes": None}, "text": text, "emotion": emotion} for name, text, emotion in ROWS
    ]
    assert known(make("\n\n".join(map(json.dumps, lines)) + "\n", "metadata.jsonl")) == ROWS


@pytest.mark.parametrize("index", [None, "__index_level_0__", "Unnamed: 0"])
def test_parquet(make, index):
    names, texts, emotions = zip(*ROWS, strict=True)
    columns = {"file_name": names, "text": texts, "emotion": pa.array(emotions).dictionary_encode()}
    columns |= {} if index is None else {index: [0, 1]}
    assert known(make(pa.table(columns), "metadata.parquet")) == ROWS


def test_numbers_that_gaps_have_made_floats_and_gaps_themselves(make):
    nan = float("nan")
    table = pa.table(
        {"file_name": ["a.wav", "b.wav"], "speaker": [3.0, nan], "age": [31.0, nan], "text": ["x", None],
         "fold": [1, 2], "emotion": pa.array([None, None], pa.null())}
    )  # fmt: skip
    a, b = load_corpus(make(table, "metadata.parquet"))
    assert (a["speaker"], a["age"], a["fold"], a["text"], a["emotion"]) == ("3", 31, "1", "x", None)
    assert (b["speaker"], b["age"], b["fold"], b["text"], b["emotion"]) == (None, None, "2", None, None)


@pytest.mark.parametrize("name", ["file_name", "file", "filename", "path", "audio", "audio_filepath"])
def test_the_recording_may_be_under_other_names(make, name):
    assert known(make(csv_of(",", header=(name, "text", "emotion")))) == ROWS


def test_backslashes_are_those_of_another_system(make):
    root = make("file_name\nsub\\a.wav\n", recordings=("sub/a.wav",))
    assert load_corpus(root)["id"] == ["sub/a"]
    (root / "metadata.csv").write_text("file_name\nod\\d.wav\n")
    (root / "od\\d.wav").write_bytes(recording("odd"))
    assert load_corpus(root)["id"] == ["od\\d"]


def test_empty_lines_and_lines_of_separators_alone_are_no_rows(make):
    assert known(make(csv_of(",") + ",,\n\n ,,\n")) == ROWS


def test_text_over_several_lines_becomes_one(make):
    table = 'file_name,text,emotion\na.wav,"we\nwon\tit",sad\n'
    assert known(make(table)) == [("a.wav", "we won it", "sad")]


def test_two_formats_of_one_recording_are_two_recordings(make):
    names = ("a.wav", "a.ogg", "sub/b.flac", "c.wav")
    rows = load_corpus(make("file_name\n" + "\n".join(names), recordings=names))
    assert sorted(rows["id"]) == ["a.ogg", "a.wav", "c", "sub/b"]
    root = make("file_name,id\na.wav,\na.ogg,mine\na.wav,\n", recordings=names)
    found = CORPUS.find(root)
    assert [row["id"] for row in found.rows] == ["a", "mine"]
    assert list(found.left_out) == ["a.wav (metadata.csv, line 4)"]


def test_two_formats_of_one_recording_in_a_manifest(make):
    lines = "\n".join(json.dumps({"audio": name}) for name in ("a.wav", "a.ogg", "b.wav"))
    root = make(lines, "clips.jsonl", ("a.wav", "a.ogg", "b.wav"))
    assert [row["id"] for row in MANIFEST.find(root).rows] == ["a.wav", "a.ogg", "b"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file_name;emotoin\na.wav;sad\n", r"column 'emotoin' is not known \(did you mean 'emotion'\?\)"),
        ("name;emotion\na.wav;sad\n", r"column 'file_name' is missing; its header is \['name', 'emotion'\]"),
        ("file_name;text\na.wav;x;y\n", r"line 2: its number of cells .* 2: it has 3, separated by semicolons; quote"),
        ('file_name,text\na.wav,"hello\nb.wav,hi\n', "line 3: not cells separated by commas: .*; close every quote"),
        ('file_name,text\na.wav,"hello\nb.wav,hi"\n', r"line 3: text holds whole lines, from 'hello' on: a quote"),
        ('file_name,text\na.wav,"he"llo\n', "line 2: not cells separated by commas"),
        ("file_name,text,\na.wav,x,y\n", "line 2: column 3 has cells and no name"),
        ("file_name,file\na.wav,b.wav\n", r"more than one column for file_name: keep one of \['file_name', 'file'\]"),
        ("file_name,descriptors.pitch,pitch\na.wav,low,low\n", r"more than one column for pitch: keep one of"),
        (
            "file_name,text\na.wav,be\x07ll\n",
            r"line 2: text 'be\\x07ll' holds the control character U\+0007 at 3: take",
        ),
        ("file_name\na\x01.wav\n", r"line 2: file_name 'a\\x01\.wav' holds the control character U\+0001"),
        ("file_name\nC:\\clips\\a.wav\n", r"line 2: file_name 'C:/clips/a\.wav' leads out of"),
        ("file_name\n..\\a.wav\n", r"line 2: file_name '\.\./a\.wav' leads out of"),
        ("file_name,emphasis\na.wav,\"['are']\"\n", r"line 2: emphasis .* is a list written as text: give words"),
        ("file_name,emphasis\na.wav,ne\u200bver\n", r"line 2: emphasised word .* must be printable"),
        ("file_name,pitch\na.wav,0.5\n", r"line 2: pitch '0\.5' is not one of \['low', 'normal', 'high'\]"),
        ("file_name,age\na.wav,31.5\n", r"line 2: age '31\.5' is not a whole number of years"),
        ("file_name,emotion\na.wav,2\n", r"line 2: emotion '2' cannot stand in an answer: .*emotion_map, as in"),
        ("file_name,text\n" + "a.wav," + "x" * 200_000 + "\n", "line 2: not cells separated by commas: field larger"),
        (csv_of(",").encode("utf-16"), "metadata.csv is UTF-16, not UTF-8: save it as UTF-8"),
        (csv_of(",").encode("utf-16-le"), "metadata.csv holds NUL characters"),
        ("file_name,text\na.wav,été\n".encode("latin-1"), "metadata.csv is not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(make, table, message):
    with pytest.raises(ValueError, match=rf"metadata\.csv.*{message}" if "metadata" not in message else message):
        load_corpus(make(table))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "b.wav"', r"line 2: not JSON: .*: give an object a line"),
        ('["b.wav"]', r"line 2: a JSON object was expected, as in .*; it is \['b\.wav'\]"),
        ('{"file_name": "b.wav", "text": "x", "text": "y"}', r"line 2: keys \['text'\] stand more than once"),
        ("[" * 100_000, "line 2: nested too deep"),
        ('{"file_name": "b.wav", "age": ' + "9" * 5_000 + "}", "line 2: .*digits"),
        ('{"file_name": "b.wav", "age": ' + "9" * 400 + "}", "line 2: age 9+… is not a whole number"),
        ('{"file_name": ["b.wav"]}', r"line 2: file_name \['b\.wav'\] is not text: give the recording's path"),
        ('{"file_name": "b.wav", "text": {"en": "x"}}', r"line 2: text \{'en': 'x'\} is not text"),
        ('{"file_name": "b.wav", "text": 5}', "line 2: text 5 is not text"),
        ('{"file_name": "b.wav", "text": "\\ud800"}', r"line 2: text .* holds the control character U\+D800"),
        ('{"file_name": "b\\u0000.wav"}', r"line 2: file_name 'b\\x00\.wav' holds the control character U\+0000"),
        ('{"file_name": "b.wav", "speaker": true}', "line 2: speaker True is not text"),
        ('{"file_name": "b.wav", "speaker": 1.5}', "line 2: speaker 1.5 is not text"),
        ('{"file_name": "b.wav", "emotion": ["sad"]}', r"line 2: emotion \['sad'\] is not text"),
        ('{"file_name": "b.wav", "pitch": 0.7}', "line 2: pitch 0.7 is not text"),
        ('{"file_name": "b.wav", "emphasis": [1]}', r"line 2: emphasis \[1\] is neither words nor a list of words"),
        ('{"file_name": "b.wav", "emphasis": [""]}', "line 2: emphasised word '' must be printable"),
        ('{"file_name": "b.wav", "emphasis": true}', "line 2: emphasis True is neither words"),
        ('{"file_name": "b.wav", "mood": "x"}', r"column 'mood' is not known"),
        ('{"text": "x"}', "line 2: file_name is empty"),
    ],
)
def test_what_is_wrong_in_a_line_of_json_is_named(make, line, message):
    root = make(f'{{"file_name": "a.wav"}}\n{line}\n', "metadata.jsonl")
    with pytest.raises(ValueError, match=rf"metadata\.jsonl.*{message}"):
        load_corpus(root)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"audio": [{"bytes": b"RIFF", "path": "a.wav"}]}, "row 0: file_name holds the recording itself: read such a"),
        ({"file_name": ["a.wav"], "text": [b"x"]}, "row 0: text b'x' is not text"),
        ({"file_name": ["a.wav"], "text": [datetime.date(2020, 1, 1)]}, r"row 0: text datetime.* is not text"),
        ({"file_name": ["a.wav"], "text": [1.5]}, r"row 0: text 1\.5 is not text"),
        ({"file_name": [3]}, "row 0: file_name 3 is not text"),
        ({"text": ["x"]}, "column 'file_name' is missing"),
        ({"file_name": pa.array([], pa.string())}, "the table is empty"),
    ],
)
def test_what_is_wrong_in_parquet_is_named(make, columns, message):
    with pytest.raises(ValueError, match=rf"metadata\.parquet.*{message}"):
        load_corpus(make(pa.table(columns), "metadata.parquet"))


def test_a_parquet_file_that_is_damaged_is_named(make):
    root = make(pa.table({"file_name": ["a.wav"] * 100}), "metadata.parquet")
    data = (root / "metadata.parquet").read_bytes()
    (root / "metadata.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"metadata\.parquet cannot be read as parquet: .*; write it anew"):
        load_corpus(root)


def test_two_tables_are_refused_by_name(make):
    root = make(csv_of(","))
    (root / "metadata.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"holds metadata\.csv and metadata\.jsonl: keep one"):
        load_corpus(root)


def test_a_folder_without_its_table_names_those_that_are_there(make):
    root = make(csv_of(";"), "labels.csv")
    with pytest.raises(FileNotFoundError, match=r"there is labels\.csv \(separated by semicolons\): bring it to that"):
        load_corpus(root)
    (root / "labels.csv").rename(root / "metadata.csv")
    (root / "train").mkdir()
    (root / "metadata.csv").rename(root / "train/metadata.csv")
    with pytest.raises(FileNotFoundError, match=r"there is train/metadata\.csv \(separated by semicolons\)"):
        load_corpus(root)


def test_a_column_without_any_value_has_the_type_of_the_schema(make):
    rows = load_corpus(make("file_name,emotion,text,speaker,age,pitch\na.wav,,,,,\nb.wav,,,,,\n"))
    assert rows.features == FEATURES and rows["emotion"] == [None, None]
    assert load_corpus(make("file_name,emotion\na.wav,sad\nb.wav,happy\n")).features == FEATURES
