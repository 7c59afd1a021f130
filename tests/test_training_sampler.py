"""The sampler: nothing dropped, the same utterances however a run is cut up."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.training.sampler import (
    Key,
    TaskDataset,
    TaskInterleavingBatchSampler,
    UtteranceStream,
    stable_hash,
)
from xser.training.stages import Stage, read_stages
from xser.training.timetable import Timetable, make_timetable

SECONDS = {"asr": np.random.default_rng(0).uniform(1, 9, 23), "describe": np.random.default_rng(1).uniform(1, 9, 10)}


def make_order(schedule: str = "alternating", stages: dict | None = None) -> Timetable:
    return make_timetable(read_stages(schedule, stages), schedule, {"asr": 6, "describe": 3})


def make_sampler(order: Timetable | None = None, **options) -> TaskInterleavingBatchSampler:
    options = {"batch_size": 4, "seed": 7, "bucket_batches": 3, **options}
    return TaskInterleavingBatchSampler(SECONDS, order or make_order(), **options)


def draw(sampler: TaskInterleavingBatchSampler, num_epochs: int = 2) -> list[list[Key]]:
    batches = []
    for epoch in range(num_epochs):
        sampler.set_epoch(epoch)
        batches += list(sampler)
    return batches


def test_stable_hash_is_the_same_in_every_process():
    assert stable_hash(1, 2, "tone3") == 3514979717218156065
    assert all(0 <= stable_hash(i) < 2**63 for i in range(1000))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 6), st.integers(0, 5))
def test_every_epoch_of_a_stream_holds_every_utterance_and_no_batch_is_short(num, batch_size, window, seed):
    stream = UtteranceStream(np.arange(num) % 5, batch_size, seed, "asr", window)
    batches = [stream.batch(number) for number in range(3 * stream.batches_per_epoch)]
    assert all(len(batch) == batch_size for batch in batches)
    assert set(chain(*batches[: stream.batches_per_epoch])) == set(range(num))
    counts = Counter(chain(*batches))
    assert max(counts.values()) - min(counts.get(index, 0) for index in range(num)) <= 1 + batch_size // num + 1
    other = UtteranceStream(np.arange(num) % 5, batch_size, seed, "asr", window)
    for number in reversed(range(len(batches))):  # any batch, in any order of asking
        assert other.batch(number) == batches[number]


def test_batches_hold_utterances_of_like_duration():
    seconds = np.random.default_rng(3).uniform(1, 20, 640)
    spreads = []
    for window in (1, 20):
        stream = UtteranceStream(seconds, 32, 0, "asr", window)
        spreads.append(np.mean([np.ptp(seconds[stream.batch(i)]) for i in range(20)]))
    assert spreads[1] < spreads[0] / 10
    lengths = [seconds[stream.batch(i)].mean() for i in range(20)]
    assert lengths != sorted(lengths)  # buckets come in a shuffled order


def test_every_step_is_of_one_task_and_an_epoch_sees_all_of_it():
    sampler = make_sampler()
    batches = list(sampler)
    assert len(batches) == len(sampler) == 11  # asr, describe, …, asr: the 6 batches that asr needs
    assert all(len({key.task for key in batch}) == 1 and len(batch) == 4 for batch in batches)
    assert [batch[0].step for batch in batches] == list(range(11))
    for task, seconds in SECONDS.items():
        seen = {key.index for batch in batches for key in batch if key.task == task}
        assert seen == set(range(len(seconds)))


def test_epochs_and_seeds_differ_and_repeat():
    batches = draw(make_sampler())
    assert batches == draw(make_sampler())
    assert batches != draw(make_sampler(seed=8))
    indices = [[key[:2] for key in batch] for batch in batches]
    assert indices[:11] != indices[11:]


@pytest.mark.parametrize("schedule", ["alternating", "joint"])
@pytest.mark.parametrize(("num_replicas", "accumulation"), [(2, 1), (1, 4), (2, 2), (4, 1)])
def test_processes_and_accumulation_cut_the_same_global_batches(num_replicas, accumulation, schedule):
    order = make_order(schedule)
    whole = draw(make_sampler(order, batch_size=8))
    parts = [
        draw(
            make_sampler(
                order,
                batch_size=8 // num_replicas // accumulation,
                rank=rank,
                num_replicas=num_replicas,
                accumulation=accumulation,
            )
        )
        for rank in range(num_replicas)
    ]
    assert all(len(part) == len(whole) * accumulation for part in parts)
    for step, batch in enumerate(whole):
        micro = [part[step * accumulation + i] for i in range(accumulation) for part in parts]
        assert len({tuple(dict.fromkeys(key.task for key in keys)) for keys in micro}) == 1  # the same on every rank
        assert sorted(chain(*micro)) == sorted(batch)


def test_resumed_sampler_goes_on_where_it_stopped():
    sampler = make_sampler(accumulation=2)
    iterator = iter(sampler)
    before = [next(iterator) for _ in range(5)]
    state = sampler.state_dict()
    resumed = make_sampler(accumulation=2)
    resumed.load_state_dict(state)
    assert state == {"step": 5}
    assert before + list(resumed) == list(make_sampler(accumulation=2))


def test_joint_schedule_draws_every_task_at_every_step():
    sampler = make_sampler(make_order("joint"))
    assert len(sampler) == 6
    for batch in sampler:
        assert [key.task for key in batch] == ["asr"] * 4 + ["describe"] * 4


def test_data_smaller_than_a_batch_is_repeated():
    sampler = TaskInterleavingBatchSampler({"asr": [1.0, 2.0, 3.0]}, make_order(stages={"asr": {}}), batch_size=7)
    assert len(sampler) == 1
    [batch] = sampler
    assert Counter(key.index for key in batch).most_common()[0][1] == 3


def test_a_task_without_a_stage_is_not_drawn():
    sampler = make_sampler(make_order(stages={"describe": {}}))
    assert {key.task for batch in sampler for key in batch} == {"describe"}


def test_two_stages_of_one_task_draw_from_it_in_orders_of_their_own():
    stages = {"first": {"task": "asr", "steps": 6}, "again": {"task": "asr", "steps": 6}}
    order = make_timetable(read_stages("two_stage", stages), "two_stage", {"first": 6, "again": 6})
    batches = draw(make_sampler(order), num_epochs=1)
    assert len(batches) == 12 and {key.task for batch in batches for key in batch} == {"asr"}
    halves = [[key.index for batch in part for key in batch] for part in (batches[:6], batches[6:])]
    assert set(halves[0]) == set(halves[1]) == set(range(23)) and halves[0] != halves[1]


def test_the_last_epoch_ends_where_the_stages_end():
    sampler = make_sampler(make_order(stages={"asr": {"steps": 9}, "describe": {"steps": 4}}), accumulation=2)
    assert len(sampler) == 2 * 5 and len(draw(sampler, num_epochs=3)) == 2 * 13


@pytest.mark.parametrize(
    ("order", "options", "message"),
    [
        (Timetable((), "alternating", ()), {}, "all streams: there are no utterances"),
        (Timetable((Stage("sing", "song"),), "alternating", (1,)), {}, r"\['sing'\]: there are no utterances"),
        (None, {"batch_size": 0}, "batch_size is 0"),
        (None, {"rank": 2, "num_replicas": 2}, "rank 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(order, options, message):
    with pytest.raises(ValueError, match=message):
        make_sampler(order, **options)


def test_noise_seed_depends_on_seed_step_and_utterance_only():
    rows = [{"id": "a"}, {"id": "b"}]
    dataset = TaskDataset({"asr": rows, "describe": rows}, seed=3)
    assert len(dataset) == 4
    row = dataset[Key("asr", 1, 5)]
    assert (row["task"], row["id"], row["noise_seed"]) == ("asr", "b", stable_hash(3, 5, "b"))
    assert dataset[Key("asr", 1, 6)]["noise_seed"] != row["noise_seed"]
    assert dataset[Key("asr", 0, 5)]["noise_seed"] != row["noise_seed"]
