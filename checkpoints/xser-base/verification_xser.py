"""Whether what a model says of a voice is what can be measured in the recording."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import numpy as np

from .audio_xser import list_recordings, load_audio
from .calibration_xser import Calibration, Reference
from .checks_xser import known_gender
from .levels_xser import NOT_MEASURABLE, check
from .profile_xser import SpeakerProfile
from .prosody_xser import Prosody, measure
from .rate_xser import with_text_rate
from .reasons_xser import describe_misfit

SPEED = "speed"
NO_RATE_SPELLED = "the spelling of the transcript tells no rate"
NO_USUAL_TEXT_RATE = "what is usual by transcripts is known less well for this speaker"


class Verifier:
    """Holds the levels of an answer against measurements.

    Args:
        calibration: where levels begin and end, as `Calibration.to_dict` gives it; the built-in cuts by default.
        descriptors: slot → the levels that an answer chooses from.
        reference: what is usual for the speaker: a `Reference`, a `SpeakerProfile`, or a few of their recordings, as
            `load_audio` takes them. Without, what is usual for the gender or for everyone stands in, so that less can
            be told.
        gender: of the speaker, one that the calibration knows.

    Raises:
        AudioError: a recording of the reference cannot be read.
        ValueError: the calibration is none, or does not know the gender; the recordings are too few, or tell nothing.
    """

    def __init__(
        self,
        calibration: Mapping | None,
        descriptors: Mapping[str, Iterable[str]],
        reference: Reference | Iterable | None = None,
        gender: str | None = None,
    ):
        self.calibration = Calibration.default() if calibration is None else Calibration.from_dict(calibration)
        self.levels = {slot: tuple(levels) for slot, levels in descriptors.items()}
        self.reference = self._measure_reference(reference)
        self.gender = None if gender is None else known_gender(gender, self.calibration.genders)

    def _measure_reference(self, reference) -> Reference | None:
        # by name: a class may have been loaded twice, from the package and from a model's folder
        if reference is None or type(reference).__name__ == Reference.__name__:
            return reference
        if type(reference).__name__ == SpeakerProfile.__name__:
            if reference.usual is None:
                raise ValueError("the reference tells nothing that levels could be judged by: no voice was measured")
            return reference.usual
        return self.calibration.reference_of(measure(load_audio(each)) for each in list_recordings(reference))

    def verify(
        self,
        descriptors: Mapping[str, str],
        wave: np.ndarray,
        transcript: str | None = None,
        language: str | None = None,
        prosody: Prosody | None = None,
    ) -> dict[str, dict]:
        """Judge the levels of one answer.

        Args:
            descriptors: slot → level.
            wave: (S,) at 16 kHz, as `load_audio` gives it.
            transcript: what is said, where that is known from elsewhere: the speed is then measured by it. Where it
                cannot be what is said, or its spelling tells nothing, the speed is measured by the signal, as it is
                without a transcript, and the reason says so.
            language: of the transcript, such as `en`.
            prosody: what was measured of the wave, where that is at hand.

        Returns:
            slot → `claim`, `verdict` (`agree`, `contradict`, `can't tell`), `value` and `cuts` in `unit`, the
            `quantity` that was measured, `basis` (what the cuts are relative to) and `reason` (a phrase). Of a slot or
            level that is none of `levels_xser.LEVELS` the verdict is `can't tell`.

        Raises:
            TypeError: the transcript is no text.
        """
        prosody, note = _with_transcript(prosody or measure(wave), transcript, language)
        verdicts = check(descriptors, prosody, self.calibration, self.reference, self.gender, self.levels)
        answer = {slot: {"claim": descriptors[slot], **asdict(verdict)} for slot, verdict in verdicts.items()}
        if SPEED in answer and answer[SPEED]["quantity"] == "rate" and (note := note or _why_signal(transcript)):
            answer[SPEED]["reason"] += f"; by the signal, since {note}"
        return answer


def _with_transcript(prosody: Prosody, transcript: str | None, language: str | None) -> tuple[Prosody, str | None]:
    """The measurements with the transcript's rate, or why they are without it."""
    if transcript is None:
        return prosody, None
    if not isinstance(transcript, str):
        raise TypeError(f"transcript is {transcript!r}; it must be text")
    by_text = with_text_rate(prosody, transcript, language)
    if by_text.text_rate is None:
        return prosody, NO_RATE_SPELLED
    if not by_text.text_fits:
        return prosody, describe_misfit(by_text)
    return by_text, None


def _why_signal(transcript: str | None) -> str | None:
    """Why the signal's rate was taken though the transcript fits."""
    return None if transcript is None else NO_USUAL_TEXT_RATE


__all__ = ["NOT_MEASURABLE", "Verifier"]
