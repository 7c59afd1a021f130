"""From where a run begins, what each iteration is given, and whether the whole plan can be carried out."""

import copy
import math
import time
from dataclasses import replace
from pathlib import Path

from accelerate.utils import broadcast_object_list

from xser.audio_tower_xser import audio_tower
from xser.audio_xser import SAMPLE_RATE
from xser.pretraining.arguments import TowerArguments, TowerDataArguments, TowerTrainingArguments
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import MFCC, NEW, PREVIOUS, REGRESSION, Iteration
from xser.pretraining.model import read_tower_config
from xser.pretraining.teacher import Teacher
from xser.training.checkpoints import Needs, checkpoints_in, last_whole, weights_fault

RESUME = (None, "false", "true", "auto")


def where_to_resume(run: Path, wanted: str | None, iterations: int, needs: Needs) -> tuple[int, str | None]:
    """The iteration to begin with (from 0), and its newest whole checkpoint if it has one.

    Raises:
        ValueError: there is nothing to resume, or the run folder holds something and it was not said what to do.
    """
    if wanted not in RESUME:
        raise ValueError(f"resume_from_checkpoint is {wanted!r}; it must be true, auto or false here")
    folders = [run / f"iteration-{number}" for number in range(1, iterations + 1)]
    done = 0
    while done < iterations and is_tower(folders[done] / "tower"):
        done += 1
    current = folders[min(done, iterations - 1)]
    if wanted in (None, "false"):
        if done or checkpoints_in(current):
            raise ValueError(f"output_dir {run} holds {current.name}: give resume_from_checkpoint, or another folder")
        return 0, None
    checkpoint = last_whole(current, needs) if done < iterations else None
    if wanted == "true" and not done and checkpoint is None:
        raise ValueError(f"resume_from_checkpoint is 'true', but there is no checkpoint in {folders[0]} that is whole")
    return done, None if checkpoint is None else str(checkpoint)


def is_tower(folder: Path) -> bool:
    """Whether a folder holds a whole tower."""
    return (folder / "config.json").is_file() and weights_fault(folder) is None


def with_previous(iteration: Iteration, previous: Path | None) -> Iteration:
    """An iteration whose `previous` is a folder."""
    named = {name: str(previous) for name in ("targets", "start") if getattr(iteration, name) == PREVIOUS}
    return replace(iteration, **named)


def check_plan(tower: TowerArguments, data: TowerDataArguments) -> None:
    """Find out before anything is trained whether the towers that the iterations name exist and fit.

    Raises:
        ValueError: names what does not fit.
    """
    config = None
    longest = math.ceil(data.max_seconds * SAMPLE_RATE / min(speed for each in data.sources for speed in each.speeds))
    for iteration in tower.steps:
        before, config = config, config if iteration.start == PREVIOUS else None
        if config is None:
            config = tower.new_config if iteration.start == NEW else read_tower_config(iteration.start)
        grid = FrameGrid.of(config)
        if iteration.objective != REGRESSION:
            check_mask_fits(grid, tower.mask_length, data.min_seconds)
        if iteration.targets == MFCC:
            continue
        if iteration.targets == PREVIOUS:
            teacher = Teacher("the iteration before", before, audio_tower(before), tower.do_normalize)
        else:
            teacher = Teacher.read(iteration.targets)
        teacher.check(iteration.layers, grid, int(data.min_seconds * SAMPLE_RATE), longest)


def iteration_arguments(arguments: TowerTrainingArguments, iteration: Iteration, folder: Path, layerdrop: float):
    """The run's arguments with what the iteration says instead."""
    changed = copy.copy(arguments)
    changed.output_dir = str(folder)
    for name in ("max_steps", "learning_rate"):
        if getattr(iteration, name) is not None:
            setattr(changed, name, getattr(iteration, name))
    if changed.ddp_find_unused_parameters is None:  # a dropped layer has no gradient
        changed.ddp_find_unused_parameters = layerdrop > 0
    return changed


def minutes_left(arguments: TowerTrainingArguments, start: float) -> float | None:
    """Of the whole call, as the first process sees it; `None` without a limit."""
    if arguments.max_minutes is None:
        return None
    left = [arguments.max_minutes - (time.monotonic() - start) / 60]
    return max(broadcast_object_list(left)[0], 0.0) if arguments.world_size > 1 else max(left[0], 0.0)


def check_mask_fits(grid: FrameGrid, mask_length: int, min_seconds: float) -> None:
    """`ValueError` where the shortest pieces have fewer frames than are masked in a row."""
    frames = grid.num_frames(int(min_seconds * SAMPLE_RATE))
    if frames < mask_length:
        raise ValueError(
            f"mask_length is {mask_length}, but the shortest pieces (min_seconds {min_seconds}) have {frames} frames "
            f"at {grid.rate:g} a second: mask fewer, or leave out longer pieces"
        )
