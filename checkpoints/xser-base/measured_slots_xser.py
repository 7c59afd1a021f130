"""The slots that measurements verify, declared once: their levels, what each is measured by, and relative to what.

A further slot is an entry here, its quantity among `calibration_xser.QUANTITIES`, and its wordings for sentences
(`descriptors/say.py`) and captions (`caption_clauses_xser.py`). A model whose config does not name a slot never asks
for it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasuredSlot:
    """One slot.

    Attributes:
        levels: from the lowest to the highest where it is relative, else in any order.
        quantities: of `Prosody`, those that it can be measured by, the surest first.
        is_relative: whether its three levels compare a recording with its speaker's median.
    """

    levels: tuple[str, ...]
    quantities: tuple[str, ...]
    is_relative: bool = True


MEASURED_SLOTS = {
    "pitch": MeasuredSlot(("low", "normal", "high"), ("pitch",)),
    "volume": MeasuredSlot(("quiet", "normal", "loud"), ("loudness",)),
    "speed": MeasuredSlot(("slow", "normal", "fast"), ("text_rate", "rate")),
    "tone": MeasuredSlot(
        ("falling", "flat", "rising", "falling-rising", "rising-falling"), ("contour",), is_relative=False
    ),
    "range": MeasuredSlot(("flat", "normal", "expressive"), ("pitch_spread", "pitch_range")),
}
UNITS = {  # of each quantity
    "pitch": "Hz",
    "loudness": "dBFS",
    "rate": "syllables/s",
    "text_rate": "syllables/s",
    "pitch_range": "semitones",
    "pitch_spread": "semitones",
    "contour": "semitones",
}
ERROR_UNITS = {**UNITS, "pitch": "semitones", "loudness": "dB"}

LEVELS = {slot: each.levels for slot, each in MEASURED_SLOTS.items()}
QUANTITIES_OF = {slot: each.quantities for slot, each in MEASURED_SLOTS.items()}
RELATIVE_SLOTS = tuple(slot for slot, each in MEASURED_SLOTS.items() if each.is_relative)

__all__ = ["ERROR_UNITS", "LEVELS", "MEASURED_SLOTS", "QUANTITIES_OF", "RELATIVE_SLOTS", "UNITS", "MeasuredSlot"]
