"""What a written word sounds like, roughly, in any script: vowels, sonorants, hisses, stops.

No dictionary and no language: letters are brought to Latin ones, and each of these to a class of sounds. That is
enough to find words in a recording whose transcript is known: vowels are loud there, and hisses are high. And it says
about how long a word lasts, for a stop between two vowels takes less time than "str".
"""

import unicodedata
from functools import lru_cache

VOWEL, SONORANT, HISS, BUZZ, STOP = "V", "N", "F", "Z", "S"
FRAMES = {VOWEL: 8, SONORANT: 6, HISS: 9, BUZZ: 7, STOP: 7}  # of 10 ms that a sound lasts at an ordinary tempo

_CLASSES = {letter: kind for kind, letters in {
    VOWEL: "aeiouy", SONORANT: "mnlrwj", HISS: "sfhxz", BUZZ: "v", STOP: "ptkbdgqc",
}.items() for letter in letters}  # fmt: skip
# Letters that together are one sound, or another one, in most of the orthographies that have them; longest first
_CLUSTERS = (
    ("tsch", "SF"), ("sch", "F"), ("sh", "F"), ("ch", "F"), ("th", "F"), ("ph", "F"), ("sz", "F"), ("cz", "SF"),
    ("rz", "F"), ("ck", "S"), ("gh", "S"), ("ng", "N"), ("qu", "SN"),
)  # fmt: skip
_AFFRICATES = (("tsch", "F"), ("cz", "F"), ("dz", "F"), ("tz", "F"), ("ts", "F"))
_LATIN = {
    "ł": "l", "ß": "ss", "æ": "a", "œ": "o", "ø": "o", "đ": "d", "ð": "th", "þ": "th", "ı": "i", "ə": "e", "ħ": "h",
}  # fmt: skip
_CYRILLIC = dict(zip(
    "абвгдежзийклмнопрстуфхцчшщыэюяєіґ",
    ["a", "b", "v", "g", "d", "e", "z", "z", "i", "i", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "h",
     "ts", "ch", "sh", "sh", "y", "e", "yu", "ya", "e", "i", "g"],
    strict=True,
)) | {"ь": "", "ъ": ""}  # fmt: skip
_IDEOGRAPH = "tan"  # stands for what cannot be read off: the syllable of an ideograph, a digit
_CONSONANT_SCRIPTS = ("HEBREW", "ARABIC", "SYRIAC")  # write few vowels


def sounds(word: str) -> str:
    """Classes of the sounds of a word, at least one: `"funny"` → `"FVNV"`.

    Equal neighbours count once: a double letter is one sound, and so, here, are two vowels in a row.
    """
    classes = "".join(kinds for _, kinds in _read(romanised(word), _CLUSTERS))
    merged = "".join(kind for i, kind in enumerate(classes) if i == 0 or kind != classes[i - 1])
    return merged or STOP + VOWEL


def consonants(letters: str) -> str:
    """Classes of the consonants that letters without a vowel among them stand for: `"cht"` → `"FS"`.

    Unlike in `sounds`, neighbours of one class are two sounds, but a double letter is one, and so is an affricate,
    which lasts about as long as a fricative. The letters y and i are semivowels here.
    """
    read = _read(romanised(letters), _AFFRICATES + _CLUSTERS)
    classes = "".join(kinds for i, (spelling, kinds) in enumerate(read) if i == 0 or spelling != read[i - 1][0])
    return classes.replace(VOWEL, SONORANT)


def _read(letters: str, clusters: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """Latin letters in order: (those that belong together, the classes of their sounds)."""
    read, position = [], 0
    while position < len(letters):
        cluster = next((pair for pair in clusters if letters.startswith(pair[0], position)), None)
        read.append(cluster or (letters[position], _CLASSES[letters[position]]))
        position += len(read[-1][0])
    return read


def expected_frames(word: str) -> int:
    """Frames of 10 ms that a word lasts at an ordinary tempo."""
    return sum(FRAMES[kind] for kind in sounds(word))


def romanised(word: str) -> str:
    """A word in the letters a to z, by its sound where the script allows; other characters are left out."""
    return "".join(_romanised(char) for char in unicodedata.normalize("NFKC", word).lower())


@lru_cache(maxsize=4096)
def _romanised(char: str) -> str:
    base = unicodedata.normalize("NFKD", char)[0]
    for letter in (char, base):
        if letter in _LATIN or letter in _CYRILLIC:
            return _LATIN[letter] if letter in _LATIN else _CYRILLIC[letter]
    if "a" <= base <= "z":
        return base
    category = unicodedata.category(char)
    if category.startswith("N"):
        return _IDEOGRAPH
    if category not in ("Ll", "Lo"):
        return ""
    return _from_name(base if category == "Ll" else char, category)


def _from_name(char: str, category: str) -> str:
    """By the letter's Unicode name, which ends in its sound: GREEK SMALL LETTER PI, HANGUL SYLLABLE HAN."""
    name = unicodedata.name(char, "").lower()
    last = "".join(c for c in name.rpartition(" ")[2] if "a" <= c <= "z")
    if not last or "ideograph" in name:
        return _IDEOGRAPH
    if category == "Ll":  # alphabets name their letters: pi, bet
        return last[0]
    if name.upper().startswith(_CONSONANT_SCRIPTS):
        return last[0] + "a"
    return last
