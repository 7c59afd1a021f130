"""MSP-Podcast by its official layouts: both spellings and both kinds of the table, all partitions."""

import csv
import io
import json
from pathlib import Path

import pytest
from corpus_files import by, known

from xser.corpora.msp_podcast import CORPUS

KEYS = ("EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
TABLE = {
    "MSP-PODCAST_0001_0008.wav": ("N", 2.2, 4.0, 2.6, 30, "Male", "Test1"),
    "MSP-PODCAST_0002_0033.wav": ("A", 6.0, 2.0, 5.1, 31, "Female", "Train"),
    "MSP-PODCAST_0002_0039.wav": ("H", 5.0, 6.0, 5.1, 31, "Female", "Train"),
    "MSP-PODCAST_0003_0145_0002.wav": ("S", 2.0, 2.0, 2.2, "Unknown", "Unknown", "Development"),
    "MSP-PODCAST_0004_0001.wav": ("U", 5.0, 4.0, 4.0, 32, "Male", "Test2"),
    "MSP-PODCAST_0004_0002.wav": ("F", 5.0, 2.0, 3.0, 32, "Male", "Validation"),
    "MSP-PODCAST_0004_0003.wav": ("D", 4.0, 2.0, 4.0, 32, "Male", "Train"),
    "MSP-PODCAST_0004_0004.wav": ("C", 4.0, 2.0, 4.0, 32, "Male", "Train"),
    "MSP-PODCAST_0004_0005.wav": ("O", 4.0, 4.0, 4.0, 32, "Male", "Train"),
    "MSP-PODCAST_0004_0006.wav": ("X", 4.0, 4.0, 4.0, 32, "Male", "Train"),
}
TEST3 = "MSP-PODCAST_9001_0001.wav"


def as_csv(table: dict) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([("FileName", *KEYS), *((name, *cells) for name, cells in table.items())])
    return out.getvalue()


def as_json(table: dict) -> str:
    return json.dumps({name: dict(zip(KEYS, cells, strict=True)) for name, cells in table.items()})


@pytest.fixture
def corpus(tmp_path):
    """A function that writes a table of labels, a recording for each of its lines and one of Test3."""

    def make(
        labels: str = "labels_consensus.csv", table: str | None = None, partitions: str = "Partitions.txt"
    ) -> Path:
        root = tmp_path / "MSP-PODCAST-Publish-1.12"
        for folder in ("Audios", "Labels", "Transcripts"):
            (root / folder).mkdir(parents=True)
        table = (as_json if labels.endswith("json") else as_csv)(TABLE) if table is None else table
        (root / "Labels" / labels).write_text(table)
        (root / "Labels/labels_detailed.csv").write_text("FileName,Worker\n")
        for name in (*TABLE, TEST3):
            (root / "Audios" / name).write_bytes(b"RIFF")
        lines = [f"{cells[-1]}; {name}" for name, cells in TABLE.items()]
        (root / partitions).write_text("\n".join([*lines, f"Test3; {TEST3}", ""]))
        return root

    return make


@pytest.mark.parametrize(
    "labels", ["labels_concensus.csv", "labels_concensus.json", "labels_consensus.csv", "labels_consensus.json"]
)
@pytest.mark.parametrize("partitions", ["Partition.txt", "Partitions.txt"])
def test_every_version_has_the_same_rows(corpus, labels, partitions):
    root = corpus(labels, partitions=partitions)
    found = CORPUS.find(root)
    assert found.left_out == {}
    assert [(row["id"][12:], row["emotion"], row["speaker"], row["gender"], row["split"]) for row in found.rows] == [
        ("0001_0008", "neutral", "30", "male", "test1"),
        ("0002_0033", "angry", "31", "female", "train"),
        ("0002_0039", "happy", "31", "female", "train"),
        ("0003_0145_0002", "sad", None, None, "validation"),
        ("0004_0001", "surprised", "32", "male", "test2"),
        ("0004_0002", "fearful", "32", "male", "validation"),
        ("0004_0003", "disgusted", "32", "male", "train"),
        ("0004_0004", None, "32", "male", "train"),
        ("0004_0005", None, "32", "male", "train"),
        ("0004_0006", None, "32", "male", "train"),
        ("9001_0001", None, None, None, "test3"),
    ]
    assert known(found.rows[0]) == {
        "id": "MSP-PODCAST_0001_0008", "emotion": "neutral", "speaker": "30", "gender": "male", "language": "en",
        "corpus": "msp-podcast", "split": "test1",
        "valence": 0.5, "arousal": pytest.approx(0.2), "dominance": pytest.approx(1.6 / 6),
    }  # fmt: skip
    assert found.rows[0]["audio"] == {"bytes": None, "path": str(root / "Audios/MSP-PODCAST_0001_0008.wav")}


def test_partitions_and_emotions_are_counted_over_many_lines(tmp_path):
    """A hundredth of the 73,042 lines of version 1.8; how they divide into train and test2 is made up."""
    sizes = {"Train": 447, "Validation": 78, "Test1": 153, "Test2": 52}
    table = {}
    for split, size in sizes.items():
        for index in range(size):
            table[f"MSP-PODCAST_{split}_{index:04}.wav"] = ("AHSNUFDCOX"[index % 10], 4, 4, 4, index, "Male", split)
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Audios").mkdir()
    (tmp_path / "Labels/labels_concensus.csv").write_text(as_csv(table))
    for name in table:
        (tmp_path / "Audios" / name).touch()
    rows = CORPUS.find(tmp_path).rows
    assert by(rows, "split") == {"train": 447, "validation": 78, "test1": 153, "test2": 52}
    assert by([row for row in rows if row["split"] == "train"], "emotion") == {
        "angry": 45, "happy": 45, "sad": 45, "neutral": 45, "surprised": 45, "fearful": 45, "disgusted": 45, None: 132
    }  # fmt: skip


def test_transcripts_come_where_they_are(corpus):
    root = corpus()
    (root / "Transcripts/MSP-PODCAST_0001_0008.txt").write_text("  so that was\n the plan ")
    (root / "Transcripts/MSP-PODCAST_0002_0033.txt").write_text("\n")
    (root / "Transcripts/MSP-PODCAST_0002_0039.txt").write_bytes(b"caf\xe9")
    (root / "ForceAligned").mkdir()
    (root / "ForceAligned/MSP-PODCAST_0004_0001.txt").write_text("no transcript")
    found = CORPUS.find(root)
    texts = {row["id"]: row["text"] for row in found.rows if row["text"] is not None}
    assert texts == {"MSP-PODCAST_0001_0008": "so that was the plan"}
    assert len(found.rows) == 11
    assert found.left_out == {
        "Transcripts/MSP-PODCAST_0002_0039.txt": "MSP-PODCAST_0002_0039.txt is not UTF-8 (unexpected end of data at "
        "byte 3): save it as UTF-8; the recording stays, without a transcript"
    }


def test_what_is_missing_there_twice_or_unknown_is_named(corpus):
    root = corpus(table=as_csv(TABLE) + as_csv(TABLE).splitlines()[1] + "\n")
    (root / "Audios/MSP-PODCAST_0002_0033.wav").unlink()
    (root / "Audios/more").mkdir()
    (root / "Audios/more/MSP-PODCAST_0001_0008.wav").touch()
    (root / "Audios/MSP-PODCAST_7777_0001.wav").touch()
    found = CORPUS.find(root)
    assert len(found.rows) == 10
    assert found.left_out == {
        "MSP-PODCAST_0001_0008.wav (line 12)": "the table has it twice: the first is taken",
        "Audios/more/MSP-PODCAST_0001_0008.wav": "a second recording of MSP-PODCAST_0001_0008.wav",
        "MSP-PODCAST_0002_0033.wav": "the recording is missing",
        "Audios/MSP-PODCAST_7777_0001.wav": "labels_consensus.csv does not name it, and no list of partitions does",
    }


@pytest.mark.parametrize(
    ("labels", "table", "message"),
    [
        ("labels_consensus.csv", "FileName,EmoClass\n", r"columns \['SpkrID', 'Gender', 'Split_Set'\] are missing"),
        ("labels_consensus.csv", as_csv({"a.wav": ("Q", 1, 1, 1, 1, "Male", "Train")}), "line 2: EmoClass 'Q' is not"),
        (
            "labels_consensus.csv",
            as_csv({"a.wav": ("A", 1, 1, 1, 1, "Male", "Dev")}),
            "line 2: Split_Set 'Dev' is not",
        ),
        ("labels_consensus.json", '{"a.wav": {"EmoClass": "A"}}', r"'a.wav': \['SpkrID', 'Gender', 'Split_Set'\]"),
        ("labels_consensus.json", '["a.wav"]', r"\['EmoClass', .*\] are missing"),
        ("labels_consensus.json", '{"a.wav": ', r"labels_consensus\.json is not JSON"),
    ],
)
def test_a_mistake_in_the_table_is_named(corpus, labels, table, message):
    with pytest.raises(ValueError, match=message):
        CORPUS.find(corpus(labels, table))


def test_another_folder_is_refused(tmp_path, corpus):
    (tmp_path / "clips").mkdir()
    with pytest.raises(FileNotFoundError, match=r"looked for Labels/labels_consensus\.csv .*; there is clips"):
        CORPUS.find(tmp_path)
    root = corpus()
    for path in (root / "Audios").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"looked for Audios/MSP-PODCAST_0001_0008\.wav"):
        CORPUS.find(root)


def test_test3_and_tables_without_dimensions_have_none(corpus):
    lines = [line.split(",") for line in as_csv(TABLE).splitlines()]
    table = "\n".join(",".join([*cells[:2], *cells[5:]]) for cells in lines)
    rows = CORPUS.find(corpus(table=table)).rows
    assert all(row["valence"] is row["arousal"] is row["dominance"] is None for row in rows) and len(rows) == 11


RATED = "MSP-PODCAST_0001_0008.wav"
WORKERS = {
    "WORKER00000001": {"EmoClass_Major": "Neutral", "EmoAct": 3},
    "WORKER00000002": {"EmoClass_Major": "Surprise", "EmoAct": 2},
    "WORKER00000003": {"EmoClass_Major": "Other-Curious", "EmoAct": 2},
    "WORKER00000004": {"EmoClass_Major": "Angry,Contempt", "EmoAct": 2},
}
RATINGS = ["neutral", "surprised", "other", "angry", "contempt"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels_detailed.json", json.dumps({RATED: WORKERS})),
        ("labels_detailed.json", json.dumps({RATED: {"Workers": list(WORKERS.values())}})),
        (
            "labels_detailed.csv",
            "FileName,Worker,EmoClass_Major,EmoAct\n"
            + "".join(f'{RATED},{name},"{one["EmoClass_Major"]}",2\n' for name, one in WORKERS.items()),
        ),
        (
            "labels_detailed.csv",
            "FileName,Labels\n"
            + "".join(
                f'{RATED},"{name}; {one["EmoClass_Major"]}; Calm,; A:2; V:4; D:3;"\n' for name, one in WORKERS.items()
            ),
        ),
    ],
)
def test_raters_emotions_come_from_every_form_of_the_detailed_labels(corpus, name, text):
    root = corpus()
    (root / "Labels/labels_detailed.csv").unlink()
    (root / "Labels" / name).write_text(text)
    found = CORPUS.find(root)
    assert {row["id"]: row["ratings"] for row in found.rows if row["ratings"]} == {RATED[:-4]: RATINGS}
    assert found.left_out == {}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("labels_detailed.json", "[]", "labels_detailed.json names no recording"),
        ("labels_detailed.json", '{"a.wav": {"w": {"EmoAct": 1}}}', "'a.wav': no EmoClass_Major of each rater"),
        ("labels_detailed.csv", "FileName,Vote\na.wav,Angry\n", "line 2: no EmoClass_Major and no rater's labels"),
    ],
)
def test_detailed_labels_in_no_known_form_are_named_and_rows_stay(corpus, name, text, reason):
    root = corpus()
    (root / "Labels" / name).write_text(text)
    found = CORPUS.find(root)
    assert len(found.rows) == 11 and all(row["ratings"] is None for row in found.rows)
    assert (
        reason in found.left_out[f"Labels/{name}"] and "rows have no ratings of it" in found.left_out[f"Labels/{name}"]
    )
