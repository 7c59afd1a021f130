"""Where levels begin and end, what is usual for a speaker, and what a recording tells at all.

A calibration is fitted by `xser.descriptors.calibrate` and kept in a JSON file; the built-in one is for where there is
none.
"""

import json
import math
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

from .checks_xser import spelled_gender
from .prosody_xser import POSSIBLE_PITCH, POSSIBLE_RATE, Prosody

# Of `Prosody`, those that are calibrated
QUANTITIES = ("pitch", "loudness", "rate", "text_rate", "pitch_range", "pitch_spread")
OPTIONAL = ("text_rate", "pitch_spread")  # a corpus may have no transcripts, and an older calibration no spread
BASES = ("speaker", "gender", "corpus")  # finest first

# Of `why_not`
TOO_SHORT, UNVOICED, NOISY, NOT_MEASURED = "too short", "unvoiced", "noisy", "not measured"
MISFIT, IMPLAUSIBLE = "transcript does not fit", "beyond what voices do"

VERSION = 1  # of a calibration's file
MIN_RECORDINGS = 3  # of a speaker, before their median says what is usual for them
MIN_SPEECH_SECONDS = 0.3
MIN_VOICED_SECONDS = 0.1
MIN_SNR_DB = 6.0  # below, the noise alone lifts the measured loudness by more than 1.3 dB
MIN_HNR_DB = 10.0  # so harmonic a voice is not noisy: where nobody pauses, the SNR is but a lower bound


@dataclass(frozen=True)
class Reference:
    """What is usual.

    Attributes:
        medians: quantity → median; pitch, its range and spread in semitones, loudness in dBFS, rates in syllables a
            second.
        errors: quantity → standard error of that median as the usual value of the one who speaks.
    """

    medians: dict[str, float]
    errors: dict[str, float]

    def __post_init__(self):
        _check_keys("reference", set(self.medians) - set(QUANTITIES), set())
        if set(self.errors) != set(self.medians):
            raise ValueError(f"errors are of {sorted(self.errors)}; they must be of {sorted(self.medians)}")
        for quantity, value in self.medians.items():
            check_number(f"reference of {quantity}", value)
            check_number(f"error of the reference of {quantity}", self.errors[quantity], least=0)


@dataclass(frozen=True)
class Calibration:
    """Where levels begin and end, and where that comes from.

    All of `QUANTITIES` have cuts, but `text_rate` where too few recordings had a transcript, and `pitch_spread` where
    an earlier version calibrated.

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
        _check_keys("cuts", set(self.cuts) - set(QUANTITIES), set(QUANTITIES) - set(OPTIONAL) - set(self.cuts))
        for name in ("spreads",) if self.quantiles is None else ("spreads", "quantiles"):
            _check_keys(name, set(getattr(self, name)) - set(self.cuts), set(self.cuts) - set(getattr(self, name)))
        for quantity in self.cuts:
            check_number(f"spreads[{quantity!r}]", self.spreads[quantity], least=0)
            _rising_pair(f"cuts[{quantity!r}]", self.cuts[quantity])
            if self.quantiles is not None:
                _rising_pair(f"quantiles[{quantity!r}]", self.quantiles[quantity], least=0, most=1)

    @classmethod
    def default(cls) -> "Calibration":
        """Built-in cuts, for where nothing was calibrated.

        They are chosen, not measured: low and high pitch lie 3 semitones apart, quiet and loud 6 dB, slow and fast 1.2
        syllables a second, a flat and an expressive range (10th to 90th percentile of F0) 4 semitones. Where the
        speaker's reference is not known, pitch is judged by typical medians of the gender (120 Hz for men and 210 Hz
        for women: Traunmüller and Eriksson, "The frequency range of the voice fundamental in the speech of male and
        female adults"), from which speakers are taken to differ by 2.5 semitones; speed and range by what is typical
        of everyone. Volume is undetermined then, for how loud a file is depends on the microphone.
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
            cuts={
                "pitch": (-1.5, 1.5),
                "loudness": (-3.0, 3.0),
                "rate": (-0.6, 0.6),
                "text_rate": (-0.6, 0.6),
                "pitch_range": (-3.0, 3.0),
                "pitch_spread": (-2.0, 2.0),
            },
            spreads={
                "pitch": 1.5,
                "loudness": 3.0,
                "rate": 0.5,
                "text_rate": 0.5,
                "pitch_range": 1.5,
                "pitch_spread": 1.2,
            },
            speakers={},
            genders={
                "female": Reference({"pitch": woman}, {"pitch": 2.5}),
                "male": Reference({"pitch": man}, {"pitch": 2.5}),
            },
            everyone=Reference(
                {"pitch": (man + woman) / 2, "rate": 4.5, "text_rate": 4.5, "pitch_range": 8.0, "pitch_spread": 6.0},
                {"pitch": 5.5, "rate": 1.0, "text_rate": 1.0, "pitch_range": 2.0, "pitch_spread": 1.5},
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
        for quantity in self.cuts:
            values = [getattr(p, quantity) for p in recordings if why_not(p, quantity) is None]
            if len(values) >= MIN_RECORDINGS:
                medians[quantity] = float(median(values))
                errors[quantity] = median_error(self.spreads[quantity], len(values))
        if not medians:
            raise ValueError(
                f"of {len(recordings)} recordings, no quantity could be measured in {MIN_RECORDINGS}: a reference "
                f"needs at least {MIN_RECORDINGS} recordings of the speaker with clear speech"
            )
        return Reference(medians, errors)

    def find_reference(
        self, quantity: str, speaker: Reference | str | None = None, gender: str | None = None
    ) -> tuple[float, float, str] | None:
        """What is usual of a quantity: (median, its error, basis), or `None` where that, or its cuts, are not known.

        The finest that is known and that the cuts are relative to; a coarser one stands in.

        Args:
            speaker, gender: as of `levels_xser.label`.
        """
        if quantity not in self.cuts:
            return None
        known = {
            "speaker": self.speakers.get(speaker) if isinstance(speaker, str) else speaker,
            "gender": self.genders.get(self._group(gender)),
            "corpus": self.everyone,
        }
        for basis in BASES[BASES.index(self.relative_to) :]:
            reference = known[basis]
            if reference is not None and quantity in reference.medians:
                return reference.medians[quantity], reference.errors[quantity], basis
        return None

    def _group(self, gender: str | None) -> str | None:
        """The group that a gender is, whichever way the two are spelled: `F` is `female`."""
        if gender is None or gender in self.genders:
            return gender
        return next((group for group in self.genders if spelled_gender(group) == spelled_gender(gender)), None)

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


def median_error(spread: float, count: int) -> float:
    """Standard error of the median of `count` Gaussian values."""
    return math.sqrt(math.pi / 2 / count) * spread


def why_not(prosody: Prosody, quantity: str) -> str | None:
    """Why a quantity of `QUANTITIES`, or the contour, cannot be told from a recording; `None` where it can."""
    voiced = quantity in ("pitch", "pitch_range", "pitch_spread", "contour")
    if prosody.speech_seconds < MIN_SPEECH_SECONDS:
        return TOO_SHORT
    if voiced and prosody.voiced_seconds < MIN_VOICED_SECONDS:
        return UNVOICED
    harmonic = prosody.hnr_db is not None and prosody.hnr_db >= MIN_HNR_DB
    if prosody.snr_db is not None and prosody.snr_db < MIN_SNR_DB and not harmonic:
        return NOISY
    if quantity == "text_rate" and prosody.text_fits is False:
        return MISFIT
    if getattr(prosody, quantity) is None or getattr(prosody, f"{quantity}_error") is None:
        return NOT_MEASURED
    if quantity == "text_rate" and prosody.rate is None:  # nothing in the signal to hold the transcript against
        return NOT_MEASURED
    if voiced and not _is_within(prosody.pitch_hz, POSSIBLE_PITCH):
        return IMPLAUSIBLE
    if quantity in ("rate", "text_rate") and not _is_within(getattr(prosody, quantity), POSSIBLE_RATE):
        return IMPLAUSIBLE
    return None


def _is_within(value: float | None, extent: tuple[float, float]) -> bool:
    return value is None or extent[0] <= value <= extent[1]


def _semitones(hertz: float) -> float:
    return 12 * math.log2(hertz)


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


def check_number(name: str, value: object, least: float = -math.inf, most: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}; it must be a finite number")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must lie between {least} and {most}")


def _rising_pair(name: str, pair: tuple, least: float = -math.inf, most: float = math.inf) -> None:
    if len(pair) != 2:
        raise ValueError(f"{name} is {pair}; it must be two numbers")
    for value in pair:
        check_number(name, value, least, most)
    if not pair[0] < pair[1]:
        raise ValueError(f"{name} is {pair}; the first must be below the second")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError(f"a key stands twice among {[key for key, _ in pairs]}")
    return dict(pairs)


__all__ = [
    "BASES", "IMPLAUSIBLE", "MIN_RECORDINGS", "MIN_SNR_DB", "MIN_SPEECH_SECONDS", "MIN_VOICED_SECONDS", "MISFIT",
    "NOISY", "NOT_MEASURED", "OPTIONAL", "QUANTITIES", "TOO_SHORT", "UNVOICED", "Calibration", "Reference",
    "check_number", "median_error", "why_not",
]  # fmt: skip
