"""Stages of a training, as data: which task, what trains, at which rate, for how long, in which turns."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite

from xser.training.options import nearest

TASKS = ("asr", "describe")
ALTERNATING, TWO_STAGE, ONE_STAGE, JOINT = SCHEDULES = ("alternating", "two_stage", "one_stage", "joint")
GROUPS = ("content", "descriptors", "lora", "language_model", "audio_tower")  # of weights: see training/groups.py
STEP_SCHEDULES = (  # of the learning rate, by transformers: those that are a function of the step
    *("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"),
    *("cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay"),
)
LENGTH, TURN = ("epochs", "steps"), ("turn_epochs", "turn_steps")
RATE = ("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_ratio", "warmup_steps")


@dataclass(frozen=True)
class Stage:
    """One stage. What is not given is the run's, or as the schedule has it."""

    name: str
    task: str  # asr or describe; the stage's name by default
    trains: tuple[str, ...] | None = None  # of GROUPS; all that the task reaches by default
    learning_rate: float | None = None  # at its highest
    lr_scheduler_type: str | None = None  # over the stage's own steps
    lr_scheduler_kwargs: Mapping[str, object] | None = None
    warmup_ratio: float | None = None  # of the stage's steps
    warmup_steps: int | None = None
    epochs: float | None = None  # length: passes over the task's utterances
    steps: int | None = None  # length
    turn_epochs: float | None = None  # of a turn, in `alternating`
    turn_steps: int | None = None  # of a turn; 1 where neither is given
    optional: bool = False  # drops out where the data have no row for its task; else that is an error

    @property
    def has_length(self) -> bool:
        return self.epochs is not None or self.steps is not None

    @property
    def has_rate(self) -> bool:
        return any(getattr(self, name) is not None for name in RATE)


NUMBERS = {  # field → what it must be
    "learning_rate": ("above 0", lambda value: 0 < value < float("inf")),
    "warmup_ratio": ("from 0 to below 1", lambda value: 0 <= value < 1),
    "warmup_steps": ("a whole number of 0 or more", lambda value: value >= 0 and value == int(value)),
    **dict.fromkeys(("epochs", "turn_epochs"), ("above 0", lambda value: 0 < value < float("inf"))),
    **dict.fromkeys(("steps", "turn_steps"), ("a whole number above 0", lambda value: value > 0 == value % 1)),
}
FIELDS = tuple(field.name for field in fields(Stage) if field.name != "name")


def read_stages(schedule: str, stages: Mapping[str, Mapping | None] | None) -> tuple[Stage, ...]:
    """The stages of a run, in their order.

    Args:
        schedule: one of `SCHEDULES`.
        stages: name → fields of `Stage`; by default one of each task, or `describe` alone in `one_stage`.

    Raises:
        ValueError: names the field, its value, and what would be right.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is {schedule!r}; it must be one of {list(SCHEDULES)}")
    if stages is None:
        stages = dict.fromkeys(("describe",) if schedule == ONE_STAGE else TASKS)
    if not stages:
        raise ValueError("stages is {}; name one at least, such as {describe: {}}")
    found = tuple(_read_stage(name, given) for name, given in stages.items())
    _CHECKS[schedule](found)
    with_length = [stage.name for stage in found if stage.has_length]
    for stage in found:
        if with_length and not stage.has_length:
            raise ValueError(
                f"stages[{stage.name!r}] has no length, but stages[{with_length[0]!r}] has: give epochs or steps to "
                "all, or to none"
            )
    return found


def _read_stage(name: str, given: Mapping | None) -> Stage:
    place = f"stages[{name!r}]"
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise ValueError(f"{place} is {given!r}; it must be a mapping, such as {{turn_steps: 4}}")
    given = {field: value for field, value in given.items() if value is not None}
    for field in given:
        if field not in FIELDS:
            raise ValueError(f"{place} has an unknown field {field!r}; the nearest is {nearest(field, FIELDS)!r}")
    task = given.setdefault("task", name)
    if task not in TASKS:
        hint = "" if task != name else ": give its task"
        raise ValueError(f"{place}: task is {task!r}; it must be one of {list(TASKS)}{hint}")
    for field, (rule, is_right) in NUMBERS.items():
        if field in given:
            _check_number(f"{place}: {field}", given[field], rule, is_right)
    for one, other in (LENGTH, TURN, ("warmup_ratio", "warmup_steps")):
        if one in given and other in given:
            raise ValueError(f"{place} gives {one} {given[one]} and {other} {given[other]}: leave out one of them")
    if given.get("lr_scheduler_type", STEP_SCHEDULES[0]) not in STEP_SCHEDULES:
        raise ValueError(
            f"{place}: lr_scheduler_type is {given['lr_scheduler_type']!r}; it must be one of {list(STEP_SCHEDULES)}"
        )
    if not isinstance(given.get("lr_scheduler_kwargs", {}), Mapping):
        raise ValueError(f"{place}: lr_scheduler_kwargs is {given['lr_scheduler_kwargs']!r}; it must be a mapping")
    if not isinstance(given.get("optional", False), bool):
        raise ValueError(f"{place}: optional is {given['optional']!r}; it must be true or false")
    if "trains" in given:
        given["trains"] = _read_groups(place, given["trains"])
    whole = {field: int(given[field]) for field in ("steps", "turn_steps", "warmup_steps") if field in given}
    return Stage(name, **{**given, **whole})


def _check_number(place: str, value: object, rule: str, is_right) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
    if not is_number or not is_right(value):
        raise ValueError(f"{place} is {value!r}; it must be {rule}")


def _read_groups(place: str, groups: object) -> tuple[str, ...]:
    if not isinstance(groups, (list, tuple)):
        raise ValueError(f"{place}: trains is {groups!r}; it must be a list of some of {list(GROUPS)}")
    if not groups:
        raise ValueError(f"{place}: trains is [], so the stage trains nothing; name some of {list(GROUPS)}")
    for group in groups:
        if group not in GROUPS:
            raise ValueError(f"{place}: trains names {group!r}; it must be some of {list(GROUPS)}")
    return tuple(dict.fromkeys(groups))


def _refuse(stages: tuple[Stage, ...], names: tuple[str, ...], why: str) -> None:
    for stage in stages:
        for name in names:
            if getattr(stage, name) is not None:
                raise ValueError(f"stages[{stage.name!r}] gives {name} {getattr(stage, name)!r}, but {why}")


def _check_two_stage(stages: tuple[Stage, ...]) -> None:
    _refuse(stages, TURN, "schedule is two_stage, which has no turns: leave it out, or take schedule alternating")


def _check_one_stage(stages: tuple[Stage, ...]) -> None:
    if [stage.task for stage in stages] != ["describe"]:
        tasks = {stage.name: stage.task for stage in stages}
        raise ValueError(
            f"schedule is one_stage, which is one stage of task describe, but stages has {tasks}: leave the others "
            "out, or take another schedule"
        )
    _refuse(stages, TURN, "schedule is one_stage, which has no turns: leave it out")


def _check_joint(stages: tuple[Stage, ...]) -> None:
    tasks = [stage.task for stage in stages]
    if len(tasks) < 2 or len(set(tasks)) < len(tasks):
        raise ValueError(f"schedule is joint, which wants one stage of each of {list(TASKS)}; stages are of {tasks}")
    why = "schedule is joint, where every step is of all stages: it is the run's there"
    _refuse(stages, (*RATE, *LENGTH), why)
    _refuse(stages, TURN, "schedule is joint, which has no turns: leave it out")


_CHECKS = {
    ALTERNATING: lambda stages: None,
    TWO_STAGE: _check_two_stage,
    ONE_STAGE: _check_one_stage,
    JOINT: _check_joint,
}
