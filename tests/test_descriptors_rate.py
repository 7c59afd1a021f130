"""Syllables by spelling, and the rate of speaking that they give."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.letters_xser import consonants, romanised
from xser.rate_xser import speaking_rate, usual_syllables
from xser.syllables_xser import VOWELS, respell

ENGLISH = {
    1: ["the", "made", "washed", "boxed", "yes", "queue", "friend", "friends", "mr", "bees", "strange"],
    2: ["table", "roses", "wanted", "someone", "didn't", "being", "quiet", "lion", "prism", "movement"],
    3: ["radio", "created", "banana", "everyone", "furious", "abandoned", "parcelling"],
}


def count_syllables(text, language=None):
    """Groups of vowels of the respelled text, or None."""
    words = respell(text, language)
    return None if words is None else sum(len(re.findall(f"[{VOWELS}]+", word)) for word in words) or None


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
    assert count_syllables(word, language) == count
    assert count_syllables(f"«{word.upper()}!»", language) == count


@pytest.mark.parametrize("text", ["", "…!", "3 cakes", "مرحبا", "שלום", "नमस्ते", "hello नमस्ते", "brr"])
def test_what_spelling_does_not_tell_is_none(text):
    assert count_syllables(text) is None
    assert speaking_rate(text, 1.0) is None


def test_ideographs_are_syllables_in_chinese_and_not_told_in_japanese():
    assert count_syllables("東京", "zh") == 2
    assert count_syllables("東京", "ja-JP") is None


def test_a_language_may_be_given_with_its_region():
    for tag in ("en-US", "en_GB", "EN"):
        assert usual_syllables("we washed it", tag) == usual_syllables("we washed it", "en")
    assert count_syllables("washed", None) == 2  # without a language, every vowel is spoken


@settings(deadline=None)
@given(st.lists(st.sampled_from(["the", "boss", "cancelled", "every", "meeting", "idea's", "radio,"]), min_size=1))
def test_syllables_of_a_text_are_those_of_its_words(words):
    assert count_syllables(" ".join(words), "en") == sum(count_syllables(word, "en") for word in words)


@settings(deadline=None)
@given(st.text(), st.sampled_from(["en", "pl", "de", "ja", "xx", None]))
def test_any_text_has_a_size_with_an_error_or_none(text, language):
    size, count = usual_syllables(text, language), count_syllables(text, language)
    assert (size is None) == (count is None)
    assert size is None or (count >= 1 and size.value > 0 and 0 < size.error < size.value)


@pytest.mark.parametrize(
    ("word", "spelling"),
    [
        ("cake", "caak"), ("blamed", "blaamd"), ("trapped", "trappd"), ("knife", "niif"), ("my", "myy"),
        ("baker", "baka"), ("car", "caa"), ("wanted", "wanted"), ("station", "stashon"), ("the", "thA"), ("we", "wee"),
    ],
)  # fmt: skip
def test_english_respelled_has_its_long_vowels_doubled_and_silent_letters_dropped(word, spelling):
    assert respell(word, "en") == [spelling]


def test_consonants_are_sounds_one_by_one():
    assert consonants("str") == "FSN"
    assert consonants("kt") == "SS"  # two of one class
    assert consonants("ll") == "N"  # a double letter is one
    assert consonants("tsch") == consonants("cz") == consonants("ts") == "F"  # so is an affricate
    assert consonants("") == consonants(".") == ""


def test_a_sign_without_a_sound_of_its_own_is_no_letter():
    assert romanised("день") == "den"


def test_a_syllable_of_more_or_longer_sounds_is_larger():
    def size(text):
        return usual_syllables(text, "en").value

    assert count_syllables("strange", "en") == count_syllables("a", "en") == 1
    assert size("the a") < size("the at") < size("the strength")
    assert size("he hid it") < size("he hides it")


def test_long_texts_of_every_script_have_about_as_many_usual_syllables_as_syllables():
    for text, language in (
        ("we never cancelled any meeting in this office", "en"),
        ("dzisiejszy pociąg do wrocławia odjeżdża wieczorem", "pl"),
        ("wir haben gestern den ganzen tag gewartet", "de"),
        ("мы сегодня никуда не поедем", "ru"),
        ("καλημέρα τι κάνεις σήμερα", "el"),
        ("今天天气很好我们出去玩吧", "zh"),
    ):
        assert usual_syllables(text, language).value == pytest.approx(count_syllables(text, language), rel=0.25)


def test_rate_is_usual_syllables_over_seconds_with_the_error_of_both():
    text = "we never cancelled any meeting in this office"
    size, rate = usual_syllables(text, "en"), speaking_rate(text, 3.25, "en")
    assert rate.value == pytest.approx(size.value / 3.25)
    assert rate.error == pytest.approx(rate.value * math.hypot(size.error / size.value, 0.1 / 3.25))


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
