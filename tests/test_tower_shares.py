"""Sources of pretraining share the steps by weight: exact shares, the same order every time, whole epochs."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.pretraining.shares import Shares, interleave


def test_interleaving_follows_the_weights_in_the_same_order_every_time():
    assert list(islice(interleave({"read": 1, "own": 1}), 4)) == ["read", "own", "read", "own"]
    assert list(islice(interleave({"read": 3, "own": 1}), 8)) == ["read", "read", "own", "read"] * 2
    counts = Counter(islice(interleave({"read": 0.7, "own": 0.3}), 1000))
    assert counts == {"read": 700, "own": 300}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=2), st.integers(1, 300))
def test_no_source_is_ever_a_whole_batch_away_from_its_share(weights, num_steps):
    weights = dict(zip(("read", "own"), weights, strict=False))
    counts = Counter(islice(interleave(weights), num_steps))
    for source, weight in weights.items():
        assert abs(counts[source] - num_steps * weight / sum(weights.values())) < 1 + 1e-6


def test_batches_are_numbered_by_source_from_any_step_on():
    shares = Shares({"read": 3, "own": 1})
    whole = list(shares.batches(0, 20))
    assert list(shares.batches(7, 20)) == whole[7:]
    for source in ("read", "own"):
        numbers = [number for [(name, number)] in whole if name == source]
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize(("batches", "steps"), [({"read": 6, "own": 1}, 8), ({"read": 1, "own": 2}, 7)])
def test_an_epoch_is_the_fewest_steps_that_draw_all_of_every_source(batches, steps):
    assert Shares({"read": 3, "own": 1}).epoch(batches) == steps
