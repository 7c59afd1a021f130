"""Stages: mistakes are named, what one does not train stays as it is, its rates are its own, resume is exact."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from training_corpus import make_audiofolder, make_dataset
from transformers import HubertConfig, LlamaConfig, ProgressCallback, TrainerCallback

from xser.configuration_xser import XSERConfig
from xser.modeling_xser import XSERForEmotionDescription
from xser.train import main
from xser.training.arguments import XSERTrainingArguments
from xser.training.data import TaskData
from xser.training.groups import check_groups, group_of, reached
from xser.training.plan import settle
from xser.training.rates import StageScheduler, rate_of
from xser.training.stages import Stage, read_stages
from xser.training.trainer import XSERTrainer

ROOT = Path(__file__).parents[1]
SMALL = {
    "content_bottleneck": {"latent_size": 8, "hidden_size": 16},
    "descriptor_bottleneck": {"latent_size": 4, "hidden_size": 16},
    "ctc_weight": 0.3,
    "level_weight": 0.5,
}
PAPER = {  # of turns that end in the middle of the other's epochs, and of one that outlasts the other
    "asr": {"trains": ["content", "lora"], "learning_rate": 4e-3, "lr_scheduler_type": "constant_with_warmup",
            "warmup_ratio": 0.4, "steps": 5, "turn_steps": 2},
    "describe": {"trains": ["descriptors", "lora"], "learning_rate": 1e-3, "lr_scheduler_type": "cosine",
                 "warmup_steps": 1, "steps": 3, "turn_steps": 1},
}  # fmt: skip


# ---------------------------------------------------------------------- reading


def test_stages_are_those_of_the_mapping_and_of_each_task_by_default():
    assert read_stages("alternating", None) == (Stage("asr", "asr"), Stage("describe", "describe"))
    assert read_stages("one_stage", None) == (Stage("describe", "describe"),)
    asr, late = read_stages("two_stage", {"asr": {"steps": 2.0}, "late": {"task": "asr", "epochs": 0.5}})
    assert asr == Stage("asr", "asr", steps=2) and late == Stage("late", "asr", epochs=0.5)
    [stage] = read_stages("alternating", {"asr": {"trains": ["lora", "content", "lora"], "turn_steps": None}})
    assert stage.trains == ("lora", "content")


@pytest.mark.parametrize(
    ("schedule", "stages", "message"),
    [
        ("random", None, r"schedule is 'random'; it must be one of \['alternating', 'two_stage'"),
        ("alternating", {}, "stages is {}; name one"),
        ("alternating", {"asr": [1]}, r"stages\['asr'\] is \[1\]; it must be a mapping"),
        ("alternating", {"warm": {}}, r"stages\['warm'\]: task is 'warm'; .*give its task"),
        ("alternating", {"asr": {"task": "sing"}}, r"stages\['asr'\]: task is 'sing'; it must be one of"),
        ("alternating", {"asr": {"turnsteps": 4}}, r"unknown field 'turnsteps'; the nearest is 'turn_steps'"),
        ("alternating", {"asr": {"trains": "lora"}}, r"trains is 'lora'; it must be a list"),
        ("alternating", {"asr": {"trains": []}}, r"trains is \[\], so the stage trains nothing"),
        ("alternating", {"asr": {"trains": ["words"]}}, r"trains names 'words'; it must be some of"),
        ("alternating", {"asr": {"steps": 0}}, r"stages\['asr'\]: steps is 0; it must be a whole number above 0"),
        ("alternating", {"asr": {"steps": 2.5}}, "steps is 2.5; it must be a whole number above 0"),
        ("alternating", {"asr": {"steps": True}}, "steps is True; it must be"),
        ("alternating", {"asr": {"epochs": -1}}, "epochs is -1; it must be above 0"),
        ("alternating", {"asr": {"epochs": math.nan}}, "epochs is nan; it must be above 0"),
        ("alternating", {"asr": {"turn_steps": 0}}, "turn_steps is 0; it must be"),
        ("alternating", {"asr": {"turn_epochs": "all"}}, "turn_epochs is 'all'; it must be above 0"),
        ("alternating", {"asr": {"learning_rate": 0}}, "learning_rate is 0; it must be above 0"),
        ("alternating", {"asr": {"warmup_ratio": 1}}, "warmup_ratio is 1; it must be from 0 to below 1"),
        ("alternating", {"asr": {"warmup_steps": 0.5}}, "warmup_steps is 0.5; it must be a whole number of 0 or more"),
        ("alternating", {"asr": {"epochs": 1, "steps": 2}}, "gives epochs 1 and steps 2: leave out one"),
        ("alternating", {"asr": {"turn_epochs": 1, "turn_steps": 2}}, "gives turn_epochs 1 and turn_steps 2"),
        ("alternating", {"asr": {"warmup_ratio": 0.1, "warmup_steps": 2}}, "gives warmup_ratio 0.1 and warmup_steps"),
        ("alternating", {"asr": {"lr_scheduler_type": "greedy"}}, "lr_scheduler_type is 'greedy'; it must be one of"),
        ("alternating", {"asr": {"lr_scheduler_kwargs": 3}}, "lr_scheduler_kwargs is 3; it must be a mapping"),
        ("alternating", {"asr": {"optional": "yes"}}, "optional is 'yes'; it must be true or false"),
        ("alternating", {"asr": {"steps": 3}, "describe": {}}, r"stages\['describe'\] has no length, but"),
        ("two_stage", {"asr": {}, "describe": {"epochs": 3}}, r"stages\['asr'\] has no length, but"),
        ("two_stage", {"asr": {"steps": 3, "turn_steps": 1}}, "gives turn_steps 1, but schedule is two_stage"),
        ("one_stage", {"describe": {"turn_epochs": 1}}, "gives turn_epochs 1, but schedule is one_stage"),
        ("one_stage", {"asr": {}}, "schedule is one_stage, which is one stage of task describe, but stages has"),
        ("one_stage", {"asr": {}, "describe": {}}, "schedule is one_stage"),
        ("joint", {"asr": {"learning_rate": 1e-3}, "describe": {}}, "gives learning_rate 0.001, but schedule is"),
        ("joint", {"asr": {}, "describe": {"steps": 3}}, "gives steps 3, but schedule is joint"),
        ("joint", {"asr": {"turn_steps": 3}, "describe": {}}, "schedule is joint, which has no turns"),
        ("joint", {"asr": {}, "again": {"task": "asr"}}, "schedule is joint, which wants one stage of each"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_stage_is_named(schedule, stages, message):
    with pytest.raises(ValueError, match=message):
        read_stages(schedule, stages)


# ---------------------------------------------------------------------- what a stage trains


def make_config(**options) -> XSERConfig:
    return XSERConfig(audio_config=HubertConfig(), text_config=LlamaConfig(), **options)


def test_every_weight_is_of_one_group(tiny_pair):
    model, _ = tiny_pair
    groups = {name: group_of(name) for name, _ in model.named_parameters()}
    assert set(groups.values()) == {"content", "descriptors", "lora", "language_model", "audio_tower"}
    assert (
        groups["ctc_head.weight"] == "content" and groups["level_head.attention.descriptors.weight"] == "descriptors"
    )
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (groups[name] in ("content", "descriptors", "lora"))


def test_a_description_reaches_the_content_stream_only_where_it_is_the_only_one():
    assert reached("describe", make_config()) == ("descriptors", "lora", "language_model", "audio_tower")
    assert "content" in reached("describe", make_config(disentangled=False))
    assert reached("asr", make_config()) == ("content", "lora", "language_model", "audio_tower")


@pytest.mark.parametrize(
    ("stages", "present", "message"),
    [
        ({"asr": {"trains": ["lora"]}}, ["content"], r"trains 'lora', which this model does not have.*\['content'\]"),
        ({"asr": {"trains": ["descriptors"]}}, ["content", "descriptors"], "'descriptors', which task asr does not"),
        ({"describe": {"trains": ["content"]}}, ["content", "descriptors"], "'content', which task describe does not"),
        ({"asr": {"trains": ["audio_tower"]}}, ["content"], "'audio_tower', which this model does not have, or"),
        ({"describe": {}}, ["content"], "'describe'.*trains nothing: of this model, task describe reaches no weight"),
    ],
)  # fmt: skip
def test_a_stage_that_trains_nothing_of_the_model_is_named(stages, present, message):
    with pytest.raises(ValueError, match=message):
        check_groups(read_stages("alternating", stages), "alternating", make_config(), present)


def test_heads_cannot_train_first_where_their_streams_are_frozen():
    stages = read_stages("alternating", {"describe": {"trains": ["lora"]}})
    with pytest.raises(ValueError, match=r"heads_first is 3, but stages\['describe'\] trains \['lora'\]"):
        check_groups(stages, "alternating", make_config(level_weight=0.5), ["descriptors", "lora"], heads_first=3)
    stages = read_stages("alternating", {"asr": {"trains": ["lora"]}, "describe": {}})
    check_groups(
        stages,
        "alternating",
        make_config(level_weight=0.5, ctc_weight=0.0),
        ["content", "descriptors", "lora"],
        heads_first=3,
    )
    with pytest.raises(ValueError, match=r"stages\['asr'\] trains \['lora'\]: add 'content'"):
        check_groups(
            stages,
            "alternating",
            make_config(level_weight=0.5, ctc_weight=0.5),
            ["content", "descriptors", "lora"],
            heads_first=3,
        )
    check_groups(stages, "alternating", make_config(level_weight=0.5), ["descriptors", "lora"])


def test_trains_is_refused_where_weights_are_split_up(monkeypatch):
    monkeypatch.setattr("transformers.Seq2SeqTrainingArguments.__post_init__", lambda self: None)
    with pytest.raises(ValueError, match=r"stages\['asr'\] gives trains, but deepspeed splits the weights up"):
        XSERTrainingArguments(output_dir="unused", deepspeed="x.json", stages={"asr": {"trains": ["lora"]}})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("corpus") / "tones.arrow")


def make_arguments(output_dir="unused", **options) -> XSERTrainingArguments:
    defaults = {"per_device_train_batch_size": 4, "logging_steps": 1, "save_strategy": "no", "use_cpu": True}
    defaults |= {"report_to": "none", "disable_tqdm": True, "learning_rate": 1e-2}
    return XSERTrainingArguments(output_dir=str(output_dir), **{**defaults, **options})


@pytest.fixture
def make_trainer(tiny_backbone_folders, corpus, tmp_path):
    def make(config=None, callbacks=None, **options):
        torch.manual_seed(0)
        model, processor = XSERForEmotionDescription.from_backbones(
            *map(str, tiny_backbone_folders), **{**SMALL, **(config or {})}
        )
        arguments = make_arguments(options.pop("output_dir", tmp_path / "run"), **options)
        tasks = dict.fromkeys(arguments.tasks, corpus)
        return XSERTrainer(model, arguments, processor, tasks, {}, callbacks=callbacks)

    return make


class Watch(TrainerCallback):
    """Weights and optimizer states after every step, by group."""

    def __init__(self):
        self.states, self.flags = [], []

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        optimizer = getattr(optimizer, "optimizer", optimizer)
        self.states.append({})
        for name, weight in model.named_parameters():
            kept = {"weight": weight, **optimizer.state.get(weight, {})}
            self.states[-1][name] = {key: value.detach().clone() for key, value in kept.items()}
        self.flags.append({name for name, weight in model.named_parameters() if weight.requires_grad})

    def on_step_end(self, args, state, control, **kwargs):
        self.on_train_begin(args, state, control, **kwargs)

    def changed(self, step: int) -> set[str]:
        """Groups of which anything changed in a step: a weight, or what the optimizer keeps of one."""
        before, after = self.states[step : step + 2]
        return {
            group_of(name)
            for name in after
            if before[name].keys() != after[name].keys()
            or any(not torch.equal(before[name][key], value) for key, value in after[name].items())
        }


def logs_of(trainer) -> list[dict]:
    return [log for log in trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_what_a_stage_does_not_train_is_bit_equal_and_so_is_its_optimizer_state(make_trainer, accumulation):
    stages = {
        "words": {"task": "asr", "trains": ["content", "lora"], "turn_steps": 2},
        "voice": {"task": "describe", "trains": ["descriptors"]},
        "reader": {"task": "describe", "trains": ["lora"]},
        "all": {"task": "describe"},
    }
    watch = Watch()
    options = {"weight_decay": 0.5, "max_steps": 10, "gradient_accumulation_steps": accumulation}
    trainer = make_trainer(callbacks=[watch], stages=stages, **options)
    trainer.train()
    turn = [{"content", "lora"}, {"content", "lora"}, {"descriptors"}, {"lora"}, {"descriptors", "lora"}]
    assert [watch.changed(step) for step in range(10)] == turn * 2
    assert len(set(map(frozenset, watch.flags))) == 1  # between steps all can be trained: checkpoints hold all


def test_two_stage_trains_the_second_task_on_what_the_first_has_left(make_trainer):
    watch = Watch()
    stages = {"asr": {"steps": 3, "trains": ["content", "lora"]}, "describe": {"epochs": 0.5}}
    trainer = make_trainer(callbacks=[watch], schedule="two_stage", stages=stages)
    trainer.train()
    assert trainer.state.global_step == 6  # half of 24 rows in batches of 4
    assert [watch.changed(step) for step in range(6)] == [{"content", "lora"}] * 3 + [{"descriptors", "lora"}] * 3
    assert [(log["stage/asr"], log["stage/describe"]) for log in logs_of(trainer)][2:5] == [(3, 0), (3, 1), (3, 2)]


def test_one_stage_is_the_description_alone(make_trainer):
    trainer = make_trainer(schedule="one_stage", max_steps=3)
    trainer.train()
    assert all("describe/loss" in log and "asr/loss" not in log for log in logs_of(trainer))


def test_the_joint_schedule_trains_the_union(make_trainer):
    watch = Watch()
    stages = {"asr": {"trains": ["content"]}, "describe": {"trains": ["descriptors"]}}
    trainer = make_trainer(callbacks=[watch], schedule="joint", stages=stages, max_steps=2, weight_decay=0.5)
    trainer.train()
    assert watch.changed(0) == watch.changed(1) == {"content", "descriptors"}


def test_an_average_counts_the_updates_of_its_weight_alone(make_trainer):
    trainer = make_trainer(stages=PAPER, average_weights=True)
    trainer.train()
    updates = {}
    for name, number in trainer.average.updates.items():
        updates.setdefault(group_of(name), set()).add(number)
    assert updates["lora"] == {8} and max(updates["content"]) == 5 and max(updates["descriptors"]) == 3


def test_heads_train_first_in_a_stage_too(make_trainer):
    watch = Watch()
    stages = {"describe": {"trains": ["descriptors", "lora"]}}
    make_trainer(callbacks=[watch], stages=stages, heads_first=2, max_steps=3).train()
    assert [watch.changed(step) for step in range(3)] == [{"descriptors"}] * 2 + [{"descriptors", "lora"}]


@pytest.mark.parametrize(("ctc_weight", "first"), [(0.5, {"content"}), (0.0, {"content", "lora"})])
def test_ctc_trains_the_content_first_and_asr_without_it_is_whole(make_trainer, ctc_weight, first):
    watch, stages = Watch(), {"asr": {"trains": ["content", "lora"], "turn_steps": 3}, "describe": {}}
    make_trainer({"ctc_weight": ctc_weight}, [watch], stages=stages, heads_first=2, max_steps=3).train()
    assert [watch.changed(step) for step in range(3)] == [first] * 2 + [{"content", "lora"}]


@pytest.mark.parametrize(
    ("stages", "options", "message"),
    [
        ({"asr": {}}, {"ctc_weight": 0.0}, "heads_first is 3, but no stage has a head: give ctc_weight"),
        ({"asr": {}, "describe": {}}, {"level_weight": 0.0}, r"stages\['describe'\] has no head to train; give one"),
    ],
)
def test_heads_first_is_refused_where_there_is_no_head(stages, options, message):
    config = make_config(**{"ctc_weight": 0.5, "emotion_weight": 0.0, **options})
    with pytest.raises(ValueError, match=message):
        check_groups(read_stages("alternating", stages), "alternating", config, ["content", "descriptors"], 3)


def test_the_progress_bar_names_the_stage_of_the_step(make_trainer):
    shown = []

    class Look(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            [bar] = [each for each in trainer.callback_handler.callbacks if isinstance(each, ProgressCallback)]
            shown.append(bar.training_bar.desc)

    trainer = make_trainer(callbacks=[Look()], stages=PAPER, disable_tqdm=False)
    trainer.train()
    assert [name.split(":")[0] for name in shown[:4]] == ["asr", "asr", "describe", "asr"]


# ---------------------------------------------------------------------- the learning rate


def test_every_stage_has_the_rate_of_its_own_schedule_at_its_own_step(make_trainer):
    trainer = make_trainer(stages=PAPER)
    trainer.train()
    asr = [0.0, 2e-3, 4e-3, 4e-3, 4e-3]  # warm-up of two of five steps
    describe = [0.0, 1e-3, 1e-3 * 0.5 * (1 + math.cos(math.pi * 0.5))]
    expected = [*asr[:2], describe[0], *asr[2:4], describe[1], asr[4], describe[2]]
    assert [log["learning_rate"] for log in logs_of(trainer)] == pytest.approx(expected)


def test_without_rates_and_lengths_the_runs_schedule_holds_over_the_global_step(make_trainer):
    options = {"max_steps": 6, "learning_rate": 1e-3, "lr_scheduler_type": "linear", "warmup_steps": 2}
    trainer = make_trainer(stages={"asr": {}, "describe": {"turn_steps": 2}}, **options)
    trainer.train()
    assert not isinstance(trainer.lr_scheduler, StageScheduler)
    rates = [0.0, 5e-4, 1e-3, 7.5e-4, 5e-4, 2.5e-4]
    assert [log["learning_rate"] for log in logs_of(trainer)] == pytest.approx(rates)


def test_a_stage_without_a_length_has_the_steps_that_the_run_gives_it(make_trainer):
    stages = {"asr": {"lr_scheduler_type": "linear", "warmup_steps": 0}, "describe": {"learning_rate": 1e-4}}
    trainer = make_trainer(stages=stages, max_steps=4, lr_scheduler_type="constant")
    trainer.train()
    assert [log["learning_rate"] for log in logs_of(trainer)] == pytest.approx([1e-2, 1e-4, 5e-3, 1e-4])


def test_a_schedule_takes_its_own_options_and_reads_its_own_rate():
    options = {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-4}}
    [stage] = read_stages("alternating", {"asr": {**options, "learning_rate": 1e-3, "steps": 10}})
    rate = rate_of(stage, make_arguments(), 10)
    assert rate(0) == pytest.approx(1e-3) and rate(10) == pytest.approx(1e-4)
    bare = replace(stage, lr_scheduler_kwargs=None)
    with pytest.raises(ValueError, match=r"stages\['asr'\]: lr_scheduler_type 'cosine_with_min_lr'"):
        rate_of(bare, make_arguments(), 10)


def test_a_step_that_the_optimizer_skips_leaves_the_next_one_its_own_rate(make_trainer, monkeypatch):
    """As with float16 gradients that overflow: the scheduler is not asked then."""
    trainer, calls = make_trainer(stages=PAPER), []
    step = StageScheduler.step

    def skipping(self, *args):
        calls.append(None)
        if len(calls) not in (2, 3):  # the first call is of its making
            step(self, *args)

    whole = make_trainer(stages=PAPER)
    whole.train()
    monkeypatch.setattr(StageScheduler, "step", skipping)
    trainer.train()
    rates = [[log["learning_rate"] for log in logs_of(each)] for each in (trainer, whole)]
    assert len(calls) == 9 and rates[0] == rates[1]


# ---------------------------------------------------------------------- going on


@pytest.mark.parametrize("schedule", ["alternating", "two_stage"])
@pytest.mark.parametrize("stop", [1, 4])
def test_a_run_goes_on_in_the_middle_of_a_turn_with_the_very_losses_and_rates(make_trainer, tmp_path, schedule, stop):
    turns = ("turn_steps",) if schedule == "two_stage" else ()
    stages = {name: {key: value for key, value in stage.items() if key not in turns} for name, stage in PAPER.items()}
    options = {"schedule": schedule, "stages": stages, "weight_decay": 0.1, "average_weights": True}
    options |= {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    config = {"lora": {"dropout": 0.2}}
    whole = make_trainer(config, **options)
    whole.train()
    resumed = make_trainer(config, **options, output_dir=tmp_path / "resumed")
    shutil.copytree(tmp_path / "run" / f"checkpoint-{stop}", tmp_path / "resumed" / f"checkpoint-{stop}")
    resumed.train(resume_from_checkpoint=True)
    assert logs_of(resumed)[stop:] == logs_of(whole)[stop:] and len(logs_of(whole)) == 8
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])


@pytest.fixture
def config(tiny_backbone_folders, tmp_path):
    """Path of a config of a run in stages."""
    audio, text = map(str, tiny_backbone_folders)
    options = {
        "audio_model": audio, "text_model": text, **SMALL, "ctc_unit": "token", "stages": PAPER,
        "data": str(make_audiofolder(tmp_path / "tones")), "corpus_options": {"cache_dir": str(tmp_path / "cache")},
        "output_dir": str(tmp_path / "run"), "weight_decay": 0.1, "logging_steps": 1, "save_steps": 1,
        "save_total_limit": 9, "use_cpu": True, "report_to": "none", "disable_tqdm": True, "final_evaluation": False,
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(options, sort_keys=False))
    return str(path)


def launch(*arguments: str) -> None:
    """Run train.py in two processes on the CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [*command, str(ROOT / "train.py"), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-3000:]


def states_of(run: Path) -> list[tuple[dict, dict]]:
    """Weights and optimizer states of every checkpoint."""
    found = []
    for step in range(1, 9):
        folder = run / f"checkpoint-{step}"
        weights = XSERForEmotionDescription.from_pretrained(folder).state_dict()
        optimizer = torch.load(folder / "optimizer.pt", weights_only=True)["state"]
        found.append((weights, optimizer))
    return found


@pytest.mark.slow
def test_two_processes_freeze_what_one_does_have_its_losses_and_go_on_from_each_other(config, tmp_path):
    runs = {name: tmp_path / name for name in ("one", "two", "resumed")}
    main([config, "--output_dir", str(runs["one"]), "--per_device_train_batch_size", "4"])
    launch(
        config, "--output_dir", str(runs["two"]), "--per_device_train_batch_size", "1",
        "--gradient_accumulation_steps", "2",
    )  # fmt: skip
    middle = str(runs["two"] / "checkpoint-4")  # between the two steps of a turn of asr
    main([config, "--output_dir", str(runs["resumed"]), "--per_device_train_batch_size", "4",
          "--resume_from_checkpoint", middle])  # fmt: skip
    logs = {}
    for name, run in runs.items():
        state = json.loads((run / "checkpoint-8" / "trainer_state.json").read_text())
        logs[name] = [log for log in state["log_history"] if "loss" in log]
    for name in ("two", "resumed"):
        for key in ("loss", "learning_rate", "stage/asr"):
            assert [log[key] for log in logs[name]] == pytest.approx([log[key] for log in logs["one"]], abs=1e-5)
    order = ["asr", "asr", "describe", "asr", "asr", "describe", "asr", "describe"]
    states = states_of(runs["two"])
    for step, ((before, old), (after, new)) in enumerate(pairwise(states), start=1):
        task = order[step]
        still = "descriptors" if task == "asr" else "content"
        moved = {group_of(name) for name, weight in after.items() if not torch.equal(weight, before[name])}
        assert still not in moved
        assert ("lora" in moved) == (logs["two"][step]["learning_rate"] > 0)  # warm-up begins with 0
        untouched = [key for key in old if float(old[key]["step"]) == float(new[key]["step"])]
        assert bool(untouched) == (step > 1)  # then both tasks have trained
        for key in untouched:
            assert all(torch.equal(old[key][part], new[key][part]) for part in ("exp_avg", "exp_avg_sq"))


# ---------------------------------------------------------------------- tasks without data, rare emotions


def make_data(corpus, *tasks: str) -> TaskData:
    return TaskData(train=dict.fromkeys(tasks, corpus), left_out={"train_asr": {"no text": 24}})


def test_a_task_without_data_drops_out_where_no_stage_names_it(corpus):
    for schedule in ("alternating", "joint"):
        arguments = make_arguments(schedule=schedule)
        settle(arguments, make_data(corpus, "describe"), make_config())
        assert arguments.stages == {"describe": {}} and arguments.schedule == "alternating"
    arguments = make_arguments(stages={"asr": {"optional": True}, "describe": {"turn_steps": 8}})
    settle(arguments, make_data(corpus, "describe"), make_config())
    assert arguments.stages == {"describe": {"turn_steps": 8}} and arguments.tasks == ["describe"]


def test_a_stage_whose_task_has_no_data_is_named(corpus):
    arguments = make_arguments(stages={"words": {"task": "asr"}, "describe": {}})
    with pytest.raises(ValueError, match=r"stages names 'words', but the data have no row for its task asr.*no text"):
        settle(arguments, make_data(corpus, "describe"), make_config())


def test_heads_that_would_never_train_first_are_named(corpus):
    stages = {"asr": {"steps": 5}, "describe": {"steps": 5}}
    data = make_data(corpus, "asr", "describe")
    settle(make_arguments(schedule="two_stage", stages=stages, heads_first=6), data, make_config())
    with pytest.raises(ValueError, match="heads_first is 5, but none of the first 5 steps is of task describe"):
        settle(make_arguments(schedule="two_stage", stages=stages, heads_first=5), data, make_config())


def test_emotions_that_cannot_be_balanced_are_named_before_training(corpus):
    alike = corpus.map(lambda row: {"emotion": "sad"})
    with pytest.raises(ValueError, match="class_balance wants at least two emotions"):
        settle(make_arguments(class_balance="weights"), make_data(alike, "asr", "describe"), make_config())


def test_weights_of_rare_emotions_reach_the_loss_of_descriptions_alone(make_trainer, corpus):
    plain = make_trainer(max_steps=2)
    weighted = make_trainer(max_steps=2, class_balance="weights")
    rare = weighted.data_collator.emotion_weights
    assert rare == dict.fromkeys(rare, 1.0) and len(rare) == 6  # the tones have six emotions, four rows each
    plain.train()
    weighted.train()
    assert [log["loss"] for log in logs_of(plain)] == [log["loss"] for log in logs_of(weighted)]
    heavy = make_trainer(max_steps=2, class_balance="weights")
    heavy.data_collator.emotion_weights = dict.fromkeys(rare, 3.0)
    heavy.train()
    one, three = (logs_of(trainer) for trainer in (plain, heavy))
    assert three[0]["loss"] == one[0]["loss"]  # a step of asr
    assert three[1]["describe/lm_loss"] == pytest.approx(3 * one[1]["describe/lm_loss"], rel=1e-5)
    assert heavy.get_eval_dataloader(corpus).collate_fn.emotion_weights is None


def test_balanced_sampling_draws_rare_emotions_as_often(make_trainer, corpus):
    rows = corpus.select([0, 1, 2, 6, 8, 12, 18, 14])  # four angry, one happy, three sad
    trainer = make_trainer(class_balance="sampling", num_train_epochs=2)
    trainer.train_dataset.datasets = {"asr": corpus.select(range(4)), "describe": rows}
    drawn = [key for batch in trainer.get_train_dataloader().batch_sampler for key in batch if key.task == "describe"]
    counts = {}
    for key in drawn:
        counts[rows[key.index]["emotion"]] = counts.get(rows[key.index]["emotion"], 0) + 1
    assert counts == {"angry": 4, "happy": 4, "sad": 4}
    assert {key.index for key in drawn} == set(range(8))
