"""Whether what a model says of a voice is what can be measured in the recording."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import numpy as np

from .audio_xser import list_recordings, load_audio
from .calibration_xser import Calibration, Reference
from .checks_xser import known_gender
from .levels_xser import CANNOT_TELL, LEVELS, check
from .profile_xser import SpeakerProfile
from .prosody_xser import measure

NOT_MEASURABLE = "no measurement tells it"


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
        self.levels = {
            slot: known
            for slot, levels in descriptors.items()
            if (known := tuple(level for level in levels if level in LEVELS.get(slot, ())))
        }
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
        self, descriptors: Mapping[str, str], wave: np.ndarray, transcript: str | None = None
    ) -> dict[str, dict]:
        """Judge the levels of one answer.

        Args:
            descriptors: slot → level.
            wave: (S,) at 16 kHz, as `load_audio` gives it.
            transcript: what is said, if it is known.

        Returns:
            slot → `claim`, `verdict` (`agree`, `contradict`, `can't tell`), `value` and `cuts` in `unit`, the
            `quantity` that was measured, `basis` (what the cuts are relative to) and `reason` (a phrase). A slot or
            level that is none of `levels_xser.LEVELS` cannot be told.
        """
        measurable = {slot: level for slot, level in descriptors.items() if level in self.levels.get(slot, ())}
        verdicts = check(measurable, measure(wave), self.calibration, self.reference, self.gender, self.levels)
        unknown = {"verdict": CANNOT_TELL, "value": None, "unit": None, "quantity": None, "cuts": None}
        unknown |= {"reason": NOT_MEASURABLE, "basis": None}
        return {
            slot: {"claim": level, **(asdict(verdicts[slot]) if slot in verdicts else unknown)}
            for slot, level in descriptors.items()
        }


__all__ = ["Verifier"]
