"""Which rows train and test which task, and why the others are left out."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets import Dataset, DatasetDict

from xser.configuration_xser import XSERConfig
from xser.corpora import load_corpus
from xser.corpora.caption_reading import CaptionReader
from xser.corpora.catalogue import SHARED_BY_DESIGN
from xser.corpora.folds import hold_out, with_validation
from xser.corpora.loading import NAMES, is_prepared
from xser.corpora.schema import LEVELS
from xser.grammar_xser import AGE, EMPHASIS, GENDER, TRANSCRIPT, LabelSchema
from xser.training.arguments import DataArguments
from xser.training.checking import RowChecker
from xser.training.collator import own_caption

logger = logging.getLogger(__name__)

VALIDATION = "validation"
VALIDATION_SHARE = 0.1  # of the rows, where whole speakers are held out for want of such a split
NAMED = 3  # bad rows that a message names


@dataclass
class TaskData:
    """Data sets of a run: task → data set; task → reason → number of rows left out; and what else is to be known."""

    train: dict[str, Dataset] = field(default_factory=dict)
    eval: dict[str, Dataset] = field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str, level: int = logging.WARNING) -> None:
        """Say it in the log, and keep it for the run's record."""
        logger.log(level, text)
        self.notes.append(text)


def select_rows(
    dataset: Dataset,
    task: str,
    config: XSERConfig,
    leave_out_unknown_labels: bool = False,
    checker: RowChecker | None = None,
    leave_out_bad_rows: bool = False,
) -> tuple[Dataset, Counter]:
    """The rows that suit a task, and the number left out for each reason.

    Left out are recordings outside `min_audio_seconds` … `max_audio_seconds`; for asr, rows without text; for
    describe, rows without emotion and without any of the config's descriptors.

    Args:
        checker: finds rows that the processor cannot make inputs of.

    Raises:
        ValueError: a row has a label that the model does not have, and `leave_out_unknown_labels` is off; or it cannot
            be trained on, and `leave_out_bad_rows` is off.
    """
    reasons, kept, unknown = Counter(), {}, Counter()
    columns = ["text", "emotion", "descriptors", "gender", "age", "duration", "caption"]
    rows = dataset.select_columns([name for name in columns if name in dataset.column_names]).to_list()
    for index, row in enumerate(rows):
        reason = _reason_to_leave_out(row, task, config, config.schema)
        if reason is None:
            kept[index] = row
        else:
            reasons[reason] += 1
            if reason.startswith("unknown label"):
                unknown[reason] += 1
    if unknown and not leave_out_unknown_labels:
        raise ValueError(
            f"{sum(unknown.values())} of {len(rows)} rows hold labels that the model does not have: {dict(unknown)}; "
            "add them to emotions or descriptors, or set leave_out_unknown_labels"
        )
    if checker is not None:
        _check(kept, task, checker, config)
        if checker.faults and not leave_out_bad_rows:
            named = [f"{_name(dataset, index)}: {fault}" for index, fault in list(checker.faults.items())[:NAMED]]
            more = f"; and {len(checker.faults) - NAMED} more" if len(checker.faults) > NAMED else ""
            raise ValueError(
                f"{len(checker.faults)} of {len(rows)} rows cannot train {task}: {'; '.join(named)}{more}. Mend them, "
                "or set leave_out_bad_rows"
            )
        reasons += Counter({"cannot be trained on": len(checker.faults)})
        kept = [index for index in kept if index not in checker.faults]
    return dataset.select(list(kept)), reasons


def _check(rows: dict[int, dict], task: str, checker: RowChecker, config: XSERConfig) -> None:
    if task == "asr":
        checker.check_asr((index, row["text"], row["duration"]) for index, row in rows.items())
    else:
        known = {index: config.schema.describe(row) for index, row in rows.items()}
        checker.check_describe(
            (index, own_caption(row, known[index], config) or known[index], row["text"], row["duration"])
            for index, row in rows.items()
        )


def note_captions(rows: Dataset, use: str, config: XSERConfig, data: TaskData) -> None:
    """Count what cannot be read back from a corpus's own captions, which train as they are."""
    captions = [text for text in rows["caption"] if text] if "caption" in rows.column_names else []
    if config.answer != "caption" or not captions:
        return
    reader = CaptionReader(config.schema)
    unread = Counter(slot for text in captions for slot in reader.read(text).unread)
    data.left_out[f"{use}_captions"] = {f"{slot} is not read back": count for slot, count in unread.most_common()}
    logger.info("%s: %s captions of the corpus's own; not read back: %s", use, f"{len(captions):,}", dict(unread))


def _name(dataset: Dataset, index: int) -> str:
    """What a message calls a row: its place, its id, and its recording's file."""
    row = dataset[index]
    path = row["audio"]["path"]
    return f"row {index} (id {row['id']!r}{'' if path is None else f', {path}'})"


def _reason_to_leave_out(row: dict, task: str, config: XSERConfig, schema: LabelSchema) -> str | None:
    if row["duration"] is None or not math.isfinite(row["duration"]):
        return "unknown duration"
    if row["duration"] < config.min_audio_seconds:
        return f"shorter than {config.min_audio_seconds} s"
    if row["duration"] > config.max_audio_seconds:
        return f"longer than {config.max_audio_seconds} s"
    if task == "asr":
        return None if (row["text"] or "").strip() else "no text"
    try:
        description = schema.describe(row)
    except ValueError as error:
        return f"unknown label: {error}"
    if config.answer == "caption" and row.get("caption"):
        return None
    return None if set(description.slots) - {TRANSCRIPT, EMPHASIS} else "no emotion and no descriptor"


def load_task_data(
    arguments: DataArguments,
    tasks: list[str],
    config: XSERConfig,
    seed: int,
    processor=None,
    speeds: Sequence[float] = (1.0,),
) -> TaskData:
    """Load the corpora and sort their rows to the tasks. A task without a single row to train on drops out.

    Args:
        processor: of the model; with it, rows that it cannot make inputs of are found.
        speeds: at which recordings will be played.

    Raises:
        ValueError: a split or speaker that the corpus does not have; rows that cannot be trained on; no task is left.
    """
    data, slots = TaskData(), config.descriptors
    arguments = replace(
        arguments, corpus_options=with_own_descriptors(arguments.data, arguments.corpus_options, slots)
    )
    train, test = _splits(arguments, seed, data)
    if arguments.train_limit is not None:
        train = _sample(train, arguments.train_limit, seed)
    asr_train = train
    if arguments.asr_data is not None:
        asr_train = _load(arguments.asr_data, arguments.asr_split, arguments.asr_corpus_options)
    _note_shared_speakers(train, test, data)
    context = getattr(config.text_config, "max_position_embeddings", None)
    for task in tasks:
        for use, source in (("train", asr_train if task == "asr" else train), ("eval", test)):
            if source is None or (use == "eval" and task not in data.train):
                continue
            checker = None
            if processor is not None:
                checker = RowChecker(processor, context, config.ctc_weight > 0, speeds if use == "train" else (1.0,))
            leave_out = arguments.leave_out_unknown_labels, checker, arguments.leave_out_bad_rows
            selected, reasons = select_rows(source, task, config, *leave_out)
            if use == "eval" and arguments.eval_limit is not None:
                selected = _sample(selected, arguments.eval_limit, seed)
            data.left_out[f"{use}_{task}"] = dict(reasons)
            counts = f"{len(selected):,} of {len(source):,} utterances"
            logger.info("%s %s: %s; left out: %s", use, task, counts, dict(reasons) or "none")
            if checker is not None:
                _report(checker, use, source, data)
            if len(selected):
                getattr(data, use)[task] = selected
            if task == "describe":
                note_captions(selected, use, config, data)
    _drop_tasks(tasks, arguments, data)
    return data


def _report(checker: RowChecker, use: str, source: Dataset, data: TaskData) -> None:
    """What was found in rows that train all the same."""
    if checker.without_alignment:
        found = data.left_out[f"{use}_ctc"] = dict(checker.without_alignment)
        logger.warning("%s asr: of these, ctc_loss leaves out: %s", use, found)
    if checker.not_said:
        first = _name(source, checker.not_said[0])
        data.note(f"{use}: {len(checker.not_said):,} rows emphasise words that their text lacks, first {first}")


def _drop_tasks(tasks: list[str], arguments: DataArguments, data: TaskData) -> None:
    """Say which tasks have no row; `ValueError` where none is left, or what was given for one alone is in vain."""
    for task in tasks:
        if task in data.train:
            continue
        left_out = data.left_out[f"train_{task}"] or "nothing, there is no row"
        nothing = f"no utterance is left to train {task}; left out: {left_out}"
        if not data.train or (task == "asr" and arguments.asr_data is not None):
            raise ValueError(f"{nothing}: give what is missing, or leave its stage out of stages")
        data.note(f"{nothing}: {task} is not trained")


def _note_shared_speakers(train: Dataset, test: Dataset | None, data: TaskData) -> None:
    """Figures on speakers who were trained on say little of others."""
    if test is None:
        return
    shared = sorted(({*train["speaker"]} & {*test["speaker"]}) - {None})
    if not shared:
        return
    corpora = {*test["corpus"]} & {*SHARED_BY_DESIGN}
    why = "".join(f" ({name}: {SHARED_BY_DESIGN[name]})" for name in sorted(corpora))
    some = ", ".join(shared[:5]) + (" …" if len(shared) > 5 else "")
    data.note(
        f"{len(shared):,} speakers are in training and in evaluation: figures are not of unseen ones: {some}{why}"
    )


def _load(name: str, split: str | None, options: dict | None) -> Dataset | DatasetDict:
    return load_corpus(name, split=split, **(options or {}))


def with_own_descriptors(data: str, options: dict | None, descriptors: Mapping[str, Sequence[str]]) -> dict:
    """Options of `load_corpus` that ask a folder's table for the slots of the model that no other corpus has.

    A prepared corpus has its slots already, and age and gender are columns of every corpus. What is asked for in
    `options` stays.
    """
    folder, own = (
        Path(data).expanduser(),
        {slot: list(descriptors[slot]) for slot in descriptors if slot not in (*LEVELS, AGE, GENDER)},
    )
    is_table = data not in NAMES and not is_prepared(folder)
    return {**({"descriptors": own} if own and is_table else {}), **(options or {})}


def _splits(arguments: DataArguments, seed: int = 0, data: TaskData | None = None) -> tuple[Dataset, Dataset | None]:
    """Data to train on, and to evaluate on if there is any; `data` notes what of it is made here."""
    if arguments.test_speakers:
        rows = _load(arguments.data, None, arguments.corpus_options)
        if isinstance(rows, DatasetDict):
            raise ValueError(f"{arguments.data} has splits {sorted(rows)} already: leave out test_speakers")
        parts = hold_out(rows, arguments.test_speakers)
        return parts["train"], parts["test"]
    if arguments.eval_split == VALIDATION and arguments.data not in NAMES:
        corpus = _load(arguments.data, None, arguments.corpus_options)
        if isinstance(corpus, Dataset):
            corpus = DatasetDict(train=corpus)
        train = _train_part(corpus, arguments)
        if VALIDATION in corpus:
            return train, corpus[VALIDATION]
        train, held_out, reason = with_validation(train, VALIDATION_SHARE, seed)
        (data or TaskData()).note(f"{arguments.data} has no split {VALIDATION!r}: {reason}")
        return train, held_out
    train = _load(arguments.data, arguments.train_split, arguments.corpus_options)
    if isinstance(train, DatasetDict):
        train = _train_part(train, arguments)
    if arguments.eval_split is None:
        return train, None
    return train, _load(arguments.data, arguments.eval_split, arguments.corpus_options)


def _train_part(corpus: DatasetDict, arguments: DataArguments) -> Dataset:
    """The split to train on."""
    split = arguments.train_split or "train"
    if split not in corpus:
        raise ValueError(f"{arguments.data} has splits {sorted(corpus)}, and none is {split!r}: give train_split")
    return corpus[split]


def _sample(dataset: Dataset, limit: int, seed: int) -> Dataset:
    return dataset.shuffle(seed=seed).select(range(min(limit, len(dataset))))
