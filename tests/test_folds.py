"""A validation split where a data set has none: whole speakers, the same ones every time, or a reason why not."""

import datasets
import pytest

from xser.corpora import FEATURES, make_row
from xser.corpora.folds import with_validation


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
