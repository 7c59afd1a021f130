"""Speaking rate from a transcript: how much is said over the seconds of speech, with a standard error.

Syllables are not of one size: "strange" lasts twice as long as "a", and a short sentence may be full of either. So a
text is measured by how long its sounds last at an ordinary tempo, long vowels more than short ones, and a phrase by
some more for its slow end (Klatt 1976, "Linguistic uses of segmental duration in English"). Divided by a usual
syllable of the language, that is a number of syllables again.

A transcript may be another recording's, or say what was cut off. So its rate is held against that of the syllable
nuclei in the signal (`with_text_rate`).
"""

import math
import re
from dataclasses import dataclass, replace

from .letters_xser import BUZZ, HISS, SONORANT, STOP, consonants
from .prosody_xser import POSSIBLE_RATE, Prosody
from .syllables_xser import REDUCED, VOWELS, base_language, respell

# Seconds. Chosen between what fits eSpeak NG's English, and nEMO's Polish with its speakers and emotions told apart
_SHORT_VOWEL, _LONG_VOWEL, _PHRASE_END = 0.07, 0.13, 0.3
_CONSONANTS = {STOP: 0.085, HISS: 0.09, BUZZ: 0.09, SONORANT: 0.06}
_USUAL_SYLLABLE = {"en": 0.23, "pl": 0.205}  # seconds of a sentence of twelve syllables, over these
_ANY_SYLLABLE = 0.2
_UNKNOWN_SYLLABLE, _UNKNOWN_ERROR = 0.225, 0.06  # where no language is given, and how far languages lie from it
# Standard error of a text of n sounds, as a share of it: this over √n. How far the same sentence lies off whoever says
# it, in eSpeak NG's English and in nEMO's Polish; more is taken for languages that were not looked at
_ERRORS = {"en": 0.27, "pl": 0.35}
_ANY_ERROR = 0.45
_SPEECH_ERROR = 0.1  # seconds: standard error of how long is spoken, against what eSpeak NG spoke
# How a right text goes with the nuclei counted in its recording (benchmarks/transcript_fit.py)
_PER_NUCLEUS = 1.13  # usual syllables of the text
_FIT_ERROR = 0.1  # of that ratio's logarithm, beside the errors of both rates
_DOUBTFUL = (1.5, 2.5)  # errors apart, from which on and at which the distance counts as an error of the text's rate
_MISFIT = 3.5  # errors apart: another text


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
    """The same measurements with the `speaking_rate` of the transcript, where spelling tells one.

    It is held against the rate of the syllable nuclei in the signal. The farther apart the two, the larger
    `text_rate_error`; where no right transcript lies so far off, or nobody speaks at such a rate, `text_fits` is
    False.
    """
    rate = speaking_rate(text, prosody.speech_seconds, language) if text else None
    if rate is None:
        return prosody
    fits, error = POSSIBLE_RATE[0] <= rate.value <= POSSIBLE_RATE[1], rate.error
    if prosody.rate is not None:
        expected = _PER_NUCLEUS * prosody.rate
        apart = abs(math.log(rate.value / expected))
        errors_apart = apart / math.hypot(rate.error / rate.value, prosody.rate_error / prosody.rate, _FIT_ERROR)
        fits = fits and errors_apart <= _MISFIT
        doubt = min(max((errors_apart - _DOUBTFUL[0]) / (_DOUBTFUL[1] - _DOUBTFUL[0]), 0.0), 1.0)
        error = math.hypot(rate.error, doubt * max(apart * rate.value, abs(rate.value - expected)))
    return replace(prosody, text_rate=rate.value, text_rate_error=error, text_fits=fits)


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
    name = base_language(language)
    syllables = seconds / _USUAL_SYLLABLE.get(name, _ANY_SYLLABLE if name else _UNKNOWN_SYLLABLE)
    share = _ERRORS.get(name, _ANY_ERROR) / math.sqrt(len(vowels) + len(others))
    if not name:
        share = math.hypot(share, _UNKNOWN_ERROR)
    return Estimate(syllables, syllables * share)


def _vowel_seconds(letters: str) -> float:
    if letters == REDUCED:
        return 0.0
    return _LONG_VOWEL if len(letters) > 1 else _SHORT_VOWEL


__all__ = ["Estimate", "speaking_rate", "usual_syllables", "with_text_rate"]
