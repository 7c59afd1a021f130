"""The shipped checkpoints are what the README says: small, complete, free of pickles, of this version of the code."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import xser

ROOT = Path(xser.__file__).parent
TRAINED = {  # name → what its card says of how it was trained
    "xser-tiny": ("pretrain_tower.py", "CC BY 4.0", "configs/tiny-pretrain.yaml", "configs/xser-tiny.yaml", "seed"),
    "xser-nemo": ("pretrain_tower.py", "configs/xser-nemo.yaml", "seed", "CC BY-NC-SA 4.0", "Iwona Christop"),
}


@pytest.fixture(params=TRAINED)
def shipped(request) -> Path:
    return ROOT / "checkpoints" / request.param


def test_its_code_is_that_of_the_package(shipped):
    code = {path.name for path in ROOT.glob("*_xser.py")}
    assert {path.name for path in shipped.glob("*.py")} == code
    stale = [name for name in code if (shipped / name).read_text() != (ROOT / name).read_text()]
    assert not stale, f"{stale} in {shipped.name} differ from the package: make checkpoint-code"


def test_it_is_small_and_in_bfloat16(shipped):
    sizes = {path: path.stat().st_size for path in shipped.iterdir()}
    assert sum(size for path, size in sizes.items() if path.suffix != ".py") <= 7_750_000
    assert sum(size for path, size in sizes.items() if path.suffix == ".py") <= 600_000  # the code beside it
    weights = load_file(shipped / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_it_tells_nothing_of_the_machine_it_was_made_on(shipped):
    config = json.loads((shipped / "config.json").read_text())
    for part in (config, config["audio_config"], config["text_config"]):
        assert "_name_or_path" not in part
    assert config["audio_model_id"] is None and config["text_model_id"] is None


def test_its_card_says_how_it_was_trained(shipped):
    card = (shipped / "README.md").read_text()
    assert not [words for words in TRAINED[shipped.name] if words not in card]
