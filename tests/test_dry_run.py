"""Guards the dry run: its figures are those of the training itself, and it loads, fetches and writes nothing."""

import json
import os
import subprocess
import sys
from math import ceil
from pathlib import Path

import pytest
import torch
import yaml
from training_corpus import make_audiofolder

from xser.modeling_xser import XSERForEmotionDescription
from xser.train import build_model, checkpoint_config, main
from xser.training.activations import Alive
from xser.training.arguments import parse_config
from xser.training.collator import XSERCollator
from xser.training.data import load_task_data
from xser.training.dry_run import DryRunArguments, dry_run, make_report, split_dry_run
from xser.training.groups import group_of
from xser.training.known_backbones import backbone_config
from xser.training.known_corpora import published_corpus
from xser.training.memory import LoadedAs, optimizer_bytes, parse_bytes, quantised_bytes, weight_bytes

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "configs" / "paper"
EMOTIONS = ["angry", "happy", "sad", "neutral", "fearful", "surprised"]


@pytest.fixture
def write(tmp_path, tiny_backbone_folders):
    def write(name: str = "full", **changes) -> str:
        audio, text = map(str, tiny_backbone_folders)
        data = tmp_path / "tones"
        options = {
            "base": str(PAPER / f"{name}.yaml"),
            "audio_model": audio,
            "text_model": text,
            "data": str(data if data.exists() else make_audiofolder(data)),
            "corpus_options": {"cache_dir": str(tmp_path / "cache")},
            "train_split": None,
            "emotions": EMOTIONS,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "output_dir": str(tmp_path / "run"),
            "use_cpu": True,
            "report_to": "none",
            "disable_tqdm": True,
            **changes,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(options))
        return str(path)

    return write


def report_of(path: str):
    return make_report(*parse_config([path]), is_on_cpu=True, checkpoint_config=checkpoint_config)


ROWS = ["full", "no_asr", "alternating_only", "two_stage", "no_descriptors"]


@pytest.mark.parametrize("name", ROWS)
def test_parameters_and_bytes_of_weights_are_the_models(write, name):
    path = write(name)
    model, _, _ = build_model(parse_config([path])[0])
    report = report_of(path)
    assert sum(report.parameters.values()) == sum(p.numel() for p in model.parameters())
    assert report.weights == sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    prefixes = {"audio_tower": "model.audio_tower.", "content": "model.content."}
    for part, prefix in prefixes.items():
        numbers = sum(p.numel() for key, p in model.named_parameters() if key.startswith(prefix))
        assert report.parameters[part] == numbers


@pytest.mark.parametrize("name", ["full", "two_stage", "no_asr"])
def test_steps_and_optimizer_are_those_of_the_training(write, tmp_path, name):
    path = write(name, save_strategy="epoch", save_total_limit=1)
    report = report_of(path)
    main([path])
    [checkpoint] = (tmp_path / "run").glob("checkpoint-*")
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    assert sum(stage.num_steps for stage in report.stages) == state["global_step"] == state["max_steps"]
    logged = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"]
    tensors = [tensor for entry in logged.values() for tensor in entry.values()]
    assert report.optimizer == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_steps_of_each_stage_by_hand(write):
    report = report_of(write())
    steps = ceil(24 / 8)  # an epoch of 24 rows in batches of 4 x 2
    assert {stage.name: stage.num_steps for stage in report.stages} == {"asr": 4 * steps, "joint": 4 * steps}
    assert [stage.trains for stage in report.stages] == [("content", "lora"), ("descriptors", "lora")]
    assert report.batch_size == 8
    for stage in report.stages:
        assert report.memory[stage.name].gradients == 4 * stage.num_parameters
        assert stage.num_parameters == sum(report.parameters[group] for group in stage.trains)


def test_tokens_are_those_that_the_collator_makes(write):
    path = write(transcript_dropout=0.0)
    model_arguments, data_arguments, training = parse_config([path])
    model, processor, _ = build_model(model_arguments)
    data = load_task_data(data_arguments, training.tasks, model.config, 0, processor)
    report, collator = report_of(path), XSERCollator(processor)
    for task, rows in data.train.items():
        batch = collator.collate([{**row, "task": task, "noise_seed": 0} for row in rows])
        answers = (batch["labels"] != -100).sum().item()
        tokens = batch["attention_mask"].sum().item()
        size = report.sizes[task]
        assert size.is_exact and size.draws == len(rows) == 24
        assert size.answer_tokens == pytest.approx(answers / 24)
        assert size.prompt_tokens == pytest.approx((tokens - answers) / 24)


@pytest.mark.parametrize("task", ["asr", "describe"])
def test_activations_are_close_to_those_of_a_real_step(write, task):
    """The same counter around a real step on the CPU, whose attention is not a fused one, on the longest rows."""
    path = write(gradient_accumulation_steps=1)
    model_arguments, data_arguments, training = parse_config([path])
    model, processor, _ = build_model(model_arguments)
    rows = load_task_data(data_arguments, [task], model.config, 0, processor).train[task]
    longest = sorted(rows, key=lambda row: -row["duration"])[:4]
    batch = XSERCollator(processor).collate([{**row, "task": task, "noise_seed": 0} for row in longest])
    stage = next(stage for stage in training.stage_list if stage.task == task)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and group_of(name) in stage.trains)
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda each: setattr(each, "grad", None))
    model.train()
    with Alive(model) as alive:
        model(**batch).loss.backward()
    assert report_of(path).memory[stage.name].activations == pytest.approx(alive.peak, rel=0.3)


def test_activations_grow_with_the_batch(write):
    small = {"latent_size": 4, "hidden_size": 8}  # gradients of large layers, while they are made, are no batch's
    one, four = (
        report_of(write(per_device_train_batch_size=size, content_bottleneck=small, descriptor_bottleneck=small))
        for size in (1, 4)
    )
    assert four.memory["joint"].activations / one.memory["joint"].activations == pytest.approx(4, rel=0.15)


def test_activations_shrink_with_checkpointing(write):
    whole, checkpointed = (report_of(write(activation_checkpointing=is_on)) for is_on in (False, True))
    for name, own in checkpointed.memory.items():
        assert own.activations < whole.memory[name].activations


def test_nothing_is_written_and_no_weight_is_read(write, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(XSERForEmotionDescription, "from_backbones", None)
    path = write()
    before = {file.relative_to(tmp_path) for file in tmp_path.rglob("*")}
    result = main([path, "--dry_run"])
    new = {file.relative_to(tmp_path) for file in tmp_path.rglob("*")} - before
    assert {file.parts[0] for file in new} <= {"cache"}  # of the corpus, as a training leaves it
    printed = capsys.readouterr().out
    assert "dry run, nothing is loaded, trained or written" in printed and "trained in joint" in printed
    assert result["peak"] > result["weights"] > 0


@pytest.mark.slow
def test_the_paper_at_full_size_from_published_shapes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = main([str(PAPER / "iemocap.yaml"), "--dry_run"])
    assert report["parameters"]["audio_tower"] == 315_438_720
    assert report["parameters"]["language_model"] == 8_030_261_248
    printed = capsys.readouterr().out
    for name in ("facebook/hubert-large-ls960-ft", "meta-llama/Llama-3.1-8B-Instruct"):
        assert f"{name} is not at hand: its published shape is taken" in printed
    assert "5,531 utterances of four emotions without the 1,241 of Session 5" in printed
    steps = ceil((5531 - 1241) / 8)
    assert [stage["num_steps"] for stage in report["stages"]] == [4 * steps, 4 * steps]
    frozen = 2 * (315_438_720 + 8_030_261_248)  # bfloat16
    trained = sum(report["parameters"][group] for group in ("content", "descriptors", "lora"))
    assert 0 <= report["weights"] - frozen - 4 * trained < 10_000  # buffers
    assert not list(tmp_path.iterdir())


def test_a_classifier_has_a_dry_run(write, tmp_path):
    path = write("classifier_hubert", text_model=None, corpus_options={"cache_dir": str(tmp_path / "cache")})
    report = report_of(path)
    model, _, _ = build_model(parse_config([path])[0])
    assert sum(report.parameters.values()) == sum(p.numel() for p in model.parameters())
    assert report.weights == sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    assert all(own.activations > 0 for own in report.memory.values())


def test_what_does_not_fit_is_refused_with_what_to_change(write):
    with pytest.raises(
        ValueError, match=r"memory is 100KB, but stage joint needs .* lower per_device_train_batch"
    ) as e:
        dry_run([write(activation_checkpointing=False)], "100KB", checkpoint_config)
    assert "activation_checkpointing: true" in str(e.value) and "load_in_4bit" in str(e.value)
    assert "\n" not in str(e.value)
    dry_run([write()], "8GB", checkpoint_config)


def test_the_command_ends_as_other_mistakes_do(write):
    command = [sys.executable, str(ROOT / "train.py"), write(), "--dry_run", "--memory", "1MB"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("train.py: memory is 1MB, but stage ")
    assert "Traceback" not in result.stderr


def test_options_of_the_dry_run_are_of_the_command_line_alone(write):
    assert split_dry_run(["a.yaml", "--seed", "1"]) == (["a.yaml", "--seed", "1"], DryRunArguments())
    argv = ["a.yaml", "--emotions", "x", "y", "--dry_run", "--memory", "24GB", "--seed", "1"]
    rest, options = split_dry_run(argv)
    assert rest == ["a.yaml", "--emotions", "x", "y", "--seed", "1"] and options == DryRunArguments(True, "24GB")
    with pytest.raises(ValueError, match="memory is '24GB', but dry_run is off"):
        split_dry_run(["a.yaml", "--memory", "24GB"])
    with pytest.raises(ValueError, match="unknown key 'dry_run'"):
        parse_config([write(dry_run=True)])


@pytest.mark.parametrize(
    ("text", "size"), [("24GB", 24 * 10**9), ("80 GiB", 80 * 2**30), ("1.5mb", 1_500_000), ("7b", 7)]
)
def test_sizes_are_read_by_their_unit(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["24", "GB", "0GB", "-1GB", "24 elephants", ""])
def test_a_size_without_number_or_unit_is_refused(text):
    with pytest.raises(ValueError, match=r"it must be a number above 0 with a unit, such as 24GB"):
        parse_bytes(text)


def test_quantised_layers_are_counted_with_their_scales(tiny_pair):
    model, _ = tiny_pair
    weight = torch.empty(100, 64)
    assert quantised_bytes(weight, LoadedAs(bits=8)) == 6400 + 4 * 100
    assert quantised_bytes(weight, LoadedAs(bits=4)) == 3200 + 4 * 100
    assert quantised_bytes(weight, LoadedAs(bits=4, double_quant=True)) == 3200 + 100 + 4
    layers = [m.weight for m in model.language_model.model.modules() if type(m) is torch.nn.Linear]
    whole, in_8 = (weight_bytes(model, LoadedAs(bits=bits)) for bits in (None, 8))
    assert whole - in_8 == sum(3 * weight.numel() - 4 * weight.shape[0] for weight in layers)
    assert optimizer_bytes([10, 5]) == 8 * 15 + 4 * 2


def test_dtypes_are_those_that_backbones_are_loaded_in(tiny_pair):
    config = tiny_pair[0].config
    config.text_config.dtype = torch.bfloat16
    assert LoadedAs.of(None, config, is_on_cpu=True).language_model == torch.float32
    assert LoadedAs.of(None, config, is_on_cpu=False).language_model == torch.bfloat16
    assert LoadedAs.of({"dtype": "float16"}, config, is_on_cpu=True).tower == torch.float16
    quantised = {"quantization_config": {"load_in_4bit": True, "bnb_4bit_use_double_quant": True}}
    assert (LoadedAs.of(quantised, config, False).bits, LoadedAs.of(quantised, config, False).double_quant) == (
        4,
        True,
    )


def test_an_unknown_backbone_or_corpus_that_is_not_at_hand_is_named(write, tmp_path):
    with pytest.raises(ValueError, match=r"the config of no/such cannot be read: .*facebook/hubert-large-ls960-ft"):
        report_of(write(audio_model="no/such"))
    with pytest.raises(ValueError, match=r"data is '.*nowhere', which is not at hand"):
        report_of(write(data=str(tmp_path / "nowhere")))
    assert published_corpus("data/iemocap").utterances == 4290 and published_corpus("x/MELD-prepared").seconds == 3.59
    assert published_corpus("data/nemo") is None
    assert backbone_config("microsoft/wavlm-large")[0].model_type == "wavlm"
