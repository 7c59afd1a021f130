"""A validation split where a data set has none: whole speakers, the same ones every time, or a reason why not."""

import datasets
import pytest

from xser.corpora import FEATURES, make_row
from xser.corpora.folds import Splitting, folds_of_speakers, with_validation


def of_speakers(**counts: int) -> datasets.Dataset:
    """So many rows of each speaker; `nobody` is not known."""
    rows = [
        make_row(id=f"{name}{i}", speaker=None if name == "nobody" else name)
        for name, n in counts.items()
        for i in range(n)
    ]
    return datasets.Dataset.from_list(rows, features=FEATURES)


@pytest.fixture
def many() -> datasets.Dataset:
    return of_speakers(**{f"s{i}": 5 for i in range(20)})


def test_whole_speakers_are_held_out_and_named(many):
    train, validation, reason = with_validation(many)
    held = set(validation["speaker"])
    assert len(held) == 2 and not held & set(train["speaker"])
    assert len(train) + len(validation) == len(many)
    assert set(train["split"]) == {"train"} and set(validation["split"]) == {"validation"}
    assert train.features == validation.features == FEATURES
    assert reason == f"validation is 10 of 100 rows (10.0%), of the speakers {sorted(held)}"


def test_the_seed_decides_and_the_order_of_rows_does_not(many):
    held = [set(with_validation(rows, seed=0)[1]["speaker"]) for rows in (many, many.shuffle(seed=3))]
    assert held[0] == held[1]
    assert len({tuple(sorted(set(with_validation(many, seed=seed)[1]["speaker"]))) for seed in range(8)}) > 1


@pytest.mark.parametrize("seed", range(6))
def test_a_speaker_with_most_rows_is_not_held_out(seed):
    train, validation, _ = with_validation(of_speakers(big=90, small=6, other=4), seed=seed)
    assert "big" in set(train["speaker"]) and 4 <= len(validation) <= 10


def test_of_two_speakers_the_one_with_fewer_rows_is_held_out():
    train, validation, _ = with_validation(of_speakers(a=30, b=70))
    assert (len(train), set(validation["speaker"])) == (70, {"a"})


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (of_speakers(a=9), "all 9 rows are of ['a']"),
        (of_speakers(nobody=4), "4 of 4 rows name no speaker"),
        (of_speakers(a=4, b=4, nobody=1), "1 of 9 rows name no speaker"),
        (of_speakers(a=1).select([]), "0 of 0 rows name no speaker"),
    ],
)
def test_where_speakers_do_not_allow_it_the_reason_is_given(rows, reason):
    train, validation, said = with_validation(rows)
    assert train is rows and validation is None and said == f"no validation by speaker: {reason}"


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_that_is_none_is_refused(many, fraction):
    with pytest.raises(ValueError, match=r"fraction is .*: give a share"):
        with_validation(many, fraction)


ACTORS = {f"ra{number:02}": "male" if number % 2 else "female" for number in range(2, 21)}


def test_whole_speakers_are_dealt_to_folds_with_as_many_of_each_gender():
    speakers = [name for name in ACTORS for _ in range(3)]
    folds = folds_of_speakers(speakers, [ACTORS[name] for name in speakers], 4)
    fold_of = dict(zip(speakers, folds, strict=True))
    assert folds == [fold_of[name] for name in speakers]
    for gender in ("female", "male"):
        counts = [sum(fold_of[name] == fold for name in ACTORS if ACTORS[name] == gender) for fold in "1234"]
        assert max(counts) - min(counts) <= 1
    backwards = folds_of_speakers(speakers[::-1], [ACTORS[name] for name in speakers[::-1]], 4)
    assert backwards[::-1] == folds


def test_a_corpus_without_folds_is_split_by_folds_of_its_speakers():
    rows = [make_row(id=f"{name}{i}", speaker=name, gender=ACTORS[name]) for name in ACTORS for i in range(2)]
    splits, said = Splitting(speaker_folds=4, test_fold="2", validation_fold="none").assign(rows)
    assert {row["fold"] for row in rows} == set("1234") and said.startswith("Fold 2 is test")
    assert all((split == "test") == (row["fold"] == "2") for split, row in zip(splits, rows, strict=True))


@pytest.mark.parametrize(
    ("number", "speakers", "named"),
    [
        (1, ["a", "b"], "speaker_folds is 1: give 2 or more, and at most the 2"),
        (3, ["a", "b"], "speaker_folds is 3"),
        (2, ["a", None], "1 of 2 rows have no speaker: speaker_folds"),
    ],
)
def test_folds_that_cannot_be_dealt_are_refused(number, speakers, named):
    with pytest.raises(ValueError, match=named):
        folds_of_speakers(speakers, [None] * len(speakers), number)
