"""What a run will do is settled before its first step, by what its data have: its stages, its evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from datasets import Dataset
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from xser.configuration_xser import XSERConfig
from xser.training.arguments import XSERTrainingArguments
from xser.training.balance import SAMPLING, balanced_size, count_emotions
from xser.training.data import TaskData
from xser.training.groups import trained_groups
from xser.training.rates import has_own_rates, peak_rate, schedule_name, warmup_of
from xser.training.stages import ALTERNATING, GROUPS, JOINT, TWO_STAGE
from xser.training.timetable import plan_timetable, run_length

WANT_EVALUATION = ("reduce_lr_on_plateau", "greedy")  # schedules of the learning rate
GIVE_EVALUATION = "give eval_split or test_speakers"


@dataclass(frozen=True)
class StagePlan:
    """What one stage of a run comes to."""

    name: str
    task: str
    trains: tuple[str, ...]  # groups of weights
    num_parameters: int  # of these
    num_steps: int  # of its own, or, in `joint`, of the run
    turn_steps: int
    num_turns: int
    num_utterances: int  # drawn in all, repetitions included
    num_epochs: float  # passes over the utterances of its task
    learning_rate: float  # at its highest
    lr_scheduler_type: str
    warmup_steps: int

    def __str__(self) -> str:
        turns = f" in {self.num_turns:,} turns of {self.turn_steps:,}" if self.num_turns > 1 else ""
        return (
            f"{self.name}: {self.task} trains {', '.join(self.trains)} ({self.num_parameters:,} weights), "
            f"{self.num_steps:,} steps{turns}, {self.num_utterances:,} utterances ({self.num_epochs:.4g} epochs), "
            f"{self.lr_scheduler_type} from {self.learning_rate:g}, {self.warmup_steps:,} steps of warm-up"
        )


def draws_of(arguments: XSERTrainingArguments, train: Mapping[str, Dataset]) -> dict[str, int]:
    """Task → utterances that an epoch of it draws, by the rows to train on."""
    draws = {task: len(rows) for task, rows in train.items()}
    if arguments.class_balance == SAMPLING and "describe" in train:
        draws["describe"] = balanced_size(train["describe"]["emotion"][:])
    return draws


def batch_of(arguments: XSERTrainingArguments) -> int:
    """Utterances of an optimizer step, over all processes and micro-batches."""
    return arguments.train_batch_size * arguments.world_size * arguments.gradient_accumulation_steps


def plan_of(
    arguments: XSERTrainingArguments,
    config: XSERConfig,
    sizes: Mapping[str, int],
    draws: Mapping[str, int],
    batch_size: int,
) -> list[StagePlan]:
    """The stages of a run, from numbers alone: no weights and no data.

    Args:
        sizes: group → numbers that can be trained (`group_sizes`).
        draws: task → utterances of its epoch: its rows, or `balanced_size`.
        batch_size: utterances of an optimizer step, over all processes and micro-batches.
    """
    timetable = plan_timetable(arguments, draws, batch_size)
    num_steps = run_length(arguments, timetable, draws, batch_size)
    counts, has_own = timetable.counts(num_steps), has_own_rates(timetable.stages)
    is_joint = arguments.schedule == JOINT
    plans = []
    for stage, turn in zip(timetable.stages, timetable.turns, strict=True):
        each = timetable.stages if is_joint else (stage,)
        trained = {group for one in each for group in trained_groups(one, config, sizes)}
        own = counts[stage.name]
        plans.append(
            StagePlan(
                stage.name,
                stage.task,
                tuple(group for group in GROUPS if group in trained),
                sum(sizes[group] for group in trained),
                own,
                own if is_joint else turn,
                1 if is_joint or arguments.schedule == TWO_STAGE else ceil(own / turn),
                own * batch_size,
                own * batch_size / draws[stage.task],
                peak_rate(stage, arguments),
                schedule_name(stage, arguments),
                warmup_of(stage, arguments, own if has_own else num_steps),
            )
        )
    return plans


def settle(arguments: XSERTrainingArguments, data: TaskData, config: XSERConfig) -> None:
    """Leave out stages without rows, and evaluation without data; both have been said, or are said here.

    Raises:
        ValueError: a stage that was given, and is not optional, has no row; class_balance has nothing to balance; no
            description is among the steps of heads_first; the best checkpoint, or the learning rate, is to go by an
            evaluation that there is not.
    """
    _settle_stages(arguments, data)
    if arguments.class_balance != "none":
        count_emotions(data.train["describe"]["emotion"][:])
    if arguments.heads_first and arguments.schedule == TWO_STAGE:
        _check_heads_first(arguments, data)
    wants = _wants_evaluation(arguments)
    if not data.eval:
        if wants:
            raise ValueError(f"{wants} goes by an evaluation, and there is no data for one: {GIVE_EVALUATION}")
        if arguments.eval_strategy != IntervalStrategy.NO or arguments.eval_on_start:
            data.note(f"evaluation is off: there is no data for it; {GIVE_EVALUATION}")
        arguments.eval_strategy, arguments.eval_on_start = IntervalStrategy.NO, False
    elif wants and arguments.eval_strategy == IntervalStrategy.NO:
        raise ValueError(f"{wants} goes by an evaluation, and eval_strategy is 'no': set it to steps or epoch")
    elif wants:
        check_metric(arguments.metric_for_best_model, data, config)


def _settle_stages(arguments: XSERTrainingArguments, data: TaskData) -> None:
    missing = [stage for stage in arguments.stage_list if stage.task not in data.train]
    for stage in missing:
        if arguments.stages is not None and not stage.optional:
            raise ValueError(
                f"stages names {stage.name!r}, but the data have no row for its task {stage.task}; left out: "
                f"{data.left_out.get(f'train_{stage.task}') or 'nothing, there is no row'}. Give what is missing, "
                "leave the stage out, or set optional: true in it"
            )
    if not missing:
        return
    names = [stage.name for stage in arguments.stage_list if stage.task in data.train]
    arguments.stages = {name: (arguments.stages or {}).get(name) or {} for name in names}
    if arguments.schedule == JOINT:  # there is nothing to join
        arguments.schedule = ALTERNATING
    if arguments.class_balance != "none" and "describe" not in data.train:
        raise ValueError(f"class_balance is {arguments.class_balance!r}, but no row trains describe")


def _check_heads_first(arguments: XSERTrainingArguments, data: TaskData) -> None:
    timetable = plan_timetable(arguments, draws_of(arguments, data.train), batch_of(arguments))
    counts = timetable.counts(arguments.heads_first)
    if not any(counts[stage.name] for stage in timetable.stages if stage.task == "describe"):
        raise ValueError(
            f"heads_first is {arguments.heads_first}, but none of the first {arguments.heads_first} steps is of task "
            "describe in schedule two_stage: set it to 0, or let a stage of descriptions come first"
        )


def _wants_evaluation(arguments: XSERTrainingArguments) -> str | None:
    """The option that goes by an evaluation, if any does."""
    if arguments.load_best_model_at_end:
        return "load_best_model_at_end"
    if arguments.save_strategy == SaveStrategy.BEST:
        return "save_strategy 'best'"
    schedule = arguments.lr_scheduler_type.value
    wants = schedule in WANT_EVALUATION and not has_own_rates(arguments.stage_list)
    return f"lr_scheduler_type {schedule!r}" if wants else None


def check_metric(name: str | None, data: TaskData, config: XSERConfig) -> None:
    """`ValueError` where the evaluation of these data gives no figure of this name."""
    known = known_metrics(data, config)
    if name is not None and name.removeprefix("eval_") not in known:
        raise ValueError(f"metric_for_best_model is {name!r}; the evaluation of these data gives {known}")


def known_metrics(data: TaskData, config: XSERConfig) -> list[str]:
    """Figures that say how good a model is, by what the rows to evaluate on hold; without `eval_` before them."""
    names = ["loss"]
    for task, rows in data.eval.items():
        found = ["loss", "lm_loss"]
        if task == "asr":
            found += ["wer", *(["ctc_loss"] if config.ctc_weight > 0 else [])]
        else:
            descriptors = rows["descriptors"][:]
            slots = [*config.descriptors, *(["emphasis"] if config.emphasis else [])]
            found += ["ua", "wa"] if any(emotion is not None for emotion in rows["emotion"]) else []
            found += [f"{slot}_accuracy" for slot in slots if any(row.get(slot) is not None for row in descriptors)]
        names += [f"{task}_{name}" for name in found]
    return names
