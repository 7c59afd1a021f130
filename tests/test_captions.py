"""A caption says what its description says: every wording, label and order is read back to the letter."""

import itertools
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xser
from xser.caption_clauses_xser import WORDINGS
from xser.captions_xser import CaptionForm
from xser.grammar_xser import OWN_SLOTS, EmotionDescription, LabelSchema

DESCRIPTORS = {
    "age": ("young", "middle-aged", "elderly"),
    "gender": ("female", "male"),
    "pitch": ("low", "normal", "high"),
    "volume": ("quiet", "normal", "loud"),
    "speed": ("slow", "normal", "fast"),
    "tone": ("falling", "flat", "rising"),
}
SCHEMA = LabelSchema(("angry", "happy", "euphoric"), DESCRIPTORS)
FORM = CaptionForm(SCHEMA)
LEVELS = {
    "age": "young", "gender": "female", "pitch": "high", "volume": "loud", "speed": "fast", "tone": "rising",
}  # fmt: skip
FULL = EmotionDescription(LEVELS, ("never",), "angry", "I never said that")
WORDING_7 = (
    "Here is a young, female voice, keeping the pitch raised, keeping the volume loud, keeping the pace fast, "
    'in an upward tone, saying "I never said that", sounding angry, with emphasis on "never".'
)
DOCS = (Path(xser.__file__).parent / "docs" / "captions.md").read_text()

# Names that look like parts of captions, begin like one another, or mean something in a wording
NAMES = (
    "a", "an", "and", "angry", "at", "being", "deep", "deep high", "female", "female speaker", "happy", "high",
    "high-pitched", "high pitch", "high pitched voice", "higher", "level", "loud", "loud volume", "no word", "normal",
    "of young age", "old", "pitch", "saying", "someone", "someone saying", "someone sounding angry", "sounding",
    "speaker", "speaker talking with a high", "stress on", "talking", "the", "The speaker sounds", "thirties",
    "thirty-something", "very high", "voice", "with", "with a high pitch", "words", "young", "young and wild",
    "young speaker", "ÜBER", "çok yüksek", "高い", "тихий голос", "teens", "This is", "whose pitch is", "clip",
)  # fmt: skip
SLOTS = ("age", "gender", "pitch", "volume", "speed", "tone", *NAMES)
TEXTS = (
    "", "never", 'sounding "angry".', 'she said ", sounding happy, with stress on " twice', "\\", '\\"', '"',
    '" and "', 'a" and "b', "This is someone sounding angry.", "ends, with a comma,", "Ünïcödé 高い",
    "pitch: high | tone: flat",
)  # fmt: skip


def random_text(rng: random.Random, pool=TEXTS) -> str:
    letters = "".join(rng.choices('abc"\\,. é高', k=rng.randrange(12)))
    return " ".join((rng.choice(pool) + letters).split())


def random_schema(rng: random.Random) -> LabelSchema:
    descriptors = {}
    for slot in rng.sample(sorted(set(SLOTS)), rng.randrange(5)) + rng.sample(list(DESCRIPTORS), rng.randrange(4)):
        if slot in DESCRIPTORS and rng.random() < 0.5:
            descriptors[slot] = DESCRIPTORS[slot]
        else:
            descriptors[slot] = tuple(rng.sample(NAMES, rng.randrange(2, 7)))
    transcript = rng.random() < 0.8
    emphasis = transcript and rng.random() < 0.8
    slots = [*descriptors, *(["transcript"] if transcript else []), "emotion", *(["emphasis"] if emphasis else [])]
    rng.shuffle(slots)
    if emphasis:
        first, second = sorted((slots.index("transcript"), slots.index("emphasis")))
        slots[first], slots[second] = "transcript", "emphasis"
    return LabelSchema(tuple(rng.sample(NAMES, 4)), descriptors, emphasis, transcript, slots)


def random_description(rng: random.Random, schema: LabelSchema) -> EmotionDescription:
    slots = [slot for slot in schema.slots if rng.random() < 0.7]
    values = {slot: rng.choice(schema.descriptors[slot]) for slot in slots if slot in schema.descriptors}
    own = dict.fromkeys(OWN_SLOTS)
    if "emotion" in slots:
        own["emotion"] = rng.choice(schema.emotions)
    if "transcript" in slots:
        own["transcript"] = random_text(rng)
    if "emphasis" in slots:
        words = (random_text(rng) for _ in range(rng.randrange(4)))
        own["emphasis"] = tuple(word for word in words if word)
    return EmotionDescription(values, **own)


def random_cases(seed: int, schemas: int, answers: int):
    rng = random.Random(seed)
    made = 0
    while made < schemas:
        try:
            schema = random_schema(rng)
        except ValueError:  # two names that differ by case, spaces or hyphens alone
            continue
        made += 1
        form = CaptionForm(schema)
        for _ in range(answers):
            yield rng, form, random_description(rng, schema)


def test_the_canonical_caption_reads_as_documented():
    caption = (
        "This is a young, female speaker, talking with a high pitch, at a loud volume, at a fast pace, "
        'in a rising tone, saying "I never said that", sounding angry, with stress on "never".'
    )
    assert FORM.to_text(FULL) == caption
    assert caption in " ".join(DOCS.split())


def test_the_examples_of_the_docs_are_right():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        exec(block, names)
    form, description, reading = names["form"], names["description"], names["reading"]
    assert f"    {form.to_text(description)}\n" in DOCS
    assert reading.description == EmotionDescription({"gender": "female"}, None, "sad", "Go on.")
    assert reading.unread == {"speed": "normal, slow", "emphasis": ""}
    assert WORDING_7 in " ".join(DOCS.split())
    slots = description.slots
    for index, slot in enumerate(slots):
        value = form.value(slots, index, description.value(slot))
        assert f"| {slot} | `{form.literal(slots, index)}` | `{value}` |" in DOCS


@pytest.mark.parametrize(
    ("slots", "caption"),
    [
        ([], ""),
        (["emotion"], "This is someone sounding angry."),
        (["gender"], "This is a female speaker."),
        (["age", "emotion"], "This is a young speaker, sounding angry."),
        (["transcript"], 'This is someone saying "I never said that".'),
        (["pitch", "volume"], "This is someone talking with a high pitch, at a loud volume."),
        (["gender", "speed", "emotion"], "This is a female speaker, talking at a fast pace, sounding angry."),
        (
            ["transcript", "emphasis"],
            'This is someone saying "I never said that", with stress on "never".',
        ),
    ],
)
def test_any_slots_make_a_sentence(slots, caption):
    assert FORM.to_text(FULL.only(slots)) == caption


def test_labels_choose_their_article_and_none_stressed_is_said():
    description = EmotionDescription({"age": "elderly", "tone": "rising"}, (), "euphoric", "")
    assert FORM.to_text(description) == (
        'This is an elderly speaker, talking in a rising tone, saying "", sounding euphoric, with stress on no word.'
    )
    assert FORM.value(["emphasis"], 0, ("a", "b", "c")) == ' "a" and "b" and "c"'


def test_ages_in_decades_read_as_adjectives():
    form = CaptionForm(LabelSchema(("angry", "sad"), {"age": ("teens", "twenties")}))
    captions = [form.to_text(EmotionDescription({"age": age})) for age in ("teens", "twenties")]
    assert captions == ["This is a teenage speaker.", "This is a twenty-something speaker."]


def test_an_own_descriptor_has_a_clause():
    form = CaptionForm(LabelSchema(("angry", "sad"), {"speaking style": ("formal", "informal")}))
    description = EmotionDescription({"speaking style": "informal"})
    assert form.to_text(description) == "This is someone talking with an informal speaking style."


def test_ten_thousand_random_answers_survive_the_round_trip():
    count = 0
    for rng, form, description in random_cases(seed=0, schemas=400, answers=25):
        wording = rng.choice((0, rng.randrange(10**6)))
        order = rng.choice((None, rng.sample(form.schema.slots, len(form.schema.slots))))
        caption = form.to_text(description, wording, order)
        assert form.from_text(caption, order) == description, caption
        count += 1
    assert count == 10_000


def test_values_are_never_the_beginning_of_one_another():
    for _, form, description in random_cases(seed=1, schemas=200, answers=4):
        slots = [slot for slot in form.schema.slots if slot in description.slots]
        for index, slot in enumerate(slots):
            labels = form.schema.emotions if slot == "emotion" else form.schema.descriptors.get(slot, ())
            values = [form.value(slots, index, label) for label in labels]
            end = form.literal(slots, index + 1)
            assert len(set(values)) == len(values)
            assert not [pair for pair in itertools.permutations(values, 2) if pair[1].startswith(pair[0] + end[0])]
            assert form.literal(slots, index) and end
            if slot == "emphasis":
                assert end[0] != form.word_separator[0]


@pytest.mark.parametrize("slot", [*WORDINGS])
def test_every_known_slot_has_four_wordings_and_uses_them(slot):
    slots = ["volume", slot] if slot in ("age", "gender") else [slot]
    if slot == "emphasis":
        slots = ["transcript", slot]
    descriptors = {**DESCRIPTORS, "range": ("flat", "normal", "expressive")}  # which shares levels with the tone
    rest = [other for other in (*SCHEMA.slots, "range") if other not in slots]
    form = CaptionForm(LabelSchema(SCHEMA.emotions, descriptors, order=[*slots, *rest]))
    assert form.clauses.wordings[slot] == WORDINGS[slot]
    description = replace(FULL, levels={**LEVELS, "range": "expressive"}).only(slots)
    drawn = {form._wording(slot, wording) for wording in range(100)}
    assert drawn == set(WORDINGS[slot]) and len(drawn) >= 4
    assert all(form.from_text(form.to_text(description, wording)) == description for wording in range(100))


def test_slots_draw_their_wordings_independently():
    clauses = {(FORM._wording("pitch", w), FORM._wording("speed", w)) for w in range(500)}
    assert clauses == set(itertools.product(WORDINGS["pitch"], WORDINGS["speed"]))
    subjects = {FORM.to_text(FULL.only(["age", "gender"]), wording) for wording in range(500)}
    assert len(subjects) == 4 * 2 * 4  # openings, words for young, nouns


def test_a_wording_is_the_same_in_every_process():
    assert FORM.to_text(FULL, 7) == WORDING_7


def test_synonyms_give_way_to_labels():
    form = CaptionForm(LabelSchema(("angry", "sad"), {"volume": ("quiet", "low", "loud", "high")}))
    texts = {
        level: {form.value(["volume"], 0, level, wording).split()[-1] for wording in range(50)}
        for level in form.schema.descriptors["volume"]
    }
    assert texts == {"quiet": {"quiet", "soft"}, "low": {"low"}, "loud": {"loud"}, "high": {"high"}}


def test_two_slots_with_the_same_levels_stay_apart():
    schema = LabelSchema(("angry", "sad"), {"age": ("other", "young"), "gender": ("female", "other")})
    form = CaptionForm(schema)
    for levels in ({"age": "other"}, {"gender": "other"}, {"age": "other", "gender": "other"}):
        assert form.from_text(form.to_text(EmotionDescription(levels))) == EmotionDescription(levels)


def test_a_slot_named_like_another_one_with_its_level_has_other_wordings():
    levels = {"deep pitch": ("high", "low"), "pitch": ("high deep", "low")}  # both: "with a high deep pitch"
    form = CaptionForm(LabelSchema(("angry", "sad"), levels))
    both = EmotionDescription({"deep pitch": "high", "pitch": "high deep"})
    assert form.from_text(form.to_text(both)) == both
    clauses = [form.to_text(both.only([slot])) for slot in levels]
    assert sorted(clauses) == [
        "This is someone talking at a high deep pitch.",
        "This is someone talking with a high deep pitch.",
    ]


def test_where_no_wording_is_clear_the_slot_is_named_with_a_colon():
    levels = {"accent is": ("b", "b c"), "accent": ("is b", "is b c")}  # both: "whose accent is is b"
    form = CaptionForm(LabelSchema(("angry", "sad"), levels))
    both = EmotionDescription({"accent is": "b", "accent": "is b"})
    assert form.to_text(both) == "This is someone whose accent is is b, with accent: is b."
    assert form.from_text(form.to_text(both)) == both


def test_labels_that_cannot_be_named_are_refused_before():
    with pytest.raises(ValueError, match="emotions 'sad, or not'"):
        LabelSchema(("angry", "sad, or not"))


@given(st.text(st.sampled_from('abc ,."\\\n'), max_size=12), st.text(max_size=12), st.integers())
def test_transcripts_and_words_survive_whatever_they_hold(text, word, wording):
    description = EmotionDescription({}, (word, "b"), "angry", text)
    try:
        caption = FORM.to_text(description, wording)
    except ValueError as error:
        assert "must be printable" in str(error)
        return
    assert FORM.from_text(caption) == description


def emotion_worded(number: int) -> CaptionForm:
    """A form whose canonical wording of the emotion is another one."""
    form = CaptionForm(SCHEMA)
    wordings = form.clauses.wordings["emotion"]
    form.clauses.wordings["emotion"] = (wordings[number],)
    return form


EMOTION_WORDED = [emotion_worded(number) for number in range(len(WORDINGS["emotion"]))]
# Of the wordings that these can spell, only the emotion's differ
PARTS = st.sampled_from(
    ["This is", "This is someone", " a young", ",", ".", ". ", ", ", "female", " speaker", "talking ", " saying", ' "',
     "with a high pitch", '"', '""', ' "a"', " and ", "\\", "sounding angry", "The speaker sounds",
     "with stress on no word"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(PARTS, max_size=12).map("".join) | st.text(max_size=40))
def test_a_text_that_parses_is_a_caption_of_what_it_says(text):
    try:
        description = FORM.from_text(text)
    except ValueError:
        return
    assert text in [form.to_text(description) for form in EMOTION_WORDED]


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("This is someone sounding angry", "full stop"),
        ("This is someone sounding furious.", "'This is someone sounding furious' cannot be read"),
        ("This is someone  sounding angry.", "cannot be read"),
        ("this is someone sounding angry.", "cannot be read"),
        ("This is someone sounding angry..", "cannot be read"),
        ("This is someone sounding angry, feeling angry.", "slot 'emotion' stands twice"),
        ("This is someone sounding angry, with a high pitch.", "out of their places"),
        (
            "This is someone talking with a high pitch, talking at a fast pace.",
            "', talking at a fast pace' of 'speed' is out of its place",
        ),
        ("This is a young, sounding angry.", "'This is a young' of 'age' is out of its place"),
        ("sounding angry.", "cannot be read"),
        (", sounding angry.", "cannot be read"),
        (" sounding angry.", "cannot be read"),
        ('This is someone saying "a" and "b".', "must be one quotation"),
        ('This is someone saying "a".".', "cannot be read"),
        (r'This is someone saying "a\b".', "escapes"),
        ('This is someone saying "a".  ', "full stop"),
        ('This is someone saying " a".', "spaces at its ends"),
        ('This is someone saying "a", with stress on "".', "emphasised word ''"),
        ('This is someone saying "a", with stress on "b", "c".', "cannot be read"),
        ('This is someone saying "a", with stress on b.', "'with stress on b' cannot be read"),
    ],
)
def test_deviations_are_refused_by_name(caption, named):
    with pytest.raises(ValueError, match=named):
        FORM.from_text(caption)


@pytest.mark.parametrize(
    ("description", "named"),
    [
        (EmotionDescription({}, None, "sad"), "emotion 'sad' is not one of"),
        (EmotionDescription({"pitch": "middle"}), "pitch 'middle' is not one of"),
        (EmotionDescription({"accent": "british"}), "'accent' is none"),
        (EmotionDescription({}, None, None, "two\nlines"), "transcript"),
        (EmotionDescription({}, (" a",), None, "a"), "emphasised word"),
    ],
)
def test_what_the_schema_lacks_cannot_be_written(description, named):
    with pytest.raises(ValueError, match=named):
        FORM.to_text(description)
    with pytest.raises(ValueError, match="lacks"):
        FORM.to_text(FULL, order=["emotion"])
    with pytest.raises(ValueError, match="'sad' is not one of"):
        FORM.value(["emotion"], 0, "sad")
