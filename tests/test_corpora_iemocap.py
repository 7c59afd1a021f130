"""IEMOCAP by its official layout: a release of full size, built here by its naming and its published counts."""

import itertools
import logging
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from xser.corpora.iemocap import CORPUS, find

COUNTS = {  # session → code → utterances
    1: {"neu": 384, "ang": 229, "sad": 194, "hap": 135, "exc": 143, "fru": 280},
    2: {"neu": 362, "ang": 137, "sad": 197, "hap": 117, "exc": 210, "fru": 325},
    3: {"neu": 320, "ang": 240, "sad": 305, "hap": 135, "exc": 151, "fru": 382},
    4: {"neu": 258, "ang": 327, "sad": 143, "hap": 65, "exc": 238, "fru": 481},
    5: {"neu": 384, "ang": 170, "sad": 245, "hap": 143, "exc": 299, "fru": 381},
}
TOTALS = {1: 1819, 2: 1811, 3: 2136, 4: 2103, 5: 2170}
RARE = {"sur": 107, "fea": 40, "dis": 2, "oth": 3, "xxx": 2507}
IMPROVISED = {"neu": 1099, "sad": 608, "ang": 289, "hap": 284, "exc": 663}
WOMEN = {1: 528, 2: 481, 3: 522, 4: 528, 5: 590}  # of the utterances of the five codes above
FIVE = ("neu", "ang", "sad", "hap", "exc")
SCRIPTS = ("script01_1", "script01_2", "script01_3", "script02_1", "script02_2", "script03_1", "script03_2")


def dialogues(session: int) -> list[str]:
    """151 in all: with a suffix in the man's motion capture of sessions 3 and 5."""
    improvised = [f"impro{n:02d}" for n in range(1, 8 if session == 1 else 9)]
    of = {"F": [*improvised, *SCRIPTS], "M": [*improvised, *SCRIPTS]}
    if session == 3:
        split = [f"{name}{part}" for name in ("impro05", "impro08") for part in "ab"]
        of["M"] = sorted([name for name in of["M"] if name not in ("impro05", "impro08")] + split)
    if session == 5:
        of["M"].append("script01_1b")
    return [f"Ses0{session}{captured}_{name}" for captured, names in of.items() for name in names]


def utterances() -> list[tuple[int, str, str]]:
    """(session, id, code) of 10,039 utterances that have all the counts above."""
    rng = random.Random(0)
    rare = [code for code, count in RARE.items() for _ in range(count)]
    rng.shuffle(rare)
    labels = []
    for session, counts in COUNTS.items():
        codes = [code for code, count in counts.items() for _ in range(count)]
        codes += [rare.pop() for _ in range(TOTALS[session] - len(codes))]
        rng.shuffle(codes)
        women = set([place for place, code in enumerate(codes) if code in FIVE][: WOMEN[session]])
        labels += [
            (session, "F" if place in women or (code not in FIVE and place % 2) else "M", code)
            for place, code in enumerate(codes)
        ]
    rng.shuffle(labels)  # so that improvised ones come from every session
    left = dict(IMPROVISED)
    numbers: Counter[str] = Counter()
    turns = {}
    for session in COUNTS:
        for kind in ("impro", "script"):
            turns[session, kind] = itertools.cycle([name for name in dialogues(session) if kind in name])
    rows = []
    for place, (session, letter, code) in enumerate(labels):
        if code in left:
            kind = "impro" if left[code] > 0 else "script"
            left[code] -= 1
        else:
            kind = "impro" if place % 2 else "script"
        speaker = f"{next(turns[session, kind])}_{letter}"
        rows.append((session, f"{speaker}{numbers[speaker]:03d}", code))
        numbers[speaker] += 1
    return rows


def write_release(root: Path, rows: list[tuple[int, str, str]], newline: str = "\n") -> Path:
    """Sessions with labels, words and one tiny recording under all its names."""
    root.mkdir(parents=True)
    recording = root / "one.wav"
    recording.write_bytes(b"RIFF")
    by_dialogue: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for session, name, code in rows:
        by_dialogue.setdefault((session, name.rsplit("_", 1)[0]), []).append((name, code))
    for (session, dialogue), turns in by_dialogue.items():
        home = root / f"Session{session}"
        wavs = home / "sentences" / "wav" / dialogue
        wavs.mkdir(parents=True)
        labels, words = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        for number, (name, code) in enumerate(turns):
            os.link(recording, wavs / f"{name}.wav")
            labels += [f"[{number}.2901 - {number}.8235]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]"]
            labels += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
            words.append(f"{name} [{number:03d}.2901-{number:03d}.8235]: Words of {name}.")
        words.reverse()  # joined by name, not by order
        words += ["M: Yeah.", f"{dialogue}_MXX0 [001.0000-002.0000]: Nobody labelled this."]
        for folder, lines in (("EmoEvaluation", labels), ("transcriptions", words)):
            (home / "dialog" / folder).mkdir(parents=True, exist_ok=True)
            (home / "dialog" / folder / f"{dialogue}.txt").write_text(newline.join(lines), newline="")
    recording.unlink()
    return root


SMALL = [
    (1, "Ses01F_impro01_F000", "neu"),
    (1, "Ses01F_impro01_M000", "exc"),
    (1, "Ses01F_impro01_M001", "xxx"),
    (1, "Ses01M_script01_1_F000", "hap"),
    (3, "Ses03M_impro05a_F000", "ang"),
    (5, "Ses05M_script01_1b_F001", "sad"),
    (5, "Ses05M_script01_1b_M001", "fru"),
]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("iemocap") / "IEMOCAP_full_release", utterances())


@pytest.fixture(scope="module")
def four(release):
    return find(release)


@pytest.fixture
def small(tmp_path):
    return write_release(tmp_path / "IEMOCAP_full_release", SMALL)


def by(rows: list[dict], column: str) -> dict:
    return dict(Counter(row[column] for row in rows))


def test_the_release_of_these_tests_has_the_published_counts():
    rows = utterances()
    assert len({name for _, name, _ in rows}) == 10_039
    assert [len(dialogues(session)) for session in COUNTS] == [28, 30, 32, 30, 31]
    assert Counter(code for _, _, code in rows)["xxx"] == 2_507


def test_four_emotions_are_5531_utterances_with_excited_as_happy(four):
    assert four.left_out == {}
    assert by(four.rows, "session") == {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241}
    assert by(four.rows, "emotion") == {"neutral": 1708, "happy": 1636, "angry": 1103, "sad": 1084}
    assert len(four.rows) == 5_531 == len({row["id"] for row in four.rows})
    assert all(row["fold"] == row["session"] == row["id"][4] for row in four.rows)


def test_speakers_are_ten_and_as_many_women_as_published(four):
    women = Counter(row["session"] for row in four.rows if row["gender"] == "female")
    assert women == {"1": 528, "2": 481, "3": 522, "4": 528, "5": 590}
    speakers = {row["speaker"]: row["gender"] for row in four.rows}
    assert speakers == {f"Ses0{n}{letter}": gender for n in range(1, 6) for letter, gender in
                        (("F", "female"), ("M", "male"))}  # fmt: skip


def test_without_excited_they_are_4490(release):
    found = find(release, labels="four_without_excited")
    assert by(found.rows, "emotion") == {"neutral": 1708, "happy": 595, "angry": 1103, "sad": 1084}


def test_six_emotions_are_7380(release):
    found = find(release, labels="six")
    assert len(found.rows) == 7_380
    assert by(found.rows, "emotion")["excited"] == 1_041 and by(found.rows, "emotion")["frustrated"] == 1_849


def test_all_10039_keep_their_labels_and_no_agreement_is_none(release):
    found = find(release, labels="all")
    assert len(found.rows) == 10_039 and found.left_out == {}
    assert by(found.rows, "session") == {"1": 1819, "2": 1811, "3": 2136, "4": 2103, "5": 2170}
    assert by(found.rows, "emotion") == {
        "neutral": 1708, "angry": 1103, "sad": 1084, "happy": 595, "excited": 1041, "frustrated": 1849,
        "surprised": 107, "fearful": 40, "disgusted": 2, None: 2507 + 3,
    }  # fmt: skip


def test_improvised_only_has_the_published_counts(release, caplog):
    with caplog.at_level(logging.INFO):
        found = find(release, improvised_only=True)
    assert by(found.rows, "emotion") == {"neutral": 1099, "sad": 608, "angry": 289, "happy": 284 + 663}
    assert all("impro" in row["id"] for row in found.rows) and found.left_out == {}
    assert f"does not use {10_039 - len(found.rows)} utterances" in caplog.text


def test_every_utterance_has_its_own_words_and_recording(four):
    for row in four.rows:
        assert row["text"] == f"Words of {row['id']}."
        assert Path(row["audio"]["path"]).stem == row["id"]
        assert Path(row["audio"]["path"]).parent.name == row["id"].rsplit("_", 1)[0]


def test_a_row_holds_what_is_known(small):
    row = next(row for row in find(small).rows if row["id"] == "Ses01F_impro01_M000")
    known = {name: value for name, value in row.items() if value is not None and name not in ("audio", "descriptors")}
    assert known == {
        "id": "Ses01F_impro01_M000", "text": "Words of Ses01F_impro01_M000.", "emotion": "happy",
        "speaker": "Ses01M", "gender": "male", "language": "en", "corpus": "iemocap", "session": "1", "fold": "1",
        "valence": 0.375, "arousal": 0.375, "dominance": 0.375, "ratings": ["neutral"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "speaker"),
    [("Ses01F_impro01_M000", "Ses01M"), ("Ses01M_script01_1_F000", "Ses01F"), ("Ses03M_impro05a_F000", "Ses03F"),
     ("Ses05M_script01_1b_F001", "Ses05F")],
)  # fmt: skip
def test_the_speaker_is_the_letter_of_the_last_token(small, name, speaker):
    (row,) = [row for row in find(small).rows if row["id"] == name]
    assert row["speaker"] == speaker and row["gender"] == {"F": "female", "M": "male"}[speaker[-1]]


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing(tmp_path):
    crlf = write_release(tmp_path / "crlf", SMALL, newline="\r\n")
    for path in crlf.glob("Session*/dialog/*/*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    lf = write_release(tmp_path / "lf", SMALL)
    for rows in zip(find(crlf, "all").rows, find(lf, "all").rows, strict=True):
        first, second = ({**row, "audio": None} for row in rows)
        assert first == second


@pytest.mark.parametrize("above", ["", "IEMOCAP_full_release", "IEMOCAP_full_release_withoutVideos/IEMOCAP"])
def test_the_release_may_lie_in_folders(tmp_path, above):
    write_release(tmp_path / "data" / above, SMALL)
    assert len(find(tmp_path / "data").rows) == 5


def test_stubs_of_macos_and_files_of_single_raters_are_passed_over(small):
    (small / "._Session1").write_bytes(b"\0")
    session = small / "Session1"
    labels = session / "dialog" / "EmoEvaluation"
    (labels / "._Ses01F_impro01.txt").write_bytes(b"\0\5\x16\7")
    (session / "sentences" / "wav" / "Ses01F_impro01" / "._Ses01F_impro01_F000.wav").write_bytes(b"\0")
    for folder in ("Attribute", "Categorical", "Self-evaluation"):
        (labels / folder).mkdir()
        (labels / folder / "Ses01F_impro01.txt").write_text("[1.0 - 2.0]\tSes01F_impro01_F000\tang\t[1, 1, 1]\n")
    found = find(small)
    assert by(found.rows, "emotion") == {"neutral": 1, "happy": 2, "angry": 1, "sad": 1}
    assert set(found.left_out) == {"Session2", "Session4"}


def test_extensions_and_codes_may_be_in_capitals(small):
    wav = small / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    wav.rename(wav.with_suffix(".WAV"))
    labels = small / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    labels.write_text(labels.read_text().replace("\tneu\t", "\tNEU\t"))
    row = next(row for row in find(small).rows if row["id"] == "Ses01F_impro01_F000")
    assert row["emotion"] == "neutral" and row["audio"]["path"].endswith(".WAV")


def test_words_are_cleaned_of_tags_tabs_and_bytes_that_are_not_utf8(small):
    words = small / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    words.write_bytes(
        b"Ses01F_impro01_F000 [006.2901-008.2357]: [LAUGHTER] Excuse\tme.  [garbage]\r\n"
        b"Ses01F_impro01_M000 [008.2901-009.2357]: [BREATHING]\n"
        b"Ses01F_impro01_M001 [009.2901-010.2357]: caf\xe9\n"
    )
    texts = {row["id"]: row["text"] for row in find(small, "all").rows}
    assert texts["Ses01F_impro01_F000"] == "Excuse me."
    assert texts["Ses01F_impro01_M000"] is None  # no words
    assert texts["Ses01F_impro01_M001"] == "caf\N{REPLACEMENT CHARACTER}"


def test_without_transcriptions_words_are_not_known_and_a_warning_says_so(small, caplog):
    folder = small / "Session5/dialog/transcriptions"
    folder.rename(folder.with_name("elsewhere"))
    (row,) = [row for row in find(small).rows if row["session"] == "5"]
    assert row["text"] is None and f"{folder} is missing" in caplog.text


def test_what_cannot_be_a_row_is_named_and_the_others_stay(small):
    (small / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav").unlink()
    (small / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001.wav").unlink()  # of no protocol: no loss
    (small / "Session1/dialog/EmoEvaluation/Ses01M_script01_1.txt").unlink()
    labels = small / "Session3/dialog/EmoEvaluation/Ses03M_impro05a.txt"
    with labels.open("a") as file:
        file.write(
            "[8.1 - 9.1]\tSes03M_impro05a_F000\tsad\t[2, 2, 2]\n[9.1 - 9.2]\tSes03M_impro05a_M000\tglad\t[2, 2, 2]\n[9"
        )
    found = find(small)
    assert [row["id"] for row in found.rows] == [
        "Ses01F_impro01_F000", "Ses03M_impro05a_F000", "Ses05M_script01_1b_F001",
    ]  # fmt: skip
    table = "Session3/dialog/EmoEvaluation/Ses03M_impro05a.txt"
    reasons = found.left_out
    assert reasons["Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav"] == "the recording is missing"
    assert reasons["Session1/sentences/wav/Ses01M_script01_1/Ses01M_script01_1_F000.wav"] == (
        "Session1/dialog/EmoEvaluation/Ses01M_script01_1.txt has no label of it"
    )
    assert reasons[f"{table}, line 6"] == "Ses03M_impro05a_F000 has a label already"
    assert "'glad' is not one of ['ang'" in reasons[f"{table}, line 7"]
    assert reasons[f"{table}, line 8"] == "'[9' is no utterance"
    assert len(reasons) == 7  # and sessions 2 and 4


def test_what_is_not_iemocap_is_named(tmp_path, small):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find(tmp_path / "nowhere")
    (tmp_path / "release.tar.gz").touch()
    with pytest.raises(NotADirectoryError, match="is a file: unpack it"):
        find(tmp_path / "release.tar.gz")
    with pytest.raises(
        FileNotFoundError, match=r"is not IEMOCAP: looked for Session1/dialog/EmoEvaluation; there is d"
    ):
        find(small / "Session1")
    for path in small.glob("Session*/sentences"):
        path.rename(path.with_name("not_here"))
    with pytest.raises(
        FileNotFoundError, match=r"has its recording in Session\*/sentences/wav; left out: \[\('Session1"
    ):
        find(small)


def test_one_session_in_two_places_is_refused(tmp_path):
    write_release(tmp_path / "a", SMALL)
    write_release(tmp_path / "b", SMALL)
    with pytest.raises(ValueError, match=r"session 1 is there twice: .*a/Session1 and .*b/Session1"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "4"}, r"labels is '4', not one of \['four', "),
        ({"improvised_only": "yes"}, "improvised_only is 'yes': give true or false"),
        ({"protocol": "loso"}, r"protocol is 'loso'; known are \['emobox'\]"),
        (
            {"protocol": "emobox", "labels": "six"},
            "protocol 'emobox' has labels='four' and scripted dialogues: labels='six'",
        ),
        ({"protocol": "emobox", "improvised_only": True}, "improvised_only=True are not its utterances"),
    ],
)
def test_unknown_options_are_refused(small, options, message):
    with pytest.raises(ValueError, match=message):
        find(small, **options)


def test_the_corpus_names_the_options_of_find():
    assert CORPUS.name == "iemocap" and set(CORPUS.options) == {"labels", "improvised_only", "protocol"}


RATED = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 3.0000, 5.0000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral state; Excited;\t()
C-E4:\tOther;\t(impatient)
C-F1:\tAnger;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M000\texc\t[6.0000, 1.0000, 1.0000]
C-E2:\tHappiness; Frustration;\t()
"""


def test_dimensions_come_from_0_to_1_and_each_rater_s_emotions_in_the_words_of_the_labels(small):
    (small / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt").write_text(RATED)
    rows = {row["id"]: row for row in find(small).rows}
    woman, man = rows["Ses01F_impro01_F000"], rows["Ses01F_impro01_M000"]
    assert (woman["valence"], woman["arousal"], woman["dominance"]) == (0.375, 0.5, 1.0)
    assert woman["ratings"] == ["neutral", "neutral", "happy", "other"]  # excited is happy here; no actor's own
    assert (man["valence"], man["arousal"]) == (None, 0.0)  # 6 is not on the scale
    assert man["ratings"] == ["happy", "frustrated"]
    rows = {row["id"]: row for row in find(small, "all").rows}
    assert rows["Ses01F_impro01_F000"]["ratings"] == ["neutral", "neutral", "excited", "other"]


def test_a_table_without_dimensions_or_raters_has_none(small):
    labels = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\n\n"
    (small / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt").write_text(labels)
    row = next(row for row in find(small).rows if row["id"] == "Ses01F_impro01_F000")
    assert row["valence"] is row["arousal"] is row["dominance"] is row["ratings"] is None


def test_the_protocol_of_emobox_is_the_5531_utterances_by_session(release, small, caplog):
    with caplog.at_level(logging.WARNING):
        rows = find(release, protocol="emobox").rows
    assert by(rows, "fold") == {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241} and not caplog.records
    find(small, protocol="emobox")
    assert "folds of another size than emobox publishes: 1: 3 of 1,085, 2: 0 of 1,023" in caplog.text
