"""Which stage an optimizer step is of: a pure function of the step, whatever the processes and wherever a run resumes.

The schedules:
    alternating  rounds of turns; a stage that has had its length drops out
    two_stage    each stage to its end, in the order given: one round of turns, each as long as its stage
    one_stage    one stage
    joint        every step has a batch of every stage
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from xser.training.stages import JOINT, TWO_STAGE, Stage


class Place(NamedTuple):
    """A step of a run: its stage, and which of the stage's own steps it is (0, 1, …)."""

    stage: Stage
    own_step: int


class Segment(NamedTuple):
    """Rounds of one shape."""

    step: int  # the first of it
    round: int  # the first of it
    shape: tuple[int, ...]  # steps of each stage in a round


@dataclass(frozen=True)
class Timetable:
    """The stages of a run, step by step.

    Args:
        stages: in their order.
        schedule: one of `SCHEDULES`.
        turns: steps of each stage's turn.
        lengths: steps of each stage; `None` where the stages take turns until the run ends.
    """

    stages: tuple[Stage, ...]
    schedule: str
    turns: tuple[int, ...]
    lengths: tuple[int, ...] | None = None

    @property
    def total(self) -> int | None:
        """Steps of the run, where the stages' lengths say so."""
        return None if self.lengths is None else sum(self.lengths)

    @property
    def tasks(self) -> dict[str, str]:
        """Name of each stage → its task."""
        return {stage.name: stage.task for stage in self.stages}

    @cached_property
    def _segments(self) -> list[Segment]:
        if self.lengths is None:
            return [Segment(0, 0, self.turns)]
        parts = list(zip(self.lengths, self.turns, strict=True))
        full = {length // turn for length, turn in parts}
        begun = {-(-length // turn) for length, turn in parts}
        cuts = sorted({0} | full | begun)  # rounds in which some turn is shorter than in the one before
        segments, step = [], 0
        for first, after in pairwise(cuts):
            shape = tuple(min(turn, max(length - first * turn, 0)) for length, turn in parts)
            segments.append(Segment(step, first, shape))
            step += (after - first) * sum(shape)
        return segments

    def _round(self, step: int) -> tuple[int, int, tuple[int, ...]]:
        """(number, steps gone, shape) of the round that a step lies in."""
        segment = self._segments[bisect_right(self._segments, step, key=lambda each: each.step) - 1]
        rounds, offset = divmod(step - segment.step, sum(segment.shape))
        return segment.round + rounds, offset, segment.shape

    def at(self, step: int) -> Place:
        """The stage of a step (0, 1, …).

        Raises:
            ValueError: the run has fewer steps, or every step is of all stages.
        """
        if self.schedule == JOINT:
            raise ValueError("schedule is joint: a step is of every stage")
        if self.total is not None and step >= self.total:
            raise ValueError(f"step {step} is asked for, but the stages have {self.total} steps")
        number, offset, shape = self._round(step)
        for stage, turn, steps in zip(self.stages, self.turns, shape, strict=True):
            if offset < steps:
                return Place(stage, number * turn + offset)
            offset -= steps
        raise AssertionError("a round has as many steps as its shape")

    def counts(self, step: int) -> dict[str, int]:
        """Name of each stage → how many of the first `step` steps are its own."""
        names = [stage.name for stage in self.stages]
        if self.schedule == JOINT:
            return dict.fromkeys(names, step)
        if self.total is not None and step >= self.total:
            return dict(zip(names, self.lengths, strict=True))
        number, offset, shape = self._round(step)
        counts = {}
        for name, turn, length, steps in zip(names, self.turns, self.lengths or shape, shape, strict=True):
            before = number * turn if self.lengths is None else min(number * turn, length)
            counts[name] = before + min(offset, steps)
            offset = max(offset - steps, 0)
        return counts

    def batches(self, start: int, end: int) -> Iterator[list[tuple[str, int]]]:
        """(stage, number of its batch) pairs of the steps from `start` up to `end`, or to where the stages end."""
        for step in range(start, end if self.total is None else min(end, self.total)):
            if self.schedule == JOINT:
                yield [(stage.name, step) for stage in self.stages]
            else:
                place = self.at(step)
                yield [(place.stage.name, place.own_step)]

    def epoch(self, batches: Mapping[str, int]) -> int:
        """Fewest steps after which every stage has drawn each of its utterances, or has ended.

        In `two_stage`, whose stages do not take turns, it is the sum of what each needs for itself.

        Args:
            batches: of an epoch of each stage.
        """
        needed = [batches[stage.name] for stage in self.stages]
        if self.schedule == JOINT:
            return max(needed)
        if self.lengths is not None:
            needed = [min(pair) for pair in zip(needed, self.lengths, strict=True)]
        if self.schedule == TWO_STAGE:
            return sum(needed)
        return max(self._after(index, steps) for index, steps in enumerate(needed))

    def _after(self, index: int, own_steps: int) -> int:
        """Steps of the run after which a stage has had so many of its own."""
        number, offset = divmod(own_steps - 1, self.turns[index])
        segment = self._segments[bisect_right(self._segments, number, key=lambda each: each.round) - 1]
        start = segment.step + (number - segment.round) * sum(segment.shape)
        return start + sum(segment.shape[:index]) + offset + 1


def plan_timetable(arguments, draws: Mapping[str, int], batch_size: int) -> Timetable:
    """The timetable of a run.

    Args:
        arguments: `XSERTrainingArguments`.
        draws: task → utterances of its epoch: its rows, or `balanced_size`.
        batch_size: utterances of an optimizer step, over all processes and micro-batches.
    """
    stages = arguments.stage_list
    batches = {stage.name: ceil(draws[stage.task] / batch_size) for stage in stages}
    num_epochs = None if arguments.max_steps > 0 else arguments.num_train_epochs
    return make_timetable(stages, arguments.schedule, batches, num_epochs)


def run_length(arguments, timetable: Timetable, draws: Mapping[str, int], batch_size: int) -> int:
    """Steps of a run: those of its stages, `max_steps`, or `num_train_epochs`; as `plan_timetable` has them."""
    if timetable.total is not None:
        return timetable.total
    batches = {stage.name: ceil(draws[stage.task] / batch_size) for stage in timetable.stages}
    if arguments.max_steps > 0:
        return arguments.max_steps
    return ceil(arguments.num_train_epochs * timetable.epoch(batches))


def make_timetable(
    stages: Sequence[Stage], schedule: str, batches: Mapping[str, int], num_epochs: float | None = None
) -> Timetable:
    """The timetable of stages whose lengths and turns may be in epochs.

    Args:
        batches: name of each stage → batches of an epoch of its task.
        num_epochs: of each stage, in `two_stage`, where none has a length.
    """
    turns, lengths = [], []
    for stage in stages:
        epoch = batches[stage.name]
        turns.append(stage.turn_steps or (ceil(stage.turn_epochs * epoch) if stage.turn_epochs else 1))
        epochs = num_epochs if schedule == TWO_STAGE and not stage.has_length else stage.epochs
        lengths.append(stage.steps or (ceil(epochs * epoch) if epochs else None))
    if None in lengths:
        return Timetable(tuple(stages), schedule, tuple(turns))
    turns = lengths if schedule == TWO_STAGE else turns
    return Timetable(tuple(stages), schedule, tuple(turns), tuple(lengths))
