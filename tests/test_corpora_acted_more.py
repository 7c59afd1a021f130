"""nEMO, SAVEE, TESS and ESD by their official layouts: every id, tiny files, exact counts."""

import codecs
from itertools import product
from pathlib import Path

import pytest
from corpus_files import by, plant

from xser.corpora.esd import CORPUS as ESD
from xser.corpora.nemo import CORPUS as NEMO
from xser.corpora.savee import CORPUS as SAVEE
from xser.corpora.schema import FEATURES
from xser.corpora.tess import CORPUS as TESS

SHARED = Path(__file__).parents[2] / "shared" / "data"
SAVEE_TAKES = [f"{code}{take:02}" for code in ("a", "d", "f", "h", "sa", "su") for take in range(1, 16)]
SAVEE_TAKES += [f"n{take:02}" for take in range(1, 31)]
TESS_CODES = ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")
TESS_FOLDERS = dict(zip(TESS_CODES, ("angry", "disgust", "Fear", "happy", "neutral", "Pleasant_surprise", "Sad"),
                        strict=True))  # fmt: skip
TESS_WORDS = [f"{a}{b}{c}" for a, b, c in product("bcdfg", "aeiou", "klmnprst")]  # 200
ESD_FOLDERS = ("Neutral", "Angry", "Happy", "Sad", "Surprise")
ESD_MANDARIN = ("中立", "生气", "快乐", "伤心", "惊喜")
NEMO_CODES = {"anger": 749, "fear": 736, "happiness": 749, "neutral": 809, "sadness": 769, "surprised": 669}


def only_row(found, name: str) -> dict:
    (row,) = (row for row in found.rows if row["id"] == name)
    assert set(row) == set(FEATURES)
    return row


# SAVEE


@pytest.mark.parametrize("layout", ["AudioData/{}/{}.wav", "ALL/{}_{}.wav", "ALL/{}{}.WAV"])
def test_savee_has_480_takes_in_any_layout(tmp_path, layout):
    names = [layout.format(speaker, take) for speaker in ("DC", "JE", "JK", "KL") for take in SAVEE_TAKES]
    root = plant(tmp_path / "SAVEE", [*names, "Info.txt", "ALL/._DC_a01.wav"])
    found = SAVEE.find(root)
    assert (len(found.rows), found.left_out) == (480, {})
    assert by(found.rows, "emotion") == {
        "angry": 60, "disgusted": 60, "fearful": 60, "happy": 60, "neutral": 120, "sad": 60, "surprised": 60
    }  # fmt: skip
    assert by(found.rows, "fold") == by(found.rows, "speaker") == dict.fromkeys(("DC", "JE", "JK", "KL"), 120)
    assert by(found.rows, "gender") == {"male": 480}
    row = only_row(found, "JK_su07")
    assert (row["emotion"], row["text"], row["language"], row["corpus"]) == ("surprised", None, "en", "savee")
    assert row["audio"] == {"bytes": None, "path": str(root / layout.format("JK", "su07"))}


def test_savee_names_what_is_missing_foreign_or_there_twice(tmp_path):
    takes = [take for take in SAVEE_TAKES if take not in ("a03", "n30")]
    root = plant(
        tmp_path / "s", [f"DC/{take}.wav" for take in takes] + ["DC/noise.wav", "x/a01.wav", "ALL/DC_a01.wav"]
    )
    found = SAVEE.find(root)
    assert len(found.rows) == 118
    assert found.left_out == {
        "DC/noise.wav": "its name and folder are not like DC/a01.wav or DC_a01.wav",
        "x/a01.wav": "its name and folder are not like DC/a01.wav or DC_a01.wav",
        "DC/a01.wav": "a second recording of DC_a01",
        "DC_a03": "the recording is missing",
        "DC_n30": "the recording is missing",
    }


# TESS


def tess_names(folder: str = "") -> list[str]:
    names = []
    for speaker, word, code in product(("OAF", "YAF"), TESS_WORDS, TESS_CODES):
        misnamed = (speaker, word, code) == ("OAF", TESS_WORDS[7], "neutral")
        place = f"{speaker}_{TESS_FOLDERS[code]}/" if folder == "kaggle" else folder
        names.append(f"{place}{'OA' if misnamed else speaker}_{word}_{code}.wav")
    return names


@pytest.mark.parametrize("layout", ["", "kaggle", "nested"])
def test_tess_has_2800_clips_in_any_layout(tmp_path, layout):
    names = tess_names("kaggle" if layout == "nested" else layout)
    if layout == "nested":
        names += [f"TESS Toronto emotional speech set data/{name}" for name in names]
    root = plant(tmp_path / "TESS Toronto emotional speech set data", names)
    found = TESS.find(root)
    assert (len(found.rows), found.left_out) == (2800, {})
    assert by(found.rows, "emotion") == dict.fromkeys(
        ("angry", "disgusted", "fearful", "happy", "neutral", "surprised", "sad"), 400
    )
    assert by(found.rows, "fold") == by(found.rows, "speaker") == {"OAF": 1400, "YAF": 1400}
    row = only_row(found, f"OAF_{TESS_WORDS[7]}_neutral")
    assert row["audio"]["path"].endswith(f"OA_{TESS_WORDS[7]}_neutral.wav")
    assert (row["text"], row["speaker"], row["gender"], row["age"], row["language"]) == (
        f"Say the word {TESS_WORDS[7]}", "OAF", "female", 64, "en"
    )  # fmt: skip


def test_tess_names_the_word_that_an_emotion_lacks(tmp_path):
    names = [name for name in tess_names() if not name.startswith("YAF_bak_ps")]
    found = TESS.find(plant(tmp_path / "t", [*names, "OA_bak_sad.wav", "OAF_bak_bored.wav"]))
    assert len(found.rows) == 2799
    assert found.left_out == {
        "OA_bak_sad.wav": "a second recording of OAF_bak_sad",
        "OAF_bak_bored.wav": "its name is not like that of OAF_back_angry.wav",
        "YAF_bak_ps": "the recording is missing",
    }


# ESD


def esd_tables(root: Path, count: int) -> None:
    """Transcripts of 20 speakers, in the encodings that the corpus has them in; a few lines have spaces for tabs."""
    for speaker in range(1, 21):
        english = speaker > 10
        lines = []
        for place, number in product(range(5), range(1, count + 1)):
            text = f"Sentence {number} is très \x93sad\x94." if speaker in (16, 17) else f"Sentence {number} is sad."
            text = text if english else f"第{number}句话。"
            label = ESD_FOLDERS[place] if english else ESD_MANDARIN[place]
            gap = " " if number == 2 else "\t"
            lines.append(f"{speaker:04}_{place * 350 + number:06}{gap}{text}{gap}{label}")
        text = "\r\n".join([*lines, "", ""])
        path = root / f"{speaker:04}/{speaker:04}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if speaker in (3, 6, 7, 8, 10, 12, 13, 14, 18, 19):
            path.write_bytes((codecs.BOM_UTF16_LE if speaker != 19 else b"") + text.encode("utf-16-le"))
        else:
            path.write_bytes(text.encode("gb2312" if not english else "latin-1" if speaker in (16, 17) else "ascii"))


def esd_names(count: int, deep: bool = False) -> list[str]:
    names = []
    for speaker, place, number in product(range(1, 21), range(5), range(1, count + 1)):
        part = ("train/", "evaluation/", "test/")[number % 3] if deep else ""
        names.append(f"{speaker:04}/{ESD_FOLDERS[place]}/{part}{speaker:04}_{place * 350 + number:06}.wav")
    return names


def test_esd_has_1750_clips_of_each_speaker(tmp_path):
    """All of one speaker of each language; the corpus has ten such pairs, 35,000 clips."""
    inner = "Emotional Speech Dataset (ESD)/Emotion Speech Dataset"
    names = [f"{inner}/{name}" for name in esd_names(350) if name.startswith(("0004/", "0019/"))]
    found = ESD.find(plant(tmp_path / "ESD", names))
    assert (len(found.rows), found.left_out) == (3500, {})
    assert by(found.rows, "emotion") == dict.fromkeys(("neutral", "angry", "happy", "sad", "surprised"), 700)
    assert by(found.rows, "language") == {"zh": 1750, "en": 1750}
    assert by(found.rows, "speaker") == {"0004": 1750, "0019": 1750}
    row = only_row(found, "0019_001051")
    assert (row["emotion"], row["gender"], row["fold"], row["corpus"]) == ("sad", "female", "5", "esd")


@pytest.mark.parametrize("deep", [False, True])
def test_esd_reads_every_encoding_at_either_depth(tmp_path, deep):
    esd_tables(tmp_path / "ESD", 3)
    found = ESD.find(plant(tmp_path / "ESD", esd_names(3, deep)))
    assert (len(found.rows), found.left_out) == (300, {})
    for row in found.rows:
        speaker, number = row["id"].split("_")
        number = (int(number) - 1) % 350 + 1
        if int(speaker) <= 10:
            assert (row["text"], row["language"]) == (f"第{number}句话。", "zh")
        elif speaker in ("0016", "0017"):
            assert row["text"] == f"Sentence {number} is très “sad”."
        else:
            assert (row["text"], row["language"]) == (f"Sentence {number} is sad.", "en")
    men = {int(row["speaker"]) for row in found.rows if row["gender"] == "male"}
    assert men == {4, 5, 6, 8, 10, 11, 12, 13, 14, 20}
    assert by(found.rows, "split") == {None: 300}


def test_esd_folds_share_no_speaker_and_have_both_languages_and_genders(tmp_path):
    rows = ESD.find(plant(tmp_path / "ESD", esd_names(1))).rows
    folds = {fold: [row for row in rows if row["fold"] == fold] for fold in "12345"}
    speakers = [{row["speaker"] for row in part} for part in folds.values()]
    assert [len(part) for part in speakers] == [4] * 5 and len(set.union(*speakers)) == 20
    for part in folds.values():
        assert by(part, "language") == {"zh": 10, "en": 10} and set(by(part, "gender")) == {"male", "female"}


def test_esd_comes_by_language_and_with_its_official_parts_where_asked_for(tmp_path):
    esd_tables(tmp_path / "ESD", 3)
    root = plant(tmp_path / "ESD", esd_names(3, deep=True))
    assert by(ESD.find(root, language="english").rows, "language") == {"en": 150}
    assert by(ESD.find(root, language="mandarin").rows, "language") == {"zh": 150}
    assert by(ESD.find(root, parts="official").rows, "split") == {"train": 100, "validation": 100, "test": 100}
    with pytest.raises(ValueError, match=r"language is 'en', not one of \['mandarin', 'english', 'all'\]"):
        ESD.find(root, language="en")
    with pytest.raises(
        ValueError, match=r"0001_000351\.wav is in none of the folders \['train', 'evaluation', 'test'\]"
    ):
        ESD.find(plant(tmp_path / "flat", esd_names(1)), parts="official")


def test_esd_names_what_is_missing_misplaced_or_unread(tmp_path):
    root = plant(
        tmp_path / "ESD", ["0011/Angry/0011_000351.wav", "0011/Sad/0011_000352.wav", "0011/Sad/0011_001751.wav"]
    )
    lines = [f"0011_{number:06}\tHello there.\tAngry" for number in (351, 352, 353)]
    (root / "0011/0011.txt").write_text("\n".join(lines))
    (root / "0001").mkdir()
    (root / "0001/0001.txt").write_bytes(b"0001_000001\t\xff\xff\xff\t\xff")
    found = ESD.find(root)
    assert [(row["id"], row["text"], row["emotion"]) for row in found.rows] == [
        ("0011_000351", "Hello there.", "angry")
    ]
    assert found.left_out == {
        "0011/Sad/0011_000352.wav": "its number means Angry, its folder says Sad",
        "0011/Sad/0011_001751.wav": "its number is not within 1 to 1750",
        "0011_000353": "the recording is missing",
        "0001/0001.txt": "in none of the encodings of ESD: its utterances have no transcript",
    }


def test_esd_reads_an_english_table_with_chinese_quotation_marks(tmp_path):
    root = plant(tmp_path / "ESD", ["0011/Angry/0011_000351.wav"])
    (root / "0011/0011.txt").write_bytes("0011_000351\tShe said “no”.\tAngry\r\n".encode("gb2312"))
    assert ESD.find(root).rows[0]["text"] == "She said “no”."


# nEMO


def nemo_lines() -> list[tuple[str, str, int, str, str]]:
    """(speaker, emotion, number, gender, age) of 4,481 clips, with the gaps of the corpus: MK0 is never surprised."""
    speakers = ["EB0", "IC0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0", "WR0"]
    lines = []
    for emotion, count in NEMO_CODES.items():
        able = [speaker for speaker in speakers if (speaker, emotion) != ("MK0", "surprised")]
        clips = list(product(range(1, 91), able))[:count]
        lines += [(speaker, emotion, n, "female" if speaker < "KR" else "male", "27") for n, speaker in clips]
    return lines


def write_nemo(root: Path, extra: str = "") -> list[str]:
    lines = nemo_lines()
    table = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n" + "".join(
        f"{who}_{emotion}_{n}.wav\t{emotion}\tZdanie {n}, źle.\tzdanie {n} źle\t        {who}\t{gender}\t{age}\n"
        for who, emotion, n, gender, age in lines
    )
    root.mkdir(parents=True)
    (root / "data.tsv").write_text(table + extra, encoding="utf-8")
    return [f"samples/{who}_{emotion}_{n}.wav" for who, emotion, n, *_ in lines]


def test_nemo_has_4481_clips_and_its_speakers_no_spaces(tmp_path):
    root = tmp_path / "nEMO"
    found = NEMO.find(plant(root, write_nemo(root)))
    assert (len(found.rows), found.left_out) == (4481, {})
    assert by(found.rows, "emotion") == {
        "angry": 749, "fearful": 736, "happy": 749, "neutral": 809, "sad": 769, "surprised": 669
    }  # fmt: skip
    assert by(found.rows, "speaker") == by(found.rows, "fold") and len(by(found.rows, "speaker")) == 9
    row = only_row(found, "WR0_surprised_64")
    assert row["audio"] == {"bytes": None, "path": str(root / "samples/WR0_surprised_64.wav")}
    assert (row["text"], row["speaker"], row["gender"], row["age"], row["language"], row["split"]) == (
        "zdanie 64 źle", "WR0", "male", 27, "pl", None
    )  # fmt: skip


def test_nemo_names_lines_without_recordings_and_recordings_without_lines(tmp_path):
    root = tmp_path / "nEMO"
    names = write_nemo(
        root, "EB0_anger_1.wav\tfear\tx\tx\tEB0\tfemale\t27\nEB0_joy_1.wav\tjoy\tx\tx\tEB0\tfemale\t27\n"
    )
    names.remove("samples/EB0_anger_2.wav")
    found = NEMO.find(plant(root, [*names, "samples/ZZ0_anger_1.wav"]))
    assert len(found.rows) == 4480
    assert found.left_out == {
        "EB0_anger_2.wav (data.tsv, line 11)": "the recording is missing",
        "EB0_anger_1.wav (data.tsv, line 4483)": "its name does not go with speaker 'EB0' and emotion 'fear'",
        "EB0_joy_1.wav (data.tsv, line 4484)": "its name is not like WR0_surprised_64",
        "samples/ZZ0_anger_1.wav": "data.tsv has no good line for it",
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            b"file_id\temotion\n",
            r"data\.tsv: columns \['speaker_id', .*\] are missing; its header is \['file_id', 'emo",
        ),
        ("file_id\temotion\tź\n".encode("cp1250"), r"data\.tsv is not UTF-8 \(.* at byte 16\): save it as UTF-8"),
        (
            b"file_id\temotion\tnormalized_text\tspeaker_id\tgender\tage\nWR0_fear_1.wav\tfear\n",
            "line 2: its number of",
        ),
    ],
)
def test_nemo_says_what_is_wrong_with_a_table(tmp_path, table, message):
    (tmp_path / "data.tsv").write_bytes(table)
    with pytest.raises(ValueError, match=message):
        NEMO.find(tmp_path)


@pytest.mark.skipif(not (SHARED / "nemo").is_dir(), reason="nEMO is not beside this checkout")
def test_nemo_finds_the_real_copy_with_seven_speakers():
    found = NEMO.find(SHARED / "nemo")
    assert (len(found.rows), found.left_out) == (3775, {})
    assert sorted(by(found.rows, "speaker")) == ["EB0", "IC0", "KD0", "KS0", "SM0", "TP0", "WR0"]
    row = only_row(found, "EB0_anger_1")
    assert (row["text"], row["emotion"], row["gender"], row["age"]) == (
        "lubię czytać przed snem",
        "angry",
        "female",
        27,
    )


# all of them


@pytest.mark.parametrize(
    ("corpus", "looked_for"),
    [
        (SAVEE, "SAVEE: looked for AudioData/DC/a01.wav"),
        (TESS, "TESS: looked for OAF_back_angry.wav"),
        (ESD, "ESD: looked for 0011/Angry/0011_000351.wav"),
        (NEMO, "nEMO: looked for data.tsv and samples/"),
    ],
)
def test_another_folder_is_refused_with_what_was_looked_for_and_what_is_there(tmp_path, corpus, looked_for):
    root = plant(tmp_path / "other", ["clips/1.wav", "notes.txt"])
    with pytest.raises(FileNotFoundError, match=f"other is not {looked_for}.*; there is clips, notes.txt"):
        corpus.find(root)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        corpus.find(tmp_path / "nowhere")
