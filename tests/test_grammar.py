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
)


def test_full_answer_reads_as_documented():
    description = EmotionDescription({"pitch": "high", "tone": "flat"}, ("never",), "angry")
    assert description.to_text() == 'pitch: high | tone: flat | emphasis: "never" | emotion: angry'


def test_unknown_slots_are_left_out_and_no_emphasis_is_said():
    assert EmotionDescription({}, (), None).to_text() == "emphasis: none"
    assert EmotionDescription({}, None, "sad").to_text() == "emotion: sad"


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
        ("emotion: sad | pitch: high", "after its place"),
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
        ("tone: flat | pitch: high", "in the order"),
        ("volume: loud", "must be some of"),
    ],
)
def test_labels_outside_the_schema_are_refused(text, named):
    with pytest.raises(ValueError, match=named):
        EmotionDescription.from_text(text, SCHEMA)


def test_describe_leaves_missing_labels_out_and_invents_none():
    row = {"pitch": None, "tone": "flat", "speed": "fast", "emphasis": None}
    assert SCHEMA.describe(None, row) == EmotionDescription({"tone": "flat"}, None, None)
    assert SCHEMA.describe("sad", {"emphasis": []}) == EmotionDescription({}, (), "sad")
    with pytest.raises(ValueError, match="'middle'"):
        SCHEMA.describe("sad", {"pitch": "middle"})


@pytest.mark.parametrize("word", ["", " a", "a\n", "\x00"])
def test_words_that_cannot_be_written_are_refused(word):
    with pytest.raises(ValueError, match="emphasised word"):
        quote(word)
