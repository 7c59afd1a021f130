"""As many utterances for every system: one number of steps, which its stages share as its preset has them."""

from collections.abc import Mapping

LENGTHS, TURNS = ("steps", "epochs"), ("turn_steps", "turn_epochs")
TASKS = ("asr", "describe")
JOINT, TWO_STAGE = "joint", "two_stage"


def length_options(name: str, options: Mapping, steps: int) -> dict:
    """Options of train.py that make a system train on as many utterances as `steps` steps of one batch hold.

    Args:
        name: of the system, for messages.
        options: of train.py, as resolved: `schedule` and `stages`.
        steps: of one batch each. Where every step has a batch of each task, so many times fewer.

    Raises:
        ValueError: there are fewer steps than stages, or their shares are undetermined.
    """
    schedule, stages = options.get("schedule"), options.get("stages")
    stages = {stage: dict(given or {}) for stage, given in (stages or {}).items()}
    if schedule == TWO_STAGE and not stages:
        stages = {task: {} for task in TASKS}
    have_length = [stage for stage, given in stages.items() if any(key in given for key in LENGTHS)]
    if schedule == JOINT:
        tasks = len(stages) or len(TASKS)
        if steps % tasks:
            raise ValueError(f"--steps is {steps}, and every step of {name} has {tasks} batches: give a multiple")
        return {"max_steps": steps // tasks}
    if schedule != TWO_STAGE and not have_length:
        return {"max_steps": steps}
    shares = _shares(name, stages)
    if steps < len(stages):
        raise ValueError(f"--steps is {steps}, but {name} has the stages {list(stages)}: give more")
    of_stage, left = {}, steps
    for index, (stage, share) in enumerate(shares.items()):
        rest = sum(list(shares.values())[index:])
        of_stage[stage] = min(max(round(left * share / rest), 1), left - (len(shares) - index - 1))
        left -= of_stage[stage]
    with_steps = {stage: _with_steps(given, of_stage[stage]) for stage, given in stages.items()}
    return {"stages": with_steps, "max_steps": None, "num_train_epochs": None}


def _with_steps(stage: Mapping, steps: int) -> dict:
    """A stage of another length, in as many turns as before where turn and length are of one kind."""
    kept = {key: value for key, value in stage.items() if key not in LENGTHS}
    for length, turn in zip(LENGTHS, TURNS, strict=True):
        if length in stage and turn in stage:
            del kept[turn]
            kept["turn_steps"] = max(1, round(steps * stage[turn] / stage[length]))
    return {**kept, "steps": steps}


def utterances(name: str, options: Mapping, lengths: Mapping) -> int:
    """How many utterances a system trains on with the options of `length_options`, each as often as it is drawn."""
    batch = options.get("per_device_train_batch_size", 1) * options.get("gradient_accumulation_steps", 1)
    if lengths.get("max_steps") is None:
        return batch * sum(stage["steps"] for stage in lengths["stages"].values())
    tasks = (len(options.get("stages") or {}) or len(TASKS)) if options.get("schedule") == JOINT else 1
    return batch * lengths["max_steps"] * tasks


def _shares(name: str, stages: Mapping[str, Mapping]) -> dict[str, float]:
    """What part of the steps each stage has; all alike where none has a length."""
    for key in LENGTHS:
        given = {stage: each[key] for stage, each in stages.items() if key in each}
        if len(given) == len(stages):
            return given
        if given:
            raise ValueError(f"{name}: stages {sorted(given)} give {key}, the others do not: give one kind to all")
    return dict.fromkeys(stages, 1.0)
