"""From measurements of a voice to levels such as `high`, and from claims about it to verdicts.

A level compares a recording with what is usual for its speaker, for one cut for all calls every man low and every
woman high. What is usual is known best from the speaker's own recordings, worse from the gender, worst from the
corpus; how badly is an error like that of the measurement, and the two add up. A value that is nearer to a cut than
its error gets no level: what cannot be known is `None`, with the reason.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from .calibration_xser import (
    BASES,
    IMPLAUSIBLE,
    MISFIT,
    NOISY,
    NOT_MEASURED,
    TOO_SHORT,
    UNVOICED,
    Calibration,
    Reference,
    check_number,
    why_not,
)
from .measured_slots_xser import ERROR_UNITS, LEVELS, QUANTITIES_OF, UNITS
from .prosody_xser import Prosody
from .reasons_xser import describe_contour, describe_lack, in_words

FINAL_MOVEMENT = {"falling-rising": "rising", "rising-falling": "falling"}

AGREE, CONTRADICT, CANNOT_TELL = "agree", "contradict", "can't tell"
NO_REFERENCE, NEAR_A_CUT, UNCERTAIN_REFERENCE = "no reference", "near a cut", "uncertain reference"
OUTSIDE_SCHEMA, NOT_MEASURABLE = "outside the schema", "no measurement tells it"
REASONS = (
    TOO_SHORT, UNVOICED, NOISY, NOT_MEASURED, MISFIT, IMPLAUSIBLE, NO_REFERENCE, NEAR_A_CUT, UNCERTAIN_REFERENCE,
    OUTSIDE_SCHEMA, NOT_MEASURABLE,
)  # fmt: skip

TONE_CUT = 2.0  # semitones that make a movement; chosen
_GAUSSIAN = NormalDist()
_BASIS_WORDS = {
    "speaker": "for this speaker",
    "gender": "by what is usual for the gender",
    "corpus": "by what is usual in the corpus",
}


@dataclass(frozen=True)
class Label:
    """One slot's level.

    Attributes:
        level: `None` where it cannot be told.
        value: what was measured, in `unit`; of a tone, the final movement.
        unit: Hz, dBFS, syllables/s or semitones; `None` where no measurement tells the slot.
        quantity: what of `Prosody` it was told from: of `QUANTITIES_OF`, the one whose usual value is known best.
        confidence: probability that the true value lies on the same side of every cut, under a Gaussian of the error
            of measurement and reference (of a tone, at least that); `None` where the level is.
        reason: why there is no level, one of `REASONS`.
        basis: what the level is relative to, one of `BASES`; a tone is to the speaker's own median in the recording.
            `None` where there is no reference.
        offset: value less reference, pitch in semitones.
        cuts: where the middle level begins and ends, in `unit`.
    """

    level: str | None
    value: float | None
    unit: str | None
    quantity: str | None
    confidence: float | None
    reason: str | None
    basis: str | None
    offset: float | None = None
    cuts: tuple[float, float] | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds: `agree`, `contradict` or `can't tell`; the other fields as in `Label`.

    Attributes:
        reason: a phrase with what was measured and decides, and where the claimed level begins and ends. Where it
            cannot be told, it begins with one of `REASONS`.
    """

    verdict: str
    value: float | None
    unit: str | None
    quantity: str | None
    cuts: tuple[float, float] | None
    reason: str
    basis: str | None


def label(
    prosody: Prosody,
    calibration: Calibration,
    speaker: Reference | str | None = None,
    gender: str | None = None,
    levels: Mapping[str, Iterable[str]] | None = None,
    margin: float = 1.0,
) -> dict[str, Label]:
    """Tell the levels of a recording.

    Args:
        prosody: its measurements.
        calibration: where the cuts are.
        speaker: what is usual for them, or the name of one whom the calibration knows; for another name, as for
            `None`, the gender stands in, and for an unknown gender the corpus, as the label's `basis` says.
        gender: as the corpus that was calibrated calls it; the default calibration knows `female` and `male`.
        levels: slots to tell and levels that they may have, all of `LEVELS` by default. A rising-falling or
            falling-rising tone that is not among them becomes its final movement. What no measurement tells, a
            slot or a level of it, may be among them: it is not told.
        margin: how many errors away from every cut a value must lie to get a level. At 0 whatever was measured gets
            one, to be taken by its confidence.

    Raises:
        ValueError: the margin is negative.
    """
    allowed = _check_options(levels, margin)
    labels = {}
    for slot in allowed:
        if not allowed[slot]:
            labels[slot] = Label(None, None, None, None, None, NOT_MEASURABLE, None)
            continue
        place = _place(slot, allowed[slot], prosody, calibration, speaker, gender)
        level, reason, confidence = place.decide(allowed[slot], margin)
        where = {name: getattr(place, name) for name in ("value", "unit", "quantity", "basis", "offset", "cuts")}
        labels[slot] = Label(level=level, confidence=confidence, reason=reason, **where)
    return labels


def check(
    claims: Mapping[str, str],
    prosody: Prosody,
    calibration: Calibration,
    speaker: Reference | str | None = None,
    gender: str | None = None,
    levels: Mapping[str, Iterable[str]] | None = None,
    margin: float = 1.0,
) -> dict[str, Verdict]:
    """Compare claims such as `{"pitch": "high"}` with a recording.

    A claim is contradicted where the value lies beyond the claimed level by more than `margin` errors, and agreed with
    where it lies within by at least as many. So the level that `label` tells always agrees.

    Args:
        claims: slot → level; of one that no measurement tells, nothing is said.
        prosody, calibration, speaker, gender, margin: as of `label`.
        levels: as of `label`, those that the claimant could choose from.

    Raises:
        ValueError: the margin is negative.
    """
    allowed = _check_options(levels, margin)
    verdicts = {}
    for slot, claimed in claims.items():
        if claimed not in allowed.get(slot, ()):
            verdicts[slot] = Verdict(CANNOT_TELL, None, None, None, None, _not_measurable(slot, claimed), None)
            continue
        place = _place(slot, allowed[slot], prosody, calibration, speaker, gender)
        verdict, reason = place.judge(claimed, margin)
        where = {name: getattr(place, name) for name in ("value", "unit", "quantity", "cuts", "basis")}
        verdicts[slot] = Verdict(verdict=verdict, reason=reason, **where)
    return verdicts


@dataclass(frozen=True)
class _Place:
    """Where a value lies among the cuts: `distances[level]` to each of the level's cuts, negative beyond it."""

    value: float | None
    quantity: str
    reason: str | None = None
    basis: str | None = None
    offset: float | None = None
    cuts: tuple[float, float] | None = None
    distances: dict[str, tuple[float, ...]] | None = None
    error: float | None = None
    own_error: float | None = None  # of the measurement alone
    told: str | None = None  # what was measured, in words, or why it was not

    @property
    def unit(self) -> str:
        return UNITS[self.quantity]

    def decide(self, allowed: tuple[str, ...], margin: float) -> tuple[str | None, str | None, float | None]:
        """(level, reason, confidence)."""
        if self.reason is not None:
            return None, self.reason, None
        level = max(self.distances, key=lambda name: min(self.distances[name]))
        distances = self.distances[level]
        if min(distances) < margin * self.error:
            return None, self._too_near(min(distances), margin), None
        if level not in allowed:
            return None, OUTSIDE_SCHEMA, None
        return level, None, max(0.0, 1 - sum(_tail(distance, self.error) for distance in distances))

    def judge(self, claimed: str, margin: float) -> tuple[str, str]:
        """(verdict, reason)."""
        if self.reason is not None:
            return CANNOT_TELL, f"{self.reason}: {self.told}"
        distance = min(self.distances[claimed])
        if distance >= margin * self.error:
            return AGREE, self._compare(claimed)
        if distance < -margin * self.error:
            return CONTRADICT, self._compare(claimed)
        reason = self._too_near(abs(distance), margin)
        of_usual = math.sqrt(max(self.error**2 - self.own_error**2, 0.0))
        what, error = ("measured", self.own_error) if reason == NEAR_A_CUT else ("what is usual is known", of_usual)
        error = in_words(error, ERROR_UNITS[self.quantity])
        return CANNOT_TELL, f"{reason}: {self._compare(claimed)}; {what} to ± {error}"

    def _too_near(self, distance: float, margin: float) -> str:
        """The reference is to blame where one that was known exactly would tell."""
        return NEAR_A_CUT if distance < margin * self.own_error else UNCERTAIN_REFERENCE

    def _compare(self, claimed: str) -> str:
        lower, upper = (in_words(cut, self.unit) for cut in self.cuts)
        if self.quantity == "contour":
            return f"{self.told}, where {upper} make a movement"
        if len(self.distances[claimed]) == 2:
            extent = f"lies between {lower} and {upper}"
        else:
            extent = f"ends at {lower}" if claimed == next(iter(self.distances)) else f"begins at {upper}"
        return f"{self.told}, where {claimed} {extent} {_BASIS_WORDS[self.basis]}"


def _place(
    slot: str,
    allowed: tuple[str, ...],
    prosody: Prosody,
    calibration: Calibration,
    speaker: Reference | str | None,
    gender: str | None,
) -> _Place:
    if slot == "tone":
        if reason := why_not(prosody, "contour"):
            return _Place(None, "contour", reason, "speaker", told=describe_lack(prosody, "contour", reason))
        return _place_tone(prosody, allowed)
    quantity, found = _surest(slot, prosody, calibration, speaker, gender)
    reason = why_not(prosody, quantity)
    value, natural = getattr(prosody, quantity), _hertz if quantity == "pitch" else float
    value = None if value is None else natural(value)
    if reason:
        lack = describe_lack(prosody, quantity, reason)
        return _Place(value, quantity, reason, found and found[2], told=lack)
    told = in_words(value, UNITS[quantity])
    if not found:
        return _Place(value, quantity, NO_REFERENCE, told=f"{told}, and nothing says what is usual for this speaker")
    usual, usual_error, basis = found
    own_error, offset = getattr(prosody, f"{quantity}_error"), float(getattr(prosody, quantity)) - usual
    lower, upper = calibration.cuts[quantity]
    low, normal, high = LEVELS[slot]
    distances = {low: (lower - offset,), normal: (offset - lower, upper - offset), high: (offset - upper,)}
    cuts = (natural(usual + lower), natural(usual + upper))
    error = math.hypot(own_error, usual_error)
    return _Place(value, quantity, None, basis, offset, cuts, distances, error, own_error, told)


def _surest(
    slot: str, prosody: Prosody, calibration: Calibration, speaker: Reference | str | None, gender: str | None
) -> tuple[str, tuple[float, float, str] | None]:
    """The measured quantity whose usual value is known best, the first of equals, and what is usual of it.

    A transcript that does not fit puts the recording in doubt, too: another quantity does not stand in.
    """
    usual = {quantity: calibration.find_reference(quantity, speaker, gender) for quantity in QUANTITIES_OF[slot]}
    measured = [quantity for quantity in usual if why_not(prosody, quantity) is None]
    known = [quantity for quantity in measured if usual[quantity]]
    misfits = [quantity for quantity in usual if why_not(prosody, quantity) == MISFIT]
    if misfits:
        surest = misfits[0]
    elif known:
        surest = min(known, key=lambda quantity: BASES.index(usual[quantity][2]))
    else:
        surest = measured[0] if measured else QUANTITIES_OF[slot][-1]
    return surest, usual[surest]


def _place_tone(prosody: Prosody, allowed: tuple[str, ...]) -> _Place:
    """The shape of a contour of three points or more: a peak or dip between the ends, else a rise, a fall or none."""
    first, *inner, last = prosody.contour
    rise, peak, dip = last - first, max(inner) - max(first, last), min(first, last) - min(inner)
    shapes = {
        "falling": (-rise - TONE_CUT, TONE_CUT - dip, TONE_CUT - peak),
        "flat": (TONE_CUT - abs(rise), TONE_CUT - dip, TONE_CUT - peak),
        "rising": (rise - TONE_CUT, TONE_CUT - dip, TONE_CUT - peak),
        "falling-rising": (dip - TONE_CUT, dip - peak),
        "rising-falling": (peak - TONE_CUT, peak - dip),
    }
    shape = max(shapes, key=lambda name: min(shapes[name]))
    value = {"falling-rising": last - min(inner), "rising-falling": last - max(inner)}.get(shape, rise)
    for richer, final in FINAL_MOVEMENT.items():
        if richer not in allowed:  # no cut divides the two any more
            ahead, other = (dip, peak) if final == "rising" else (peak, dip)
            plain = (shapes[final][0], max(TONE_CUT, ahead) - other)
            shapes[final] = max(plain, shapes.pop(richer), key=min)
    cuts, error = (-TONE_CUT, TONE_CUT), prosody.contour_error
    told = describe_contour(prosody.contour, shape)
    return _Place(value, "contour", None, "speaker", value, cuts, shapes, error, error, told)


def _tail(distance: float, error: float) -> float:
    """Probability that a Gaussian of this error lies beyond a cut at `distance` 0 or more."""
    return _GAUSSIAN.cdf(-distance / error) if error > 0 else 0.0


def _hertz(semitones: float) -> float:
    return 2 ** (semitones / 12)


def _not_measurable(slot: str, claimed: str) -> str:
    if claimed in LEVELS.get(slot, ()):
        return f"{OUTSIDE_SCHEMA}: {slot} {claimed!r} is none of the levels to choose from"
    return f"{NOT_MEASURABLE}: of {slot} there are {', '.join(LEVELS[slot])}" if slot in LEVELS else NOT_MEASURABLE


def _check_options(levels: Mapping[str, Iterable[str]] | None, margin: float) -> dict[str, tuple[str, ...]]:
    """Of `levels`, all by default, those that a measurement tells; `ValueError` where the margin is none."""
    check_number("margin", margin, least=0)
    given = LEVELS if levels is None else levels
    return {slot: tuple(name for name in names if name in LEVELS.get(slot, ())) for slot, names in given.items()}


__all__ = ["CANNOT_TELL", "LEVELS", "NOT_MEASURABLE", "QUANTITIES_OF", "Label", "Verdict", "check", "label"]
