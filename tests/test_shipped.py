"""The shipped checkpoints are what the README says: small, complete, free of pickles, of this version of the code."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import xser
from xser.backbone_sources_xser import FIELDS, HUB_FILES, ON_THE_HUB, TRAINED_ON

ROOT = Path(xser.__file__).parent
TRAINED = {  # name → what its card says of how it was trained
    "xser-tiny": ("pretrain_tower.py", "CC BY 4.0", "configs/tiny-pretrain.yaml", "configs/xser-tiny.yaml", "seed"),
    "xser-nemo": ("pretrain_tower.py", "configs/xser-nemo.yaml", "seed", "CC BY-NC-SA 4.0", "Iwona Christop"),
    "xser-base": ("configs/xser-base.yaml", "seed", "CC BY-NC-SA 4.0", "Iwona Christop", "RAVDESS", "Kokoro-82M"),
}
THIN = ("xser-base",)  # without its backbones
MEGABYTE = 1_000_000


@pytest.fixture(params=TRAINED)
def shipped(request) -> Path:
    return ROOT / "checkpoints" / request.param


def test_its_code_is_that_of_the_package(shipped):
    code = {path.name for path in ROOT.glob("*_xser.py")}
    assert {path.name for path in shipped.glob("*.py")} == code
    stale = [name for name in code if (shipped / name).read_text() != (ROOT / name).read_text()]
    assert not stale, f"{stale} in {shipped.name} differ from the package: make checkpoint-code"


def test_it_is_small_and_in_half_precision(shipped):
    is_thin = shipped.name in THIN
    sizes = {path: path.stat().st_size for path in shipped.iterdir()}
    most = 16 * MEGABYTE if is_thin else 7.75 * MEGABYTE
    assert sum(size for path, size in sizes.items() if path.suffix != ".py") <= most
    assert sum(size for path, size in sizes.items() if path.suffix == ".py") <= 0.6 * MEGABYTE  # the code beside it
    weights = load_file(shipped / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16 if is_thin else torch.bfloat16}


def test_it_tells_nothing_of_the_machine_it_was_made_on(shipped):
    config = json.loads((shipped / "config.json").read_text())
    for part in (config, config["audio_config"], config["text_config"]):
        assert "_name_or_path" not in part
    backbones = [config["audio_model_id"], config["text_model_id"]]
    assert backbones == ([*HUB_FILES] if shipped.name in THIN else [None, None])


@pytest.mark.parametrize("name", THIN)
def test_a_thin_one_names_the_backbones_that_it_was_trained_on_by_their_hashes(name):
    config = json.loads((ROOT / "checkpoints" / name / "config.json").read_text())
    named = {field: [source["source"] for source in sources] for field, sources in config["backbone_sources"].items()}
    assert config["thin"] and named == {field: [TRAINED_ON, ON_THE_HUB] for field in FIELDS}


def test_its_card_says_how_it_was_trained(shipped):
    card = (shipped / "README.md").read_text()
    assert not [words for words in TRAINED[shipped.name] if words not in card]
