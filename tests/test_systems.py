"""Every system of the paper: presets, lengths, runs that fail or are stopped; mostly without train.py and eval.py."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_protocols import row, save
from training_corpus import make_audiofolder
from transformers import HfArgumentParser

from xser.corpora.cache import write_json
from xser.eval import EvalArguments, load_rows
from xser.evaluation.predictions import read_predictions, reference_of, write_predictions
from xser.evaluation.protocols import run as protocol_run
from xser.evaluation.protocols.__main__ import read_plan
from xser.evaluation.protocols.claims import CLAIM, claim
from xser.evaluation.protocols.run import FoldFailed
from xser.systems.__main__ import PRESETS, betas, main, preset_files, read_preset, refuse_other_lengths
from xser.systems.lengths import length_options, utterances
from xser.systems.published import SYSTEMS
from xser.systems.run import Preset, Run, runs_of
from xser.training.arguments import parse_config

EMOTIONS = ("angry", "happy", "sad", "neutral")
BASE = {"audio_model": "a", "text_model": "b", "use_cpu": True, "report_to": "none", "output_dir": "elsewhere"}
BLOCKS = {name: {"latent_size": 8, "hidden_size": 16} for name in ("content_bottleneck", "descriptor_bottleneck")}


class Commands:
    """Stands in for `run_command`: leaves what train.py and eval.py would.

    Attributes:
        fail: runs that end with an error, as (script, name of the preset, seed).
        done: (script, preset, fold, seed), in order; trained: the same → the parsed arguments.
    """

    def __init__(self):
        self.fail, self.done, self.trained = set(), [], {}

    def __call__(self, command: list[str], log: Path) -> None:
        script, (system, fold, seed) = Path(command[1]).name, log.parent.parts[-3:]
        self.done.append((script, system, fold, seed))
        if (script, system, seed) in self.fail:
            raise FoldFailed(f"{script} ended with 1; {log} holds all it said, at last:\nepoch 1\nout of memory")
        self.train(command[2:], self.done[-1]) if script == "train.py" else self.evaluate(command[2:], system)

    def train(self, argv: list[str], name: tuple) -> None:
        self.trained[name[1:]] = parse_config(argv)
        run = Path(self.trained[name[1:]][2].output_dir)
        (run / "final").mkdir(parents=True, exist_ok=True)
        write_json(run / "results.json", {})

    def evaluate(self, argv: list[str], system: str) -> None:
        [arguments] = HfArgumentParser(EvalArguments).parse_args_into_dataclasses(argv)
        rows = load_rows(arguments.corpus, arguments.split, arguments.test_fold).remove_columns("audio").to_list()
        predictions = [
            {
                "id": row["id"],
                "reference": reference_of(row),
                "emotion": answer(row, system),
                "transcript": row["text"],
            }
            for row in rows
        ]
        write_predictions(arguments.predictions, predictions)
        information = (
            {"descriptors": {"bits_per_second": 12.0, "nats_per_frame": 0.2}} if arguments.information else {}
        )
        write_json(Path(arguments.output), {"left_out": [], "information": information})


def answer(row: dict, system: str) -> str:
    """`full` is always right, the others not about sad utterances."""
    return "angry" if row["emotion"] == "sad" and system != "full" else row["emotion"]


@pytest.fixture
def commands(monkeypatch):
    stand_in = Commands()
    monkeypatch.setattr(protocol_run, "run_command", stand_in)
    return stand_in


@pytest.fixture
def start(tmp_path, commands):
    """Start `xser systems` on four speakers, with these presets."""

    def start(*further: str, presets: dict | None = None, corpus: bool = True) -> int:
        if not (tmp_path / "corpus").exists():
            save([row(f"{s}{e}", e, speaker=s) for s in "abcd" for e in EMOTIONS], tmp_path / "corpus")
        (tmp_path / "presets").mkdir(exist_ok=True)
        for name, changes in (presets or {"full": {}, "no_descriptors": {"descriptors": {}}}).items():
            (tmp_path / "presets" / f"{name}.yaml").write_text(yaml.safe_dump({**BASE, **BLOCKS, **changes}))
        given = ["--output", str(tmp_path / "out")]
        if corpus:
            given += ["--corpus", str(tmp_path / "corpus"), "--presets", str(tmp_path / "presets")]
            given += ["--protocol", "loso-speaker", "--resamples", "20"]
        return main([*given, *further])

    return start


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_every_row_fold_and_seed_is_trained_once(start, commands, tmp_path):
    given = ("--steps", "10", "--seeds", "1", "2", "--folds", "a", "b", "--learning_rate", "0.1")
    assert start(*given) == 0
    trained = [name[1:] for name in commands.done if name[0] == "train.py"]
    assert trained == [
        (system, f"fold-{fold}", f"seed-{seed}")
        for seed in (1, 2)
        for fold in "ab"
        for system in ("full", "no_descriptors")
    ]
    for (system, fold, seed), (model, data, training) in commands.trained.items():
        assert training.seed == int(seed[-1]) and training.max_steps == 10 and training.learning_rate == 0.1
        assert training.keep_states and training.resume_from_checkpoint == "auto"
        assert (model.descriptors == {}) == (system == "no_descriptors")
        assert (data.train_split, data.eval_split) == ("train", "validation")
        assert training.output_dir == str(tmp_path / "out" / system / fold / seed / "run")
    before = list(commands.done)
    assert start(*given) == 0 and commands.done == before
    assert start(*given, "--rows", "full", "--seeds", "1", "--folds", "c") == 0
    assert commands.done[len(before) :] == [(s, "full", "fold-c", "seed-1") for s in ("train.py", "eval.py")]


def test_a_run_that_fails_loses_no_other_and_is_tried_again(start, commands, tmp_path, capsys):
    commands.fail = {("train.py", "full", "seed-1")}
    assert start("--folds", "a", "--seeds", "1", "2") == 1
    shown = capsys.readouterr()
    assert "run full/a/1 failed: train.py ended with 1; " in shown.err and "at last: out of memory" in shown.err
    tables = read(tmp_path / "out" / "tables.json")
    assert list(tables["missing"]) == ["full/a/1"] and "out of memory" in tables["missing"]["full/a/1"]
    assert str(tmp_path) not in json.dumps(tables["missing"])
    assert tables["systems"]["full"]["seeds"] == {"2": 1.0}
    assert set(tables["systems"]["no_descriptors"]["seeds"]) == {"1", "2"}
    commands.fail, commands.done = set(), []
    assert start("--folds", "a", "--seeds", "1", "2") == 0
    assert [name[1:] for name in commands.done] == [("full", "fold-a", "seed-1")] * 2
    assert read(tmp_path / "out" / "tables.json")["missing"] == {}
    assert not (tmp_path / "out" / "full" / "fold-a" / "seed-1" / "failed.txt").exists()


def test_several_machines_share_the_runs(start, commands, tmp_path, capsys):
    with claim(Run("full", "a", 1).folder(tmp_path / "out") / CLAIM):
        assert start("--folds", "a") == 2
    assert [name[1] for name in commands.done] == ["no_descriptors"] * 2
    assert "left to others: run full/a/1: claimed by" in capsys.readouterr().out
    place = Run("full", "a", 1).folder(tmp_path / "out") / CLAIM
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_json(place, {"host": os.uname().nodename, "pid": ended.pid, "time": "then"})
    assert start("--folds", "a") == 2 and "give --release" in capsys.readouterr().out
    assert start("--folds", "a", "--release", "full/a/1") == 0
    assert start("--folds", "a", "--release", "full") == 1 and "SYSTEM/FOLD/SEED" in capsys.readouterr().err


def test_a_folder_that_was_begun_otherwise_is_refused(start, capsys):
    assert start("--folds", "a", "--steps", "10") == 0
    assert start("--folds", "b", "--steps", "20") == 1
    assert "full was begun otherwise: options.max_steps was 10 and is 20" in capsys.readouterr().err
    assert start("--folds", "b", "--steps", "10", "--eval_options", "{batch_size: 2}") == 1
    assert "evaluation.batch_size was None and is 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--rows", "best"], r"--rows \['best'\] have no YAML file in .*, which has \['full', 'no_descriptors'\]"),
        (["--folds", "z"], r"--folds \['z'\] do not exist; there are \['a', 'b', 'c', 'd'\]"),
        (["--seed", "3"], "--seed is not handed on to train.py: give --seeds"),
        (["--steps", "10", "--max_steps", "3"], "--max_steps is not handed on to train.py: give --seeds, --steps"),
        (["--steps", "0"], "--steps is 0; it must be at least 1"),
        (["--learning_rat", "3"], "unknown key 'learning_rat'; the nearest is 'learning_rate'"),
        (["--eval_options", "{limit: 3}"], r"--eval_options \['limit'\] cannot be given"),
        (["--information", "-1"], "--information is -1; it must be 0 or more"),
        (["--others", "mine.csv"], "--others 'mine.csv' is not of the form NAME=FILE.csv"),
        (["--others", "full=mine.csv"], "--others names 'full' twice, or a system of the paper"),
        (["--tables", "--learning_rate", "1"], "are for train.py, and --tables trains nothing"),
        (["--tables"], "no run is done: none was begun"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(start, commands, capsys, given, message):
    assert start(*given) == 1
    assert re.search(message, capsys.readouterr().err) and not commands.done


def test_bits_a_second_are_measured_of_what_has_streams(start, commands, tmp_path):
    assert start("--folds", "a", "--rows", "full") == 0
    assert start("--folds", "a", "--rows", "no_descriptors", "--information", "0") == 0
    systems = read(tmp_path / "out" / "tables.json")["systems"]
    carried = {"bits_per_second": 12.0, "nats_per_frame": 0.2}
    assert systems["full"]["information"] == {"descriptors": carried}
    assert systems["no_descriptors"]["information"] == {}
    assert not Preset("classifier_hubert", (), {"system": "classifier"}).has_streams


def test_rows_on_different_numbers_of_utterances_are_refused(start, commands, capsys):
    presets = {"full": {}, "no_descriptors": {"per_device_train_batch_size": 3}}
    assert start("--steps", "10", presets=presets) == 1
    assert "{'full': 160, 'no_descriptors': 30}; give them batches of one size" in capsys.readouterr().err
    assert not commands.done


def test_a_run_is_named_by_system_fold_and_seed():
    assert Run.from_name("full/a/../F/12") == Run("full", "a/../F", 12)
    assert Run("full", "a/../F", 12).folder(Path("out")) == Path("out/full/fold-a%2F..%2FF/seed-12")
    assert [run.name for run in runs_of(["x", "y"], ["f"], [1, 2])] == ["x/f/1", "y/f/1", "x/f/2", "y/f/2"]


STAGES = {"asr": {"epochs": 4, "learning_rate": 1e-3}, "describe": {"epochs": 4, "turn_epochs": 1}}


@pytest.mark.parametrize(
    ("options", "steps", "lengths"),
    [
        ({"schedule": "alternating"}, 9, {"max_steps": 9}),
        ({"schedule": "alternating", "stages": {"asr": {"turn_steps": 2}, "describe": None}}, 9, {"max_steps": 9}),
        ({"schedule": "joint"}, 10, {"max_steps": 5}),
        ({"schedule": "alternating", "stages": STAGES}, 9, {"asr": 4, "describe": 5}),
        ({"schedule": "two_stage"}, 9, {"asr": 4, "describe": 5}),
        ({"schedule": "two_stage", "stages": {"a": {"steps": 30}, "b": {"steps": 10}}}, 8, {"a": 6, "b": 2}),
        ({"schedule": "two_stage", "stages": {"a": {"steps": 99}, "b": {"steps": 1}}}, 2, {"a": 1, "b": 1}),
        ({"schedule": "one_stage", "stages": {"describe": {"epochs": 4}}}, 7, {"describe": 7}),
    ],
)
def test_a_number_of_steps_is_shared_as_the_preset_shares_its_own(options, steps, lengths):
    found = length_options("x", options, steps)
    if "max_steps" in lengths:
        assert found == lengths
    else:
        assert {stage: each["steps"] for stage, each in found["stages"].items()} == lengths
        assert all("epochs" not in each for each in found["stages"].values()) and found["max_steps"] is None
        assert sum(lengths.values()) == steps
    options = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, **options}
    assert utterances("x", options, found) == 16 * steps


def test_a_stage_keeps_its_rate_and_the_number_of_its_turns():
    stages = length_options("x", {"schedule": "alternating", "stages": STAGES}, 40)["stages"]
    assert stages == {"asr": {"learning_rate": 1e-3, "steps": 20}, "describe": {"turn_steps": 5, "steps": 20}}
    stages = {"asr": {"steps": 60, "turn_steps": 6}, "describe": {"steps": 20, "turn_epochs": 1}}
    stages = length_options("x", {"schedule": "alternating", "stages": stages}, 8)["stages"]
    assert stages == {"asr": {"steps": 6, "turn_steps": 1}, "describe": {"steps": 2, "turn_epochs": 1}}


@pytest.mark.parametrize(
    ("options", "steps", "message"),
    [
        ({"schedule": "joint"}, 9, "every step of x has 2 batches: give a multiple"),
        ({"schedule": "two_stage"}, 1, r"x has the stages \['asr', 'describe'\]: give more"),
        ({"schedule": "two_stage", "stages": {"a": {"steps": 3}, "b": {"epochs": 1}}}, 9, "give one kind to all"),
    ],
)
def test_steps_that_cannot_be_shared_are_refused(options, steps, message):
    with pytest.raises(ValueError, match=message):
        length_options("x", options, steps)


@pytest.mark.slow
def test_a_killed_start_goes_on_from_its_checkpoint(tmp_path, tiny_backbone_folders, monkeypatch):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    corpus = make_audiofolder(tmp_path / "tones")
    audio, text = map(str, tiny_backbone_folders)
    preset = {**BASE, **BLOCKS, "audio_model": audio, "text_model": text, "per_device_train_batch_size": 4}
    preset |= {"warmup_steps": 0, "logging_steps": 1, "save_steps": 1, "eval_strategy": "no", "disable_tqdm": True}
    preset |= {"final_evaluation": False}
    (tmp_path / "presets").mkdir()
    for name, changes in {"full": {}, "no_descriptors": {"descriptors": {}, "emphasis": False}}.items():
        (tmp_path / "presets" / f"{name}.yaml").write_text(yaml.safe_dump({**preset, **changes}))
    given = ["--corpus", str(corpus), "--presets", str(tmp_path / "presets"), "--output", str(tmp_path / "out")]
    given += ["--protocol", "loso-speaker", "--folds", "s0", "--steps", "12", "--resamples", "20"]
    first = Run("full", "s0", 1).folder(tmp_path / "out")
    with subprocess.Popen([sys.executable, "-m", "xser", "systems", *given], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(first.glob("run/checkpoint-*")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
    assert process.returncode and not (first / CLAIM).exists() and not (first / "results.json").exists()
    began = (first / "train.log").read_text().count("{'loss'")
    saved = max(int(path.name.split("-")[1]) for path in first.glob("run/checkpoint-*"))
    assert 1 <= saved <= began < 12

    assert main(given) == 0
    # Every step after the checkpoint is done once: one that was logged, but not saved, is done again.
    assert (first / "train.log").read_text().count("{'loss'") == began + 12 - saved
    tables = read(tmp_path / "out" / "tables.json")
    assert set(tables["systems"]) == {"full", "no_descriptors"} and tables["missing"] == {}
    assert tables["systems"]["full"]["n"] == 8
    for name in ("full", "no_descriptors"):
        predictions = read_predictions(Run(name, "s0", 1).folder(tmp_path / "out") / "predictions.jsonl")
        assert {p["reference"]["speaker"] for p in predictions} == {"s0"} and len(predictions) == 8
    assert len(list((tmp_path / "cache" / "kept").glob("*tower-*.npz"))) == 1  # both rows read the same states
    assert np.isfinite(tables["systems"]["full"]["ua"])


@pytest.mark.skipif(not (PRESETS / "base.yaml").is_file(), reason="configs/paper is not there")
def test_every_preset_of_the_paper_trains_on_as_many_utterances(tmp_path):
    save([row(f"{s}{e}", e, speaker=s) for s in "abcd" for e in EMOTIONS], tmp_path / "corpus")
    corpus = str(tmp_path / "corpus")
    plan, _ = read_plan("loso-speaker", corpus)
    presets = {path.stem: read_preset(path, [], plan, corpus, 400) for path in preset_files(PRESETS, None)}
    assert list(presets) == list(SYSTEMS)
    refuse_other_lengths(presets, 400)
    assert {betas(preset.options).get("descriptors") for preset in presets.values()} >= {1, 0.1, 0.01, 0.001, 0.0001}
    turns = presets["full"].options["stages"]
    assert {stage["steps"] // stage["turn_steps"] for stage in turns.values()} == {4}  # epochs in the paper
