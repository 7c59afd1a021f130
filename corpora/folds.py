"""Splits of a corpus that no speaker crosses."""

import hashlib
import logging
import re
from collections import Counter
from dataclasses import dataclass

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
    if any(dataset["split"]):
        raise ValueError("the column 'split' holds splits already: take it out, or hold out no speakers")
    speakers = dataset["speaker"][:]
    return _divide(dataset, split_of_speakers(speakers, test_speakers, validation_speakers, validation_fraction))


def split_of_speakers(
    speakers: list[str | None],
    test_speakers: list[str] | None = None,
    validation_speakers: list[str] | None = None,
    validation_fraction: float | None = None,
) -> list[str]:
    """The split of each row, by its speaker. Arguments and errors are those of `hold_out`."""
    unknown = sum(speaker is None for speaker in speakers)
    if unknown:
        raise ValueError(f"{unknown} of {len(speakers)} rows have no speaker: speakers cannot be held out")
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
    return [split_of.get(speaker, "train") for speaker in speakers]


def folds_of_speakers(speakers: list[str | None], genders: list[str | None], number: int) -> list[str]:
    """The fold, "1" to "number", of each row: whole speakers, dealt in turn, those of a gender after one another.

    So folds have about as many speakers, and as many of each gender; which, depends on names and genders alone.

    Args:
        speakers, genders: of each row; a speaker's gender is that of their first row.

    Raises:
        ValueError: fewer than two folds, fewer speakers than folds, or a row without a speaker.
    """
    unknown = sum(speaker is None for speaker in speakers)
    if unknown:
        raise ValueError(f"{unknown} of {len(speakers)} rows have no speaker: speaker_folds cannot deal them to folds")
    gender_of: dict[str, str] = {}
    for speaker, gender in zip(speakers, genders, strict=True):
        gender_of.setdefault(speaker, gender or "")
    if not 2 <= number <= len(gender_of):
        raise ValueError(
            f"speaker_folds is {number}: give 2 or more, and at most the {len(gender_of)} speakers there are"
        )
    order = sorted(gender_of, key=lambda name: (gender_of[name], _natural(name)))
    fold_of = {speaker: str(place % number + 1) for place, speaker in enumerate(order)}
    return [fold_of[speaker] for speaker in speakers]


def with_validation(
    dataset: datasets.Dataset, fraction: float = 0.1, seed: int = 0
) -> tuple[datasets.Dataset, datasets.Dataset | None, str]:
    """Hold out whole speakers for validation where a data set has no such split.

    Args:
        dataset: rows of the one schema, all to train on.
        fraction: share of the rows to hold out: at least this much, and at most twice as much where speakers allow.
        seed: decides which speakers; the same seed and names, the same speakers.

    Returns:
        What is left to train on, what is held out (None where speakers do not allow it: the first is then the data set
        as it was), and a sentence that says which it is and why.

    Raises:
        ValueError: a fraction that is none.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}: give a share of the rows between 0 and 1")
    speakers = dataset["speaker"][:]
    rows = Counter(speaker for speaker in speakers if speaker is not None)
    unknown = len(speakers) - rows.total()
    if not rows or unknown:
        return dataset, None, f"no validation by speaker: {unknown:,} of {len(speakers):,} rows name no speaker"
    if len(rows) < 2:
        return dataset, None, f"no validation by speaker: all {len(speakers):,} rows are of {_some(list(rows))}"
    names = sorted(rows, key=lambda name: _place(f"{seed} {name}"))
    wanted, held = fraction * len(speakers), []
    for name in names:
        n = sum(rows[each] for each in held)
        if n < wanted and n + rows[name] <= 2 * wanted:
            held.append(name)
    held = held or [min(names, key=rows.get)]
    splits = ["validation" if speaker in held else "train" for speaker in speakers]
    parts, n = _divide(dataset, splits), splits.count("validation")
    share = f"{n:,} of {len(speakers):,} rows ({n / len(speakers):.1%})"
    return parts["train"], parts["validation"], f"validation is {share}, of the speakers {_some(sorted(held))}"


def by_column(dataset: datasets.Dataset) -> datasets.DatasetDict:
    """Split by the column `split`; a speaker in more than one split is named in a warning."""
    splits = dataset["split"]
    missing = sum(split is None for split in splits)
    if missing:
        raise ValueError(f"the column 'split' is empty in {missing} of {len(splits)} rows: fill it in all or in none")
    _warn_of_shared(dataset["speaker"], splits)
    return _divide(dataset, list(splits))


def shared_speakers(speakers: list[str | None], splits: list[str]) -> dict[str, list[str]]:
    """Speakers in more than one split → their splits; both sorted."""
    homes: dict[str, set[str]] = {}
    for speaker, split in zip(speakers, splits, strict=True):
        if speaker is not None:
            homes.setdefault(speaker, set()).add(split)
    return {speaker: sorted(found) for speaker, found in sorted(homes.items()) if len(found) > 1}


def by_fold(
    dataset: datasets.Dataset | datasets.DatasetDict,
    test_fold: str | None = None,
    validation_fold: str | None = None,
    new_texts: float | None = None,
) -> datasets.DatasetDict:
    """Split by the column `fold`, whatever the splits are now: for leave-one-fold-out without preparing anew.

    Args:
        dataset: rows of the one schema, each with a fold.
        test_fold, validation_fold: see `Splitting`.
        new_texts: share of the sentences that are the test's alone, in an order that depends on their words alone. The
            other splits keep no recording of them, and the test no other: strangers who say what was never heard.

    Raises:
        ValueError: rows without a fold, or a fold that does not exist; with `new_texts`, rows without a text, or a
            split that is left without rows. Speakers in more than one split are named in a warning.
    """
    if isinstance(dataset, datasets.DatasetDict):
        dataset = datasets.concatenate_datasets(list(dataset.values()))
    splits, _ = Splitting(test_fold, validation_fold).by_fold(dataset["fold"][:])
    if new_texts is not None:
        kept = _of_new_texts(dataset["text"][:], splits, new_texts)
        dataset, splits = dataset.select(kept), [splits[row] for row in kept]
    _warn_of_shared(dataset["speaker"], splits)
    return _divide(dataset, splits)


def _of_new_texts(texts: list[str | None], splits: list[str], share: float) -> list[int]:
    """Rows of the test whose texts are held out, and rows of the other splits whose texts are not."""
    if not 0 < share < 1:
        raise ValueError(f"new_texts is {share}: give a share of the sentences between 0 and 1")
    unknown = sum(text is None for text in texts)
    if unknown:
        raise ValueError(f"{unknown} of {len(texts)} rows have no text: new_texts cannot hold sentences out")
    held = _share(share, sorted(set(texts)))
    kept = [
        row for row, (text, split) in enumerate(zip(texts, splits, strict=True)) if (text in held) == (split == "test")
    ]
    lost = sorted(set(splits) - {splits[row] for row in kept})
    if lost:
        raise ValueError(f"new_texts {share} leaves nothing of {lost}: the sentences of its folds are all on one side")
    return kept


def _warn_of_shared(speakers: list[str | None], splits: list[str]) -> None:
    shared = list(shared_speakers(speakers, splits))
    if shared:
        logger.warning("%d speakers are in more than one split, so figures are not speaker-independent: %s",
                       len(shared), shared[:10])  # fmt: skip


@dataclass(frozen=True)
class Splitting:
    """How a corpus is split. What is asked for comes first, then official splits, then folds; without any, all is
    `train`.

    Args:
        test_fold: name in the column `fold`; the last if not given.
        validation_fold: the same; if not given, the one before the test fold (before the first comes the last), where
            there are three or more; "none" for no validation.
        test_speakers, validation_speakers, validation_fraction: see `hold_out`.
        no_split: everything is `train`.
        speaker_folds: number of folds that whole speakers are dealt to (`folds_of_speakers`), in place of the corpus's
            own; splits are then by these, unless speakers or `no_split` are asked for.
        allow_shared_speakers: accept splits that share speakers.
    """

    test_fold: str | None = None
    validation_fold: str | None = None
    test_speakers: list[str] | None = None
    validation_speakers: list[str] | None = None
    validation_fraction: float | None = None
    no_split: bool = False
    speaker_folds: int | None = None
    allow_shared_speakers: bool = False

    def assign(self, rows: list[dict], why_shared: str | None = None) -> tuple[list[str], str]:
        """The split of each row, and a sentence that says how it came about.

        Args:
            rows: of the one schema.
            why_shared: why official splits of this corpus share speakers, where it is known that they do: they are
                then accepted as they are, and the sentence says so.

        Raises:
            ValueError: options that exclude each other, rows without what is to be split by, or, unless allowed,
                speakers in more than one split.
        """
        splits, how = self._assign(rows)
        speakers = [row["speaker"] for row in rows]
        shared = shared_speakers(speakers, splits)
        if shared and why_shared and how == OFFICIAL:
            return splits, f"{how}, and share {len(shared)} of {len({*speakers} - {None})} speakers: {why_shared}"
        if shared and not self.allow_shared_speakers:
            raise ValueError(
                f"{len(shared)} of {len({*speakers} - {None})} speakers are in more than one split: "
                f"{_some(list(shared), 10)}. {how}. Figures on such splits are not speaker-independent: "
                "give allow_shared_speakers to have them all the same, or test_fold or test_speakers for splits that "
                "share none"
            )
        return splits, how

    def _assign(self, rows: list[dict]) -> tuple[list[str], str]:
        folds = self.test_fold is not None or self.validation_fold is not None
        speakers = bool(self.test_speakers or self.validation_speakers or self.validation_fraction is not None)
        if self.speaker_folds is not None:
            dealt = folds_of_speakers(
                [row["speaker"] for row in rows], [row["gender"] for row in rows], self.speaker_folds
            )
            for row, fold in zip(rows, dealt, strict=True):
                row["fold"] = fold
            folds = folds or not (speakers or self.no_split)
        if folds + speakers + self.no_split > 1:
            raise ValueError("give one of these: test_fold and validation_fold; speakers to hold out; no_split")
        if self.no_split:
            return ["train"] * len(rows), "Everything is train, as asked for"
        if speakers:
            asked = (self.test_speakers, self.validation_speakers, self.validation_fraction)
            return split_of_speakers([row["speaker"] for row in rows], *asked), "Whole speakers were held out"
        if not folds and any(row["split"] for row in rows):
            return _official([row["split"] for row in rows]), OFFICIAL
        if folds or len({row["fold"] for row in rows} - {None}) > 1:
            return self.by_fold([row["fold"] for row in rows])
        return ["train"] * len(rows), "Everything is train: the corpus has neither splits nor folds"

    def by_fold(self, folds: list[str | None]) -> tuple[list[str], str]:
        """The split of each row, by its fold, and a sentence that says which fold is what."""
        unknown = sum(fold is None for fold in folds)
        if unknown:
            raise ValueError(
                f"{unknown} of {len(folds)} rows have no fold: give test_speakers to split by speaker, or no_split"
            )
        names = sorted(set(folds), key=_natural)
        for option, fold in (("test_fold", self.test_fold), ("validation_fold", self.validation_fold)):
            if fold is not None and fold not in names and (option, fold) != ("validation_fold", "none"):
                raise ValueError(f"{option} is {fold!r}; there are {_some(names)}")
        if len(names) < 2:
            raise ValueError(f"all rows are in fold {names}: there is nothing to split by")
        test = self.test_fold
        if test is None:
            test = next(name for name in reversed(names) if name != self.validation_fold)
        validation = self.validation_fold
        if validation is None and len(names) > 2:
            validation = names[names.index(test) - 1]
        if validation == test:
            raise ValueError(f"fold {test!r} is test_fold and validation_fold")
        split_of = {validation: "validation", test: "test"}
        if len(names) == len({validation, test} & {*names}):
            raise ValueError(f"nothing is left to train on: there are only folds {names}")
        said = f"fold {validation} is validation" if validation in names else "there is no validation"
        return [split_of.get(fold, "train") for fold in folds], f"Fold {test} is test, {said}, the rest is train"


OFFICIAL = "Splits are those of the corpus"
SPLIT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _official(splits: list[str | None]) -> list[str]:
    missing = sum(not split for split in splits)
    if missing:
        raise ValueError(f"the column 'split' is empty in {missing} of {len(splits)} rows: fill it in all or in none")
    for split, n in Counter(splits).items():
        if not SPLIT_NAME.fullmatch(split):
            raise ValueError(f"split {split!r} ({n} rows) is no name of letters, digits, '_', '-' and '.'")
    return list(splits)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts "9" before "10"."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _checked(name: str, wanted: list[str] | None, speakers: list[str]) -> set[str]:
    if isinstance(wanted, str):
        raise ValueError(f"{name} is {wanted!r}: give a list of speakers")
    absent = sorted(set(wanted or []) - set(speakers))
    if absent:
        raise ValueError(f"{name} {absent} do not exist; there are {_some(sorted(set(speakers)))}")
    return set(wanted or [])


def _share(fraction: float, names: list[str]) -> set[str]:
    """Names, in the order of their hashes, until they stand at a share of the places or more."""
    held: set[str] = set()
    for name in sorted(set(names), key=_place):
        if sum(each in held for each in names) >= fraction * len(names):
            break
        held.add(name)
    return held


def _place(name: str) -> bytes:
    """Where a name stands in an order that no table has."""
    return hashlib.sha256(name.encode()).digest()


def _divide(dataset: datasets.Dataset, split_of_row: list[str]) -> datasets.DatasetDict:
    parts = {}
    for split in sorted(set(split_of_row), key=lambda name: (name != "train", name != "validation", name)):
        part = dataset.select([i for i, name in enumerate(split_of_row) if name == split])
        part = part.remove_columns("split").add_column("split", [split] * len(part), feature=FEATURES["split"])
        parts[split] = part.select_columns(dataset.column_names)
    return datasets.DatasetDict(parts)


def _some(names: list[str], most: int = 20) -> str:
    return str(names) if len(names) <= most else f"{names[:most]} and {len(names) - most} more"
