"""pretrain_tower.py from a YAML file to a tower, on made-up tones."""

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file
from tower_tones import TINY_TOWER, tone
from transformers import AutoFeatureExtractor, AutoModel, HubertModel

from xser.modeling_xser import XSERForEmotionDescription
from xser.pretrain_tower import main
from xser.pretraining.arguments import parse_tower_config
from xser.pretraining.plan import where_to_resume
from xser.pretraining.trainer import TowerTrainer, needs_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A folder of steady tones of four pitches: what is masked can be told from what is not."""
    folder = tmp_path_factory.mktemp("tones")
    for i in range(48):
        soundfile.write(folder / f"{i:02d}.wav", tone((150, 300, 600, 1200)[i % 4], 0.8 + 0.02 * i, i), 16_000)
    return folder


@pytest.fixture(scope="module")
def write(tones, tmp_path_factory):
    """Write a config; gives its path and the run folder."""
    cache = tmp_path_factory.mktemp("cache")

    def write(**changes) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp("run")
        config = {
            "output_dir": str(folder / "run"),
            "data": [str(tones)],
            "cache_dir": str(cache),
            "held_out": 0.1,
            "tower": TINY_TOWER,
            "filters": "spectral",
            "mask_length": 4,
            "iterations": [{"targets": {"from": "mfcc"}, "clusters": 8}],
            "augment": {"noise": 0.3, "gain": 0.3, "band": 0.3, "room": 0.3},
            "max_steps": 6,
            "warmup_steps": 0,
            "per_device_train_batch_size": 8,
            "logging_steps": 1,
            "save_steps": 3,
            "eval_strategy": "no",
            "use_cpu": True,
            "bf16": False,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 1,
        } | changes
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
        return str(path), folder / "run"

    return write


@pytest.fixture(scope="module")
def whole_run(write):
    """Two iterations, not interrupted: (config, run folder, results)."""
    iterations = [
        {"targets": {"from": "mfcc"}, "clusters": 8},
        {"targets": {"from": "previous", "layer": 1}, "clusters": 10, "start": "previous", "max_steps": 4},
    ]
    config, run = write(iterations=iterations)
    return config, run, main([config])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def logged(run: Path) -> list[dict]:
    """What was logged up to the last checkpoint, but for what depends on the clock."""
    states = run.glob("checkpoint-*/trainer_state.json")
    last = max(states, key=lambda path: int(path.parent.name.split("-")[1]))
    history = json.loads(last.read_text())["log_history"]
    return [{key: value for key, value in log.items() if "second" not in key} for log in history]


def test_run_folder_says_all_that_there_is_to_know(whole_run):
    _, run, results = whole_run
    assert sorted(path.name for path in run.iterdir()) == [
        "config.yaml", "environment.json", "final", "iteration-1", "iteration-2", "results.json",
    ]  # fmt: skip
    environment = json.loads((run / "environment.json").read_text())
    [data] = environment["data"].values()
    assert data["pieces"] == 48 and data["left_out"] == {}
    assert data["hours"]["held_out"] > 0
    assert results["iteration-1"]["steps"] == 6 and results["iteration-2"]["steps"] == 4
    assert 0 < results["iteration-1"]["eval_masked_accuracy"] <= 1
    assert json.loads((run / "results.json").read_text()) == results


def test_resolved_config_is_read_back_as_it_was(whole_run):
    config, run, _ = whole_run
    given, again = parse_tower_config([config]), parse_tower_config([str(run / "config.yaml")])
    assert given[:2] == again[:2]
    for name in ("max_steps", "bf16", "seed", "max_minutes", "learning_rate", "adam_beta2"):
        assert getattr(given[2], name) == getattr(again[2], name)


def test_final_is_an_ordinary_hubert_with_its_feature_extractor(whole_run):
    _, run, _ = whole_run
    tower, information = AutoModel.from_pretrained(run / "final", output_loading_info=True)
    assert type(tower) is HubertModel
    assert not any(information.values())
    extractor = AutoFeatureExtractor.from_pretrained(run / "final")
    assert extractor.do_normalize and extractor.return_attention_mask
    inputs = extractor([tone(150, 1)], sampling_rate=16_000, return_tensors="pt")
    assert tower(**inputs).last_hidden_state.shape == (1, 24, 16)
    trained, fresh = weights(run / "final"), weights(run / "iteration-1" / "tower")
    assert set(trained) == set(fresh) and any(not torch.equal(trained[name], fresh[name]) for name in trained)


def test_final_is_a_backbone_for_xser(whole_run, tiny_backbone_folders):
    _, run, _ = whole_run
    model, processor = XSERForEmotionDescription.from_backbones(
        str(run / "final"), str(tiny_backbone_folders[1]), voice_activity=False
    )
    [answer] = model.eval().explain([(tone(150, 1), 16_000)], processor, transcript=False)
    assert answer["status"] == "ok"


@pytest.mark.parametrize("iteration", [1, 2])
def test_resumed_run_is_the_uninterrupted_one_exactly(whole_run, write, iteration):
    config, run, results = whole_run
    again = Path(write()[1])
    shutil.copytree(run, again)
    for folder in ("final", *(f"iteration-{number}" for number in range(iteration, 3))):
        if folder != f"iteration-{iteration}":
            shutil.rmtree(again / folder)
    current = again / f"iteration-{iteration}"
    shutil.rmtree(current / "tower")
    shutil.rmtree(max(current.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1])))
    assert [path.name for path in current.iterdir()] == ["checkpoint-3"]
    (current / "checkpoint-5").mkdir()  # one that was being written when the run was killed
    shutil.copy(current / "checkpoint-3" / "model.safetensors", current / "checkpoint-5")
    resumed = main([config, "--output_dir", str(again), "--resume_from_checkpoint", "true"])
    assert resumed == results
    for name, value in weights(run / "final").items():
        assert torch.equal(value, weights(again / "final")[name]), name
    assert logged(again / f"iteration-{iteration}") == logged(run / f"iteration-{iteration}")


def damaged(run: Path, again: Path, *names: str) -> Path:
    """A copy of a run folder without some files."""
    shutil.copytree(run, again)
    for name in names:
        path = again / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return again


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "objective.json"]
)
def test_newest_whole_checkpoint_of_an_iteration_is_taken_and_the_other_is_named(whole_run, write, caplog, name):
    run, needs = whole_run[1], needs_of(parse_tower_config([whole_run[0]])[2])
    again = damaged(run, write()[1], "iteration-1/tower", f"iteration-1/checkpoint-6/{name}")
    assert where_to_resume(again, "true", 2, needs) == (0, str(again / "iteration-1" / "checkpoint-3"))
    assert f"checkpoint-6 is passed over: {name} is missing" in caplog.text
    shutil.rmtree(again / "iteration-1" / "checkpoint-3")
    with pytest.raises(ValueError, match=r"there is no checkpoint in .*iteration-1 that is whole"):
        where_to_resume(again, "true", 2, needs)


def test_tower_without_whole_weights_is_no_finished_iteration(whole_run, write):
    run, needs = whole_run[1], needs_of(parse_tower_config([whole_run[0]])[2])
    again = damaged(run, write()[1])
    assert where_to_resume(again, "true", 2, needs)[0] == 2
    path = again / "iteration-2" / "tower" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert where_to_resume(again, "true", 2, needs) == (1, str(again / "iteration-2" / "checkpoint-4"))


def test_final_tower_says_what_it_was_made_of(whole_run):
    record = yaml.safe_load((whole_run[1] / "final" / "training.yaml").read_text())
    assert record["command"].startswith("python pretrain_tower.py") and record["seed"] == 1
    assert record["iterations"][1]["start"] == "previous"


def test_signal_ends_pretraining_with_a_checkpoint_and_no_tower(write, monkeypatch):
    config, run = write(max_steps=1000)
    compute_loss = TowerTrainer.compute_loss

    def stopped(self, *args, **kwargs):
        if self.state.global_step == 1:
            signal.raise_signal(signal.SIGTERM)
        return compute_loss(self, *args, **kwargs)

    monkeypatch.setattr(TowerTrainer, "compute_loss", stopped)
    with pytest.raises(SystemExit) as error:
        main([config])
    assert error.value.code == 143
    assert sorted(path.name for path in (run / "iteration-1").iterdir()) == ["checkpoint-2"]
    assert not (run / "final").exists()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{corpus: espeak, leave_out_speakers: anna}", "leave_out_speakers of espeak is 'anna'; give a list"),
        ("{folder: x, speeds: 0.9}", "speeds of x is 0.9; give a list"),
        ("{folder: x, limit: 2.5}", "limit is 2.5; it must be a whole number"),
        ("{corpus: espeak, options: fast}", "options of espeak is 'fast'; give a mapping"),
    ],
)
def test_item_of_data_of_another_type_is_refused(write, item, message):
    with pytest.raises(ValueError, match=message):
        parse_tower_config([write(data=[item])[0]])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"max_steps": 0}, "max_steps is 0; it must be at least 1"),
        ({"save_steps": 0}, "save_steps is 0.0; it must be above 0"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size is 0; it must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0; it must be 0 or more"),
        ({"iterations": [{"clusters": 8.5}]}, "clusters is 8.5; it must be a whole number"),
    ],
)
def test_number_out_of_range_is_refused(write, option, message):
    with pytest.raises(ValueError, match=message):
        parse_tower_config([write(**option)[0]])


def test_run_that_is_finished_is_not_trained_again(whole_run, write):
    config, run, results = whole_run
    before = (run / "iteration-2" / "tower" / "model.safetensors").stat().st_mtime_ns
    assert main([config, "--resume_from_checkpoint", "auto"]) == results
    assert (run / "iteration-2" / "tower" / "model.safetensors").stat().st_mtime_ns == before


def test_run_folder_in_use_is_refused_and_so_is_resuming_nothing(whole_run, write):
    config, _, _ = whole_run
    with pytest.raises(ValueError, match=r"holds iteration-2: give resume_from_checkpoint, or another folder"):
        main([config])
    with pytest.raises(ValueError, match="'true', but there is no checkpoint in"):
        main([write()[0], "--resume_from_checkpoint", "true"])


def test_checkpoint_of_other_targets_is_refused(whole_run, write):
    _, run, _ = whole_run
    changed, again = write(iterations=[{"targets": {"from": "mfcc"}, "clusters": 9}])
    shutil.copytree(run / "iteration-1" / "checkpoint-3", again / "iteration-1" / "checkpoint-3")
    with pytest.raises(ValueError, match="checkpoint-3 was trained with targets"):
        main([changed, "--resume_from_checkpoint", "true"])


def test_time_limit_leaves_a_tower_and_a_checkpoint_to_go_on_from(write):
    config, run = write(max_steps=1000, max_minutes=0.0001)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([config])["iteration-1"]["steps"] == 1
    assert (run / "iteration-1" / "checkpoint-1").is_dir()
    assert not (run / "iteration-1" / "tower").exists()
    AutoModel.from_pretrained(run / "final")


def test_loss_falls_and_masked_accuracy_beats_chance(write):
    config, _ = write(
        max_steps=120, logging_steps=20, save_strategy="no", learning_rate=3e-3, augment=None,
        iterations=[{"targets": {"from": "mfcc"}, "clusters": 4}], head="linear",
    )  # fmt: skip
    results = main([config])["iteration-1"]
    assert results["eval_masked_accuracy"] > 0.6
    assert not results["has_collapsed"]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(write, tmp_path):
    config, one = write(tower={**TINY_TOWER, "hidden_dropout": 0.0})
    two = tmp_path / "two"
    main([config])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(ROOT / "pretrain_tower.py"), config, "--output_dir", str(two)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command += ["--per_device_train_batch_size", "4"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads((two / "environment.json").read_text())["processes"] == 2
    figures = ("masked_loss", "masked_accuracy", "prediction_perplexity")
    for log, other in zip(logged(one / "iteration-1"), logged(two / "iteration-1"), strict=True):
        assert [log[name] for name in figures] == pytest.approx([other[name] for name in figures], abs=1e-4)
    results = [json.loads((run / "results.json").read_text())["iteration-1"] for run in (one, two)]
    assert results[0] == pytest.approx(results[1], abs=1e-4)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "configs" / "pretraining").glob("*.yaml")))
def test_shipped_config_is_allowed(name, tmp_path):
    tower, data, training = parse_tower_config([str(ROOT / "configs" / "pretraining" / name), "--use_cpu", "true"])
    assert tower.steps and data.sources and training.max_steps
