r"""Train XSER.

    python train.py configs/xser-tiny.yaml
    python train.py configs/nemo.yaml --data path/to/nemo --max_steps 1000
    accelerate launch --cpu --num_processes 2 train.py configs/xser-tiny.yaml
    python train.py configs/xser-tiny.yaml --resume_from_checkpoint true
    python train.py configs/paper/iemocap.yaml --dry_run --memory 24GB

The YAML file gives the options, `--key value` on the command line wins; a mapping is given as YAML or JSON text
(`--content_bottleneck '{beta: 0.01}'`). All options: `python train.py --help`, and docs/training.md.

The run folder (`output_dir`) receives config.yaml (every option, as resolved; can be given to train.py again),
environment.json (versions, command, data left out), TensorBoard logs, checkpoints, final/ (model, processor,
training.yaml and, where data or the parent have terms, NOTICE), results.json, and backbones/ where asked for. Ctrl-C
and SIGTERM leave a checkpoint; `--resume_from_checkpoint auto` goes on there.
"""

import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import set_seed

from xser.calibration_xser import Calibration
from xser.commands.entry import run_command
from xser.configuration_xser import XSERConfig
from xser.corpora.cache import write_json
from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import XSERProcessor
from xser.training.arguments import (
    ARGUMENT_CLASSES,
    CLASSIFIER,
    ModelArguments,
    XSERTrainingArguments,
    parse_config,
    resolved_config,
)
from xser.training.checkpoints import checkpoint_to_resume
from xser.training.classifier import build_classifier
from xser.training.classifier_trainer import ClassifierTrainer
from xser.training.data import load_task_data
from xser.training.dry_run import DryRunArguments, dry_run, split_dry_run
from xser.training.export import export_backbones
from xser.training.groups import check_groups, check_parts, group_sizes
from xser.training.plan import batch_of, draws_of, plan_of, settle
from xser.training.provenance import Provenance, trained_on
from xser.training.reference_levels import in_units_of_cuts
from xser.training.relabel import Relabelled, relabel, relabelled_config
from xser.training.run import check_run_folder, given_arguments, start_process, without_tokens, write_record
from xser.training.trainer import XSERTrainer, needs_of
from xser.training.voices import Voices
from xser.training.whole import tidy, whole_folder
from xser.voice_measures_xser import MEASURES, usual_measures

logger = logging.getLogger("xser.train")
CALIBRATION = "calibration.json"  # of `annotate`, in the corpus's folder


def checkpoint_config(arguments: ModelArguments) -> XSERConfig:
    """The config of a checkpoint to go on from, with what may differ, but for its labels."""
    old = XSERConfig.from_pretrained(arguments.model)
    betas = {name: {**getattr(old, name), **beta} for name, beta in arguments.betas.items()}
    options = {name: value for name, value in arguments.config_options.items() if name not in arguments.labels}
    return XSERConfig.from_pretrained(arguments.model, **{**options, **betas})


def build_model(
    arguments: ModelArguments,
) -> tuple[XSERForEmotionDescription, XSERProcessor, Relabelled | None]:
    """A checkpoint to go on from, or a new model on its backbones; what is trained is float32.

    The third says what of the checkpoint is new, where its labels are others.
    """
    options, relabelled = dict(arguments.load_options or {}), None
    if arguments.system == CLASSIFIER:
        model, processor = build_classifier(
            arguments.audio_model, arguments.audio_layers, options, **arguments.config_options
        )
    elif arguments.model is not None:
        config = checkpoint_config(arguments)
        wanted = relabelled_config(config, arguments.labels)
        model = XSERForEmotionDescription.from_pretrained(
            arguments.model, **{"config": config, "dtype": torch.float32, **options}
        )
        processor = XSERProcessor.from_pretrained(arguments.model, **arguments.labels)
        if arguments.labels:
            relabelled = relabel(model, wanted)
            logger.warning("%s goes on with other labels; %s", arguments.model, relabelled)
    else:
        model, processor = XSERForEmotionDescription.from_backbones(
            arguments.audio_model,
            arguments.text_model,
            load_options=options,
            audio_layers=arguments.audio_layers,
            **arguments.config_options,
        )
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model, processor, relabelled


def cuts_of(data: str) -> dict | None:
    """Where the levels begin and end in a corpus that `xser annotate` has labelled.

    They go with the processor, so that the pipeline can verify by them; what is usual for the single speakers stays.
    """
    path = Path(data).expanduser() / CALIBRATION
    return replace(Calibration.load(path), speakers={}, left_out=()).to_dict() if path.is_file() else None


def evaluation_of_last_step(trainer: XSERTrainer) -> dict[str, float]:
    """What the run's own evaluation said of the final model, where there was one."""
    last = [log for log in trainer.state.log_history if log["step"] == trainer.state.global_step]
    return {key: value for log in last for key, value in log.items() if key.startswith("eval_")}


def _told(measures: np.ndarray) -> list[list[float | None]]:
    """As JSON has it: what is known of nobody is null, not NaN."""
    return [[None if np.isnan(value) else value for value in row] for row in measures.tolist()]


def hear_voices(model, processor, train: dict[str, Dataset], arguments: XSERTrainingArguments) -> Voices:
    """What is trained on, measured and encoded once; model and processor learn the speaker statistics."""
    voices = Voices()
    if arguments.reference_levels:
        cuts = processor.calibration
        voices.calibration = Calibration.default() if cuts is None else Calibration.from_dict(cuts)
    model.to(arguments.device).eval()
    with arguments.main_process_first(desc="hearing the voices"):
        for task, rows in train.items():
            if task == "describe" or arguments.keep_states:
                voices.hear(model, processor, rows, arguments.speeds, arguments.keep_states)
    if voices.measures and not processor.speaker_reference:
        rows = [row for (_, speed), row in voices.measures.items() if speed == 1]
        processor.usual_measures = _told(usual_measures(np.stack(rows)))
    if processor.speaker_reference and "describe" in train:
        stream = model.model.descriptors
        is_known = bool(stream.usual_mean.any())  # by the checkpoint that this goes on from
        if is_known and not voices.has_speakers:
            logger.warning("no speaker has three recordings: what is usual stays that of the checkpoint")
            return voices
        population = voices.everyone()
        processor.usual_pitch = population.pitch
        if MEASURES in processor.aux_streams:
            measures = population.measures
            if voices.calibration is not None and not processor.speaker_std:
                measures = in_units_of_cuts(measures, voices.calibration)
            processor.usual_measures = _told(measures)
        stream.usual_mean.copy_(torch.from_numpy(population.mean))
        stream.usual_deviation.copy_(torch.from_numpy(population.deviation))
        if stream.recording is not None:
            stream.recording.usual.copy_(torch.from_numpy(voices.usual_spread()))
    return voices


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Train as `argv` says; gives the final evaluation, or, with `--dry_run`, what training would need and do."""
    argv = given_arguments(argv, __doc__, (*ARGUMENT_CLASSES, DryRunArguments))
    argv, rehearsal = split_dry_run(argv)
    if rehearsal.dry_run:
        return dry_run(argv, rehearsal.memory, checkpoint_config).to_dict()
    groups = parse_config(argv)
    model_arguments, data_arguments, arguments = groups
    start_process(arguments)
    check_run_folder(arguments)
    run = Path(arguments.output_dir)
    with arguments.main_process_first(desc="looking for checkpoints"):
        tidy(run)
        checkpoint = checkpoint_to_resume(run, arguments.resume_from_checkpoint, needs_of(arguments))
    set_seed(arguments.seed)
    model, processor, relabelled = build_model(model_arguments)
    check_parts(arguments, model.config)
    sizes = group_sizes(model)
    check_groups(arguments.stage_list, arguments.schedule, model.config, sizes, arguments.heads_first)
    processor.calibration = cuts_of(data_arguments.data) or processor.calibration
    with arguments.main_process_first(desc="preparing the data"):
        data = load_task_data(
            data_arguments, arguments.tasks, model.config, arguments.seed, processor, arguments.speeds
        )
    settle(arguments, data, model.config)
    for stage in plan_of(arguments, model.config, sizes, draws_of(arguments, data.train), batch_of(arguments)):
        logger.info("stage %s", stage)
    parents = {name: getattr(model_arguments, name) for name in ("model", "audio_model", "text_model")}
    corpora = (data_arguments.data, data_arguments.asr_data)
    provenance = Provenance(parents, corpora)
    model.config.trained_on = trained_on(corpora, model_arguments.model, model.config.trained_on)
    command = without_tokens(["python", "train.py", *argv])
    say_where_from = partial(provenance.write, config=resolved_config(*groups), command=command)
    facts = {"left_out": data.left_out, "notes": data.notes}
    if relabelled is not None:
        facts["relabelled"] = relabelled.to_dict()
    if arguments.should_save:
        write_record(run, ["train.py", *argv], groups, (), **facts)

    voices = hear_voices(model, processor, data.train, arguments)
    trainer_class = ClassifierTrainer if model_arguments.system == CLASSIFIER else XSERTrainer
    trainer = trainer_class(model, arguments, processor, data.train, data.eval, voices, say_where_from)
    trainer.train(resume_from_checkpoint=checkpoint)
    if arguments.final_dtype is not None:
        trainer.settle_dtype(getattr(torch, arguments.final_dtype))
    with trainer.save_whole(run / "final") as folder:
        trainer.save_model(str(folder))
    if arguments.export_backbones and arguments.should_save:
        with whole_folder(run / "backbones") as folder:
            export_backbones(model, processor, folder)
            for part in ("audio", "text"):
                say_where_from(folder / part)
    metrics = {}
    if data.eval and arguments.final_evaluation:
        metrics = evaluation_of_last_step(trainer) or trainer.evaluate()
    if arguments.should_save:
        write_json(run / "results.json", metrics)
        logger.info("%s", json.dumps(metrics, indent=2))
    return metrics


if __name__ == "__main__":
    run_command("train.py", main)
