"""Where levels begin and end, from the measurements of a training split.

    calibration = calibrate(measurements, corpus="nemo", split="train", leave_out=["WR0"])
    calibration.save("calibration.json")

The cuts are quantiles of what is left when each speaker's own median is taken away, so that a level is about a third
of what every speaker does. For a speaker who is not known, those of the gender stand in, or all: the median of their
medians, with an error that is how far speakers lie from it.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from xser.calibration_xser import (
    BASES,
    MIN_RECORDINGS,
    OPTIONAL,
    QUANTITIES,
    Calibration,
    Reference,
    median_error,
    why_not,
)
from xser.checks_xser import spelled_gender
from xser.prosody_xser import Prosody

TERTILES = (1 / 3, 2 / 3)
MIN_VALUES = 30  # of a quantity, for its cuts: of 30, a tertile's standard error is one in twelve of the recordings
MIN_FREEDOM = 2  # speakers less groups, for the spread of speakers: of two alone it may come out as nothing
MAD_TO_SPREAD = 1.4826  # standard deviation of a Gaussian over its median absolute deviation

_TRAINING_SPLIT = re.compile(r"train(ing)?([-_. ].*)?", re.IGNORECASE)
_EVERYONE = "everyone"

Row = tuple[Prosody, str | None, str | None]  # measurements, speaker, gender
Usual = dict[str, tuple[float, float]]  # name → (median, its error)


def calibrate(
    measurements: Iterable[Row],
    corpus: str,
    split: str,
    quantiles: tuple[float, float] | Mapping[str, tuple[float, float]] = TERTILES,
    *,
    relative_to: str = "speaker",
    leave_out: Collection[str] = (),
    allow_split: str | None = None,
) -> Calibration:
    """Fit cuts and references.

    Args:
        measurements: (prosody, speaker or `None`, gender or `None`) of each recording.
        corpus, split: what they are of, for the provenance.
        quantiles: where the lower and the upper cut lie, of every quantity, or a pair a quantity.
        relative_to: `speaker`; or `gender` or `corpus`, where speakers are not named, or to see how much they matter.
            Cuts do not count recordings whose speaker (gender) is not known, or has fewer than three.
        leave_out: speakers whose recordings do not count.
        allow_split: the name of a split that is no training split and shall be calibrated on all the same.

    Raises:
        ValueError: the split is no training split; a speaker to leave out is not there; a speaker has two genders; too
            few recordings, with how many are needed.
    """
    if not _TRAINING_SPLIT.fullmatch(split) and allow_split != split:
        raise ValueError(
            f"split {split!r} is no training split, and cuts fitted on what is tested flatter its figures: give one "
            f"whose name begins with train, or allow_split={split!r}"
        )
    if relative_to not in BASES:
        raise ValueError(f"relative_to is {relative_to!r}; it must be one of {BASES}")
    pairs = _pairs(quantiles)
    rows = _without(list(measurements), leave_out)
    values = {quantity: _values(quantity, rows, relative_to) for quantity in QUANTITIES}
    fits = {
        quantity: _fit(quantity, of, len(rows), relative_to, pairs[quantity])
        for quantity, of in values.items()
        if quantity not in OPTIONAL or _count(of) >= MIN_VALUES
    }
    usual = {basis: {} for basis in BASES} | {relative_to: {quantity: fit.usual for quantity, fit in fits.items()}}
    if relative_to == "speaker":
        gender_of = _gender_of_speakers(rows)
        corpus_of = dict.fromkeys((row[1] for row in rows), _EVERYONE)
        usual["gender"] = {quantity: _stand_ins(fit.usual, gender_of) for quantity, fit in fits.items()}
        usual["corpus"] = {quantity: _stand_ins(fit.usual, corpus_of) for quantity, fit in fits.items()}
    return Calibration(
        corpus=corpus,
        split=split,
        num_utterances=len(rows),
        num_speakers=len({row[1] for row in rows} - {None}),
        left_out=tuple(sorted(leave_out)),
        relative_to=relative_to,
        quantiles={quantity: pairs[quantity] for quantity in fits},
        cuts={quantity: fit.cuts for quantity, fit in fits.items()},
        spreads={quantity: fit.spread for quantity, fit in fits.items()},
        speakers=_references(usual["speaker"]),
        genders=_references(usual["gender"]),
        everyone=_references(usual["corpus"]).get(_EVERYONE, Reference({}, {})),
    )


@dataclass(frozen=True)
class _Fit:
    """One quantity: its cuts, the spread of one speaker's (gender's, corpus's) recordings, what is usual for each."""

    cuts: tuple[float, float]
    spread: float
    usual: Usual


def _values(quantity: str, rows: list[Row], relative_to: str) -> dict[str, np.ndarray]:
    """Of each speaker (gender, the corpus), where there are enough."""
    values = defaultdict(list)
    for prosody, speaker, gender in rows:
        unit = {"speaker": speaker, "gender": gender, "corpus": _EVERYONE}[relative_to]
        if unit is not None and why_not(prosody, quantity) is None:
            values[unit].append(float(getattr(prosody, quantity)))
    return {unit: np.array(of_unit) for unit, of_unit in values.items() if len(of_unit) >= MIN_RECORDINGS}


def _count(values: Mapping[str, np.ndarray]) -> int:
    return sum(map(len, values.values()))


def _fit(
    quantity: str, values: Mapping[str, np.ndarray], num_rows: int, relative_to: str, pair: tuple[float, float]
) -> _Fit:
    if _count(values) < MIN_VALUES:
        raise ValueError(
            f"{quantity} could be told relative to the {relative_to} in {_count(values)} of {num_rows} recordings, "
            f"and {MIN_VALUES} are needed, {MIN_RECORDINGS} or more of each {relative_to}; judge fewer by another "
            "corpus's calibration, or by the built-in one"
        )
    offsets = np.concatenate([of_unit - np.median(of_unit) for of_unit in values.values()])
    lower, upper = (float(cut) for cut in np.quantile(offsets, pair))
    if not lower < upper:
        raise ValueError(f"{quantity}: both quantiles {pair} lie at {lower} from the {relative_to}'s median")
    spread = MAD_TO_SPREAD * float(np.median(np.abs(offsets)))
    usual = {unit: (float(np.median(of)), median_error(spread, len(of))) for unit, of in values.items()}
    return _Fit((lower, upper), spread, usual)


def _stand_ins(speakers: Usual, group_of: Mapping[str, str]) -> Usual:
    """What is usual in each group, for a speaker of it who is not known.

    The error is the spread of speakers, in whose place the median stands, and that of the median itself. The spread
    within a group is pooled over groups, since a corpus may have few speakers of each gender.
    """
    groups = defaultdict(list)
    for speaker, (median, _) in speakers.items():
        if speaker in group_of:
            groups[group_of[speaker]].append(median)
    groups = {name: group for name, group in groups.items() if len(group) > 1}
    freedom = sum(len(group) - 1 for group in groups.values())
    if freedom < MIN_FREEDOM:
        return {}
    spread = math.sqrt(sum(float(np.var(group)) * len(group) for group in groups.values()) / freedom)
    return {
        name: (float(np.median(group)), math.hypot(spread, median_error(spread, len(group))))
        for name, group in groups.items()
    }


def _references(usual: Mapping[str, Usual]) -> dict[str, Reference]:
    """quantity → name → (median, error), turned to name → reference."""
    medians, errors = defaultdict(dict), defaultdict(dict)
    for quantity, of_quantity in usual.items():
        for name, (median, error) in of_quantity.items():
            medians[name][quantity], errors[name][quantity] = median, error
    return {name: Reference(medians[name], errors[name]) for name in sorted(medians)}


def _pairs(quantiles) -> dict[str, tuple[float, float]]:
    """A pair of quantiles for each quantity."""
    if not isinstance(quantiles, Mapping):
        quantiles = dict.fromkeys(QUANTITIES, quantiles)
    if set(quantiles) != set(QUANTITIES):
        raise ValueError(f"quantiles are given of {sorted(quantiles)}; they must be of {list(QUANTITIES)}")
    for quantity, pair in quantiles.items():
        if len(pair) != 2 or not 0 < pair[0] < pair[1] < 1:
            raise ValueError(f"quantiles of {quantity} are {pair}; they must be two numbers, 0 < lower < upper < 1")
    return {quantity: (float(quantiles[quantity][0]), float(quantiles[quantity][1])) for quantity in QUANTITIES}


def _without(rows: list[Row], leave_out: Collection[str]) -> list[Row]:
    """The rows of other speakers; refused where it cannot be known that they are others."""
    if not leave_out:
        return rows
    speakers = Counter(row[1] for row in rows)
    nameless = speakers.pop(None, 0)
    missing = sorted(set(leave_out) - set(speakers))
    if missing:
        raise ValueError(f"leave_out {missing}: there are no such speakers, but {sorted(speakers)}")
    if nameless:
        raise ValueError(f"{nameless} recordings have no speaker: they may be of those in leave_out")
    return [row for row in rows if row[1] not in set(leave_out)]


def _gender_of_speakers(rows: list[Row]) -> dict[str, str]:
    genders = {}
    for _, speaker, gender in rows:
        if speaker is None or gender is None:
            continue
        if spelled_gender(genders.setdefault(speaker, gender)) != spelled_gender(gender):
            raise ValueError(f"speaker {speaker!r} is called {genders[speaker]} and {gender}; give one gender")
    return genders
