"""CREMA-D, RAVDESS and EmoDB by their official naming: sets of full size, and each known variant and defect."""

import inspect
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest
from corpus_files import by, known, plant

from xser.corpora import crema_d, emodb, ravdess

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 61234\n"


def no_speaker_crosses_folds(rows: list[dict]) -> bool:
    return len({row["speaker"] for row in rows}) == len({(row["speaker"], row["fold"]) for row in rows})


# ------------------------------------------------------------------------------------------------------- CREMA-D

MALE = set(range(1001, 1049))  # 48 of 91; which ones does not matter here
ACTED = ("ANG", "DIS", "FEA", "HAP", "SAD")


def crema_clips() -> list[str]:
    """7,442: every actor says one sentence at three levels and eleven at none, and twenty clips are not there."""
    clips = []
    for actor in range(1001, 1092):
        for sentence in crema_d.SENTENCES:
            levels = ("LO", "MD", "HI") if sentence == "IEO" else ("XX",)
            clips += [f"{actor}_{sentence}_{code}_{level}" for code in ACTED for level in levels]
            clips.append(f"{actor}_{sentence}_NEU_XX")
    for code, missing in (*((code, 3) for code in ACTED), ("NEU", 5)):
        for clip in [clip for clip in clips if f"_DFA_{code}_" in clip][:missing]:
            clips.remove(clip)
    return clips


def write_demographics(root: Path, newline: str = "\n") -> None:
    people = [(actor, 20 + actor % 55, "Male" if actor in MALE else "Female") for actor in range(1001, 1092)]
    lines = [
        '"ActorID","Age","Sex","Race","Ethnicity"',
        *(f'{a},{age},"{sex}","Asian","Hispanic"' for a, age, sex in people),
    ]
    (root / "VideoDemographics.csv").write_text(newline.join([*lines, ""]), newline="")


def write_clips(root: Path, clips: list[str]) -> None:
    lines = ['"Stimulus_Number","Filename"', *(f'{n},"{clip}"' for n, clip in enumerate(clips, start=1))]
    (root / "SentenceFilenames.csv").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def crema(tmp_path_factory):
    root = tmp_path_factory.mktemp("crema") / "CREMA-D"
    plant(root, [f"AudioWAV/{clip}.wav" for clip in crema_clips()])
    write_demographics(root, newline="\r\n")
    write_clips(root, crema_clips())
    return root


@pytest.fixture(scope="module")
def crema_found(crema):
    return crema_d.find(crema)


def test_crema_d_is_7442_clips_with_the_published_counts(crema_found):
    found = crema_found
    assert len(found.rows) == 7_442 == len({row["id"] for row in found.rows}) and found.left_out == {}
    acted = dict.fromkeys(("angry", "disgusted", "fearful", "happy", "sad"), 1271)
    assert by(found.rows, "emotion") == {**acted, "neutral": 1087}
    speakers = {row["speaker"]: row["gender"] for row in found.rows}
    assert Counter(speakers.values()) == {"male": 48, "female": 43}


def test_crema_d_has_five_folds_by_actor(crema_found):
    rows = crema_found.rows
    assert no_speaker_crosses_folds(rows)
    actors = Counter(fold for _, fold in {(row["speaker"], row["fold"]) for row in rows})
    assert actors == {"1": 18, "2": 19, "3": 18, "4": 18, "5": 18}


def test_a_row_of_crema_d_holds_what_its_name_and_table_say(crema, crema_found):
    row = next(row for row in crema_found.rows if row["id"] == "1001_IEO_FEA_HI")
    assert known(row) == {
        "id": "1001_IEO_FEA_HI", "text": "It's eleven o'clock", "emotion": "fearful", "speaker": "1001",
        "gender": "male", "age": 31, "language": "en", "corpus": "crema-d", "fold": "2",
    }  # fmt: skip
    assert row["audio"] == {"bytes": None, "path": str(crema / "AudioWAV" / "1001_IEO_FEA_HI.wav")}


def test_the_renamed_clip_of_crema_d_has_its_published_name(tmp_path):
    root = plant(tmp_path, ["archive/AudioWAV/1040_ITH_SAD_X.wav"])
    write_clips(root, ["1040_ITH_SAD_XX"])
    found = crema_d.find(root)
    assert [row["id"] for row in found.rows] == ["1040_ITH_SAD_XX"] and found.left_out == {}


def test_crema_d_without_its_table_knows_no_gender_and_says_so(tmp_path, caplog):
    (row,) = crema_d.find(plant(tmp_path, ["1001_DFA_ANG_XX.WAV"])).rows
    assert row["gender"] is None and row["age"] is None and row["emotion"] == "angry"
    assert "holds no VideoDemographics.csv: gender and age are not known" in caplog.text


def test_a_table_of_crema_d_without_its_columns_is_named(tmp_path):
    root = plant(tmp_path, ["1001_DFA_ANG_XX.wav"])
    (root / "VideoDemographics.csv").write_text("ActorID,Gender\n1001,Male\n")
    with pytest.raises(
        ValueError, match=r"VideoDemographics\.csv: columns \['Age', 'Sex'\] are missing; its header is"
    ):
        crema_d.find(root)


def test_git_lfs_pointers_are_told_from_recordings(tmp_path):
    plant(tmp_path, [f"AudioWAV/{1001 + n}_DFA_ANG_XX.wav" for n in range(3)], POINTER)
    with pytest.raises(ValueError, match=r"AudioWAV holds Git LFS pointers .*\(3 of 3\).*`git lfs pull`"):
        crema_d.find(tmp_path)
    plant(tmp_path, ["AudioWAV/1005_DFA_ANG_XX.wav"])
    found = crema_d.find(tmp_path)
    assert [row["id"] for row in found.rows] == ["1005_DFA_ANG_XX"]
    reason = "a Git LFS pointer, not the recording: run `git lfs pull`"
    assert found.left_out == {f"AudioWAV/{1001 + n}_DFA_ANG_XX.wav": reason for n in range(3)}


def test_missing_and_misnamed_clips_of_crema_d_are_named(tmp_path):
    seen = ["AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1001_DFA_RAGE_XX.wav"]
    passed_over = [
        "AudioWAV/._1002_DFA_ANG_XX.wav",
        "__MACOSX/1003_DFA_ANG_XX.wav",
        "VideoFlash/x.wav",
        "AudioWAV/a.txt",
    ]
    root = plant(tmp_path, [*seen, *passed_over])
    write_clips(root, ["1001_DFA_ANG_XX", "1002_DFA_ANG_XX"])
    found = crema_d.find(root)
    assert [row["id"] for row in found.rows] == ["1001_DFA_ANG_XX"]
    assert found.left_out == {
        "AudioWAV/1001_DFA_RAGE_XX.wav": "its name is not like that of 1001_DFA_ANG_XX.wav",
        "1002_DFA_ANG_XX.wav": "the recording is missing",
    }


def test_what_raters_heard_can_be_the_label(tmp_path):
    root = plant(tmp_path, [f"AudioWAV/1001_DFA_{code}_XX.wav" for code in ("ANG", "DIS", "SAD", "HAP")])
    with pytest.raises(FileNotFoundError, match=r"holds no processedResults/summaryTable\.csv, which labels='voted'"):
        crema_d.find(root, labels="voted")
    (root / "processedResults").mkdir()
    (root / "processedResults" / "summaryTable.csv").write_text(
        '"","FileName","VoiceVote","VoiceLevel"\n"1","1001_DFA_ANG_XX","N","71"\n"2","1001_DFA_DIS_XX","N:S","60"\n'
        '"3","1001_DFA_SAD_XX","D","60"\n'
    )
    rows = crema_d.find(root, labels="voted").rows
    assert {row["id"][9:12]: row["emotion"] for row in rows} == {
        "ANG": "neutral", "DIS": None, "SAD": "disgusted", "HAP": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"labels is 'heard', not one of \['acted', 'voted'\]"):
        crema_d.find(root, labels="heard")


def test_ratings_of_crema_d_are_of_the_voice_alone(tmp_path):
    root = plant(tmp_path, [f"AudioWAV/1001_DFA_{code}_XX.wav" for code in ("ANG", "DIS", "SAD")])
    assert all(row["ratings"] is None for row in crema_d.find(root).rows)
    (root / "processedResults").mkdir()
    table = root / "processedResults" / "tabulatedVotes.csv"
    header = '"","A","D","F","H","N","S","fileName","numResponses"\n'
    table.write_text(
        f'{header}"100001",2,0,0,0,1,1,"1001_DFA_ANG_XX",4\n"200001",9,0,0,0,0,0,"1001_DFA_ANG_XX",9\n'
        '"300002",0,9,0,0,0,0,"1001_DFA_DIS_XX",9\n"100003",0,0,0,0,0,0,"1001_DFA_SAD_XX",0\n'
    )
    ratings = {row["id"][9:12]: row["ratings"] for row in crema_d.find(root).rows}
    assert ratings == {"ANG": ["angry", "angry", "neutral", "sad"], "DIS": None, "SAD": None}
    table.write_text(f'{header}"100001",two,0,0,0,1,1,"1001_DFA_ANG_XX",4\n')
    with pytest.raises(ValueError, match=r"tabulatedVotes\.csv, line 2: .*'two'.* are no whole numbers"):
        crema_d.find(root)


# ------------------------------------------------------------------------------------------------------- RAVDESS


def ravdess_names(channel: str) -> list[str]:
    """1,440 of speech or 1,012 of song, as they lie in the archives."""
    names = []
    for actor in range(1, 25):
        if channel == "02" and actor == 18:
            continue
        emotions = [f"{n:02d}" for n in range(1, 9 if channel == "01" else 7)]
        for emotion, intensity, statement, repetition in itertools.product(emotions, *[("01", "02")] * 3):
            if (emotion, intensity) != ("01", "02"):
                numbers = ("03", channel, emotion, intensity, statement, repetition, f"{actor:02d}")
                names.append(f"Actor_{actor:02d}/{'-'.join(numbers)}.wav")
    return names


@pytest.fixture(scope="module")
def ravdess_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ravdess")
    plant(root, [f"Audio_Speech_Actors_01-24/{name}" for name in ravdess_names("01")])
    return plant(root, [f"Audio_Song_Actors_01-24/{name}" for name in ravdess_names("02")])


def test_ravdess_is_1440_recordings_of_speech(ravdess_folder):
    found = ravdess.find(ravdess_folder)
    assert len(found.rows) == 1_440 and found.left_out == {}
    others = ("calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
    assert by(found.rows, "emotion") == {"neutral": 96, **dict.fromkeys(others, 192)}
    assert by(found.rows, "gender") == {"male": 720, "female": 720}
    assert set(by(found.rows, "speaker").values()) == {60}


def test_ravdess_has_six_folds_of_two_women_and_two_men(ravdess_folder):
    rows = ravdess.find(ravdess_folder).rows
    assert no_speaker_crosses_folds(rows)
    people = {(row["fold"], row["gender"], row["speaker"]) for row in rows}
    assert Counter((fold, gender) for fold, gender, _ in people) == {
        (str(fold), gender): 2 for fold in range(1, 7) for gender in ("female", "male")
    }


def test_song_of_ravdess_is_an_option(ravdess_folder):
    song = ravdess.find(ravdess_folder, channel="song")
    assert len(song.rows) == 1_012 and song.left_out == {}
    assert "Actor_18" not in by(song.rows, "speaker") and set(by(song.rows, "speaker").values()) == {44}
    assert len(ravdess.find(ravdess_folder, channel="both").rows) == 2_452
    with pytest.raises(ValueError, match=r"channel is 'sung', not one of \['speech', 'song', 'both'\]"):
        ravdess.find(ravdess_folder, channel="sung")


def test_a_row_of_ravdess_holds_what_its_numbers_say(ravdess_folder):
    row = next(row for row in ravdess.find(ravdess_folder).rows if row["id"] == "03-01-08-02-02-01-12")
    assert known(row) == {
        "id": "03-01-08-02-02-01-12", "text": "Dogs are sitting by the door", "emotion": "surprised",
        "speaker": "Actor_12", "gender": "female", "language": "en", "corpus": "ravdess", "fold": "3",
    }  # fmt: skip


def test_a_second_copy_of_ravdess_counts_once_and_one_of_other_contents_is_named(tmp_path, ravdess_folder):
    names = [name for name in ravdess_names("01") if name.startswith("Actor_01/")]
    plant(tmp_path, [*names, *(f"audio_speech_actors_01-24/{name}" for name in names)])
    odd = tmp_path / "audio_speech_actors_01-24" / names[0]
    odd.unlink()
    odd.write_bytes(b"RIFF and more")
    found = ravdess.find(tmp_path)
    assert len(found.rows) == 60
    assert all(Path(row["audio"]["path"]).parent == tmp_path / "Actor_01" for row in found.rows)
    reason = f"{names[0]} has its name, and other contents"
    assert found.left_out == {f"audio_speech_actors_01-24/{names[0]}": reason}


def test_what_an_actor_of_ravdess_lacks_is_named(tmp_path):
    names = [name for name in ravdess_names("01") if name.startswith("Actor_07/")]
    plant(tmp_path, [*names[1:], "Actor_07/03-01-09-01-01-01-07.wav", "Actor_07/._03-01-01-01-01-01-07.wav"])
    found = ravdess.find(tmp_path)
    assert len(found.rows) == 59
    assert found.left_out == {
        "Actor_07/03-01-01-01-01-01-07.wav": "the recording is missing",
        "Actor_07/03-01-09-01-01-01-07.wav": "its name is not like that of 03-01-06-01-02-01-01.wav",
    }


def test_ravdess_with_speech_alone_has_no_song(tmp_path):
    plant(tmp_path, ["Actor_01/03-01-01-01-01-01-01.wav"])
    with pytest.raises(
        FileNotFoundError, match=r"is not the song of RAVDESS: looked for Actor_01/03-02-.*; there is A"
    ):
        ravdess.find(tmp_path, channel="song")


def test_folders_may_be_links_even_in_a_circle(tmp_path):
    plant(tmp_path / "store" / "Actor_01", ["03-01-01-01-01-01-01.wav"])
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "Actor_01").symlink_to(tmp_path / "store" / "Actor_01")
    (tmp_path / "here" / "up").symlink_to(tmp_path / "here")
    assert [row["id"] for row in ravdess.find(tmp_path / "here").rows] == ["03-01-01-01-01-01-01"]


# --------------------------------------------------------------------------------------------------------- EmoDB

EMODB = {"W": 127, "L": 81, "N": 79, "F": 71, "A": 69, "T": 62, "E": 46}


def emodb_names() -> list[str]:
    names = []
    for code, count in EMODB.items():
        places = itertools.product("abcdef", emodb.SENTENCES, emodb.SPEAKERS)
        names += [f"{who}{text}{code}{take}" for take, text, who in itertools.islice(places, count)]
    return names


@pytest.fixture(scope="module")
def emodb_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("emodb")
    plant(root, [f"wav/{name}.wav" for name in emodb_names()])
    plant(root, [f"lablaut/{name}.lablaut" for name in emodb_names()])
    (root / "erkennung.txt").write_bytes("Satz\xa0\xa0erkannt\r\n03a01Fa.wav 90,00\r\n".encode("latin-1"))
    return root


def test_emodb_is_535_recordings_where_a_is_fear_and_w_anger(emodb_folder):
    found = emodb.find(emodb_folder)
    assert len(found.rows) == 535 and found.left_out == {}
    assert by(found.rows, "emotion") == {
        "angry": 127, "bored": 81, "neutral": 79, "happy": 71, "fearful": 69, "sad": 62, "disgusted": 46,
    }  # fmt: skip


def test_each_of_ten_speakers_of_emodb_is_a_fold(emodb_folder):
    rows = emodb.find(emodb_folder).rows
    assert all(row["fold"] == row["speaker"] for row in rows)
    men = {row["speaker"] for row in rows if row["gender"] == "male"}
    assert men == {"03", "10", "11", "12", "15"} and len(by(rows, "speaker")) == 10


@pytest.mark.parametrize("name", ["wav/16b10Lb.wav", "wav_corpus/16b10Lb.wav", "emodb/wav/16B10LB.WAV", "16b10Lb.wav"])
def test_a_row_of_emodb_holds_what_its_name_says_wherever_it_lies(tmp_path, name):
    (row,) = emodb.find(plant(tmp_path, [name, "wav/._16b10Lb.wav"])).rows
    assert known(row) == {
        "id": "16b10Lb", "text": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.", "emotion": "bored",
        "speaker": "16", "gender": "female", "age": 31, "language": "de", "corpus": "emodb", "fold": "16",
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize(
    ("module", "looked_for"),
    [(crema_d, "is not CREMA-D: looked for AudioWAV/1001_DFA_ANG_XX.wav"),
     (ravdess, "is not RAVDESS: looked for Actor_01/03-01-06-01-02-01-01.wav"),
     (emodb, "is not EmoDB: looked for wav/03a01Fa.wav")],
)  # fmt: skip
def test_what_is_not_the_corpus_is_named(tmp_path, module, looked_for):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/nowhere does not exist"):
        module.find(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{looked_for}; there is nothing")):
        module.find(tmp_path / "empty")
    plant(tmp_path / "other", [f"{letter}.wav" for letter in "abcdefghij"])
    with pytest.raises(FileNotFoundError, match=re.escape(f"{looked_for}; there is a.wav, b.wav, ")) as error:
        module.find(tmp_path / "other")
    assert str(error.value).endswith("h.wav and 2 more")
    with pytest.raises(NotADirectoryError, match="unpack it, and give the folder"):
        module.find(tmp_path / "other" / "a.wav")


@pytest.mark.parametrize("module", [crema_d, ravdess, emodb])
def test_options_of_the_corpus_are_those_of_find(module):
    _, *options = inspect.signature(module.find).parameters
    assert options == list(module.CORPUS.options) and module.CORPUS.find is module.find


def test_rows_come_in_the_order_of_their_ids(emodb_folder):
    ids = [row["id"] for row in emodb.find(emodb_folder).rows]
    assert ids == sorted(ids)
