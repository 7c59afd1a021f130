"""From measurements of a voice to levels such as `high`, and from claims about it to verdicts.

A level compares a recording with what is usual for its speaker, for one cut for all calls every man low and every
woman high. What is usual is known best from the speaker's own recordings, worse from the gender, worst from the
corpus; how badly is an error like that of the measurement, and the two add up. A value that is nearer to a cut than
its error gets no level: what cannot be known is `None`, with the reason.
"""

import json
import math
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import NormalDist, median

from .prosody_xser import Prosody

LEVELS = {
    "pitch": ("low", "normal", "high"),
    "volume": ("quiet", "normal", "loud"),
    "speed": ("slow", "normal", "fast"),
    "tone": ("falling", "flat", "rising", "falling-rising", "rising-falling"),
    "expressiveness": ("monotone", "normal", "expressive"),
}
QUANTITY_OF = {  # slot → what of `Prosody` it is told from
    "pitch": "pitch",
    "volume": "loudness",
    "speed": "rate",
    "tone": "contour",
    "expressiveness": "pitch_range",
}
QUANTITIES = ("pitch", "loudness", "rate", "pitch_range")  # those that are calibrated
UNITS = {"pitch": "Hz", "loudness": "dBFS", "rate": "syllables/s", "pitch_range": "semitones", "contour": "semitones"}
BASES = ("speaker", "gender", "corpus")  # finest first
FINAL_MOVEMENT = {"falling-rising": "rising", "rising-falling": "falling"}

AGREE, CONTRADICT, CANNOT_TELL = "agree", "contradict", "can't tell"
TOO_SHORT, UNVOICED, NOISY, NOT_MEASURED = "too short", "unvoiced", "noisy", "not measured"
NO_REFERENCE, NEAR_A_CUT, UNCERTAIN_REFERENCE = "no reference", "near a cut", "uncertain reference"
OUTSIDE_SCHEMA = "outside the schema"
REASONS = (
    TOO_SHORT, UNVOICED, NOISY, NOT_MEASURED, NO_REFERENCE, NEAR_A_CUT, UNCERTAIN_REFERENCE, OUTSIDE_SCHEMA,
)  # fmt: skip

VERSION = 1  # of a calibration's file
MIN_RECORDINGS = 3  # of a speaker, before their median says what is usual for them
MIN_SPEECH_SECONDS = 0.3
MIN_VOICED_SECONDS = 0.1
MIN_SNR_DB = 6.0  # below, the noise alone lifts the measured loudness by more than 1.3 dB
MIN_HNR_DB = 10.0  # so harmonic a voice is not noisy: where nobody pauses, the SNR is but a lower bound
MEDIAN_ERROR = math.sqrt(math.pi / 2)  # standard error of a median of n Gaussian values: this times spread / sqrt(n)
RANGE_ERROR = 0.88  # of a Gaussian's 5th-95th percentile range R, from n values: this times R / sqrt(n)
SYLLABLE_SECONDS = 0.2  # voiced time that makes one value of its own: pitch within a syllable moves in one piece
TONE_CUT = 2.0  # semitones that make a movement; chosen
CONTOUR_ERROR = 0.5 * math.sqrt(2)  # semitones, of a difference of two points of the contour; chosen
_GAUSSIAN = NormalDist()
_BASIS_WORDS = {
    "speaker": "for this speaker",
    "gender": "by what is usual for the gender",
    "corpus": "by what is usual in the corpus",
}


@dataclass(frozen=True)
class Reference:
    """What is usual.

    Attributes:
        medians: quantity → median; pitch and pitch range in semitones, loudness in dBFS, rate in syllables a second.
        errors: quantity → standard error of that median as the usual value of the one who speaks.
    """

    medians: dict[str, float]
    errors: dict[str, float]

    def __post_init__(self):
        _check_keys("reference", set(self.medians) - set(QUANTITIES), set())
        if set(self.errors) != set(self.medians):
            raise ValueError(f"errors are of {sorted(self.errors)}; they must be of {sorted(self.medians)}")
        for quantity, value in self.medians.items():
            _number(f"reference of {quantity}", value)
            _number(f"error of the reference of {quantity}", self.errors[quantity], least=0)


@dataclass(frozen=True)
class Calibration:
    """Where levels begin and end, and where that comes from.

    Attributes:
        corpus, split: what it was measured on.
        num_utterances, num_speakers: how much of it.
        left_out: speakers that were kept out.
        relative_to: what the cuts are relative to: `speaker`, `gender` or `corpus`. Coarser references stand in for
            one that is not known; finer ones are not used.
        quantiles: quantity → the pair that the cuts are quantiles at; `None` where they are not.
        cuts: quantity → (lower, upper) in the quantity's unit (pitch in semitones), less the reference.
        spreads: quantity → robust standard deviation of one speaker's (gender's, corpus's) recordings.
        speakers, genders: name → reference.
        everyone: the corpus's reference, maybe of no quantity.

    Raises:
        ValueError: names the field, its value, and what it must be.
    """

    corpus: str
    split: str
    num_utterances: int
    num_speakers: int
    left_out: tuple[str, ...]
    relative_to: str
    quantiles: dict[str, tuple[float, float]] | None
    cuts: dict[str, tuple[float, float]]
    spreads: dict[str, float]
    speakers: dict[str, Reference]
    genders: dict[str, Reference]
    everyone: Reference

    def __post_init__(self):
        for name in ("corpus", "split"):
            _text(name, getattr(self, name))
        for name in ("num_utterances", "num_speakers"):
            _whole(name, getattr(self, name))
        if self.relative_to not in BASES:
            raise ValueError(f"relative_to is {self.relative_to!r}; it must be one of {BASES}")
        for name in ("cuts", "spreads") if self.quantiles is None else ("cuts", "spreads", "quantiles"):
            _check_keys(name, set(getattr(self, name)) - set(QUANTITIES), set(QUANTITIES) - set(getattr(self, name)))
        for quantity in QUANTITIES:
            _number(f"spreads[{quantity!r}]", self.spreads[quantity], least=0)
            _rising_pair(f"cuts[{quantity!r}]", self.cuts[quantity])
            if self.quantiles is not None:
                _rising_pair(f"quantiles[{quantity!r}]", self.quantiles[quantity], least=0, most=1)

    @classmethod
    def default(cls) -> "Calibration":
        """Built-in cuts, for where nothing was calibrated.

        They are chosen, not measured: low and high pitch lie 3 semitones apart, quiet and loud 6 dB, slow and fast 1.2
        syllables a second, monotone and expressive 6 semitones of range. Where the speaker's reference is not known,
        pitch is judged by typical medians of the gender (120 Hz for men and 210 Hz for women: Traunmüller and
        Eriksson, "The frequency range of the voice fundamental in the speech of male and female adults"), from which
        speakers are taken to differ by 2.5 semitones; speed and expressiveness by what is typical of everyone. Volume
        cannot be told then, for how loud a file is depends on the microphone.
        """
        man, woman = _semitones(120), _semitones(210)
        return cls(
            corpus="built-in",
            split="none",
            num_utterances=0,
            num_speakers=0,
            left_out=(),
            relative_to="speaker",
            quantiles=None,
            cuts={"pitch": (-1.5, 1.5), "loudness": (-3.0, 3.0), "rate": (-0.6, 0.6), "pitch_range": (-3.0, 3.0)},
            spreads={"pitch": 1.5, "loudness": 3.0, "rate": 0.5, "pitch_range": 1.5},
            speakers={},
            genders={
                "female": Reference({"pitch": woman}, {"pitch": 2.5}),
                "male": Reference({"pitch": man}, {"pitch": 2.5}),
            },
            everyone=Reference(
                {"pitch": (man + woman) / 2, "rate": 4.5, "pitch_range": 8.0},
                {"pitch": 5.5, "rate": 1.0, "pitch_range": 2.0},
            ),
        )

    def reference_of(self, recordings: Iterable[Prosody]) -> Reference:
        """What is usual for a new speaker, from a few of their recordings: the median of what could be measured.

        They should be of the speaker's ordinary voice, or of all their moods: what is usual in them counts as normal.
        A quantity that fewer than three of them tell is left to the gender or the corpus.

        Raises:
            ValueError: no quantity could be measured in three recordings.
        """
        recordings = list(recordings)
        medians, errors = {}, {}
        for quantity in QUANTITIES:
            values = [getattr(p, quantity) for p in recordings if why_not(p, quantity) is None]
            if len(values) >= MIN_RECORDINGS:
                medians[quantity] = float(median(values))
                errors[quantity] = MEDIAN_ERROR * self.spreads[quantity] / math.sqrt(len(values))
        if not medians:
            raise ValueError(
                f"of {len(recordings)} recordings, no quantity could be measured in {MIN_RECORDINGS}: a reference "
                f"needs at least {MIN_RECORDINGS} recordings of the speaker with clear speech"
            )
        return Reference(medians, errors)

    def to_dict(self) -> dict:
        """As JSON-able values, with the version."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping) -> "Calibration":
        """Inverse of `to_dict`, strict.

        Raises:
            ValueError: no calibration, one of a newer version, or a field that is missing, unknown or not right.
        """
        values = dict(_mapping("calibration", values))
        version = values.pop("version", None)
        if isinstance(version, bool) or not isinstance(version, int):
            raise ValueError(f"version is {version!r}; a calibration has a whole number there")
        if version > VERSION:
            raise ValueError(
                f"calibration of version {version}: it was made by a newer xser; this one knows {VERSION}"
            )
        if version < VERSION:
            raise ValueError(f"calibration of version {version}, which does not exist; this xser knows {VERSION}")
        names = {field.name for field in fields(cls)}
        _check_keys("calibration", set(values) - names, names - set(values))
        for name in ("cuts", "quantiles"):
            if name == "cuts" or values[name] is not None:
                pairs = _mapping(name, values[name])
                values[name] = {key: tuple(_list(f"{name}[{key!r}]", pair)) for key, pair in pairs.items()}
        values["spreads"] = dict(_mapping("spreads", values["spreads"]))
        values["left_out"] = tuple(_text("left_out", name) for name in _list("left_out", values["left_out"]))
        for name in ("speakers", "genders"):
            of = _mapping(name, values[name])
            values[name] = {key: _reference_from(f"{name}[{key!r}]", one) for key, one in of.items()}
        values["everyone"] = _reference_from("everyone", values["everyone"])
        return cls(**values)

    def save(self, path: str | os.PathLike) -> None:
        """Write a JSON file that a person can read; half of one is never found."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.partial-{uuid.uuid4().hex[:8]}")
        try:
            text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
            beside.write_text(text + "\n", encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Calibration":
        """Read a file of `save`.

        Raises:
            OSError: it cannot be read.
            ValueError: as `from_dict`; the message starts with the path.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            return cls.from_dict(json.loads(text, object_pairs_hook=_no_duplicates))
        except ValueError as error:  # JSON's and the decoder's errors are ValueErrors too
            raise ValueError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Label:
    """One slot's level.

    Attributes:
        level: `None` where it cannot be told.
        value: what was measured, in `unit`; of a tone, the final movement.
        unit: Hz, dBFS, syllables/s or semitones.
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
    unit: str
    confidence: float | None
    reason: str | None
    basis: str | None
    offset: float | None = None
    cuts: tuple[float, float] | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds: `agree`, `contradict` or `can't tell`; the other fields as in `Label`.

    Attributes:
        reason: a phrase with the measured value and where the claimed level begins and ends.
    """

    verdict: str
    value: float | None
    unit: str
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
            falling-rising tone that is not among them becomes its final movement.
        margin: how many errors away from every cut a value must lie to get a level. At 0 whatever was measured gets
            one, to be taken by its confidence.

    Raises:
        ValueError: `levels` has a slot or level that does not exist; the margin is negative.
    """
    allowed = _check_levels(LEVELS if levels is None else levels)
    _number("margin", margin, least=0)
    labels = {}
    for slot in allowed:
        place = _place(slot, allowed[slot], prosody, calibration, speaker, gender)
        level, reason, confidence = place.decide(allowed[slot], margin)
        offset, cuts = place.offset, place.cuts
        labels[slot] = Label(level, place.value, place.unit, confidence, reason, place.basis, offset, cuts)
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
        claims: slot → level.
        prosody, calibration, speaker, gender, margin: as of `label`.
        levels: as of `label`, those that the claimant could choose from.

    Raises:
        ValueError: a slot or level that does not exist, named with those that do; the margin is negative.
    """
    allowed = _check_levels(LEVELS if levels is None else levels)
    _number("margin", margin, least=0)
    verdicts = {}
    for slot, claimed in claims.items():
        if slot not in allowed:
            raise ValueError(f"slot {slot!r} cannot be checked; there are {list(allowed)}")
        if claimed not in allowed[slot]:
            raise ValueError(f"{slot} {claimed!r} is not one of {list(allowed[slot])}")
        place = _place(slot, allowed[slot], prosody, calibration, speaker, gender)
        verdict, reason = place.judge(claimed, margin)
        verdicts[slot] = Verdict(verdict, place.value, place.unit, place.cuts, reason, place.basis)
    return verdicts


def why_not(prosody: Prosody, quantity: str) -> str | None:
    """Why a quantity of `QUANTITIES`, or the contour, cannot be told from a recording; `None` where it can."""
    voiced = quantity in ("pitch", "pitch_range", "contour")
    if prosody.speech_seconds < MIN_SPEECH_SECONDS:
        return TOO_SHORT
    if voiced and prosody.voiced_seconds < MIN_VOICED_SECONDS:
        return UNVOICED
    harmonic = prosody.hnr_db is not None and prosody.hnr_db >= MIN_HNR_DB
    if prosody.snr_db is not None and prosody.snr_db < MIN_SNR_DB and not harmonic:
        return NOISY
    if getattr(prosody, quantity) is None or _error(prosody, quantity) is None:
        return NOT_MEASURED
    return None


@dataclass(frozen=True)
class _Place:
    """Where a value lies among the cuts: `distances[level]` to each of the level's cuts, negative beyond it."""

    value: float | None
    unit: str
    reason: str | None = None
    basis: str | None = None
    offset: float | None = None
    cuts: tuple[float, float] | None = None
    distances: dict[str, tuple[float, ...]] | None = None
    error: float | None = None
    own_error: float | None = None  # of the measurement alone

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
            return CANNOT_TELL, self.reason
        distance = min(self.distances[claimed])
        if distance >= margin * self.error:
            return AGREE, self._compare(claimed)
        if distance < -margin * self.error:
            return CONTRADICT, self._compare(claimed)
        return CANNOT_TELL, f"{self._too_near(abs(distance), margin)}: {self._compare(claimed)}"

    def _too_near(self, distance: float, margin: float) -> str:
        return NEAR_A_CUT if distance <= margin * self.own_error else UNCERTAIN_REFERENCE

    def _compare(self, claimed: str) -> str:
        lower, upper = (_in_words(cut, self.unit) for cut in self.cuts)
        value = _in_words(self.value, self.unit)
        if claimed in LEVELS["tone"]:
            return f"the pitch moves by {value} at the end, where {upper} make a movement"
        if len(self.distances[claimed]) == 2:
            extent = f"lies between {lower} and {upper}"
        else:
            extent = f"ends at {lower}" if claimed == next(iter(self.distances)) else f"begins at {upper}"
        return f"{value}, where {claimed} {extent} {_BASIS_WORDS[self.basis]}"


def _place(slot, allowed, prosody, calibration, speaker, gender) -> _Place:
    quantity = QUANTITY_OF[slot]
    reason, unit = why_not(prosody, quantity), UNITS[quantity]
    if slot == "tone":
        return _Place(None, unit, reason, "speaker") if reason else _place_tone(prosody.contour, allowed)
    found = _find_reference(quantity, calibration, speaker, gender)
    value, natural = getattr(prosody, quantity), _hertz if quantity == "pitch" else float
    if reason or not found:
        return _Place(None if value is None else natural(value), unit, reason or NO_REFERENCE, found and found[2])
    usual, usual_error, basis = found
    own_error, offset = _error(prosody, quantity), float(value) - usual
    lower, upper = calibration.cuts[quantity]
    low, normal, high = LEVELS[slot]
    distances = {low: (lower - offset,), normal: (offset - lower, upper - offset), high: (offset - upper,)}
    cuts = (natural(usual + lower), natural(usual + upper))
    error = math.hypot(own_error, usual_error)
    return _Place(natural(value), unit, None, basis, offset, cuts, distances, error, own_error)


def _place_tone(contour: tuple[float, ...], allowed: tuple[str, ...]) -> _Place:
    """The shape of a contour of three points or more: a peak or dip between the ends, else a rise, a fall or none."""
    first, *inner, last = contour
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
    cuts = (-TONE_CUT, TONE_CUT)
    return _Place(value, UNITS["contour"], None, "speaker", value, cuts, shapes, CONTOUR_ERROR, CONTOUR_ERROR)


def _find_reference(quantity, calibration, speaker, gender) -> tuple[float, float, str] | None:
    """(median, error, basis) of the finest reference that is known and that the cuts are relative to, or stand-in."""
    known = {
        "speaker": calibration.speakers.get(speaker) if isinstance(speaker, str) else speaker,
        "gender": calibration.genders.get(gender),
        "corpus": calibration.everyone,
    }
    for basis in BASES[BASES.index(calibration.relative_to) :]:
        reference = known[basis]
        if reference is not None and quantity in reference.medians:
            return reference.medians[quantity], reference.errors[quantity], basis
    return None


def _error(prosody: Prosody, quantity: str) -> float | None:
    """Standard error of a measurement, in the unit of its cuts."""
    if quantity == "contour":
        return CONTOUR_ERROR
    if quantity == "pitch_range":
        if prosody.pitch_range is None:
            return None
        return RANGE_ERROR * prosody.pitch_range / math.sqrt(max(prosody.voiced_seconds / SYLLABLE_SECONDS, 1))
    return getattr(prosody, f"{quantity}_error")


def _tail(distance: float, error: float) -> float:
    """Probability that a Gaussian of this error lies beyond a cut at `distance` 0 or more."""
    return _GAUSSIAN.cdf(-distance / error) if error > 0 else 0.0


def _semitones(hertz: float) -> float:
    return 12 * math.log2(hertz)


def _hertz(semitones: float) -> float:
    return 2 ** (semitones / 12)


def _in_words(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit == "Hz" else f"{value:.1f} {unit}"


def _check_levels(levels: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """`levels` as tuples; `ValueError` where one cannot be told."""
    allowed = {slot: tuple(names) for slot, names in levels.items()}
    for slot, names in allowed.items():
        if slot not in LEVELS:
            raise ValueError(f"slot {slot!r} cannot be told from a recording; there are {list(LEVELS)}")
        unknown = [name for name in names if name not in LEVELS[slot]]
        if unknown:
            raise ValueError(f"levels {unknown} of {slot} cannot be told; there are {list(LEVELS[slot])}")
    return allowed


def _reference_from(name: str, values: object) -> Reference:
    values = _mapping(name, values)
    expected = {"medians", "errors"}
    _check_keys(name, set(values) - expected, expected - set(values))
    return Reference(**{key: dict(_mapping(f"{name}.{key}", value)) for key, value in values.items()})


def _check_keys(name: str, unknown: set, missing: set) -> None:
    if unknown:
        raise ValueError(f"{name} has unknown keys {sorted(unknown)}")
    if missing:
        raise ValueError(f"{name} lacks {sorted(missing)}")


def _mapping(name: str, value: object) -> Mapping:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r}; it must be an object")
    return value


def _list(name: str, value: object) -> list | tuple:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} is {value!r}; it must be a list")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}; it must be text")
    return value


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, 0 or more")


def _number(name: str, value: object, least: float = -math.inf, most: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}; it must be a finite number")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must lie between {least} and {most}")


def _rising_pair(name: str, pair: tuple, least: float = -math.inf, most: float = math.inf) -> None:
    if len(pair) != 2:
        raise ValueError(f"{name} is {pair}; it must be two numbers")
    for value in pair:
        _number(name, value, least, most)
    if not pair[0] < pair[1]:
        raise ValueError(f"{name} is {pair}; the first must be below the second")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError(f"a key stands twice among {[key for key, _ in pairs]}")
    return dict(pairs)


__all__ = [
    "BASES",
    "LEVELS",
    "QUANTITIES",
    "Calibration",
    "Label",
    "Reference",
    "Verdict",
    "check",
    "label",
    "why_not",
]
