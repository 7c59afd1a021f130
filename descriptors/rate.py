"""Speaking rate from a transcript: its syllables over the seconds of speech, with a standard error.

Syllables are counted by spelling, as groups of vowels, after rules of the language have dropped silent letters and
parted vowels that are said apart: `created` becomes `cre.ated`. English, Polish and German have rules of their own;
Cyrillic, Greek, Korean, Japanese kana and Chinese those of their script; the rest in Latin letters share loose ones.
"""

import math
import re
import unicodedata
from dataclasses import dataclass

_SPEECH_ERROR = 0.05  # seconds: standard error of how long is spoken, from where speech starts and ends

_VOWELS = "aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüýÿąęėīıįőūůűų"
_PARTED = (rf"(?<=[{_VOWELS}])(?=[{_VOWELS}])", ".")  # each vowel that is left is a syllable
# Spelling to a spelling whose groups of vowels are its syllables; in this order
_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("qu", "kw"),
        ("^y(?=[aeiou])|(?<=[aeiou])y(?=[aeou])", "j"),
        ("(?<=^some)one|(?<=^any)one|(?<=^every)one", "wun"),
        ("(?<=[aeiouy][^aeiouy])e(?=(ly|less|ful|fully|ments?|ness)$)", ""),
        ("(?<=^som|^hom|^lif|^tim)e(?=[^aeiouyrsdln])|(?<=^som)e(?=on)|(?<=^ev)e(?=ry|ning)", ""),
        ("(?<=^ther|^wher|^hous)e(?=[^aeiouyrsdln])|(?<=^som)e(?=w)", ""),
        ("(?<=[^aeiouyrl])les?$", "el"),
        ("(?<=[aeiouy][^aeiouy])(?<![td])ed$|(?<=[aeiouy][^aeiouy]{2})(?<![td])ed$", ""),
        ("(?<=[aeiouy][^aeiouysxzcg])(?<!ch)(?<!sh)es$|(?<=[aeiouy][^aeiouy][^aeiouysxzcgh])es$", ""),
        ("(?<=[^aeiouy])e$", "E"),  # silent, unless it is all there is: "the"
        ("(?<=[aeouy])i(?=ng$)", ".i"),
        ("(?<![tcsgx])(?<!ll)(?<!n)(?<!sh)i(?=[ao](?!u))|(?<=[^tcsgxnd])i(?=ous)", "i."),
        ("(?<![tc])i(?=en(c|t|ts)|ets?$)|(?<=^sc)i(?=en)|(?<=[lnrb])i(?=um)", "i."),
        ("(?<=[^gqaeo]u)(?=[ao])", "."),
        ("(?<=cr)e(?=at[eio])|(?<=[dr])e(?=as?$)|(?<=th)e(?=at)|e(?=um$|on?$)", "e."),
        ("(?<=s)m$", ".em"),
        ("(?<=[ds])nt$", ".ent"),  # didn't
    ),
    "pl": (("i(?=[aąeęoóu])", ""), ("^([ae])u", r"\1w"), _PARTED),
    "de": (
        ("qu", "kw"),
        ("^y(?=[aeiou])", "j"),
        ("een$", "e.en"),
        ("e(?=um$)", "e."),
        ("(?<=[ts])i(?=on)|(?<=li)i(?=on)", "j"),
        ("(?<=[aeiouäöü][nslr])ien$", "i.en"),
        ("(?<=i[nl])ie$", "i.e"),
        ("aa|ee|oo|ie|ei|ai|ey|ay|au|eu|äu", "a"),
        _PARTED,
    ),
    "": (("qu", "k"), ("(?<=[aeoáéó])(?=[aeoáéóíú])(?!(?<=a)a|(?<=e)e|(?<=o)o)|(?<=[íú])(?=[aeo])", ".")),
}
_GREEK = (("[αεου]ι|[αεο]υ|υι", "α"), ("(?<=[αεηιουω])(?=[αεηιουω])", "."))
_CYRILLIC_VOWELS = "аеёиоуыэюяіїє"
_SMALL_KANA = "ゃゅょぁぃぅぇぉゎっャュョァィゥェォヮッんンー"  # belong to the syllable before them
# Standard error of a count of n: a √n for words that break a rule, b n for what a language does throughout. Set from
# words against eSpeak NG's pronunciation of them, and doubled for what people leave out when they talk.
_ERRORS = {"en": (0.3, 0.02), "pl": (0.2, 0.01), "de": (0.3, 0.02), "syllables": (0.2, 0.01), "": (0.5, 0.1)}


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error."""

    value: float
    error: float


def speaking_rate(text: str, speech_seconds: float, language: str | None = None) -> Estimate | None:
    """Syllables a second of speech.

    Args:
        text: the transcript.
        speech_seconds: how long is spoken, pauses left out (`Prosody.speech_seconds`).
        language: as in the schema, `"en"` or `"en-US"`; without it the rules are those of the script.

    Returns:
        None where the syllables cannot be told (`count_syllables`), or nothing is spoken.

    Raises:
        ValueError: `speech_seconds` is negative or not finite.
    """
    if not (math.isfinite(speech_seconds) and speech_seconds >= 0):
        raise ValueError(f"speech_seconds is {speech_seconds}: give seconds, 0 or more")
    syllables = count_syllables(text, language)
    if syllables is None or speech_seconds == 0:
        return None
    rate = syllables.value / speech_seconds
    share = math.hypot(syllables.error / syllables.value, _SPEECH_ERROR / speech_seconds)
    return Estimate(rate, rate * share)


def count_syllables(text: str, language: str | None = None) -> Estimate | None:
    """Syllables of a text by its spelling.

    Returns:
        None where spelling does not tell: no letters, or no vowel; digits; letters of a script that is not known here
        or leaves vowels out; ideographs in Japanese, which are read in several ways.
    """
    language = (language or "").lower().replace("_", "-").split("-")[0]
    if any(unicodedata.category(char).startswith("N") for char in text):
        return None
    count, kinds = 0, set()
    for word in re.split(r"[\s\-–—/]+", unicodedata.normalize("NFKC", text).lower()):
        for script, letters in _runs(word):
            if script not in _COUNTERS or (script == "CJK" and language == "ja"):
                return None
            counted, kind = _COUNTERS[script](letters, language)
            count += counted
            kinds.add(kind)
    if not count:
        return None
    by_word, throughout = max(_ERRORS[kind] for kind in kinds)
    return Estimate(count, math.hypot(by_word * math.sqrt(count), throughout * count))


def _runs(word: str) -> list[tuple[str, str]]:
    """Letters of a word by script, each run of one script together: (script, letters)."""
    runs: list[tuple[str, str]] = []
    for char in word:
        if not unicodedata.category(char).startswith("L"):
            continue
        script = unicodedata.name(char, "UNKNOWN").partition(" ")[0]
        if runs and runs[-1][0] == script:
            runs[-1] = (script, runs[-1][1] + char)
        else:
            runs.append((script, char))
    return runs


def _latin(letters: str, language: str) -> tuple[int, str]:
    kind = language if language in _RULES else ""
    return _groups(letters, _RULES[kind], _VOWELS, at_least=int(kind == "en")), kind


def _greek(letters: str, language: str) -> tuple[int, str]:
    bare = "".join(char for char in unicodedata.normalize("NFD", letters) if unicodedata.category(char) == "Ll")
    return _groups(bare, _GREEK, "αεηιουω"), ""


def _groups(letters: str, rules: tuple[tuple[str, str], ...], vowels: str, at_least: int = 0) -> int:
    for pattern, replacement in rules:
        letters = re.sub(pattern, replacement, letters)
    return max(len(re.findall(f"[{vowels}]+", letters)), at_least)


def _cyrillic(letters: str, language: str) -> tuple[int, str]:
    return sum(char in _CYRILLIC_VOWELS for char in letters), "syllables"


def _syllabic(letters: str, language: str) -> tuple[int, str]:
    return sum(char not in _SMALL_KANA for char in letters), "syllables"


_COUNTERS = {"LATIN": _latin, "GREEK": _greek, "CYRILLIC": _cyrillic}
_COUNTERS |= dict.fromkeys(("HANGUL", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CJK"), _syllabic)
