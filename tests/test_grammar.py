"""The answer grammar is strict both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xser.grammar_xser import EmotionDescription, LabelSchema, quote

SCHEMA = LabelSchema(("angry", "sad"), {"pitch": ("low", "high"), "tone": ("flat", "falling-rising")})
WORDS = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=12)
DESCRIPTIONS = st.builds(
    EmotionDescription,
    st.fixed_dictionaries(
        {},
        optional={"pitch": st.sampled_from(["low", "high"]), "tone": st.sampled_from(["flat", "falling-rising"])},
    ).map(lambda levels: dict(sorted(levels.items()))),  # in the schema's order
    st.none() | st.lists(WORDS, max_size=3).map(tuple),
    st.none() | st.sampled_from(["angry", "sad"]),
    st.none() | st.lists(WORDS, max_size=6).map(" ".join),
)


def test_full_answer_reads_as_documented():
    description = EmotionDescription({"pitch": "high", "tone": "flat"}, ("never",), "angry")
    assert description.to_text() == 'pitch: high | tone: flat | emotion: angry | emphasis: "never"'


def test_unknown_slots_are_left_out_and_no_emphasis_is_said():
    assert EmotionDescription({}, (), None).to_text() == "emphasis: none"
    assert EmotionDescription({}, None, "sad").to_text() == "emotion: sad"


def test_an_answer_with_a_transcript_reads_as_documented():
    description = EmotionDescription({"pitch": "high"}, ("never",), "angry", 'I "never" said')
    text = 'pitch: high | transcript: "I \\"never\\" said" | emotion: angry | emphasis: "never"'
    assert description.to_text() == text
    assert EmotionDescription.from_text(text, SCHEMA) == description


@given(DESCRIPTIONS, st.permutations(["pitch", "tone", "emotion", "own"]))
def test_every_order_of_a_schema_survives_the_round_trip(description, order):
    at = order.index("own")
    order = [*order[:at], "transcript", "emphasis", *order[at + 1 :]]
    schema = LabelSchema(SCHEMA.emotions, SCHEMA.descriptors, order=order)
    assert schema.slots == order
    text = description.to_text(schema.slots)
    assert EmotionDescription.from_text(text, schema if description.slots else None) == description
    places = [text.index(f"{slot}:") for slot in schema.filled(description) if slot in SCHEMA.descriptors]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"order": ["pitch", "tone", "emphasis", "transcript", "emotion"]}, "put transcript before it"),
        ({"transcript": False}, "set transcript, or leave it out"),
        ({"order": ["pitch", "transcript", "emotion", "emphasis"]}, "must hold each of"),
        ({"order": ["pitch", "pitch", "tone", "transcript", "emotion", "emphasis"]}, "must hold each of"),
        ({"order": "pitch"}, "must be a list"),
        ({"age_cuts": (30,)}, "0 years in rising order"),
    ],
)
def test_slots_that_need_what_comes_later_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        LabelSchema(SCHEMA.emotions, SCHEMA.descriptors, **options)


def test_age_and_gender_come_from_the_columns_of_the_data_under_the_names_of_the_schema():
    levels = {"age": ("child", "adult", "elderly"), "gender": ("woman", "man")}
    schema = LabelSchema(("angry", "sad"), levels, emphasis=False, age_cuts=(18, 65))
    years = {17: "child", 18: "adult", 64.9: "adult", 65: "elderly"}
    for age, level in years.items():
        assert schema.describe({"age": age, "gender": "Female"}).levels == {"age": level, "gender": "woman"}
    own = {"age": 70, "gender": None, "descriptors": {"age": "adult"}}
    assert schema.describe(own).levels == {"age": "adult"}
    with pytest.raises(ValueError, match="gender 'other' is not one of"):
        schema.describe({"gender": "other"})
    with pytest.raises(ValueError, match="age is 20 years; give age_cuts"):
        LabelSchema(("angry", "sad"), levels).describe({"age": 20})


def test_a_row_without_text_has_no_emphasis_to_choose():
    row = {"emotion": "sad", "descriptors": {"emphasis": ["never"]}}
    assert SCHEMA.describe(row) == EmotionDescription({}, None, "sad")
    said = SCHEMA.describe({**row, "text": " I\tnever  said\n"})
    assert said == EmotionDescription({}, ("never",), "sad", "I never said")


@given(DESCRIPTIONS)
def test_every_description_survives_the_round_trip(description):
    assert EmotionDescription.from_text(description.to_text(), SCHEMA if description.slots else None) == description


@given(st.text(max_size=60))
def test_a_text_that_parses_is_written_back_to_the_letter(text):
    try:
        description = EmotionDescription.from_text(text)
    except ValueError:
        return
    assert description.to_text() == text


def test_quotes_and_separators_inside_a_word_are_escaped():
    description = EmotionDescription({}, ('a"b', "c\\", "x | y"), "sad")
    assert EmotionDescription.from_text(description.to_text()) == description


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pitch:high", "slot: value"),
        ("pitch: high | pitch: low", "twice"),
        ("emotion: sad | pitch: high", "out of its place"),
        ('emphasis: "a | emotion: sad', "emphasis"),
        ("emphasis: never", "quoted"),
        ('emphasis: "a","b"', "quoted"),
        ("pitch: high |emotion: sad", "level of pitch"),
        ("pitch: high | emotion: sad ", "emotion"),
    ],
)
def test_deviations_are_refused_by_name(text, named):
    with pytest.raises(ValueError, match=named):
        EmotionDescription.from_text(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pitch: middle", "pitch 'middle' is not one of"),
        ("emotion: happy", "emotion 'happy' is not one of"),
        ("tone: flat | pitch: high", "the order is"),
        ("volume: loud", "must be some of"),
    ],
)
def test_labels_outside_the_schema_are_refused(text, named):
    with pytest.raises(ValueError, match=named):
        EmotionDescription.from_text(text, SCHEMA)


def test_describe_leaves_missing_labels_out_and_invents_none():
    row = {"pitch": None, "tone": "flat", "speed": "fast", "emphasis": None}
    assert SCHEMA.describe({"emotion": None, "descriptors": row}) == EmotionDescription({"tone": "flat"}, None, None)
    assert SCHEMA.describe({"emotion": "sad", "descriptors": {"emphasis": []}, "text": "no"}) == EmotionDescription(
        {}, (), "sad", "no"
    )
    with pytest.raises(ValueError, match="'middle'"):
        SCHEMA.describe({"descriptors": {"pitch": "middle"}})


@pytest.mark.parametrize("word", ["", " a", "a\n", "\x00"])
def test_words_that_cannot_be_written_are_refused(word):
    with pytest.raises(ValueError, match="emphasised word"):
        quote(word)
