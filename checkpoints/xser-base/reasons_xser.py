"""Why a level was told, or was not, in words: what was measured and decides, and what was needed."""

from .calibration_xser import (
    IMPLAUSIBLE,
    MIN_SNR_DB,
    MIN_SPEECH_SECONDS,
    MIN_VOICED_SECONDS,
    MISFIT,
    NOISY,
    NOT_MEASURED,
    TOO_SHORT,
    UNVOICED,
)
from .prosody_xser import POSSIBLE_PITCH, POSSIBLE_RATE, Prosody

_NAMES = {
    "pitch": "pitch",
    "loudness": "loudness",
    "rate": "syllable",
    "text_rate": "syllable",
    "pitch_range": "range of pitch",
    "pitch_spread": "range of pitch",
    "contour": "contour of pitch",
}


def describe_lack(prosody: Prosody, quantity: str, reason: str) -> str:
    """Why a quantity is not told, with what was measured; `reason` is that of `calibration_xser.why_not`."""
    if reason == TOO_SHORT:
        return f"{prosody.speech_seconds:.2f} s of speech, where {MIN_SPEECH_SECONDS} s are needed"
    if reason == UNVOICED:
        return f"{prosody.voiced_seconds:.2f} s of voice, where {MIN_VOICED_SECONDS} s are needed"
    if reason == NOISY:
        return f"the speech is {prosody.snr_db:.1f} dB above the noise, where {MIN_SNR_DB} dB are needed"
    if reason == MISFIT:
        return describe_misfit(prosody)
    if reason == IMPLAUSIBLE:
        is_rate = quantity in ("rate", "text_rate")
        value, unit = (getattr(prosody, quantity), "syllables/s") if is_rate else (prosody.pitch_hz, "Hz")
        least, most = POSSIBLE_RATE if is_rate else POSSIBLE_PITCH
        return f"{in_words(value, unit)}, where voices lie between {in_words(least, unit)} and {in_words(most, unit)}"
    assert reason == NOT_MEASURED, reason
    return f"no {_NAMES[quantity]} was found in {prosody.speech_seconds:.2f} s of speech"


def describe_misfit(prosody: Prosody) -> str:
    """How far a transcript is from what is said."""
    has = f"the transcript has {prosody.text_rate:.1f} syllables a second of speech"
    return has if prosody.rate is None else f"{has}, the recording {prosody.rate:.1f}"


def describe_contour(contour: tuple[float, ...], shape: str) -> str:
    """How the pitch of the last phrase moves: `"the pitch rises by 9.2 semitones before it falls by 18.0: …"`."""
    first, *inner, last = contour
    if shape == "rising-falling":
        moves = f"rises by {max(inner) - first:.1f} semitones before it falls by {max(inner) - last:.1f}"
    elif shape == "falling-rising":
        moves = f"falls by {first - min(inner):.1f} semitones before it rises by {last - min(inner):.1f}"
    elif shape == "flat":
        moves = f"moves by {last - first:.1f} semitones from start to end"
    else:
        moves = f"{'rises' if shape == 'rising' else 'falls'} by {abs(last - first):.1f} semitones from start to end"
    return f"the pitch {moves}: a {shape} contour"


def in_words(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit == "Hz" else f"{value:.1f} {unit}"


__all__ = ["describe_contour", "describe_lack", "describe_misfit", "in_words"]
