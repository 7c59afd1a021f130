"""The one schema of all corpora. What a corpus does not know is `None`, never made up.

Emotions and descriptors are open: those named here are the usual ones, which measurements and figures know; a corpus
may have others. Descriptors of its own (`own_slots`) stand in the struct `descriptors` after the usual ones, by name.

Valence, arousal and dominance are numbers from 0 (most negative, calmest, weakest) to 1; 0.5 is the middle of a scale.
Corpora rate on scales of their own (1 to 5, 1 to 7), which `unit_interval` maps.
"""

from collections.abc import Iterable, Mapping

import datasets

from xser.measured_slots_xser import LEVELS

EMOTIONS = (
    "angry", "happy", "sad", "neutral", "fearful", "surprised", "disgusted", "bored", "calm", "excited", "frustrated",
)  # fmt: skip
DIMENSIONS = ("valence", "arousal", "dominance")
# Columns, and descriptors, that folders prepared by an earlier version do not have
ADDED, ADDED_SLOTS = ("caption", *DIMENSIONS, "ratings"), ("range",)

_TEXT, _NUMBER = datasets.Value("string"), datasets.Value("float32")
FEATURES = datasets.Features(
    {
        "id": _TEXT,
        "audio": datasets.Audio(decode=False),  # {"bytes", "path"}: one of the two is None; decoded by xser.audio_xser
        "text": _TEXT,
        "caption": _TEXT,  # a sentence or two on how it is said, as the corpus has it
        "emotion": _TEXT,
        "descriptors": {**dict.fromkeys(LEVELS, _TEXT), "emphasis": datasets.List(_TEXT)},  # []: no word is emphasised
        **dict.fromkeys(DIMENSIONS, _NUMBER),  # 0 to 1
        "ratings": datasets.List(_TEXT),  # an emotion for each label that a rater gave; None: not known
        "speaker": _TEXT,
        "gender": _TEXT,
        "age": datasets.Value("int32"),  # years
        "language": _TEXT,
        "corpus": _TEXT,
        "session": _TEXT,
        "fold": _TEXT,
        "split": _TEXT,
        "duration": _NUMBER,  # seconds
    }
)


def make_row(own_slots: Iterable[str] = (), **known) -> dict:
    """A row of `features_with(own_slots)` from what is known; all else is `None`.

    Raises:
        ValueError: a name that is no column, or no descriptor.
    """
    descriptors, slots = known.pop("descriptors", None) or {}, [*FEATURES["descriptors"], *sorted(own_slots)]
    for name, allowed in ((known, list(FEATURES)), (descriptors, slots)):
        unknown = sorted(name.keys() - set(allowed))
        if unknown:
            raise ValueError(f"{unknown} are no columns of the schema; it has {allowed}")
    row = {name: known.get(name) for name in FEATURES}
    row["descriptors"] = {name: descriptors.get(name) for name in slots}
    return row


def features_with(own_slots: Iterable[str] = ()) -> datasets.Features:
    """`FEATURES` with more descriptors."""
    slots = {**FEATURES["descriptors"], **dict.fromkeys(sorted(own_slots), _TEXT)}
    return datasets.Features({**FEATURES, "descriptors": slots})


def with_added_slots(features: datasets.Features) -> datasets.Features:
    """The features of a folder that an earlier version prepared, with the descriptors of the schema that it lacks."""
    slots = features["descriptors"]
    return datasets.Features({**features, "descriptors": {**FEATURES["descriptors"], **slots}})


def own_slots(features: Mapping[str, object]) -> list[str]:
    """Descriptors of a data set that are none of the usual ones, by name; none where it has no descriptors at all."""
    slots = features.get("descriptors")
    return sorted(set(slots) - set(FEATURES["descriptors"])) if isinstance(slots, Mapping) else []


def own_slots_of(rows: Iterable[Mapping]) -> list[str]:
    """The same of rows."""
    slots = {slot for row in rows for slot in row["descriptors"]}
    return sorted(slots - set(FEATURES["descriptors"]))


def unit_interval(value: float, low: float, high: float) -> float | None:
    """A rating on a scale from `low` to `high` as a number from 0 to 1; None for one off the scale, or for NaN."""
    return (value - low) / (high - low) if low <= value <= high else None


def complete(dataset: datasets.Dataset) -> datasets.Dataset:
    """A data set of the one schema with all its columns: those of `ADDED` that it lacks are not known."""
    missing = [name for name in ADDED if name not in dataset.column_names]
    for name in missing:
        dataset = dataset.add_column(name, [None] * len(dataset), feature=FEATURES[name])
    return dataset.select_columns(list(FEATURES)) if missing else dataset
