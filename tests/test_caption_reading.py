"""What a foreign caption plainly says is read; what it does not say, or says twice, is named and never guessed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xser.captions_xser import CaptionForm
from xser.corpora.caption_reading import CaptionReader, Reading, read_caption
from xser.corpora.caption_words import meanings
from xser.grammar_xser import EmotionDescription, LabelSchema

# Levels as SpeechCraft's labels have them
SCHEMA = LabelSchema(
    ("fearful", "happy", "disgusted", "sad", "surprised", "angry", "neutral"),
    {
        "age": ("child", "teenager", "youth adult", "middle-aged", "elderly"),
        "gender": ("female", "male"),
        "pitch": ("low", "normal", "high"),
        "volume": ("low", "normal", "high"),
        "speed": ("slow", "normal", "fast"),
        "tone": ("falling", "flat", "rising"),
        "speaking style": ("formal", "casual"),
    },
)
READER = CaptionReader(SCHEMA)


def read(text: str) -> dict:
    """Slot → what is read."""
    description = READER.read(text).description
    return {slot: description.value(slot) for slot in description.slots}


def test_a_whole_caption_is_read():
    reading = read_caption(
        "With a low pitch and normal volume, a middle-aged man says slowly in a neutral mood, "
        '"It is late.", highlighting "late" with pronounced emphasis.',
        SCHEMA,
    )
    levels = {"age": "middle-aged", "gender": "male", "pitch": "low", "volume": "normal", "speed": "slow"}
    assert reading == Reading(
        EmotionDescription(levels, ("late",), "neutral", "It is late."), {"tone": "", "speaking style": ""}
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("She has a high-pitched voice.", {"gender": "female", "pitch": "high"}),
        ("Normal pitch and volume, a fast-paced delivery.", {"pitch": "normal", "volume": "normal", "speed": "fast"}),
        ("High pitch, volume, and speed that is slow.", {"pitch": "high", "volume": "high", "speed": "slow"}),
        ("A quiet voice with a deep pitch.", {"volume": "low", "pitch": "low"}),
        ("His speech is swift.", {"gender": "male", "speed": "fast"}),
        ("The pitch is high, and the pace was slow.", {"pitch": "high", "speed": "slow"}),
        ("Average speaking speed, low in volume.", {"speed": "normal", "volume": "low"}),
        ("Someone speaks fast and loudly, in a rising tone.", {"speed": "fast", "volume": "high", "tone": "rising"}),
        ("A formal speaking style.", {"speaking style": "formal"}),
        ("The speaking style is casual.", {"speaking style": "casual"}),
        ("A sad woman's voice; her sorrow is plain.", {"gender": "female", "emotion": "sad"}),
        ("Joyfully, with happiness and joy.", {"emotion": "happy"}),
        ("Not angry, but afraid.", {"emotion": "fearful"}),
        ("A teenage girl.", {"age": "teenager", "gender": "female"}),
        ("An old and tired speaker.", {"age": "elderly"}),
        ("A youth speaks.", {"age": "youth adult"}),
        ("A young adult male.", {"age": "youth adult", "gender": "male"}),
    ],
)
def test_levels_are_read_beside_their_words(text, said):
    assert read(text) == said


def test_a_noun_of_several_words_shares_a_level():
    levels = ("low", "high")
    schema = LabelSchema(("angry", "sad"), {"vocal effort": levels, "pitch": levels})
    description = read_caption("A high vocal effort and pitch.", schema).description
    assert description.levels == {"vocal effort": "high", "pitch": "high"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Low and loud.",  # of what?
        "In a low tone.",  # pitch or volume?
        "Not a high pitch, without much anger, and no slow pace.",
        "She isn't angry"[4:],
        "A slightly high pitch, a rather slow pace, a touch of sadness.",
        "A high volume of sales, at a fast pace of work.",
        "About anger.",
        "Speaks to a young woman about the old man.",
        "Two years old.",
        "A young crowd.",
        "An unusual pitch, an angular shape, the adulthood.",
        "这位年轻女士语速很快。",
        'Fast speech, "never closed.',
        'A loud voice, "one" and then, "two" and "three.',
    ],
)
def test_what_is_not_plainly_said_is_not_guessed(text):
    assert read(text) == {}
    assert READER.read(text).unread == dict.fromkeys(SCHEMA.slots, "")


@pytest.mark.parametrize(
    ("text", "slot", "labels"),
    [
        ("A low pitch. Later her pitch is high.", "pitch", "high, low"),
        ("From low to high pitch.", "pitch", "high, low"),
        ("A low or normal pitch.", "pitch", "low, normal"),
        ("She says slowly, at a fast pace.", "speed", "fast, slow"),
        ("A man speaks; she has a deep voice.", "gender", "female, male"),
        ("Happy and sad at once.", "emotion", "happy, sad"),
        ("An elderly speaker, or a teenager.", "age", "elderly, teenager"),
    ],
)
def test_contradictions_are_named(text, slot, labels):
    reading = READER.read(text)
    assert reading.description.value(slot) is None and reading.unread[slot] == labels


@pytest.mark.parametrize(
    ("text", "transcript", "emphasis"),
    [
        ('She says, "I am angry, at a fast pace."', "I am angry, at a fast pace.", None),
        (r"\"Go on.\" This man speaks.", "Go on.", None),
        ('A female voice: ""Winsome Waitress."" He stresses it.', "Winsome Waitress.", None),
        ("She says “Go  on.”", "Go on.", None),
        ('He says "Go on.", drawing attention to "go" by stressing it.', "Go on.", ("go",)),
        ('He says "Go on.", uttering "on" with particular stress.', "Go on.", ("on",)),
        ('With stress on "on" and "Go", he says "Go right on".', "Go right on", ("Go", "on")),
        ('He says "Go on" with stress on "go on".', "Go on", ("go", "on")),
        ('He says "Go on", with no particular emphasis.', "Go on", ()),
        ('He says "Go on", with stress on "off".', "Go on", None),  # a word that is not there
        ('He says "Gone", with stress on "go".', "Gone", None),
        ('He speaks of "freedom" slowly.', None, None),  # not introduced as what is said
        ('He says "Go", then says, "Come".', None, None),  # which?
        ('He stresses "Go".', None, None),  # the transcript, or a word of it?
        ('He says "".', None, None),
    ],
)
def test_quotations_are_told_apart(text, transcript, emphasis):
    description = READER.read(text).description
    assert (description.transcript, description.emphasis) == (transcript, emphasis)
    assert description.emotion is None  # what is quoted names no label


def test_slots_that_the_schema_lacks_are_not_read():
    schema = LabelSchema(("angry", "sad"), {"pitch": ("low", "high")}, emphasis=False, transcript=False)
    reading = read_caption('A sad man with a low pitch says slowly, "Go", stressing "Go".', schema)
    assert reading == Reading(EmotionDescription({"pitch": "low"}, None, "sad"), {})


def test_a_group_of_words_stands_for_the_one_label_in_it():
    group = [("quiet", "low", "soft")]
    assert meanings(("low", "loud"), group) == {
        ("quiet",): "low", ("low",): "low", ("soft",): "low", ("loud",): "loud",
    }  # fmt: skip
    assert meanings(("low", "soft"), group) == {("low",): "low", ("soft",): "soft"}
    assert meanings(("Youth-Adult", "old"), [("young", "youth adult")])[("young",)] == "Youth-Adult"


def random_descriptions(count: int):
    rng = random.Random(0)
    words = "never", "angry", "slowly", "said", "that", "high", "pitch", "she", "not"
    for _ in range(count):
        said = rng.sample(words, 4)
        description = EmotionDescription(
            {slot: rng.choice(levels) for slot, levels in SCHEMA.descriptors.items()},
            tuple(word for word in said if rng.random() < 0.3),
            rng.choice(SCHEMA.emotions),
            " ".join(said),
        )
        yield description.only([slot for slot in SCHEMA.slots if rng.random() < 0.8]), rng.randrange(10**6)


def test_captions_of_our_own_are_read_as_they_are_meant():
    form = CaptionForm(SCHEMA)
    for description, wording in random_descriptions(200):
        assert READER.read(form.to_text(description, wording)).description == description


def test_captions_of_our_own_are_never_misread_without_their_grammar(monkeypatch):
    form = CaptionForm(SCHEMA)
    reader = CaptionReader(SCHEMA)
    monkeypatch.setattr(reader, "_form", CaptionForm(LabelSchema(("x", "y"))))
    read = meant = 0
    for description, wording in random_descriptions(500):
        reading = reader.read(form.to_text(description, wording)).description
        assert reading == description.only(reading.slots), form.to_text(description, wording)
        read += len(reading.slots)
        meant += len(description.slots)
    assert read / meant > 0.75


@given(st.text(max_size=40) | st.lists(st.sampled_from(
    ["high", "low", "pitch", "and", ",", ".", '"', "no", "a", "young", "man", "in", "is", "of", "stress on", "said"]
), max_size=15).map(" ".join))  # fmt: skip
def test_any_text_is_read_without_an_error(text):
    reading = READER.read(text)
    slots = [slot for slot in SCHEMA.slots if reading.description.value(slot) is not None]
    assert sorted([*slots, *reading.unread]) == sorted(SCHEMA.slots)
    SCHEMA.check(reading.description)
