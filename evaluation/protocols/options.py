"""What of a config of train.py a protocol sets itself, and what it refuses: a model chosen by what it is tested on."""

import json
from collections.abc import Sequence
from pathlib import Path

import datasets

from xser.configuration_xser import XSERConfig
from xser.corpora import load_corpus
from xser.evaluation.protocols.plan import SHOWN, Plan
from xser.training.arguments import (
    DataArguments,
    ModelArguments,
    XSERTrainingArguments,
    parse_config,
    resolved_config,
)
from xser.training.options import read_yaml

SET_HERE = ("data", "corpus_options", "train_split", "eval_split", "output_dir", "resume_from_checkpoint")
DEVELOPMENT = "the model is chosen on the development part, never on what it is tested on"


def training_arguments(config: str, overrides: Sequence[str], plan: Plan, corpus: str) -> tuple[list[str], dict]:
    """What train.py is given for every fold beside its parts, and all its options as resolved.

    Args:
        config: YAML file of train.py; its `data` and `output_dir` are replaced.
        overrides: `--key value …`, handed on.
        plan: the folds. Its classes become `emotions` where the config builds a new model and names none.
        corpus: what the plan is of.

    Raises:
        ValueError: the config or an override chooses other parts, or a model by the test part or without a development
            part; the model lacks an emotion; `asr_data` holds speakers that are tested on; or as `parse_config`.
    """
    keys = {token[2:].partition("=")[0].replace("-", "_") for token in overrides if token.startswith("--")}
    for key, instead in (("data", "--corpus"), ("output_dir", "--output")):
        if key in keys:
            raise ValueError(f"--{key} is not handed on to train.py: give {instead}")
    handed_on = [config, *overrides]
    model, data, training = parse_config([*handed_on, "--data", corpus, "--output_dir", "unused"])
    _refuse_other_parts(config, data, training)
    _refuse_choice_without_development(config, training, plan)
    if model.model is None and model.emotions is None:
        handed_on += ["--emotions", *plan.classes]
        model.emotions = list(plan.classes)
    _note_other_emotions(config, model, plan)
    _note_origin(model, plan, corpus)
    if data.asr_data is not None:
        _check_asr_data(data, plan)
    resolved = {key: value for key, value in resolved_config(model, data, training).items() if key not in SET_HERE}
    return handed_on, json.loads(json.dumps(resolved, default=str))


def _refuse_other_parts(config: str, data: DataArguments, training: XSERTrainingArguments) -> None:
    if data.test_speakers:
        raise ValueError(
            f"{config}: test_speakers is {data.test_speakers}, on whom train.py would evaluate: {DEVELOPMENT}; the "
            "protocol says who is held out: add --test_speakers null"
        )
    for key, value, right in (
        ("eval_split", data.eval_split, "validation"),
        ("train_split", data.train_split, "train"),
    ):
        if value not in (None, right):
            raise ValueError(f"{config}: {key} is {value!r}: {DEVELOPMENT}; leave it out, the protocol sets {right!r}")
    chosen = sorted(set(data.corpus_options or {}))
    if chosen:
        raise ValueError(
            f"{config}: corpus_options gives {chosen}: the protocol chooses the parts, and {DEVELOPMENT}; leave it "
            "out (--corpus_options null)"
        )
    if training.resume_from_checkpoint not in (None, "auto"):
        raise ValueError(
            f"{config}: resume_from_checkpoint is {training.resume_from_checkpoint!r}: every fold goes on from "
            "its own last checkpoint; leave it out"
        )


def _refuse_choice_without_development(config: str, training: XSERTrainingArguments, plan: Plan) -> None:
    without = [fold.name for fold in plan.folds if not fold.parts["validation"]]
    if not without:
        return
    for key, value, off in (
        ("load_best_model_at_end", training.load_best_model_at_end, False),
        ("eval_strategy", training.eval_strategy.value, "no"),
    ):
        if value != off:
            raise ValueError(
                f"{config}: {key} is {value!r}, but fold {', '.join(without[:SHOWN])} has no development part: "
                f"{DEVELOPMENT}; set it to {json.dumps(off)} and fix the number of steps"
            )


def _note_other_emotions(config: str, model: ModelArguments, plan: Plan) -> None:
    if model.model is None:
        emotions, of = list(model.emotions), config
    else:
        emotions, of = list(XSERConfig.from_pretrained(model.model).emotions), model.model
    lacking = [name for name in plan.classes if name not in emotions]
    if lacking:
        raise ValueError(f"{of}: emotions are {emotions}, but {plan.protocol.name} is also about {lacking}")
    others = [name for name in emotions if name not in plan.classes]
    if others:
        plan.notes.append(f"the model may also answer {', '.join(others)}, which counts as wrong")


def _note_origin(model: ModelArguments, plan: Plan, corpus: str) -> None:
    """A checkpoint of train.py lies beside the config that it was trained by."""
    if model.model is None or not (path := Path(model.model).expanduser().parent / "config.yaml").is_file():
        return
    trained_on = read_yaml(path)
    for key in ("data", "asr_data"):
        if trained_on.get(key) and Path(trained_on[key]).expanduser().resolve() == Path(corpus).expanduser().resolve():
            plan.notes.append(
                f"{model.model}, from which training goes on, was itself trained on {corpus} ({path}): what is tested "
                "on may be known to it"
            )


def _check_asr_data(data: DataArguments, plan: Plan) -> None:
    """Refuse to train asr on what is tested on."""
    loaded = load_corpus(data.asr_data, split=data.asr_split, **(data.asr_corpus_options or {}))
    assert isinstance(loaded, datasets.Dataset)
    rows = loaded.select_columns(["id", "corpus", "speaker"]).to_list()
    tested = [plan.rows[index] for fold in plan.folds for index in fold.parts["test"]]
    columns = ["id"] if plan.protocol.shares_speakers else ["id", "speaker"]
    for column in columns:
        held = {(row["corpus"], row[column]) for row in tested if row[column] is not None}
        shared = sorted({row[column] for row in rows if (row["corpus"], row[column]) in held})
        if shared:
            raise ValueError(
                f"asr_data is {data.asr_data!r}, which shares {len(shared)} {column}s with what is tested on, such as "
                f"{shared[:SHOWN]}: leave it out, or give a corpus that shares none"
            )
