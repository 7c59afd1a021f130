"""train.py from a YAML file to a run folder, in one process and in two."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from training_corpus import make_audiofolder
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from xser.calibration_xser import Calibration, Reference
from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import XSERProcessor
from xser.train import cuts_of, main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def overrides(tiny_backbone_folders, tmp_path_factory):
    """Tiny backbones, tones for data and a few steps, for any config that builds on backbones."""
    root = tmp_path_factory.mktemp("data")
    audio, text = map(str, tiny_backbone_folders)
    return {
        "audio_model": audio,
        "text_model": text,
        "data": str(make_audiofolder(root / "tones")),
        "corpus_options": {"cache_dir": str(root / "cache")},
        "train_split": None,
        "eval_split": None,
        "test_speakers": ["s0"],
        "max_steps": 4,
        "warmup_steps": 0,
        "heads_first": 0,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "eval_limit": 4,
        "eval_max_new_tokens": 8,
        "eval_strategy": "no",
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }


@pytest.fixture
def write(tmp_path, overrides):
    """Write a config: an existing one with tiny backbones and data, and further changes."""

    def write(name: str, **changes) -> str:
        config = yaml.safe_load((ROOT / "configs" / name).read_text())
        config |= {**overrides, "output_dir": str(tmp_path / "run"), **changes}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


def losses(run: Path) -> list[float]:
    state = json.loads(max(run.glob("checkpoint-*/trainer_state.json")).read_text())
    return [log["loss"] for log in state["log_history"] if "loss" in log]


def test_a_run_leaves_all_that_is_needed_behind(write, tmp_path):
    metrics = main([write("xser-tiny.yaml", report_to="tensorboard"), "--seed", "5"])
    run = tmp_path / "run"
    assert metrics["eval_asr_n"] == metrics["eval_describe_n"] == 4
    assert json.loads((run / "results.json").read_text()) == metrics
    assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == 5
    environment = json.loads((run / "environment.json").read_text())
    assert environment["seed"] == 5 and "transformers" in environment["versions"]
    assert environment["left_out"] == {
        f"{use}_{task}": {} for use in ("train", "eval") for task in ("asr", "describe")
    }
    assert list(run.rglob("events.out.tfevents.*"))
    assert (run / "checkpoint-4").is_dir()
    model = XSERForEmotionDescription.from_pretrained(run / "final")
    processor = XSERProcessor.from_pretrained(run / "final")
    assert model.config.emotions == processor.emotions
    with pytest.raises(ValueError, match=r"holds checkpoint-4 already: give resume_from_checkpoint"):
        main([str(run / "config.yaml")])
    main([str(run / "config.yaml"), "--resume_from_checkpoint", "true", "--max_steps", "6"])
    assert len(losses(run)) == 6


def test_the_final_model_may_be_of_another_dtype(write, tmp_path):
    main([write("xser-tiny.yaml", final_dtype="bfloat16")])
    weights = load_file(tmp_path / "run" / "final" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_a_thin_final_model_rounds_what_was_trained_and_says_what_it_was_trained_on(write, tmp_path):
    main([write("xser-tiny.yaml", final_dtype="float16", thin_checkpoints=True, freeze_audio_tower=True)])
    weights = load_file(tmp_path / "run" / "final" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float16}
    config = json.loads((tmp_path / "run" / "final" / "config.json").read_text())
    assert config["trained_on"] == ["tones"] and config["thin"] is True
    assert config["backbone_sources"]["audio_model_id"][0]["sha256"]
    assert XSERForEmotionDescription.from_pretrained(tmp_path / "run" / "final").dtype == torch.float32


def test_going_on_from_a_checkpoint(write, tmp_path):
    main([write("xser-tiny.yaml", final_evaluation=False)])
    first = str(tmp_path / "run" / "final")
    config = yaml.safe_load(Path(write("demo-finetune.yaml")).read_text())
    config = {key: value for key, value in config.items() if key not in ("audio_model", "text_model")}
    (tmp_path / "finetune.yaml").write_text(yaml.safe_dump({**config, "model": first}))
    output = str(tmp_path / "second")
    main([str(tmp_path / "finetune.yaml"), "--output_dir", output])
    trained = XSERForEmotionDescription.from_pretrained(Path(output) / "final")
    before = XSERForEmotionDescription.from_pretrained(first).state_dict()
    assert {name for name, weight in trained.state_dict().items() if not weight.equal(before[name])}


@pytest.mark.parametrize("freeze_audio_tower", [True, False])
def test_pretraining_exports_ordinary_backbones(write, tmp_path, overrides, freeze_audio_tower):
    keeps = {"freeze_audio_tower": freeze_audio_tower, "keep_states": freeze_audio_tower}
    main([write("tiny-pretrain.yaml", final_evaluation=False, audio_layers=None, **keeps)])
    backbones = tmp_path / "run" / "backbones"
    pairs = {
        name: [kind.from_pretrained(folder).state_dict() for folder in (backbones / name, overrides[f"{name}_model"])]
        for name, kind in (("audio", AutoModel), ("text", AutoModelForCausalLM))
    }
    for name, (after, before) in pairs.items():
        assert after.keys() == before.keys()
        stays = name == "audio" and freeze_audio_tower
        assert all(weight.equal(before[key]) for key, weight in after.items()) == stays, name
    folders = backbones / "text", overrides["text_model"]
    assert len({len(AutoTokenizer.from_pretrained(folder)) for folder in folders}) == 1  # no placeholders in it
    model, _ = XSERForEmotionDescription.from_backbones(str(backbones / "audio"), str(backbones / "text"))
    assert not any(p.requires_grad for p in model.model.audio_tower.parameters())


def launch(*arguments: str) -> None:
    """Run train.py in two processes on the CPU."""
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu"]
    command += ["--num_processes", "2", str(ROOT / "train.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["alternating", "joint"])
def test_two_processes_have_the_losses_of_one(write, tmp_path, schedule):
    config = write("xser-tiny.yaml", schedule=schedule, stages=None, max_steps=6)
    runs = [tmp_path / "one", tmp_path / "two"]
    main([config, "--output_dir", str(runs[0]), "--per_device_train_batch_size", "8"])
    launch(config, "--output_dir", str(runs[1]), "--per_device_train_batch_size", "4")
    processes = [json.loads((run / "environment.json").read_text())["processes"] for run in runs]
    assert processes == [1, 2]
    one, two = map(losses, runs)
    assert len(one) == 6 and one == pytest.approx(two, abs=1e-5)
    results = [json.loads((run / "results.json").read_text()) for run in runs]
    for key in ("eval_asr_n", "eval_asr_wer", "eval_describe_n", "eval_describe_ua"):
        assert results[0][key] == pytest.approx(results[1][key])


def test_cuts_of_an_annotated_corpus_go_with_the_processor_without_its_speakers(tmp_path):
    calibration = Calibration.default()
    anna = Reference({"pitch": 90.0}, {"pitch": 0.1})
    replace(calibration, speakers={"anna": anna}, left_out=("ben",)).save(tmp_path / "calibration.json")
    assert Calibration.from_dict(cuts_of(str(tmp_path))) == calibration
    assert cuts_of("espeak") is None
