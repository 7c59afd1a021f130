"""The learning rate of a run in stages: each stage has its own schedule, over its own steps."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerCallback, TrainingArguments, get_scheduler

from xser.training.stages import STEP_SCHEDULES, Stage
from xser.training.timetable import Timetable


def has_own_rates(stages: Sequence[Stage]) -> bool:
    """Whether each stage has its own schedule: one of them has a rate or a length. Else the run's holds for all."""
    return any(stage.has_rate or stage.has_length for stage in stages)


def peak_rate(stage: Stage, arguments: TrainingArguments) -> float:
    return arguments.learning_rate if stage.learning_rate is None else stage.learning_rate


def schedule_name(stage: Stage, arguments: TrainingArguments) -> str:
    return stage.lr_scheduler_type or arguments.lr_scheduler_type.value


def warmup_of(stage: Stage, arguments: TrainingArguments, num_steps: int) -> int:
    """Steps of a stage's warm-up, of its own."""
    if stage.warmup_steps is not None:
        return stage.warmup_steps
    if stage.warmup_ratio is not None:
        return ceil(stage.warmup_ratio * num_steps)
    return arguments.get_warmup_steps(num_steps)


def rate_of(stage: Stage, arguments: TrainingArguments, num_steps: int) -> Callable[[int], float]:
    """A stage's learning rate, as a function of its own step (0, 1, …).

    Args:
        arguments: of the run, for what the stage does not say.
        num_steps: of the stage.

    Raises:
        ValueError: the schedule is no function of the step, or wants other `lr_scheduler_kwargs`.
    """
    name, peak = schedule_name(stage, arguments), peak_rate(stage, arguments)
    if name not in STEP_SCHEDULES:
        raise ValueError(
            f"lr_scheduler_type is {name!r}, which is no function of the step, for stages[{stage.name!r}]: give one "
            f"of {list(STEP_SCHEDULES)}"
        )
    options = stage.lr_scheduler_kwargs
    if options is None and stage.lr_scheduler_type is None:
        options = arguments.lr_scheduler_kwargs
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=peak)  # some schedules read the rate from it
    try:
        warmup = warmup_of(stage, arguments, num_steps)
        [factor] = get_scheduler(name, optimizer, warmup, num_steps, dict(options or {})).lr_lambdas
    except (TypeError, ValueError) as error:
        raise ValueError(f"stages[{stage.name!r}]: lr_scheduler_type {name!r}: {error}") from error
    return lambda step: peak * factor(step)


class StageScheduler(LRScheduler):
    """Sets every parameter group to the rate of the stage that a step is of.

    Args:
        num_steps: of the run.
    """

    def __init__(self, optimizer: Optimizer, timetable: Timetable, arguments: TrainingArguments, num_steps: int):
        own = timetable.counts(num_steps)
        self.timetable, self.num_steps = timetable, num_steps
        self.rates = {stage.name: rate_of(stage, arguments, max(own[stage.name], 1)) for stage in timetable.stages}
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """The learning rate of a step of the run; after the last one, that of the last."""
        place = self.timetable.at(min(step, self.num_steps - 1))
        return self.rates[place.stage.name](place.own_step)

    def get_lr(self) -> list[float]:
        return [self.rate(self.last_epoch)] * len(self.optimizer.param_groups)

    def go_to(self, step: int) -> None:
        """Be at a step, whatever was counted: a step whose gradients overflowed is none of the optimizer's."""
        self.last_epoch = step
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    def state_dict(self) -> Mapping[str, object]:
        return {"last_epoch": self.last_epoch, "_last_lr": self._last_lr}


class AtItsStep(TrainerCallback):
    """Every step has the learning rate of its place in the run."""

    def on_step_begin(self, args, state, control, lr_scheduler=None, **kwargs):
        if isinstance(lr_scheduler, StageScheduler):
            lr_scheduler.go_to(state.global_step)
