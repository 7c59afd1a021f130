"""Speaking rate from a transcript: how much is said over the seconds of speech, with a standard error.

Syllables are not of one size: "strange" lasts twice as long as "a", and a short sentence may be full of either. So a
text is measured by how long its sounds last at an ordinary tempo, long vowels more than short ones, and a phrase by
some more for its slow end (Klatt 1976, "Linguistic uses of segmental duration in English"). Divided by a usual
syllable of the language, that is a number of syllables again.
"""

import math
import re
from dataclasses import dataclass, replace

from xser.descriptors.letters import BUZZ, HISS, SONORANT, STOP, consonants
from xser.descriptors.syllables import REDUCED, VOWELS, base_language, respell
from xser.prosody_xser import Prosody

# Seconds. Chosen between what fits eSpeak NG's English, and nEMO's Polish with its speakers and emotions told apart
_SHORT_VOWEL, _LONG_VOWEL, _PHRASE_END = 0.07, 0.13, 0.3
_CONSONANTS = {STOP: 0.085, HISS: 0.09, BUZZ: 0.09, SONORANT: 0.06}
_USUAL_SYLLABLE = {"en": 0.23, "pl": 0.205}  # seconds of a sentence of twelve syllables, over these
_ANY_SYLLABLE = 0.2
# Standard error of a text of n sounds, as a share of it: this over √n. How far the same sentence lies off whoever says
# it, in eSpeak NG's English and in nEMO's Polish; more is taken for languages that were not looked at
_ERRORS = {"en": 0.27, "pl": 0.35}
_ANY_ERROR = 0.45
_SPEECH_ERROR = 0.1  # seconds: standard error of how long is spoken, against what eSpeak NG spoke


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error."""

    value: float
    error: float


def speaking_rate(text: str, speech_seconds: float, language: str | None = None) -> Estimate | None:
    """Syllables of the usual size a second of speech.

    Args:
        text: the transcript.
        speech_seconds: how long is spoken, pauses left out (`Prosody.speech_seconds`).
        language: as in the schema, `"en"` or `"en-US"`; without it the rules are those of the script.

    Returns:
        None where spelling does not tell (`usual_syllables`), or nothing is spoken.

    Raises:
        ValueError: `speech_seconds` is negative or not finite.
    """
    if not (math.isfinite(speech_seconds) and speech_seconds >= 0):
        raise ValueError(f"speech_seconds is {speech_seconds}: give seconds, 0 or more")
    syllables = usual_syllables(text, language)
    if syllables is None or speech_seconds == 0:
        return None
    rate = syllables.value / speech_seconds
    share = math.hypot(syllables.error / syllables.value, _SPEECH_ERROR / speech_seconds)
    return Estimate(rate, rate * share)


def with_text_rate(prosody: Prosody, text: str | None, language: str | None = None) -> Prosody:
    """The same measurements with `text_rate`, the `speaking_rate` of the transcript, where that can be told."""
    rate = speaking_rate(text, prosody.speech_seconds, language) if text else None
    return prosody if rate is None else replace(prosody, text_rate=rate.value, text_rate_error=rate.error)


def usual_syllables(text: str, language: str | None = None) -> Estimate | None:
    """How many syllables of the usual size a text lasts.

    Returns:
        None where its spelling does not tell (`respell`), or it has no vowel. The error leaves out what is the same in
        all texts of a language, such as that its syllables are long: that does not tell one recording from another.
    """
    words = respell(text, language)
    if words is None:
        return None
    vowels = [group for word in words for group in re.findall(f"[{VOWELS}]+", word)]
    if not vowels:
        return None
    others = "".join(consonants(part) for word in words for part in re.split(f"[{VOWELS}.]+", word))
    seconds = _PHRASE_END + sum(map(_vowel_seconds, vowels)) + sum(_CONSONANTS[kind] for kind in others)
    language = base_language(language)
    syllables = seconds / _USUAL_SYLLABLE.get(language, _ANY_SYLLABLE)
    share = _ERRORS.get(language, _ANY_ERROR) / math.sqrt(len(vowels) + len(others))
    return Estimate(syllables, syllables * share)


def _vowel_seconds(letters: str) -> float:
    if letters == REDUCED:
        return 0.0
    return _LONG_VOWEL if len(letters) > 1 else _SHORT_VOWEL
