"""Labels become sentences in many wordings, and every sentence gives its labels back."""

import functools
import itertools
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.descriptors.say import FRAMES, NO_STRESS, PHRASES, STRESS, num_wordings, parse, say
from xser.levels_xser import LEVELS

COMBINATIONS = [
    {slot: level for slot, level in zip(LEVELS, levels, strict=True) if level is not None}
    for levels in itertools.product(*[(None, *LEVELS[slot]) for slot in LEVELS])
][1:]  # without the one that says nothing
WORDS = st.text(st.characters().filter(lambda character: not character.isspace()), min_size=1, max_size=8)
LABELS = st.fixed_dictionaries(
    {},
    optional={
        **{slot: st.none() | st.sampled_from(levels) for slot, levels in LEVELS.items()},
        "emphasis": st.none()
        | st.lists(WORDS | st.sampled_from(["*", "\\", "and", ",", ".", "*.", "\\*"]), max_size=4),
    },
).filter(lambda labels: any(value is not None for value in labels.values()))


def known(labels):
    return {slot: value for slot, value in labels.items() if value is not None}


def test_labels_read_as_a_person_would_say_them():
    labels = {"pitch": "high", "volume": "loud", "speed": "fast", "tone": "rising", "emphasis": ["never"]}
    assert say(labels) == "high, loud, fast, rising at the end, with stress on *never*"
    assert parse("high and fast, loud, rising at the end, with stress on *never*") == labels
    del labels["speed"]
    assert say(labels, seed=0) == "The voice is rising at the end, loud and high-pitched, stressing *never*."
    sentence = "The voice is low in pitch, quiet and falling then rising at the end, stressing *my*, *old* and *cat*."
    assert parse(sentence) == {
        "pitch": "low",
        "volume": "quiet",
        "tone": "falling-rising",
        "emphasis": ["my", "old", "cat"],
    }
    assert say({"emphasis": []}, index=1) == "No word is stressed."
    assert say({"emphasis": ["a*b", "\\"]}) == r"with stress on *a\*b* and *\\*"


def test_every_level_has_wordings_of_its_own():
    assert {slot: tuple(of) for slot, of in PHRASES.items()} == LEVELS
    phrases = [phrase for of in PHRASES.values() for several in of.values() for phrase in several]
    assert len(set(phrases)) == len(phrases)


@pytest.mark.parametrize("emphasis", [None, [], ["never"], ["a,", "and", "*"]])
def test_every_combination_of_levels_comes_back_from_a_sentence(emphasis):
    assert len(COMBINATIONS) == 4 * 4 * 4 * 6 * 4 - 1
    for seed, levels in enumerate(COMBINATIONS):
        labels = levels if emphasis is None else {**levels, "emphasis": emphasis}
        assert parse(say(labels, seed=seed)) == labels


@pytest.mark.parametrize(
    "labels",
    [
        *[{slot: level, "emphasis": []} for slot in LEVELS for level in LEVELS[slot]],
        {"pitch": "high", "volume": "loud", "speed": "fast"},
        {"speed": "normal", "tone": "falling-rising", "emphasis": ["a", "b"]},
        {"emphasis": []},
        {"emphasis": ["x", "y", "z"]},
    ],
)
def test_every_wording_is_different_and_gives_the_labels_back(labels):
    sentences = [say(labels, index=index) for index in range(num_wordings(labels))]
    assert len(set(sentences)) == len(sentences)
    assert all(parse(sentence) == labels for sentence in sentences)


def test_two_levels_next_to_each_other_are_told_apart_in_every_wording():
    """Every phrase beside every other, joined by a comma or an `and`: nothing else decides where a phrase ends."""
    phrases = [(slot, level, phrase) for slot, of in PHRASES.items() for level in of for phrase in of[level]]
    for (slot, level, phrase), (other, its_level, its_phrase) in itertools.permutations(phrases, 2):
        if slot == other:
            continue
        for joint in (", ", " and "):
            assert parse(phrase + joint + its_phrase) == {slot: level, other: its_level}


def test_many_wordings_and_chance_finds_them():
    labels = dict(zip(LEVELS, ("high", "loud", "fast", "rising", "normal"), strict=True), emphasis=["never"])
    assert num_wordings(labels) == len(FRAMES) * 3 * 24 * len(STRESS) * 3**5
    assert len({say(labels, seed=seed) for seed in range(100)}) > 95
    assert num_wordings({"pitch": "low", "emphasis": []}) == len(FRAMES) * len(NO_STRESS) * 3


@settings(deadline=None)
@given(LABELS, st.integers())
def test_labels_survive_the_round_trip_and_a_seed_repeats(labels, seed):
    sentence = say(labels, seed=seed)
    assert parse(sentence) == known(labels)
    assert sentence == say(dict(reversed(labels.items())), seed=seed)


@functools.cache
def every_wording(pitch, volume, emphasis):
    labels = known({"pitch": pitch, "volume": volume, "emphasis": emphasis})
    return {say(labels, index=index) for index in range(num_wordings(labels))}


PIECES = ["high", "low in volume", ", ", " and ", ", with stress on ", "*a*", "*b*", ", stressing no word"]
PIECES += ["The voice is ", "The stress is on ", "."]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_what_parses_is_one_of_the_wordings(sentence):
    try:
        labels = parse(sentence)
    except ValueError:
        return
    emphasis = labels.get("emphasis")
    words = None if emphasis is None else tuple(emphasis)
    assert sentence in every_wording(labels.get("pitch"), labels.get("volume"), words)


def test_a_stressed_word_may_hold_any_character_but_whitespace():
    for start in range(0, sys.maxunicode + 1, 4096):
        word = "".join(c for c in map(chr, range(start, min(start + 4096, sys.maxunicode + 1))) if not c.isspace())
        assert parse(say({"emphasis": [word]})) == {"emphasis": [word]}


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("", r"at its end \(character 0\): expected a level"),
        ("shrill and loud", r"at 'shrill and loud' \(character 0\): expected a level"),
        ("high, shrill", r"at 'shrill' \(character 6\): expected a level"),
        ("highest", r"at 'est' \(character 4\): expected the end"),
        (
            "high and high-pitched",
            r"at 'high-pitched' \(character 9\): expected something else than pitch.*to be high",
        ),
        ("high and loud and fast", "commas with one 'and' at most"),
        ("high, loud and fast, rising at the end", "commas with one 'and' at most"),
        ("The voice is high", r"at its end \(character 17\): expected '.' and then the end"),
        ("The voice is high. ", r"at '. ' \(character 17\)"),
        ("high.", r"at '.' \(character 4\): expected the end"),
        ("high, with stress on never", r"at ', with stress on never' \(character 4\)"),
        ("high, with stress on *ne ver*", r"at '\*ne ver\*' \(character 21\): expected a word between asterisks"),
        (r"high, with stress on *a\b*", "character 21"),
        ("high, with stress on **", "character 21"),
        ("high, stressing *a*, *b*", r"at its end \(character 24\): expected one more word after 'and'"),
        ("high, stressing *a* and *b* and *c*", r"at ' and \*c\*' \(character 27\)"),
        ("The stress is on *a*", r"at its end \(character 20\)"),
        ("with stress on *a*, loud", r"at ', loud' \(character 18\)"),
        ("High and loud", "character 0"),
    ],
)
def test_a_sentence_that_is_not_ours_is_refused_where_it_deviates(sentence, named):
    with pytest.raises(ValueError, match=named):
        parse(sentence)


@pytest.mark.parametrize(
    ("labels", "options", "named"),
    [
        ({}, {}, "nothing to say"),
        ({"pitch": None, "emphasis": None}, {}, "nothing to say"),
        ({"age": "young"}, {}, r"slot 'age' cannot be said; .*'pitch'.*'emphasis'"),
        ({"pitch": "shrill"}, {}, r"pitch 'shrill' is not one of \['low', 'normal', 'high'\]"),
        ({"emphasis": "never"}, {}, "must be a list of words"),
        ({"emphasis": ["so much"]}, {}, "'so much'; it must be a word without whitespace"),
        ({"emphasis": [""]}, {}, "must be a word"),
        ({"emphasis": [3]}, {}, "must be a word"),
        ({"emphasis": []}, {"index": 3}, "index is 3; these labels have 3 wordings"),
        ({"emphasis": []}, {"index": -1}, "index is -1"),
        ({"emphasis": []}, {"index": 0, "seed": 0}, "not both"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(labels, options, named):
    with pytest.raises(ValueError, match=named):
        say(labels, **options)
