"""Labels of users' tables: one spelling each, and what was changed is stated."""

import pytest

from xser.corpora.cells import Cells
from xser.corpora.labels import Labels, emotion_label, gender_label, level_label, slot_name, split_label, stated
from xser.corpora.schema import EMOTIONS


@pytest.mark.parametrize(
    ("written", "emotion"),
    [("ANG", "angry"), ("Anger", "angry"), ("Sadness", "sad"), (" SAD ", "sad"), ("fea", "fearful"), ("joy", "happy"),
     ("joyful", "joyful"), ("Freude", "Freude"), ("very_sad", "very sad"), ("bitter-sweet", "bitter-sweet")],
)  # fmt: skip
def test_known_emotions_have_one_spelling_and_others_stay(written, emotion):
    assert emotion_label(written) == emotion == emotion_label(emotion)


def test_every_emotion_of_the_schema_is_its_own_spelling():
    assert [emotion_label(name.upper()) for name in EMOTIONS] == list(EMOTIONS)


@pytest.mark.parametrize("written", ["0", "sad!", "", "angry|sad", "happy1"])
def test_what_cannot_stand_in_an_answer_is_refused(written):
    with pytest.raises(ValueError, match=r"emotion .* cannot stand in an answer: use letters"):
        emotion_label(written)


@pytest.mark.parametrize("label", [emotion_label, gender_label, split_label])
def test_a_label_that_is_no_text_is_refused(label):
    with pytest.raises(ValueError, match="label 3 is not text"):
        label(3)


@pytest.mark.parametrize(
    ("written", "gender"),
    [("F", "female"), ("Female", "female"), ("m", "male"), ("MALE", "male"), ("woman", "female"), ("man", "male"),
     ("non-binary", "non-binary")],
)  # fmt: skip
def test_genders_have_one_spelling(written, gender):
    assert gender_label(written) == gender


@pytest.mark.parametrize(
    ("written", "split"),
    [("Train", "train"), ("training", "train"), ("val", "validation"), ("DEV", "validation"), ("eval", "validation"),
     ("Test", "test"), ("test_unseen", "test_unseen")],
)  # fmt: skip
def test_splits_have_one_spelling(written, split):
    assert split_label(written) == split


def test_names_of_own_descriptors_and_their_levels():
    assert slot_name("speaking_style") == "speaking style" and level_label("gender", "F") == "female"
    with pytest.raises(ValueError, match="level of arousal '3' cannot stand"):
        level_label("arousal", "3")


def row(**known) -> dict:
    return {"emotion": None, "gender": None, "split": None, "descriptors": {}} | known


def test_own_labels_that_differ_by_case_become_one_and_it_is_stated():
    labels = Labels(levels={"arousal": None})
    written = [("Joyful", "Low"), ("joyful", "low"), ("Freude", "LOW"), ("ANG", "high")]
    rows = [row(emotion=labels.emotion(e), descriptors={"arousal": labels.level("arousal", a)}) for e, a in written]
    became = labels.settle(rows)
    assert [(r["emotion"], r["descriptors"]["arousal"]) for r in rows] == [
        ("joyful", "low"), ("joyful", "low"), ("Freude", "low"), ("angry", "high")
    ]  # fmt: skip
    assert became == {
        "emotion": {"Joyful": "joyful", "ANG": "angry"},
        "arousal": {"Low": "low", "LOW": "low"},
    }
    assert stated(became) == "emotion: ANG → angry, Joyful → joyful; arousal: LOW → low, Low → low"


@pytest.mark.parametrize(
    ("written", "kept"),
    [(["train", "dev", "eval"], ["train", "validation", "test"]), (["train", "eval"], ["train", "validation"]),
     (["dev", "Eval", "test"], ["validation", "eval", "test"]), (["Train", "TRAIN"], ["train", "train"])],
)  # fmt: skip
def test_an_evaluation_part_beside_a_development_part_is_the_test(written, kept):
    labels = Labels()
    rows = [row(split=labels.split(name)) for name in written]
    labels.settle(rows)
    assert [r["split"] for r in rows] == kept


def test_a_map_goes_first_and_cells_that_say_nothing_are_not_known():
    labels = Labels(emotion_map={"W": "anger", "L": None})
    assert [labels.emotion(name) for name in ("W", "L", "nan", "N/A")] == ["angry", None, None, None]
    assert labels.gender("unknown") is None and labels.emotion(" w ") == "angry"
    assert Labels(emotion_map={0: "sad", "a": "joyful", "A": "gloomy"}).emotion("0") == "sad"
    assert [Labels(emotion_map={"a": "joyful", "A": "gloomy"}).emotion(name) for name in "aA"] == ["joyful", "gloomy"]
    with pytest.raises(ValueError, match=r"emotion '7' cannot .*; or name it in emotion_map, as in \{'7': 'angry'\}"):
        labels.emotion("7")
    with pytest.raises(ValueError, match=r"emotion_map\['W'\]: emotion 'r@ge' cannot .*; or give None"):
        Labels(emotion_map={"W": "r@ge"})


def test_a_gender_that_is_not_known_is_none_as_column_and_as_descriptor():
    cells = Cells(descriptors={"gender": ["F", "M"]})
    values = [{"gender": name} for name in ("F", "unknown", "male", "Unknown")]
    rows = [cells.row("here", each) for each in values]
    cells.settle(rows)
    assert [row["gender"] for row in rows] == ["female", None, "male", None]
    assert [row["descriptors"]["gender"] for row in rows] == ["female", None, "male", None]


def test_a_level_that_a_tool_wrote_for_an_empty_cell_is_not_known():
    cells = Cells(descriptors=["laughter"])
    rows = [cells.row("here", {"laughter": name, "pitch": "NaN"}) for name in ("none", "much", "nan", "N/A")]
    cells.settle(rows)
    assert [row["descriptors"]["laughter"] for row in rows] == ["none", "much", None, None]
    assert {row["descriptors"]["pitch"] for row in rows} == {None}


def test_levels_are_those_that_were_asked_for():
    labels = Labels(levels={"arousal": ("low", "high")})
    assert labels.level("arousal", "LOW") == "low"
    with pytest.raises(ValueError, match=r"arousal 'mid' is not one of \['low', 'high'\]"):
        labels.level("arousal", "mid")
