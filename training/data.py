"""Which rows train and test which task, and why the others are left out."""

import logging
from collections import Counter
from dataclasses import dataclass, field

from datasets import Dataset, DatasetDict

from xser.configuration_xser import XSERConfig
from xser.corpora import load_corpus
from xser.corpora.folds import hold_out
from xser.grammar_xser import LabelSchema
from xser.training.arguments import DataArguments

logger = logging.getLogger(__name__)


@dataclass
class TaskData:
    """Data sets of a run: task → data set, and task → reason → number of rows left out."""

    train: dict[str, Dataset] = field(default_factory=dict)
    eval: dict[str, Dataset] = field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)


def select_rows(
    dataset: Dataset, task: str, config: XSERConfig, leave_out_unknown_labels: bool = False
) -> tuple[Dataset, Counter]:
    """The rows that suit a task, and the number left out for each reason.

    Left out are recordings outside `min_audio_seconds` … `max_audio_seconds`; for asr, rows without text; for
    describe, rows without emotion and without any of the config's descriptors.

    Raises:
        ValueError: a row has a label that the model does not have, and `leave_out_unknown_labels` is off.
    """
    reasons, kept, unknown = Counter(), [], Counter()
    rows = dataset.select_columns(["text", "emotion", "descriptors", "duration"]).to_list()
    for index, row in enumerate(rows):
        reason = _reason_to_leave_out(row, task, config, config.schema)
        if reason is None:
            kept.append(index)
        else:
            reasons[reason] += 1
            if reason.startswith("unknown label"):
                unknown[reason] += 1
    if unknown and not leave_out_unknown_labels:
        raise ValueError(
            f"{sum(unknown.values())} of {len(rows)} rows hold labels that the model does not have: {dict(unknown)}; "
            "add them to emotions or descriptors, or set leave_out_unknown_labels"
        )
    return dataset.select(kept), reasons


def _reason_to_leave_out(row: dict, task: str, config: XSERConfig, schema: LabelSchema) -> str | None:
    if row["duration"] is None:
        return "unknown duration"
    if row["duration"] < config.min_audio_seconds:
        return f"shorter than {config.min_audio_seconds} s"
    if row["duration"] > config.max_audio_seconds:
        return f"longer than {config.max_audio_seconds} s"
    if task == "asr":
        return None if (row["text"] or "").strip() else "no text"
    try:
        description = schema.describe(row["emotion"], row["descriptors"])
    except ValueError as error:
        return f"unknown label: {error}"
    return None if description.slots else "no emotion and no descriptor"


def load_task_data(arguments: DataArguments, tasks: list[str], config: XSERConfig, seed: int) -> TaskData:
    """Load the corpora and sort their rows to the tasks.

    Raises:
        ValueError: a split or speaker that the corpus does not have, or a task without a single row.
    """
    train, test = _splits(arguments)
    if arguments.train_limit is not None:
        train = _sample(train, arguments.train_limit, seed)
    asr_train = train
    if arguments.asr_data is not None:
        asr_train = _load(arguments.asr_data, arguments.asr_split, arguments.asr_corpus_options)
    data = TaskData()
    for task in tasks:
        for name, source in (("train", asr_train if task == "asr" else train), ("eval", test)):
            if source is None:
                continue
            selected, reasons = select_rows(source, task, config, arguments.leave_out_unknown_labels)
            if name == "eval" and arguments.eval_limit is not None:
                selected = _sample(selected, arguments.eval_limit, seed)
            data.left_out[f"{name}_{task}"] = dict(reasons)
            counts = f"{len(selected):,} of {len(source):,} utterances"
            logger.info("%s %s: %s; left out: %s", name, task, counts, dict(reasons) or "none")
            if len(selected):
                getattr(data, name)[task] = selected
            elif name == "train":
                raise ValueError(
                    f"no utterance is left to train {task}; left out: {dict(reasons)}: give what is missing, or leave "
                    "the task out of task_weights"
                )
    return data


def _load(name: str, split: str | None, options: dict | None) -> Dataset | DatasetDict:
    return load_corpus(name, split=split, **(options or {}))


def _splits(arguments: DataArguments) -> tuple[Dataset, Dataset | None]:
    """Data to train on, and to evaluate on if there is any."""
    if arguments.test_speakers:
        rows = _load(arguments.data, None, arguments.corpus_options)
        if isinstance(rows, DatasetDict):
            raise ValueError(f"{arguments.data} has splits {sorted(rows)} already: leave out test_speakers")
        parts = hold_out(rows, arguments.test_speakers)
        return parts["train"], parts["test"]
    train = _load(arguments.data, arguments.train_split, arguments.corpus_options)
    if isinstance(train, DatasetDict):
        if "train" not in train:
            raise ValueError(f"{arguments.data} has splits {sorted(train)}, and none is 'train': give train_split")
        train = train["train"]
    if arguments.eval_split is None:
        return train, None
    return train, _load(arguments.data, arguments.eval_split, arguments.corpus_options)


def _sample(dataset: Dataset, limit: int, seed: int) -> Dataset:
    return dataset.shuffle(seed=seed).select(range(min(limit, len(dataset))))
