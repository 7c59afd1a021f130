"""XSERTrainer on tiny models: what moves, what is logged, what is generated, and that a run can be stopped."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training_corpus import make_dataset
from transformers import AutoModelForMultimodalLM, TrainerCallback

from xser.lora_xser import lora_layers
from xser.losses_xser import ctc_frames_needed
from xser.modeling_xser import XSERForEmotionDescription
from xser.training.arguments import XSERTrainingArguments
from xser.training.averaging import WeightAverage
from xser.training.collator import XSERCollator
from xser.training.sampler import TaskRows
from xser.training.trainer import XSERTrainer

SMALL = {
    "content_bottleneck": {"latent_size": 8, "hidden_size": 16},
    "descriptor_bottleneck": {"latent_size": 4, "hidden_size": 16},
    "ctc_weight": 0.3,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("corpus") / "tones.arrow")


@pytest.fixture
def make_trainer(tiny_backbone_folders, corpus, tmp_path):
    def make(config=None, callbacks=None, train=None, **options):
        torch.manual_seed(0)
        model, processor = XSERForEmotionDescription.from_backbones(
            *map(str, tiny_backbone_folders), **{**SMALL, **(config or {})}
        )
        defaults = {
            "output_dir": str(tmp_path / "run"),
            "max_steps": 2,
            "per_device_train_batch_size": 4,
            "logging_steps": 1,
            "save_strategy": "no",
            "use_cpu": True,
            "report_to": "none",
            "disable_tqdm": True,
            "eval_max_new_tokens": 12,
        }
        arguments = XSERTrainingArguments(**{**defaults, **options})
        held_out = corpus.select(range(6))
        return XSERTrainer(
            model,
            arguments,
            processor,
            train or dict.fromkeys(arguments.tasks, corpus),
            {"asr": held_out, "describe": held_out},
            callbacks=callbacks,
        )

    return make


class Snapshots(TrainerCallback):
    """Copies of all weights: before the first step, and after every step."""

    def __init__(self):
        self.weights = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.weights.append({name: p.detach().clone() for name, p in model.named_parameters()})

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.on_train_begin(args, state, control, model)

    def moved(self, before: int, after: int) -> set[str]:
        pair = self.weights[before], self.weights[after]
        return {name for name in pair[0] if not torch.equal(pair[0][name], pair[1][name])}


def training_logs(trainer) -> list[dict]:
    return [log for log in trainer.state.log_history if "loss" in log]


def test_one_step_of_each_task_moves_all_that_is_trainable_and_nothing_else(make_trainer):
    snapshots = Snapshots()
    trainer = make_trainer(callbacks=[snapshots], learning_rate=1e-2, weight_decay=0.0)
    trainable = {name for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert trainable and len(trainable) < len(list(trainer.model.parameters()))
    trainer.train()
    assert snapshots.moved(0, 2) == trainable


def test_folded_lora_trains_as_lora_beside_the_layers_does(make_trainer):
    """`B` is zero before the first step, so the second tells whether gradients arrived."""
    logs = {}
    for fold in (False, True):
        trainer, calls = make_trainer(fold_lora=fold, learning_rate=1e-2, max_steps=4), []
        for _, layer in lora_layers(trainer.model):
            layer.lora.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        trainer.train()
        assert bool(calls) is not fold
        logs[fold] = [log["loss"] for log in training_logs(trainer)]
    assert logs[True] == pytest.approx(logs[False], rel=1e-4) and len(set(logs[True])) == 4


def test_unfrozen_backbones_move_too(make_trainer):
    snapshots = Snapshots()
    config = {"freeze_audio_tower": False, "freeze_language_model": False}
    trainer = make_trainer(config, callbacks=[snapshots], learning_rate=1e-2)
    trainer.model.config.audio_config.layerdrop = 0.0
    trainer.train()
    unmoved = {name for name in snapshots.weights[0] if name not in snapshots.moved(0, 2)}
    assert unmoved <= {"model.audio_tower.masked_spec_embed"}  # SpecAugment is off


def test_a_step_leaves_the_other_tasks_block_bit_equal(make_trainer):
    """Neither momentum nor weight decay may move what got no gradient."""
    snapshots = Snapshots()
    trainer = make_trainer(callbacks=[snapshots], max_steps=6, learning_rate=1e-2, weight_decay=0.5)
    trainer.train()
    for step in range(6):
        moved = snapshots.moved(step, step + 1)
        asr_only = {name for name in moved if name.startswith(("model.content.", "ctc_head."))}
        describe_only = {name for name in moved if name.startswith("model.descriptors.")}
        assert (bool(asr_only), bool(describe_only)) == (step % 2 == 0, step % 2 == 1)
        assert any(".lora." in name for name in moved)


def test_loss_terms_are_logged_for_each_task(make_trainer):
    trainer = make_trainer({"ctc_unit": "token"}, max_steps=4, logging_steps=2)
    trainer.train()
    for log in training_logs(trainer):
        terms = {name for name in log if "/" in name}
        assert terms == {
            *(f"asr/{term}" for term in ("loss", "lm_loss", "content_kl", "ctc_loss", "ctc_left_out")),
            *(f"describe/{term}" for term in ("loss", "lm_loss", "content_kl", "descriptor_kl")),
            *("stage/asr", "stage/describe"),
        }
        assert log["stage/asr"] == log["stage/describe"] == log["step"] / 2
        assert log["loss"] == pytest.approx((log["asr/loss"] + log["describe/loss"]) / 2)
        config = trainer.model.config
        asr = log["asr/lm_loss"] + config.content_bottleneck["beta"] * log["asr/content_kl"]
        assert log["asr/loss"] == pytest.approx(asr + config.ctc_weight * log["asr/ctc_loss"], rel=1e-5)
        describe = log["describe/lm_loss"] + config.descriptor_bottleneck["beta"] * log["describe/descriptor_kl"]
        assert log["describe/loss"] == pytest.approx(describe, rel=1e-5)


def test_ctc_loss_is_logged_over_the_utterances_that_it_can_align(make_trainer, corpus):
    """Texts of 8 to 22 bytes in 14 frames and more: some fit, some do not, and no perfect loss stands for those."""
    trainer = make_trainer(max_steps=6, logging_steps=6, stages={"asr": {}})
    seen, forward = [], trainer.model.forward
    trainer.model.forward = lambda **inputs: seen.append(forward(**inputs)) or seen[-1]
    trainer.train()
    [log] = training_logs(trainer)
    per_batch = trainer.get_train_dataloader()
    left_out = []
    for _, batch in zip(range(6), per_batch, strict=False):
        features = batch["asr"]
        frames = [trainer.processing_class.num_frames(int(n)) for n in features["input_values_mask"].sum(-1)]
        left_out.append(int((ctc_frames_needed(features["ctc_labels"]) > torch.tensor(frames)).sum()))
    assert 0 < sum(left_out) < 24 and log["asr/ctc_left_out"] == sum(left_out)
    weights = [4 - number for number in left_out]
    mean = sum(weight * float(output.ctc_loss) for weight, output in zip(weights, seen, strict=True)) / sum(weights)
    assert log["asr/ctc_loss"] == pytest.approx(mean, rel=1e-5)
    hopeless = corpus.map(lambda row: {"text": "never " * 40})
    trainer = make_trainer(train={"asr": hopeless}, stages={"asr": {}})
    trainer.train()
    for log in training_logs(trainer):
        assert "asr/ctc_loss" not in log and log["asr/ctc_left_out"] == 4 and log["asr/loss"] > 0


def test_joint_schedule_sums_the_losses_of_both_tasks(make_trainer):
    snapshots = Snapshots()
    trainer = make_trainer(callbacks=[snapshots], max_steps=2, schedule="joint", learning_rate=1e-2)
    trainer.train()
    for log in training_logs(trainer):
        assert log["loss"] == pytest.approx(log["asr/loss"] + log["describe/loss"], rel=1e-6)
    moved = snapshots.moved(0, 1)
    assert any(name.startswith("model.content.") for name in moved)
    assert any(name.startswith("model.descriptors.") for name in moved)


@pytest.mark.parametrize("schedule", ["alternating", "joint"])
def test_accumulation_gives_the_losses_of_the_whole_batch(make_trainer, schedule):
    config = {"ctc_unit": "token"}  # texts that fit their frames: others are left out of their micro-batch's mean
    whole = make_trainer(config, max_steps=5, per_device_train_batch_size=8, schedule=schedule)
    whole.train()
    parts = make_trainer(
        config, max_steps=5, per_device_train_batch_size=2, gradient_accumulation_steps=4, schedule=schedule
    )
    parts.train()
    for one, four in zip(training_logs(whole), training_logs(parts), strict=True):
        assert one["loss"] == pytest.approx(four["loss"], abs=1e-5)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_training_has_the_losses_of_the_uninterrupted_one(make_trainer, tmp_path, num_workers):
    options = {
        "max_steps": 9,  # an epoch has 6 steps of 2 micro-batches: it stops within one, and goes on over its end
        "gradient_accumulation_steps": 2,
        "save_strategy": "steps",
        "save_steps": 4,
        "save_total_limit": 9,
        "dataloader_num_workers": num_workers,
    }
    config = {"lora": {"dropout": 0.2}}  # so that the random state matters too
    whole = make_trainer(config, **options)
    whole.train()
    assert len(training_logs(whole)) == 9
    resumed = make_trainer(config, **options, output_dir=str(tmp_path / "resumed"))
    shutil.copytree(tmp_path / "run" / "checkpoint-4", tmp_path / "resumed" / "checkpoint-4")
    resumed.train(resume_from_checkpoint=True)
    for log in training_logs(resumed)[4:]:
        same = next(other for other in training_logs(whole) if other["step"] == log["step"])
        assert log == same
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])


def test_resuming_reads_no_audio_of_what_is_skipped(make_trainer, tmp_path, monkeypatch):
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 3, "stages": {"asr": {}}}
    make_trainer(**options).train()
    loaded = []
    collate = XSERCollator.collate
    monkeypatch.setattr(XSERCollator, "collate", lambda self, rows: loaded.append(len(rows)) or collate(self, rows))
    make_trainer(**options).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert loaded == [4]


def test_a_checkpoint_of_another_model_is_refused(make_trainer, tmp_path):
    make_trainer(save_strategy="steps", save_steps=2).train()
    other = make_trainer({"disentangled": False})
    with pytest.raises(ValueError, match=r"does not fit this model.*descriptors"):
        other.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))


def test_evaluation_gives_each_tasks_metrics_of_generated_answers(make_trainer):
    trainer = make_trainer()
    metrics = trainer.evaluate()
    assert metrics["eval_asr_n"] == metrics["eval_describe_n"] == metrics["eval_describe_unparsable"] == 6
    assert metrics["eval_asr_wer"] >= 0.9  # untrained
    assert metrics["eval_describe_ua"] == metrics["eval_describe_wa"] == metrics["eval_describe_pitch_accuracy"] == 0
    assert {"eval_asr_lm_loss", "eval_asr_ctc_loss", "eval_describe_descriptor_kl"} <= set(metrics)


def test_generation_never_sees_the_answer(make_trainer, corpus):
    trainer = make_trainer()
    seen = []
    generate = trainer.model.generate
    trainer.model.generate = lambda **inputs: seen.append(inputs) or generate(**inputs)
    trainer.evaluate()
    processor = trainer.processing_class
    for task, inputs in zip(("asr", "describe"), seen, strict=True):
        rows = list(TaskRows(task, corpus.select(range(6))))
        targets = [XSERCollator(processor).known(row) for row in rows]
        assert set(inputs) == {
            "input_ids", "attention_mask", "input_values", "input_values_mask", "loudness", "generation_config"
        }  # fmt: skip
        for ids, mask, row, target in zip(inputs["input_ids"], inputs["attention_mask"], rows, targets, strict=True):
            slots = target.slots if task == "describe" else None
            prompt = processor([row["audio"]], task=task, slots=slots)["input_ids"][0]
            assert ids[mask.bool()].tolist() == prompt.tolist()
            assert mask.tolist() == sorted(mask.tolist())  # padded on the left
    mislabelled = corpus.select(range(6)).map(lambda row: {"text": "other words", "emotion": "angry"})
    trainer.evaluate({"asr": mislabelled, "describe": mislabelled})
    assert torch.equal(seen[0]["input_ids"], seen[2]["input_ids"])


def test_a_checkpoint_holds_model_and_processor(make_trainer, tmp_path):
    trainer = make_trainer(save_strategy="steps", save_steps=2)
    trainer.train()
    folder = tmp_path / "run" / "checkpoint-2"
    model = AutoModelForMultimodalLM.from_pretrained(folder, trust_remote_code=True)
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name])
    assert (folder / "processor_config.json").is_file() and (folder / "tokenizer.json").is_file()
    assert "use_cache" not in model.config.to_dict()


def test_a_thin_checkpoint_holds_what_was_trained_and_can_be_resumed(make_trainer, tmp_path):
    options = {
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "save_total_limit": 9,
        "thin_checkpoints": True,
    }
    whole = make_trainer(**options)
    whole.train()
    weights = load_file(tmp_path / "run" / "checkpoint-2" / "model.safetensors")
    assert not any(name.startswith("model.audio_tower.") for name in weights)
    resumed = make_trainer(**options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert training_logs(resumed)[2:] == training_logs(whole)[2:]


def test_training_stops_in_time_and_keeps_a_checkpoint(make_trainer, tmp_path):
    trainer = make_trainer(max_steps=1000, max_minutes=1e-9, save_strategy="steps", save_steps=500)
    trainer.train()
    assert trainer.state.global_step == 1
    assert (tmp_path / "run" / "checkpoint-1" / "model.safetensors").is_file()


def test_bf16_autocast_on_cpu(make_trainer):
    trainer = make_trainer(bf16=True, max_steps=4)
    trainer.train()
    assert all(log["loss"] < 20 for log in training_logs(trainer))
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters() if p.requires_grad)
    assert trainer.evaluate()["eval_describe_n"] == 6


def test_activation_checkpointing_gives_the_same_losses(make_trainer):
    plain, saving = make_trainer(max_steps=3), make_trainer(max_steps=3, activation_checkpointing=True)
    plain.train()
    saving.train()
    for one, two in zip(training_logs(plain), training_logs(saving), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], abs=1e-5)


def test_prompts_of_evaluation_hold_no_transcript_and_answers_in_training_do(make_trainer):
    """The transcript of the data would be the answer."""
    trainer = make_trainer(transcript_dropout=0.0)
    decode = trainer.processing_class.tokenizer.decode
    loader = trainer.get_eval_dataloader(TaskRows("describe", trainer.eval_dataset["describe"]))
    asked = [decode(ids) for batch in loader for ids in batch["describe"]["prompt_input_ids"]]
    assert len(asked) == 6 and not any("transcript:" in prompt for prompt in asked)
    batches = [batch["describe"] for batch in trainer.get_train_dataloader() if "describe" in batch]
    rows = [decode(ids) for batch in batches for ids in batch["input_ids"]]
    assert rows and all('transcript: "' in row for row in rows)


def test_a_run_ends_with_the_averages_of_the_weights_it_went_through(make_trainer):
    snapshots = Snapshots()
    trainer = make_trainer(callbacks=[snapshots], average_weights=True, max_steps=3, stages={"asr": {}})
    trainer.train()
    first, second, third = (weights["ctc_head.weight"] for weights in snapshots.weights[1:])
    expected = first.lerp(second, 10 / 11).lerp(third, 10 / 12)
    torch.testing.assert_close(trainer.model.ctc_head.weight.detach(), expected)
    assert not torch.equal(expected, third)
    untouched = "model.descriptors.adapter.projector.0.weight"  # of the other task
    assert torch.equal(trainer.model.get_parameter(untouched), snapshots.weights[0][untouched])


def test_evaluation_within_a_run_is_of_the_averages_and_changes_nothing(make_trainer, monkeypatch):
    plain = make_trainer(max_steps=3)
    plain.train()
    trainer = make_trainer(average_weights=True, max_steps=3, eval_strategy="steps", eval_steps=1)
    seen, predict = [], trainer.prediction_step
    head = trainer.model.ctc_head.weight

    def watched(*args, **kwargs):
        seen.append(torch.equal(head.detach(), trainer.average.averages["ctc_head.weight"]))
        return predict(*args, **kwargs)

    monkeypatch.setattr(trainer, "prediction_step", watched)
    trainer.train()
    assert seen and all(seen)
    assert [log["loss"] for log in training_logs(trainer)] == [log["loss"] for log in training_logs(plain)]


def test_a_run_that_was_stopped_ends_with_the_averages_of_one_that_was_not(make_trainer, tmp_path):
    options = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, "save_total_limit": 9}
    whole = make_trainer(**options, average_weights=True)
    whole.train()
    checkpoint = tmp_path / "run" / "checkpoint-4"
    kept, average = (load_file(checkpoint / name) for name in ("model.safetensors", "weight_average.safetensors"))
    assert not torch.equal(kept["ctc_head.weight"], average["ctc_head.weight"])
    resumed = make_trainer(**options, average_weights=True, output_dir=str(tmp_path / "resumed"))
    shutil.copytree(checkpoint, tmp_path / "resumed" / "checkpoint-4")
    resumed.train(resume_from_checkpoint=True)
    assert training_logs(resumed)[4:] == training_logs(whole)[4:]
    assert resumed.average.updates == whole.average.updates
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])


def test_a_checkpoint_without_averages_or_with_those_of_another_model_is_refused(make_trainer, tmp_path):
    make_trainer(save_strategy="steps", save_steps=2).train()
    checkpoint = tmp_path / "run" / "checkpoint-2"
    with pytest.raises(ValueError, match=r"cannot go on from .*checkpoint-2: weight_average\.safetensors is missing"):
        make_trainer(average_weights=True).train(resume_from_checkpoint=str(checkpoint))
    WeightAverage(nn.Linear(1, 1)).save(checkpoint)
    with pytest.raises(ValueError, match="averages of other weights"):
        make_trainer(average_weights=True).train(resume_from_checkpoint=str(checkpoint))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 1}, "load_best_model_at_end"),
        ({"deepspeed": SimpleNamespace()}, "deepspeed"),
    ],
)
def test_options_that_do_not_go_together_are_refused(make_trainer, monkeypatch, options, message):
    if "deepspeed" in options:  # its own package is not wanted here
        monkeypatch.setattr("transformers.Seq2SeqTrainingArguments.__post_init__", lambda self: None)
    save = {"save_strategy": "steps", "save_steps": 1}
    with pytest.raises(ValueError, match=message):
        make_trainer(average_weights=True, **save, **options)
