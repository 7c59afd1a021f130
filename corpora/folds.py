"""Splits of a corpus that no speaker crosses."""

import hashlib
import logging

import datasets

from xser.corpora.schema import FEATURES

logger = logging.getLogger(__name__)


def hold_out(
    dataset: datasets.Dataset,
    test_speakers: list[str] | None = None,
    validation_speakers: list[str] | None = None,
    validation_fraction: float | None = None,
) -> datasets.DatasetDict:
    """Hold out whole speakers: `train`, and `validation` and `test` where asked for.

    Args:
        dataset: rows of the one schema, each with a speaker.
        test_speakers, validation_speakers: names in the column `speaker`.
        validation_fraction: instead of names: whole speakers, in an order that depends on their names alone, until at
            least this share of what is not test is held out.

    Raises:
        ValueError: a speaker that does not exist, is asked for twice, or is not known in some row; the data set has a
            split of its own; nothing is left to train on.
    """
    speakers = dataset["speaker"]
    unknown = sum(speaker is None for speaker in speakers)
    if unknown:
        raise ValueError(f"{unknown} of {len(speakers)} rows have no speaker: speakers cannot be held out")
    if any(dataset["split"]):
        raise ValueError("the column 'split' holds splits already: take it out, or hold out no speakers")
    test = _checked("test_speakers", test_speakers, speakers)
    validation = _checked("validation_speakers", validation_speakers, speakers)
    if test & validation:
        raise ValueError(f"speakers {sorted(test & validation)} stand in test_speakers and in validation_speakers")
    if validation_fraction is not None:
        if validation or not 0 < validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {validation_fraction}, validation_speakers {sorted(validation)}: "
                "give one of the two, a fraction between 0 and 1"
            )
        validation = _share(validation_fraction, [speaker for speaker in speakers if speaker not in test])
    split_of = {**dict.fromkeys(validation, "validation"), **dict.fromkeys(test, "test")}
    if not set(speakers) - set(split_of):
        raise ValueError(f"nothing is left to train on: all of {_some(sorted(split_of))} are held out")
    return _divide(dataset, [split_of.get(speaker, "train") for speaker in speakers])


def by_column(dataset: datasets.Dataset) -> datasets.DatasetDict:
    """Split by the column `split`; a speaker in more than one split is named in a warning."""
    splits = dataset["split"]
    missing = sum(split is None for split in splits)
    if missing:
        raise ValueError(f"the column 'split' is empty in {missing} of {len(splits)} rows: fill it in all or in none")
    homes: dict[str, set[str]] = {}
    for speaker, split in zip(dataset["speaker"], splits, strict=True):
        if speaker is not None:
            homes.setdefault(speaker, set()).add(split)
    shared = sorted(speaker for speaker, found in homes.items() if len(found) > 1)
    if shared:
        logger.warning("%d speakers are in more than one split, so figures are not speaker-independent: %s",
                       len(shared), shared[:10])  # fmt: skip
    return _divide(dataset, list(splits))


def _checked(name: str, wanted: list[str] | None, speakers: list[str]) -> set[str]:
    if isinstance(wanted, str):
        raise ValueError(f"{name} is {wanted!r}: give a list of speakers")
    absent = sorted(set(wanted or []) - set(speakers))
    if absent:
        raise ValueError(f"{name} {absent} do not exist; there are {_some(sorted(set(speakers)))}")
    return set(wanted or [])


def _share(fraction: float, speakers: list[str]) -> set[str]:
    held: set[str] = set()
    for speaker in sorted(set(speakers), key=lambda name: hashlib.sha256(name.encode()).digest()):
        if sum(name in held for name in speakers) >= fraction * len(speakers):
            break
        held.add(speaker)
    return held


def _divide(dataset: datasets.Dataset, split_of_row: list[str]) -> datasets.DatasetDict:
    parts = {}
    for split in sorted(set(split_of_row), key=lambda name: (name != "train", name != "validation", name)):
        part = dataset.select([i for i, name in enumerate(split_of_row) if name == split])
        part = part.remove_columns("split").add_column("split", [split] * len(part), feature=FEATURES["split"])
        parts[split] = part.select_columns(dataset.column_names)
    return datasets.DatasetDict(parts)


def _some(names: list[str], most: int = 20) -> str:
    return str(names) if len(names) <= most else f"{names[:most]} and {len(names) - most} more"
