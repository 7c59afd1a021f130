"""Checkpoints are whole or not there; a run goes on from the newest whole one; signals leave one behind."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from training_corpus import make_audiofolder, make_dataset
from transformers import TrainerCallback

from xser.modeling_xser import XSERForEmotionDescription
from xser.training import whole
from xser.training.arguments import XSERTrainingArguments
from xser.training.checkpoints import Needs, checkpoint_to_resume, checkpoints_in, fault_of, last_whole
from xser.training.stopping import SAME_SECONDS, StopSignal
from xser.training.trainer import XSERTrainer, needs_of
from xser.training.whole import tidy, whole_folder

ROOT = Path(__file__).parents[1]
SMALL = {"content_bottleneck": {"latent_size": 8, "hidden_size": 16}, "ctc_weight": 0.3}
SMALL["descriptor_bottleneck"] = {"latent_size": 4, "hidden_size": 16}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("corpus") / "tones.arrow", 12)


@pytest.fixture(scope="module")
def make_trainer(tiny_backbone_folders, corpus):
    def make(run, callbacks=None, **options) -> XSERTrainer:
        torch.manual_seed(0)
        model, processor = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL)
        defaults = {"max_steps": 4, "save_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1}
        defaults |= {"use_cpu": True, "report_to": "none", "disable_tqdm": True}
        arguments = XSERTrainingArguments(output_dir=str(run), **{**defaults, **options})
        tasks = dict.fromkeys(arguments.tasks, corpus)
        return XSERTrainer(model, arguments, processor, tasks, {}, callbacks=callbacks)

    return make


@pytest.fixture(scope="module")
def trained(make_trainer, tmp_path_factory):
    """A run folder with checkpoint-2 and checkpoint-4, with averages."""
    run = tmp_path_factory.mktemp("trained") / "run"
    make_trainer(run, average_weights=True).train()
    return run


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


NEEDS = Needs(texts=("config.json", "processor_config.json"), tensors=("weight_average.safetensors",))


def cut(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def test_what_a_run_writes_is_whole_by_its_own_measure(run):
    assert [path.name for path in checkpoints_in(run)] == ["checkpoint-4", "checkpoint-2"]
    assert all(fault_of(path, NEEDS) is None for path in checkpoints_in(run))
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


FILES = [
    "trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors",
    "weight_average.safetensors", "config.json", "processor_config.json",
]  # fmt: skip


@pytest.mark.parametrize("harm", ["missing", "cut", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_the_newest_whole_checkpoint_is_taken_and_what_is_passed_over_is_named(run, caplog, name, harm):
    path = run / "checkpoint-4" / name
    if harm == "missing":
        path.unlink()
    else:
        cut(path, 0.0 if harm == "empty" else 0.6)
    with caplog.at_level(logging.WARNING):
        assert checkpoint_to_resume(run, "auto", NEEDS) == str(run / "checkpoint-2")
    assert f"checkpoint-4 is passed over: {name} is" in caplog.text
    assert checkpoint_to_resume(run, "true", NEEDS) == str(run / "checkpoint-2")
    with pytest.raises(ValueError, match=rf"cannot go on from .*checkpoint-4: {name} is .*'true' for the newest one"):
        checkpoint_to_resume(run, str(run / "checkpoint-4"), NEEDS)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "weight_average.safetensors"])
def test_a_trainer_never_goes_on_with_a_fresh_optimizer(make_trainer, run, name):
    for checkpoint in checkpoints_in(run):
        (checkpoint / name).unlink()
    trainer = make_trainer(run, average_weights=True, max_steps=6)
    with pytest.raises(ValueError, match=f"{name} is missing"):
        trainer.train(resume_from_checkpoint=str(run / "checkpoint-4"))
    with pytest.raises(ValueError, match=r"no checkpoint in .* that is whole, only checkpoint-4, checkpoint-2"):
        trainer.train(resume_from_checkpoint=True)


def test_weights_in_shards_are_held_against_their_index(run):
    folder = run / "checkpoint-4"
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(tensors, folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert fault_of(folder, NEEDS) is None
    cut(folder / "model-00001-of-00001.safetensors")
    assert "model-00001-of-00001.safetensors is not whole" in fault_of(folder, NEEDS)
    (folder / "model-00001-of-00001.safetensors").unlink()
    assert fault_of(folder, NEEDS) == "model-00001-of-00001.safetensors is missing"


def test_random_states_of_every_process_are_wanted(run):
    folder, two = run / "checkpoint-4", Needs(processes=2)
    states = (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    assert "rng_state.pth is missing" in fault_of(folder, NEEDS)
    assert "rng_state_1.pth is missing" in fault_of(folder, two)
    shutil.copy(states, folder / "rng_state_1.pth")
    assert fault_of(folder, two) is None
    assert fault_of(folder, NEEDS) is None  # another number of processes, whole, which is said: see below


def test_going_on_with_another_number_of_processes_is_said(make_trainer, run, caplog):
    folder = run / "checkpoint-2"
    shutil.copy(folder / "rng_state.pth", folder / "rng_state_1.pth")
    (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    make_trainer(run, average_weights=True, max_steps=3).train(resume_from_checkpoint=str(folder))
    assert "was written by 2 processes, and this run has 1" in caplog.text


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["save_model", "_save_optimizer_and_scheduler", "_save_rng_state", "_note_callbacks"])
def test_a_run_that_is_killed_while_saving_leaves_no_checkpoint_of_that_step(
    make_trainer, tmp_path, monkeypatch, step
):
    """At SIGKILL nothing is cleared up, either: as if `rmtree` had not run."""
    run = tmp_path / "run"
    trainer = make_trainer(run)

    def die(*args, **kwargs):
        if trainer.state.global_step == 4:
            monkeypatch.setattr(whole.shutil, "rmtree", lambda *args, **kwargs: None)
            raise Killed
        return saver(*args, **kwargs)

    saver = getattr(trainer, step)
    monkeypatch.setattr(trainer, step, die)
    with pytest.raises(Killed):
        trainer.train()
    monkeypatch.undo()
    assert [path.name for path in checkpoints_in(run)] == ["checkpoint-2"]
    assert fault_of(run / "checkpoint-2", needs_of(trainer.args)) is None
    assert (run / ".checkpoint-4.partial").is_dir()
    tidy(run)
    assert [path.name for path in run.iterdir() if path.is_dir()] == ["checkpoint-2"]
    again = make_trainer(run)
    again.train(resume_from_checkpoint=True)
    assert [path.name for path in checkpoints_in(run)] == ["checkpoint-4", "checkpoint-2"]


def test_a_disk_that_is_full_costs_no_checkpoint_that_was_there(make_trainer, tmp_path, monkeypatch):
    run = tmp_path / "run"
    trainer = make_trainer(run, save_total_limit=1)

    def full(*args):
        if trainer.state.global_step == 4:
            raise OSError(28, "No space left on device")
        return saver(*args)

    saver = trainer._save_scaler
    monkeypatch.setattr(trainer, "_save_scaler", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.train()
    assert sorted(path.name for path in run.iterdir()) == ["checkpoint-2"]
    assert fault_of(run / "checkpoint-2", needs_of(trainer.args)) is None


def test_rotation_removes_what_is_not_whole_first_and_never_the_last_whole_one(make_trainer, run):
    shutil.copytree(run / "checkpoint-4", run / "checkpoint-3")
    for name in ("checkpoint-3", "checkpoint-4"):
        (run / name / "optimizer.pt").unlink()
        os.utime(run / name, (time.time() + 100, time.time() + 100))  # by the clock they would be the newest
    trainer = make_trainer(run, average_weights=True, max_steps=6, save_total_limit=2)
    trainer.train(resume_from_checkpoint=True)
    assert all(fault_of(path, NEEDS) is None for path in checkpoints_in(run))
    assert [path.name for path in checkpoints_in(run)] == ["checkpoint-6", "checkpoint-4"]
    state = json.loads((run / "checkpoint-6" / "trainer_state.json").read_text())
    assert [log["step"] for log in state["log_history"] if "loss" in log] == [1, 2, 3, 4, 5, 6]


def test_whole_folder_puts_all_or_nothing_in_place(tmp_path):
    place = tmp_path / "final"
    with whole_folder(place) as folder:
        (folder / "a").write_text("1")
        assert not place.exists()
    assert (place / "a").read_text() == "1"
    with pytest.raises(OSError, match="disk"), whole_folder(place) as folder:
        (folder / "b").write_text("2")
        raise OSError("disk")
    assert [path.name for path in tmp_path.rglob("*")] == ["final", "a"]
    with whole_folder(place) as folder:
        (folder / "b").write_text("2")
    assert [path.name for path in tmp_path.rglob("*")] == ["final", "b"]


def test_tidying_up_puts_back_what_was_about_to_be_replaced(tmp_path):
    for name in (".final.replaced", ".checkpoint-2.partial", ".checkpoint-1.removed", ".git", ".config.partial.yaml"):
        (tmp_path / name).mkdir()
    tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".config.partial.yaml", ".git", "final"]


# ---------------------------------------------------------------------- signals


class SignalAt(TrainerCallback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, number: int = signal.SIGTERM):
        self.step, self.number = step, number

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_a_checkpoint_at_the_end_of_its_step_and_the_process_says_so(
    make_trainer, tmp_path, number, caplog
):
    before = signal.getsignal(number)
    trainer = make_trainer(tmp_path / "run", [SignalAt(2, number)], save_steps=100, max_steps=100)
    with pytest.raises(SystemExit) as error:
        trainer.train()
    assert error.value.code == 128 + number
    assert signal.getsignal(number) == before
    assert trainer.state.global_step == 3
    assert last_whole(tmp_path / "run", trainer.needs) == tmp_path / "run" / "checkpoint-3"
    assert "stopped after step 3, all of it is in" in caplog.text


def test_a_run_that_is_stopped_by_a_signal_goes_on_as_if_it_had_not_been(make_trainer, tmp_path):
    runs = [tmp_path / "stopped", tmp_path / "whole"]
    with pytest.raises(SystemExit):
        make_trainer(runs[0], [SignalAt(2)], save_steps=100, max_steps=5).train()
    again = make_trainer(runs[0], save_steps=100, max_steps=5)
    again.train(resume_from_checkpoint=True)
    whole_run = make_trainer(runs[1], save_steps=100, max_steps=5)
    whole_run.train()
    for name, weight in whole_run.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name]), name


def test_a_run_that_keeps_no_checkpoints_stops_without_one(make_trainer, tmp_path, caplog):
    trainer = make_trainer(tmp_path / "run", [SignalAt(1)], save_strategy="no")
    with pytest.raises(SystemExit):
        trainer.train()
    assert trainer.state.global_step == 2 and checkpoints_in(tmp_path / "run") == []
    assert "save_strategy is 'no'" in caplog.text


def test_the_echo_of_a_signal_does_not_end_the_process_and_a_second_one_does(monkeypatch):
    ended, now = [], [100.0]
    monkeypatch.setattr("xser.training.stopping.time.monotonic", lambda: now[0])
    monkeypatch.setattr("xser.training.stopping.os.kill", lambda process, number: ended.append(number))
    stop, before = StopSignal(), signal.getsignal(signal.SIGINT)
    with stop.listening():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert ended == [] and stop.number == signal.SIGTERM
        now[0] += SAME_SECONDS
        signal.raise_signal(signal.SIGINT)
        assert ended == [signal.SIGINT]
        stop.is_stopping = True
    assert signal.getsignal(signal.SIGINT) == before


def test_a_signal_that_came_after_the_last_step_is_delivered_afterwards(monkeypatch):
    ended = []
    monkeypatch.setattr("xser.training.stopping.os.kill", lambda process, number: ended.append(number))
    with StopSignal().listening():
        signal.raise_signal(signal.SIGTERM)
        assert ended == []
    assert ended == [signal.SIGTERM]


@pytest.fixture
def long_run(tiny_backbone_folders, tmp_path):
    """(config, run folder) of a run that would take hours."""
    audio, text = map(str, tiny_backbone_folders)
    config = {
        "output_dir": str(tmp_path / "run"), "audio_model": audio, "text_model": text, **SMALL,
        "data": str(make_audiofolder(tmp_path / "tones", 8)), "corpus_options": {"cache_dir": str(tmp_path / "cache")},
        "max_steps": 1_000_000, "save_steps": 1_000_000, "per_device_train_batch_size": 2, "logging_steps": 1,
        "use_cpu": True, "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path), tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_to_train_py_leaves_a_whole_checkpoint(long_run, processes):
    """The launcher gets it, as from a scheduler; its processes load data in others, which get it as well."""
    config, run = long_run
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += [str(ROOT / "train.py"), config, "--dataloader_num_workers", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    log = run.parent / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while "'loss'" not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
        assert "'loss'" in log.read_text(), log.read_text()[-3000:]
        os.killpg(process.pid, signal.SIGTERM)
        code = process.wait(120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code == 143 if processes == 1 else code != 0, log.read_text()[-3000:]
    [checkpoint] = checkpoints_in(run)
    assert fault_of(checkpoint, Needs(processes=processes)) is None
    assert "SIGTERM: stopped after step" in log.read_text()
    assert not (run / "final").exists()
