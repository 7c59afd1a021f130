"""Guards configs/paper: every system of the paper's tables parses, trains what its stages name and nothing else."""

import itertools
import re
from pathlib import Path

import pytest
import torch
import yaml
from training_corpus import make_audiofolder

from xser import XSERForEmotionDescription
from xser.train import build_model, main
from xser.training.arguments import CLASSIFIER, parse_config
from xser.training.classifier import load_classifier
from xser.training.config_files import read_yaml
from xser.training.groups import group_of

PAPER = Path(__file__).parents[1] / "configs" / "paper"
PLACES = {  # preset → the rows of the paper's tables that it stands for
    "full": [(1, 3), (2, 7), (3, 4)],
    "no_descriptors": [(2, 5), (3, 3)],
    "no_asr": [(1, 2), (2, 6), (3, 1)],
    "alternating_only": [(1, 1), (2, 4)],
    "two_stage": [(3, 2)],
    "beta_1": [(3, 5)],
    "beta_0.1": [(3, 6)],
    "beta_0.001": [(3, 7)],
    "beta_0.0001": [(3, 8)],
    "classifier_hubert": [(2, 1)],
    "classifier_wavlm": [(2, 2)],
    "classifier_wav2vec2": [(2, 3)],
}
CORPORA = ("iemocap", "meld", "speechcraft")
HEADS = ("emotion_head.", "ctc_head.", "model.layer_mix.", "model.layer_norm.")


def header(name: str) -> str:
    """The comment that a preset begins with."""
    lines = (PAPER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.removeprefix("#").strip() for line in comment)


def test_there_is_a_preset_for_every_row_and_no_other():
    assert {path.stem for path in PAPER.glob("*.yaml")} == {*PLACES, *CORPORA, "base"}
    rows = {1: 3, 2: 7, 3: 8}
    assert sorted({place for places in PLACES.values() for place in places}) == [
        (table, system) for table, count in rows.items() for system in range(1, count + 1)
    ]


@pytest.mark.parametrize("name", PLACES)
def test_a_header_names_table_and_row_and_what_is_stated_and_ours(name):
    text = header(name)
    named = [(int(table), int(system)) for table, system in re.findall(r"[Tt]able (\d), system (\d)", text)]
    assert named == PLACES[name]
    assert f"python train.py configs/paper/{name}.yaml" in text
    if name != "full":  # says so in base.yaml
        assert "Stated:" in text and "Ours" in text


@pytest.mark.parametrize("name", CORPORA)
def test_a_header_of_a_corpus_names_its_table(name):
    text = header(name)
    assert re.match(r"Table \d, ", text) and "Stated:" in text and "Ours:" in text
    assert f"python train.py configs/paper/{name}.yaml --dry_run" in text


def test_the_base_says_what_beta_weighs():
    text = header("base")
    assert "how the KL is reduced (unknown there; here beta weighs nats a frame" in text and "bits a second" in text


def test_lines_fit():
    for path in PAPER.glob("*.yaml"):
        assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 119, path


@pytest.mark.parametrize(
    ("name", "beta"), [("full", 0.01), ("beta_1", 1), ("beta_0.1", 0.1), ("beta_0.001", 1e-3), ("beta_0.0001", 1e-4)]
)
def test_one_beta_for_both_streams_and_the_layers_as_stated(name, beta):
    options = read_yaml(PAPER / f"{name}.yaml")
    stated = {"encoder_layers": 2, "sigma": "softplus", "beta": beta}
    for stream in ("content_bottleneck", "descriptor_bottleneck"):
        assert options[stream].items() >= stated.items()
    assert options["adapter_activation"] == "relu" and options["frame_stack"] == 5
    assert options["answer"] == "caption" and options["asr_descriptors"] == "zero"
    assert options["system_prompt"] == "You are a helpful language and speech assistant."


def test_stages_as_stated():
    _, _, training = parse_config([str(PAPER / "full.yaml"), "--data", "somewhere", "--use_cpu", "true"])
    asr, joint = training.stage_list
    assert (asr.task, asr.trains, asr.epochs) == ("asr", ("content", "lora"), 4)
    assert (asr.learning_rate, asr.lr_scheduler_type, asr.warmup_ratio) == (2e-4, "constant_with_warmup", 0.03)
    assert (joint.task, joint.trains, joint.epochs) == ("describe", ("descriptors", "lora"), 4)
    assert (joint.learning_rate, joint.lr_scheduler_type, joint.warmup_ratio) == (2e-5, "cosine", 0.03)
    assert training.schedule == "alternating" and training.per_device_train_batch_size == 8


@pytest.mark.parametrize("row", [name for name in PLACES if name != "full"])
@pytest.mark.parametrize("corpus", CORPORA)
def test_every_row_goes_with_every_corpus(corpus, row):
    argv = [str(PAPER / f"{corpus}.yaml"), "--base", str(PAPER / f"{row}.yaml"), "--use_cpu", "true"]
    model, data, training = parse_config(argv)
    alone = parse_config([str(PAPER / f"{row}.yaml"), "--data", "somewhere", "--use_cpu", "true"])
    assert data.data == f"data/{corpus}" and training.output_dir == f"runs/paper/{corpus}"
    assert (model.audio_model, model.text_model) == (alone[0].audio_model, alone[0].text_model)
    assert model.descriptors == alone[0].descriptors and training.stages == alone[2].stages


@pytest.fixture(scope="module")
def overrides(tiny_backbone_folders, tmp_path_factory):
    """Tiny backbones, tones for data, two steps."""
    root = tmp_path_factory.mktemp("data")
    audio, text = map(str, tiny_backbone_folders)
    return {
        "audio_model": audio,
        "text_model": text,
        "data": str(make_audiofolder(root / "tones")),
        "corpus_options": {"cache_dir": str(root / "cache")},
        "train_split": None,
        "emotions": ["angry", "happy", "sad", "neutral", "fearful", "surprised"],
        "per_device_train_batch_size": 4,
        "save_strategy": "no",
        "weight_decay": 0.5,  # moves what is touched, and nothing else
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }


def two_steps(name: str) -> dict:
    """Lengths of a run of one step a stage: two, or one stage's two; their learning rates are the preset's."""
    options = read_yaml(PAPER / f"{name}.yaml")
    if "stages" not in options:
        return {"max_steps": 2, "num_train_epochs": None}
    each = 2 // len(options["stages"])
    gone = {"epochs": None, "turn_epochs": None, "warmup_ratio": None, "warmup_steps": 0, "steps": each}
    return {"stages": {stage: {**given, **gone} for stage, given in options["stages"].items()}}


@pytest.mark.parametrize("name", PLACES)
def test_two_steps_move_what_the_stages_train_and_nothing_else(name, overrides, tmp_path):
    options = {
        "base": str(PAPER / f"{name}.yaml"),
        **overrides,
        **two_steps(name),
        "output_dir": str(tmp_path / "run"),
    }
    if name.startswith("classifier"):
        options["text_model"] = None
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(options))
    model_arguments, _, training = parse_config([str(path)])
    torch.manual_seed(training.seed)
    before, _, _ = build_model(model_arguments)
    main([str(path)])
    is_classifier = model_arguments.system == CLASSIFIER
    load = load_classifier if is_classifier else XSERForEmotionDescription.from_pretrained
    after = dict(load(tmp_path / "run" / "final").named_parameters())
    if is_classifier:
        trains = None
    else:
        trains = {group for stage in training.stage_list for group in stage.trains}
    unmoved = []
    for key, weight in before.named_parameters():
        is_trained = key.startswith(HEADS) if trains is None else group_of(key) in trains
        has_moved = not weight.equal(after[key])
        assert has_moved <= is_trained, f"{key} is frozen and has moved"
        if is_trained and not has_moved:
            unmoved.append(key)
    assert not unmoved
