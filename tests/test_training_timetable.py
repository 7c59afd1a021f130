"""Which stage a step is of: as if every turn were walked through, in closed form, for every schedule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xser.training.arguments import XSERTrainingArguments
from xser.training.groups import group_sizes
from xser.training.plan import plan_of
from xser.training.stages import Stage, read_stages
from xser.training.timetable import Timetable, make_timetable, plan_timetable, run_length

NAMES = ("one", "two", "three")


def make(turns, lengths=None, schedule="alternating") -> Timetable:
    stages = tuple(Stage(name, "asr") for name in NAMES[: len(turns)])
    return Timetable(stages, schedule, tuple(turns), None if lengths is None else tuple(lengths))


def walk(turns, lengths, num_steps) -> list[tuple[str, int]]:
    """(stage, own step) of every step, turn by turn."""
    places, own = [], [0] * len(turns)
    while len(places) < num_steps and (lengths is None or sum(own) < sum(lengths)):
        for index, turn in enumerate(turns):
            for _ in range(turn if lengths is None else min(turn, lengths[index] - own[index])):
                places.append((NAMES[index], own[index]))
                own[index] += 1
    return places[:num_steps]


sizes = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 25)), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(sizes, st.booleans())
def test_a_step_has_the_stage_that_walking_through_the_turns_gives_it(parts, has_lengths):
    turns, lengths = zip(*parts, strict=True)
    lengths = lengths if has_lengths else None
    expected = walk(turns, lengths, 80)
    timetable = make(turns, lengths)
    assert [(place.stage.name, place.own_step) for place in map(timetable.at, range(len(expected)))] == expected
    assert [pair for [pair] in timetable.batches(0, 80)] == expected
    assert [pair for [pair] in timetable.batches(5, 11)] == expected[5:11]
    for step in range(len(expected) + 1):
        counts = {name: sum(place[0] == name for place in expected[:step]) for name in NAMES[: len(turns)]}
        assert timetable.counts(step) == counts
    if has_lengths:
        assert timetable.total == sum(lengths) and list(timetable.batches(sum(lengths), 1000)) == []
        with pytest.raises(ValueError, match=f"step {sum(lengths)} is asked for"):
            timetable.at(sum(lengths))


@settings(max_examples=100, deadline=None)
@given(sizes, st.lists(st.integers(1, 12), min_size=3, max_size=3), st.booleans())
def test_an_epoch_is_the_fewest_steps_after_which_every_stage_has_drawn_all_or_has_ended(parts, needed, has_lengths):
    turns, lengths = zip(*parts, strict=True)
    timetable = make(turns, lengths if has_lengths else None)
    batches = dict(zip(NAMES, needed, strict=True))
    wanted = {name: batches[name] for name in NAMES[: len(turns)]}
    if has_lengths:
        wanted = {name: min(wanted[name], length) for name, length in zip(wanted, lengths, strict=True)}
    steps = timetable.epoch(batches)
    assert all(timetable.counts(steps)[name] >= number for name, number in wanted.items())
    assert any(timetable.counts(steps - 1)[name] < number for name, number in wanted.items())


def test_a_step_far_away_costs_no_walk():
    timetable = make((3, 4), (10**15, 10**15))
    assert timetable.at(7 * 10**12 + 5)[1] == 4 * 10**12 + 2
    assert timetable.at(2 * 10**15 - 1) == (timetable.stages[0], 10**15 - 1)


def test_a_stage_that_is_over_drops_out():
    timetable = make((2, 1), (5, 2))
    assert [place.stage.name for place in map(timetable.at, range(7))] == ["one", "one", "two"] * 2 + ["one"]


def test_epochs_are_of_each_stages_own_task():
    stages = read_stages("alternating", {"asr": {"epochs": 2, "turn_epochs": 0.5}, "describe": {"epochs": 1.5}})
    timetable = make_timetable(stages, "alternating", {"asr": 10, "describe": 5})
    assert timetable.lengths == (20, 8) and timetable.turns == (5, 1)
    assert timetable.epoch({"asr": 10, "describe": 5}) == 25  # the fifth turn of describe


def test_two_stages_follow_one_another_and_an_epoch_is_one_of_each():
    stages = read_stages("two_stage", {"asr": {"epochs": 3}, "describe": {"steps": 4}})
    timetable = make_timetable(stages, "two_stage", {"asr": 2, "describe": 5})
    names = [place.stage.name for place in map(timetable.at, range(10))]
    assert names == ["asr"] * 6 + ["describe"] * 4
    assert timetable.epoch({"asr": 2, "describe": 5}) == 6
    stages = read_stages("two_stage", None)
    assert make_timetable(stages, "two_stage", {"asr": 2, "describe": 5}, 3.0).lengths == (6, 15)


def test_in_the_joint_schedule_every_step_is_of_every_stage():
    timetable = make_timetable(read_stages("joint", None), "joint", {"asr": 6, "describe": 3})
    assert list(timetable.batches(3, 5)) == [[("asr", step), ("describe", step)] for step in (3, 4)]
    assert timetable.epoch({"asr": 6, "describe": 3}) == 6 and timetable.counts(4) == {"asr": 4, "describe": 4}
    with pytest.raises(ValueError, match="of every stage"):
        timetable.at(0)


def make_arguments(**options) -> XSERTrainingArguments:
    return XSERTrainingArguments(output_dir="unused", use_cpu=True, report_to="none", **options)


def test_a_plan_says_what_every_stage_comes_to(tiny_pair):
    model, _ = tiny_pair
    stages = {
        "asr": {"trains": ["content", "lora"], "learning_rate": 2e-4, "epochs": 4, "turn_epochs": 1},
        "describe": {"trains": ["descriptors", "lora"], "warmup_ratio": 0.1, "epochs": 2, "turn_epochs": 1},
    }
    arguments = make_arguments(stages=stages, lr_scheduler_type="constant_with_warmup", learning_rate=1e-3)
    sizes = group_sizes(model)
    assert set(sizes) == {"content", "descriptors", "lora"}
    assert sum(sizes.values()) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    asr, describe = plan_of(arguments, model.config, sizes, {"asr": 100, "describe": 41}, batch_size=10)
    assert (asr.num_steps, asr.turn_steps, asr.num_turns, asr.num_utterances, asr.num_epochs) == (40, 10, 4, 400, 4)
    assert asr.num_parameters == sizes["content"] + sizes["lora"] and asr.trains == ("content", "lora")
    assert (asr.learning_rate, asr.lr_scheduler_type, asr.warmup_steps) == (2e-4, "constant_with_warmup", 0)
    assert (describe.num_steps, describe.num_turns, describe.num_utterances) == (10, 2, 100)
    assert (describe.learning_rate, describe.warmup_steps) == (1e-3, 1)
    assert str(asr) == (
        f"asr: asr trains content, lora ({asr.num_parameters:,} weights), 40 steps in 4 turns of 10, 400 utterances "
        "(4 epochs), constant_with_warmup from 0.0002, 0 steps of warm-up"
    )


def test_a_plan_of_tasks_in_turn_is_as_long_as_the_run(tiny_pair):
    model, _ = tiny_pair
    draws, sizes = {"asr": 30, "describe": 10}, group_sizes(model)
    arguments = make_arguments(max_steps=7, warmup_steps=3)
    asr, describe = plan_of(arguments, model.config, sizes, draws, 10)
    assert (asr.num_steps, describe.num_steps, asr.num_turns, asr.warmup_steps) == (4, 3, 4, 3)
    assert asr.trains == ("content", "lora") and describe.trains == ("descriptors", "lora")
    arguments = make_arguments(num_train_epochs=2)
    assert run_length(arguments, plan_timetable(arguments, draws, 10), draws, 10) == 10
    joint = plan_of(make_arguments(schedule="joint", max_steps=5), model.config, sizes, draws, 10)
    assert {plan.num_steps for plan in joint} == {5} and {plan.num_turns for plan in joint} == {1}
    assert {plan.trains for plan in joint} == {("content", "descriptors", "lora")}
