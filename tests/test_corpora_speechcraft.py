"""SpeechCraft: annotations in the forms that they are published in, joined by name to recordings of four corpora."""

import csv
import json
from pathlib import Path

import pytest
from corpus_files import by, encoded, known, noise, plant

from xser.corpora import load_corpus
from xser.corpora.__main__ import main
from xser.corpora.schema import make_row
from xser.corpora.speechcraft import CORPUS, find

GIGA, LIBRI, SHELL, VOICE = "POD0000003712_S0000072", "103_1241_000000_000001", "SSB03090351", "zhstcmds_0001"
RECORDINGS = [
    f"giga/m_chunks_0000/{GIGA}.wav",
    f"LibriTTS_R/train-clean-100/103/1241/{LIBRI}.wav",
    f"AISHELL-3/train/wav/SSB0309/{SHELL}.wav",
    f"zhvoice/zhstcmds/{VOICE}.mp3",
]
LABELS = {
    GIGA: "pitch:normal\tage:Youth adult\tgender:Female\tvolume:high\tspeed:fast\temotion:Happy\t"
    "emphasis:never, said\ttranscription: They never: ever said that.",
    f"1241_{LIBRI}": "age:Elderly\tgender:male\tpitch:low\tvolume:low\tspeed:slow\temotion:unknown\ttranscription:Oh.",
    f"train_{SHELL}": "年龄：中年\t性别：女\t语速：慢\t音高：高\t音量：低\t重读：无\t语气：有些许忧伤\t"
    "文本：进入前一集。",
    VOICE: "年龄:儿童\t性别:男\t语速:中\t音高:中\t音量:中",
}
CAPTION = 'A happy young woman says quickly and loudly: "They never: ever said that."'


@pytest.fixture
def craft(tmp_path):
    """The recordings, and a function that writes tables beside them."""
    root = plant(tmp_path / "SpeechCraft", RECORDINGS, encoded(noise(0)))
    (root / "LibriTTS_R/train-clean-100/103/1241/103_1241.trans.tsv").write_text(f"{LIBRI}\tOh.\tOh.\n")

    def write(**tables) -> Path:
        for name, table in tables.items():
            text = table if isinstance(table, str) else json.dumps(table, ensure_ascii=False)
            path = root / "annotations" / name.replace("__", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return root

    return write


def labelled(names=tuple(LABELS)) -> dict:
    return {name: {"labels": LABELS[name]} for name in names}


def test_labels_map_to_the_slots_and_recordings_are_found_by_their_names(craft):
    root = craft(labels__json=labelled(), instruction__json={GIGA: {"llama-instruction": CAPTION}})
    found = find(root)
    rows = {row["id"]: row for row in found.rows}
    assert found.left_out == {} and list(rows) == list(LABELS)
    assert known(rows[GIGA]) == {
        "id": GIGA, "text": "They never: ever said that.", "caption": CAPTION, "emotion": "happy", "gender": "female",
        "language": "en", "corpus": "speechcraft", "session": "POD0000003712",
    }  # fmt: skip
    assert rows[GIGA]["descriptors"] == {
        "pitch": "normal", "volume": "loud", "speed": "fast", "tone": None, "range": None,
        "emphasis": ["never", "said"],
        "age": "young adult", "gender": "female",
    }  # fmt: skip
    libri = rows[f"1241_{LIBRI}"]
    assert (libri["speaker"], libri["session"], libri["emotion"], libri["caption"]) == ("103", "1241", None, None)
    assert (libri["descriptors"]["volume"], libri["descriptors"]["age"]) == ("quiet", "elderly")
    assert Path(libri["audio"]["path"]).name == f"{LIBRI}.wav"


def test_mandarin_labels_map_to_the_same_levels(craft):
    rows = {row["id"]: row for row in find(craft(labels__json=labelled())).rows}
    shell, voice = rows[f"train_{SHELL}"], rows[VOICE]
    assert shell["descriptors"] == {
        "pitch": "high", "volume": "quiet", "speed": "slow", "tone": None, "range": None,
        "emphasis": [], "age": "middle-aged",
        "gender": "female",
    }  # fmt: skip
    assert (shell["text"], shell["emotion"], shell["speaker"], shell["language"]) == (
        "进入前一集。", None, "SSB0309", "zh",
    )  # fmt: skip
    assert (voice["descriptors"]["age"], voice["descriptors"]["pitch"], voice["speaker"]) == ("child", "normal", None)
    assert voice["descriptors"]["emphasis"] is None and voice["audio"]["path"].endswith(".mp3")


def test_all_rows_have_the_same_descriptors(craft):
    rows = find(craft(labels__json={GIGA: {"labels": "age:Child"}, VOICE: {"labels": "pitch:low"}})).rows
    empty = make_row(("age", "gender"))["descriptors"]
    assert all(row["descriptors"].keys() == empty.keys() for row in rows)


@pytest.mark.parametrize("caption", ["instruction", "description"])
def test_the_kind_of_caption_is_chosen(craft, caption):
    root = craft(
        labels__json=labelled([GIGA]),
        EN_description__json={GIGA: "without words"},
        EN_instruction__json={GIGA: CAPTION},
    )
    (row,) = find(root, caption=caption).rows
    assert row["caption"] == {"instruction": CAPTION, "description": "without words"}[caption]


def test_captions_of_the_other_kind_alone_are_refused(craft):
    root = craft(labels__json=labelled([GIGA]), EN_description__json={GIGA: "without words"})
    with pytest.raises(ValueError, match=r"caption is 'instruction', and the tables hold captions of kind \['descrip"):
        find(root)
    assert find(root, caption="description").rows[0]["caption"] == "without words"


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "tsv"])
def test_tables_of_every_form_say_the_same(craft, tmp_path, kind):
    record = {
        "file_name": f"{GIGA}.wav", "pitch": "low", "energy": "high", "speed": "normal", "age": "Youth", "gender": "M",
        "tone": "Sad", "emphasis": "none", "topic": "Crime", "transcript": "never", "text_description": CAPTION,
    }  # fmt: skip
    if kind == "json":
        text = json.dumps([record])
    elif kind == "jsonl":
        text = json.dumps(record) + "\n"
    else:
        path = tmp_path / "table"
        with path.open("w", newline="") as file:
            how = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if kind == "tsv" else {}
            writer = csv.DictWriter(file, list(record), **how)
            writer.writeheader()
            writer.writerow(record)
        text = path.read_text()
    (row,) = find(craft(**{f"instruction__{kind}": text}), caption="description").rows
    assert (row["text"], row["caption"], row["emotion"], row["gender"]) == ("never", CAPTION, "sad", "male")
    assert row["descriptors"] == {
        "pitch": "low", "volume": "loud", "speed": "normal", "tone": None, "range": None,
        "emphasis": [], "age": "young adult",
        "gender": "male",
    }  # fmt: skip


def test_labels_may_be_columns_of_an_object(craft):
    (row,) = find(craft(labels__json={GIGA: {"labels": {"pitch": "high", "age": "Teenager"}}})).rows
    assert (row["descriptors"]["pitch"], row["descriptors"]["age"]) == ("high", "teenager")


def test_parts_are_chosen_by_the_names_of_recordings(craft):
    root = craft(labels__json=labelled())
    assert [row["id"] for row in find(root, parts=["gigaspeech-m"]).rows] == [GIGA]
    assert by(find(root, parts=["aishell-3", "zhvoice"]).rows, "language") == {"zh": 2}


def test_recordings_may_lie_elsewhere(craft, tmp_path):
    root = craft(labels__json=labelled([GIGA]))
    (root / "giga").rename(tmp_path / "GigaSpeech")
    with pytest.raises(FileNotFoundError, match=rf"looked for a recording such as {GIGA}\.wav"):
        find(root)
    assert len(find(root / "annotations", audio=tmp_path / "GigaSpeech").rows) == 1


def test_what_is_missing_or_there_twice_is_named(craft):
    gone = "POD0000000001_S0000001"
    root = craft(
        labels__json={**labelled([GIGA, VOICE]), gone: {"labels": "pitch:low"}}, other__json={"version": {"n": 1}}
    )
    (root / "copy").mkdir()
    (root / "copy" / f"{VOICE}.wav").write_bytes(b"RIFF")
    found = find(root)
    assert [row["id"] for row in found.rows] == [GIGA]
    assert found.left_out == {
        "annotations/other.json": "no annotation is in it",
        gone: "the recording is missing",
        VOICE: "several recordings have this name",
    }


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("pitch:huge", rf"{GIGA}: pitch 'huge' is not one of \['low', 'normal', 'high'"),
        ("age:31", r"age '31' is not one of \['child', 'teenager', 'young adult'"),
        ("emotion:b@d", "emotion 'b@d' cannot stand in an answer"),
    ],
)
def test_a_row_with_a_label_that_is_none_is_left_out_and_named(craft, labels, message):
    with pytest.raises(ValueError, match=message):
        find(craft(labels__json={GIGA: {"labels": labels}}))
    found = find(craft(labels__json={GIGA: {"labels": labels}, VOICE: {"labels": "pitch:low"}}))
    assert [row["id"] for row in found.rows] == [VOICE] and list(found.left_out) == [GIGA]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caption": "both"}, r"caption is \['both'\]: known are \['instruction', 'description'\]"),
        ({"parts": ["gigaspeech"]}, r"parts is \['gigaspeech'\]: known are \['gigaspeech-m', 'libritts-r'"),
        ({"parts": "gigaspeech-m"}, "parts is 'gigaspeech-m': known are"),
    ],
)
def test_unknown_options_are_refused(craft, options, message):
    with pytest.raises(ValueError, match=message):
        find(craft(labels__json=labelled()), **options)


def test_another_folder_or_a_broken_table_is_refused(craft, tmp_path):
    root = craft()
    with pytest.raises(FileNotFoundError, match=r'is not SpeechCraft: looked for \*\.json with {"NAME": {"labels"'):
        find(root)
    with pytest.raises(ValueError, match=r"labels\.json is not JSON"):
        find(craft(labels__json="{"))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find(root, audio=tmp_path / "gone")


def test_it_is_prepared_by_its_name(craft, tmp_path, capsys):
    root = craft(labels__json=labelled([GIGA]), instruction__json={GIGA: {"llama-instruction": CAPTION}})
    (root / "giga/m_chunks_0000" / f"{GIGA}.wav").unlink()
    (root / "giga/m_chunks_0000" / f"{GIGA}.wav").write_bytes(encoded(noise(1)))
    command = ["prepare", "speechcraft", "--source", str(root), "--out", str(tmp_path / "out")]
    assert main([*command, "--parts", "gigaspeech-m", "--caption", "instruction"]) == 0
    (row,) = load_corpus(tmp_path / "out", "train")
    assert row["caption"] == CAPTION and row["descriptors"]["age"] == "young adult"
    assert CORPUS.options.keys() == {"audio", "parts", "caption"}
