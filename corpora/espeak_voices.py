"""The voices of the espeak corpus. Levels are relative to them: no cut on hertz or decibels fits all.

A voice is an English accent and a variant of eSpeak NG (formants, pitch, timbre), with a pitch, loudness and speed of
its own. Its name, as eSpeak NG knows it, is the speaker's.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """One speaker: `pitch` and `speed` are factors on the variant's own, `loudness` is in dB on the corpus's."""

    name: str
    gender: str
    pitch: float = 1.0
    loudness: float = 0.0
    speed: float = 1.0


SEEN = (
    Voice("en-us+m1", "male", 1.05, -3.0, 0.96),
    Voice("en-us+m3", "male", 1.00, 1.5, 1.04),
    Voice("en-us+Alex", "male", 1.02, -1.0, 0.95),
    Voice("en-us+f2", "female", 1.00, -2.0, 1.03),
    Voice("en-us+belinda", "female", 1.00, 3.0, 0.98),
    Voice("en+m2", "male", 0.98, 2.0, 1.06),
    Voice("en+max", "male", 1.04, -4.0, 1.00),
    Voice("en+f3", "female", 0.97, 0.5, 0.95),
    Voice("en+linda", "female", 0.94, -1.5, 1.05),
    Voice("en-gb-scotland+m7", "male", 1.03, 2.0, 0.95),
    Voice("en-gb-scotland+f1", "female", 0.95, -3.5, 1.01),
    Voice("en-029+m5", "male", 0.96, -0.5, 1.02),
    Voice("en-029+Nguyen", "male", 1.00, 4.0, 0.97),
    Voice("en-029+f4", "female", 1.02, 2.5, 1.06),
    Voice("en-gb-x-rp+m4", "male", 1.02, -2.5, 1.07),
    Voice("en-gb-x-rp+shelby", "female", 0.96, 1.0, 0.95),
    Voice("en-us-nyc+m6", "male", 1.05, 0.0, 0.99),
    Voice("en-us-nyc+steph", "female", 1.00, -4.0, 1.00),
)
UNSEEN = (  # Lancaster and West Midlands are accents that no seen voice has, and no variant is a seen one
    Voice("en-gb-x-gbclan+m8", "male", 1.06, 2.0, 1.05),
    Voice("en-gb-x-gbclan+aunty", "female", 0.97, -2.0, 0.96),
    Voice("en-gb-x-gbcwmd+Mario", "male", 1.00, -3.5, 1.00),
    Voice("en-gb-x-gbcwmd+f5", "female", 1.00, 3.5, 1.03),
    Voice("en-us+boris", "male", 1.03, 0.5, 0.95),
    Voice("en-gb-x-rp+grandma", "female", 1.00, 1.0, 0.98),
)
