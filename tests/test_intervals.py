"""Bootstrap intervals of figures from counts."""

import numpy as np
import pytest

from xser.evaluation import counts
from xser.evaluation.intervals import MAX_UNITS, MIN_SPEAKERS, Bootstrap, effective_number, sum_by_unit


def interval(hits, speakers, scale="logit", **options):
    columns = np.array([[hit, 1] for hit in hits], dtype=float)
    return Bootstrap(speakers, 2000, **options).resample(columns).interval(counts.share, scale)


def test_interval_over_utterances_is_the_binomial_one():
    found = interval([1] * 80 + [0] * 20, [None] * 100)
    arm = 1.984 * 1 / np.sqrt(100 * 0.8 * 0.2)  # of the log odds, with Student's t of 99 degrees of freedom
    expected = 1 / (1 + np.exp(-(np.log(4) + np.array([-arm, arm]))))
    assert found.of == "utterances"
    assert (found.low, found.high) == pytest.approx(expected, abs=0.01)


def test_interval_over_speakers_is_wider_where_speakers_differ():
    hits = [speaker % 2 == 0 for speaker in range(20) for _ in range(50)]
    found = interval(hits, [f"s{speaker}" for speaker in range(20) for _ in range(50)])
    arm = 2.093 * np.sqrt(0.25 / 19) / 0.25
    assert found.of == "speakers"
    assert found.high == pytest.approx(1 / (1 + np.exp(-arm)), abs=0.02)
    assert found.high - found.low > 4 * (interval(hits, [None] * 1000).high - interval(hits, [None] * 1000).low)


def test_few_speakers_widen_the_interval_beyond_its_percentiles():
    rates = (0.5, 0.7, 0.6, 0.8)
    hits = [i < rate * 20 for rate in rates for i in range(20)]
    bootstrap = Bootstrap(np.repeat(["a", "b", "c", "d"], 20).tolist(), 2000)
    sums = bootstrap.resample(np.array([[hit, 1] for hit in hits], dtype=float))
    low, high = np.quantile(counts.share(sums.sums), [0.025, 0.975])
    found = sums.interval(counts.share)
    assert found.of == "speakers" and found.high - found.low > 1.5 * (high - low)


@pytest.mark.parametrize("count", range(1, MIN_SPEAKERS))
def test_too_few_speakers_give_an_interval_about_themselves(count):
    speakers = [f"s{i % count}" for i in range(40)]
    found = interval([i % 3 > 0 for i in range(40)], speakers)
    alone = interval([i % 3 > 0 for i in range(40)], [None] * 40)
    assert found.of == "utterances of these speakers alone"
    assert (found.low, found.high) == (alone.low, alone.high)


def test_one_unknown_speaker_makes_utterances_the_unit():
    assert interval([1, 0] * 20, [None] + ["a", "b", "c"] * 13).of == "utterances"


def test_interval_stays_in_the_range_of_its_figure():
    near_one = interval([1] * 49 + [0], [None] * 50)
    assert 0.85 < near_one.low < 0.98 < near_one.high < 1
    errors = np.array([[edits, 4] for edits in [0] * 28 + [1, 30]], dtype=float)
    rate = Bootstrap([None] * 30, 2000).resample(errors).interval(counts.share, "log")
    assert 0 < rate.low < 31 / 120 < 1 < rate.high


def test_where_all_resamples_agree_there_is_no_interval():
    assert interval([1] * 30, [None] * 30) is None


def test_interval_is_seeded():
    hits, speakers = [i % 3 > 0 for i in range(60)], [f"s{i % 7}" for i in range(60)]
    hits[5] = not hits[5]
    first, second, other = (interval(hits, speakers, seed=seed) for seed in (0, 0, 1))
    assert first == second != other


def test_more_units_than_are_resampled_are_dealt_to_groups_and_the_interval_stays():
    rng = np.random.default_rng(0)
    hits = rng.random(4 * MAX_UNITS) < 0.7
    found = interval(hits, [None] * len(hits))
    arm = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / len(hits))
    assert (found.high - found.low) / 2 == pytest.approx(arm, rel=0.1)


def test_a_class_that_a_resample_lacks_does_not_count_in_it():
    columns = counts.confusion_columns(["a"] * 20 + ["a"], ["a"] * 20 + ["b"], ["a", "b"])
    sums = Bootstrap([None] * 21, 500).resample(columns)
    resampled = counts.unweighted_accuracy(sums.sums)
    assert np.isfinite(resampled).all() and set(np.unique(resampled)) == {0.5, 1.0}


def test_sums_are_over_the_utterances_of_each_unit():
    summed = sum_by_unit(np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([1, 0, 1]))
    assert summed.tolist() == [[3, 4], [6, 8]]


def test_unequal_units_count_as_fewer_equal_ones():
    assert effective_number(np.array([10, 10, 10])) == pytest.approx(3)
    assert effective_number(np.array([98, 1, 1])) == pytest.approx(100**2 / (98**2 + 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Bootstrap([]), "0 utterances"),
        (lambda: Bootstrap(["a"], 1), "resamples is 1"),
        (lambda: Bootstrap(["a", "b"]).resample(np.ones((3, 1))), "3 rows; there are 2"),
        (lambda: interval([1, 0], [None, None], scale="cube"), "scale is 'cube'"),
        (lambda: Bootstrap([None] * 2).resample(np.ones((2, 2))).interval(counts.share, level=95), "level is 95"),
    ],
)
def test_what_cannot_be_used_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
