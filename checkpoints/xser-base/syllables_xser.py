"""Syllables by spelling: a text respelled so that its groups of vowels are its syllables, in any alphabet.

Rules of the language drop silent letters and part vowels that are said apart: `created` becomes `cre.ated`. English,
Polish and German have rules of their own; Cyrillic, Greek, Korean, Japanese kana and Chinese those of their script;
the rest in Latin letters share loose ones. Two vowel letters together are a long vowel or a diphthong; English, which
often writes those with one letter, gets the second: `cake` becomes `caak`.
"""

import re
import unicodedata

REDUCED = "A"  # in a respelled word, a vowel that is hardly said, as in the article "the"
VOWELS = REDUCED + "aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüýÿąęėīıįőūůűų"
_PARTED = (rf"(?<=[{VOWELS}])(?=[{VOWELS}])", ".")  # each vowel that is left is a syllable
# Spelling to a spelling whose groups of vowels are its syllables; in this order. E is silent
_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("qu", "kw"),
        ("^y(?=[aeiou])|(?<=[aeiou])y(?=[aeou])", "j"),
        ("(?<=^some)one|(?<=^any)one|(?<=^every)one", "wun"),
        ("(?<=[aeiouy][^aeiouy])e(?=(ly|less|ful|fully|ments?|ness)$)", "E"),
        ("(?<=^som|^hom|^lif|^tim)e(?=[^aeiouyrsdln])|(?<=^som)e(?=on)|(?<=^ev)e(?=ry|ning)", "E"),
        ("(?<=^ther|^wher|^hous)e(?=[^aeiouyrsdln])|(?<=^som)e(?=w)", "E"),
        ("(?<=[^aeiouyrl])les?$", "el"),
        ("(?<=[aeiouy][^aeiouy])(?<![td])e(?=d$)|(?<=[aeiouy][^aeiouy]{2})(?<![td])e(?=d$)", "E"),
        (
            "(?<=[aeiouy][^aeiouysxzcg])(?<!ch)(?<!sh)e(?=s$)|"
            "(?<=[aeiouy][^aeiouy][^aeiouysxzcgh])e(?=s$)|(?<=[^aeiouy])e$",  # the last in "the", too
            "E",
        ),
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
        ("aa|ee|oo|ie|ei|ai|ey|ay|au|eu|äu", "ai"),
        (rf"(?<!a)(?<=[{VOWELS}])(?=[{VOWELS}])|(?<=ai)(?=[{VOWELS}])", "."),
    ),
    "": (("qu", "k"), ("(?<=[aeoáéó])(?=[aeoáéóíú])(?!(?<=a)a|(?<=e)e|(?<=o)o)|(?<=[íú])(?=[aeo])", ".")),
}
# English, once its syllables are found: what is not said, and which vowels are long
_ENGLISH_SOUNDS = (
    ("c(?=[eiyE])", "s"),
    ("x", "ks"),
    ("^[kg](?=n)|^w(?=r)|^p(?=s)|(?<=^[wgr])h|(?<=m)[bn](?=$|s$|E)|t(?=ch)|(?<=s)t(?=el$|en)|d(?=gE?)", ""),
    ("igh(?=[aeiouy])", "ii."),
    ("igh", "ii"),
    ("(?<=[aeiou])gh(?=t|$|s$|b)", ""),
    ("[ts]i(?=on)", "sh"),
    ("(?<![aeiouy])([aeiouy])(?=[^aeiouyEwx.]E)", r"\1\1"),  # cake
    ("^([^aeiouyE.]*)([eyoi])$", r"\1\2\2"),  # my
    ("(?<=[^aeiouyE.])o$", "oo"),
    ("(?<![aeiouy])([oi])(?=l[dt]|nd)", r"\1\1"),  # cold, kind
    ("([aeiouy].*[^aeiouyE.])[eoa]r(?=$|s$|Ed$|[ld]y$)", r"\1a"),  # baker
    ("(?<![aeiouy])([aeiouy])r(?![aeiouyrE])|(?<![aeiouy])([aeiouy])rE", r"\1\2\1\2"),  # car, care
    ("(?<=[aeiouy]{2})r(?![aeiouyr])", ""),
    ("(?<=[aeou])[wj](?![aeiouy])", "u"),
    ("^thE$", "th" + REDUCED),
    ("^([^aeiouyE.]+)E$", r"\1ee"),  # we
    ("E", ""),
    (rf"^([^{VOWELS}]+)$", r"e\1"),  # Mr
)
_GREEK = (("[αεου]ι|[αεο]υ|υι", "α"), ("(?<=[αεηιουω])(?=[αεηιουω])", "."), ("[αεηιουω]", "a"))
_CYRILLIC = (("[аеёиоуыэюяіїє]", "a."), ("й", "j"))
_SMALL_KANA = "ゃゅょぁぃぅぇぉゎっャュョァィゥェォヮッんンー"  # belong to the syllable before them
_SYLLABLE = "ta."  # stands for one whose sounds are not looked at


def respell(text: str, language: str | None = None) -> list[str] | None:
    """Words in Latin letters whose groups of vowels are their syllables.

    Args:
        language: as in the schema, `"en"` or `"en-US"`; without it the rules are those of the script.

    Returns:
        None where spelling does not tell: digits; letters of a script that is not known here or leaves vowels out;
        ideographs in Japanese, which are read in several ways.
    """
    language = base_language(language)
    if any(unicodedata.category(char).startswith("N") for char in text):
        return None
    words = []
    for word in re.split(r"[\s\-–—/]+", unicodedata.normalize("NFKC", text).lower()):
        for script, letters in _runs(word):
            if script not in _SCRIPTS or (script == "CJK" and language == "ja"):
                return None
            words.append(_SCRIPTS[script](letters, language))
    return words


def base_language(language: str | None) -> str:
    """`"en"` of `"en-US"`."""
    return (language or "").lower().replace("_", "-").split("-")[0]


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


def _latin(letters: str, language: str) -> str:
    letters = _replaced(letters, _RULES.get(language, _RULES[""]))
    if language == "en":
        letters = _replaced(letters, _ENGLISH_SOUNDS)
    return letters


def _greek(letters: str, language: str) -> str:
    bare = "".join(char for char in unicodedata.normalize("NFD", letters) if unicodedata.category(char) == "Ll")
    return _replaced(bare, _GREEK)


def _cyrillic(letters: str, language: str) -> str:
    return _replaced(letters, _CYRILLIC)


def _syllabic(letters: str, language: str) -> str:
    return _SYLLABLE * sum(char not in _SMALL_KANA for char in letters)


def _replaced(letters: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        letters = re.sub(pattern, replacement, letters)
    return letters


_SCRIPTS = {"LATIN": _latin, "GREEK": _greek, "CYRILLIC": _cyrillic}
_SCRIPTS |= dict.fromkeys(("HANGUL", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CJK"), _syllabic)
