"""Syllables by spelling, and the rate of speaking that they give."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.descriptors.rate import count_syllables, speaking_rate

ENGLISH = {
    1: ["the", "made", "washed", "boxed", "yes", "queue", "friend", "friends", "mr", "bees", "strange"],
    2: ["table", "roses", "wanted", "someone", "didn't", "being", "quiet", "lion", "prism", "movement"],
    3: ["radio", "created", "banana", "everyone", "furious", "abandoned", "parcelling"],
}


@pytest.mark.parametrize(
    ("language", "word", "count"),
    [
        *(("en", word, count) for count, words in ENGLISH.items() for word in words),
        *(("pl", word, 1) for word in ("nie", "być", "jest", "miał")),
        *(("pl", word, 2) for word in ("lubię", "czytać", "auto", "siostra")),
        *(("pl", word, 3) for word in ("dzisiejszy", "nauka", "wojskowa", "pociągiem")),
        *(("de", word, 1) for word in ("schlau", "See", "Boot", "Quark", "nie")),
        *(("de", word, 2) for word in ("Häuser", "gehen", "Seen", "Feuer", "Station")),
        *(("de", word, 3) for word in ("Museum", "Ideen", "Freundinnen", "beeilen", "Linie", "Asien")),
        ("es", "país", 2), ("es", "caos", 2), ("it", "buongiorno", 3), ("fi", "saaressa", 3),
        ("ru", "привет", 2), ("ru", "Россия", 3), ("el", "καλημέρα", 4), ("el", "ουρανός", 3),
        ("ja", "コーヒー", 2), ("ja", "きょう", 2), ("ko", "한국어", 3), ("zh", "今天天气很好", 6),
    ],
)  # fmt: skip
def test_syllables_of_a_word(language, word, count):
    assert count_syllables(word, language).value == count
    assert count_syllables(f"«{word.upper()}!»", language).value == count


@pytest.mark.parametrize("text", ["", "…!", "3 cakes", "مرحبا", "שלום", "नमस्ते", "hello नमस्ते", "brr"])
def test_what_spelling_does_not_tell_is_none(text):
    assert count_syllables(text) is None
    assert speaking_rate(text, 1.0) is None


def test_ideographs_are_syllables_in_chinese_and_not_told_in_japanese():
    assert count_syllables("東京", "zh").value == 2
    assert count_syllables("東京", "ja-JP") is None


def test_a_language_may_be_given_with_its_region():
    for tag in ("en-US", "en_GB", "EN"):
        assert count_syllables("we washed it", tag) == count_syllables("we washed it", "en")
    assert count_syllables("washed", None).value == 2  # without a language, every vowel is spoken


@settings(deadline=None)
@given(st.lists(st.sampled_from(["the", "boss", "cancelled", "every", "meeting", "idea's", "radio,"]), min_size=1))
def test_syllables_of_a_text_are_those_of_its_words(words):
    counted = count_syllables(" ".join(words), "en")
    assert counted.value == sum(count_syllables(word, "en").value for word in words)
    assert 0 < counted.error < counted.value


@settings(deadline=None)
@given(st.text(), st.sampled_from(["en", "pl", "de", "ja", "xx", None]))
def test_any_text_has_syllables_with_an_error_or_none(text, language):
    counted = count_syllables(text, language)
    assert counted is None or (counted.value >= 1 and counted.error > 0)


def test_rate_is_syllables_over_seconds_with_the_error_of_both():
    text, syllables = "we never cancelled any meeting in this office", 13
    counted, rate = count_syllables(text, "en"), speaking_rate(text, 3.25, "en")
    assert counted.value == syllables
    assert rate.value == pytest.approx(4.0)
    assert rate.error == pytest.approx(4.0 * math.hypot(counted.error / syllables, 0.05 / 3.25))


def test_a_known_language_a_longer_text_and_more_speech_make_the_rate_surer():
    def share(text, seconds, language):
        rate = speaking_rate(text, seconds, language)
        return rate.error / rate.value

    assert share("we never won", 1, "en") < share("we never won", 1, "xx")
    assert share("we never won " * 4, 4, "en") < share("we never won", 1, "en")


def test_without_speech_there_is_no_rate():
    assert speaking_rate("oh no", 0.0, "en") is None


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seconds_that_are_none_are_refused(seconds):
    with pytest.raises(ValueError, match="speech_seconds is"):
        speaking_rate("oh no", seconds)
