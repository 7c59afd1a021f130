"""Levels of training recordings relative to the very reference that each is given with.

A label of a corpus is relative to all of a speaker's recordings. Relative to the few that make a drawn profile, the
same recording may have another level, and a model that is asked for the corpus's learns that a reference says little.
So levels are measured anew, as `verify` measures them of an answer.

Source: our addition; the paper has no references.
"""

from dataclasses import fields

import numpy as np

from xser.calibration_xser import Calibration, Reference
from xser.grammar_xser import EmotionDescription
from xser.levels_xser import label
from xser.measured_slots_xser import RELATIVE_SLOTS
from xser.prosody_xser import Prosody
from xser.rate_xser import with_text_rate
from xser.voice_measures_xser import NAMES

# Of `Prosody`: what relative levels, and whether they can be measured, depend on; and the dtypes of the rest
SCALARS = (
    *("duration", "speech_seconds", "voiced_seconds", "snr_db", "hnr_db"),
    *("pitch", "pitch_error", "pitch_hz", "pitch_range", "pitch_range_error", "pitch_spread", "pitch_spread_error"),
    *("loudness", "loudness_error", "rate", "rate_error"),
)
OTHERS = {field.name: None for field in fields(Prosody) if field.name not in SCALARS}
CURVES = {"f0": np.float32, "strength": np.float32, "level": np.float32, "speech": bool}
OTHERS |= {name: np.zeros(0, dtype) for name, dtype in CURVES.items()} | {"pauses": 0, "pause_seconds": 0.0}

# Among the measures, what levels are cut from → the quantity of the cuts
CUT_MEASURES = {
    **{"pitch_median": "pitch", "loudness": "loudness", "rate": "rate"},
    **{"pitch_range": "pitch_range", "pitch_spread": "pitch_spread"},
}


def scalars_of(prosody: Prosody) -> np.ndarray:
    """(1, len(SCALARS)) float32 of a recording, NaN where it is not measured."""
    values = [getattr(prosody, name) for name in SCALARS]
    return np.array([[np.nan if value is None else value for value in values]], dtype=np.float32)


def prosody_of(row: np.ndarray, text: str | None = None, language: str | None = None) -> Prosody:
    """Inverse of `scalars_of`, (len(SCALARS),), with the rate of a transcript; without curves and contour."""
    values = {name: None if np.isnan(value) else float(value) for name, value in zip(SCALARS, row, strict=True)}
    return with_text_rate(Prosody(**values, **OTHERS), text, language)


def with_levels_of(
    description: EmotionDescription, prosody: Prosody, calibration: Calibration, reference: Reference, schema
) -> EmotionDescription:
    """A description whose relative levels are those of the recording beside a reference.

    Args:
        description: what is known of the recording; its other slots stay.
        prosody: of the recording.
        reference: of its speaker, from the recordings that the model is given.
        schema: the model's `LabelSchema`, whose relative slots are filled in where they can be measured.
    """
    wanted = {slot: levels for slot, levels in schema.descriptors.items() if slot in RELATIVE_SLOTS}
    measured = label(prosody, calibration, reference, levels=wanted, margin=0.0)
    levels = {}
    for slot in schema.descriptors:
        level = measured[slot].level if slot in wanted else description.levels.get(slot)
        if level is not None:
            levels[slot] = level
    others = {name: getattr(description, name) for name in ("emphasis", "emotion", "transcript")}
    return EmotionDescription(levels, **others)


def in_units_of_cuts(statistics: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Statistics of measures by which a level lies at the same place for every quantity, and in every data set.

    Where a data set has loud and quiet speakers, the distance of a cut is a small part of the standard deviation of
    loudness, and what is small among the inputs is learned late. In units of half the distance of the cuts it is one.

    Args:
        statistics: (2, M) mean and standard deviation of each of the first M measures.
        calibration: where the cuts are.
    """
    statistics = statistics.copy()
    for name, quantity in CUT_MEASURES.items():
        place = NAMES.index(name)
        if quantity in calibration.cuts and place < statistics.shape[1]:
            lower, upper = calibration.cuts[quantity]
            statistics[1, place] = (upper - lower) / 2
    return statistics


__all__ = ["SCALARS", "in_units_of_cuts", "prosody_of", "scalars_of", "with_levels_of"]
