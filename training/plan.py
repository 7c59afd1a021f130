"""What a run will do is settled before its first step, by what its data have: its tasks, its evaluation."""

from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from xser.configuration_xser import XSERConfig
from xser.training.arguments import XSERTrainingArguments
from xser.training.data import TaskData

WANT_EVALUATION = ("reduce_lr_on_plateau", "greedy")  # schedules of the learning rate
GIVE_EVALUATION = "give eval_split or test_speakers"


def settle(arguments: XSERTrainingArguments, data: TaskData, config: XSERConfig) -> None:
    """Leave out tasks without rows, and evaluation without data; both have been said, or are said here.

    Raises:
        ValueError: the best checkpoint, or the learning rate, is to go by an evaluation that there is not.
    """
    arguments.task_weights = {task: arguments.task_weights[task] for task in data.train}
    if len(data.train) == 1:  # there is nothing to join
        arguments.schedule = "alternating"
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


def _wants_evaluation(arguments: XSERTrainingArguments) -> str | None:
    """The option that goes by an evaluation, if any does."""
    if arguments.load_best_model_at_end:
        return "load_best_model_at_end"
    if arguments.save_strategy == SaveStrategy.BEST:
        return "save_strategy 'best'"
    schedule = arguments.lr_scheduler_type.value
    return f"lr_scheduler_type {schedule!r}" if schedule in WANT_EVALUATION else None


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
