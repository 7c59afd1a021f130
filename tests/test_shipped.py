"""The shipped checkpoint is what the README says: small, complete, free of pickles, of this version of the code."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import xser

ROOT = Path(xser.__file__).parent
SHIPPED = ROOT / "checkpoints" / "xser-tiny"

pytestmark = pytest.mark.skipif(not SHIPPED.is_dir(), reason="checkpoints/xser-tiny is not there")


def test_its_code_is_that_of_the_package():
    code = {path.name for path in ROOT.glob("*_xser.py")}
    assert {path.name for path in SHIPPED.glob("*.py")} == code
    stale = [name for name in code if (SHIPPED / name).read_text() != (ROOT / name).read_text()]
    assert not stale, f"{stale} in {SHIPPED.name} differ from the package: make checkpoint-code"


def test_it_is_small_and_in_bfloat16():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 8_000_000
    weights = load_file(SHIPPED / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_it_tells_nothing_of_the_machine_it_was_made_on():
    config = json.loads((SHIPPED / "config.json").read_text())
    for part in (config, config["audio_config"], config["text_config"]):
        assert "_name_or_path" not in part
    assert config["audio_model_id"] is None and config["text_model_id"] is None


def test_its_card_says_how_it_was_trained():
    card = (SHIPPED / "README.md").read_text()
    assert "configs/tiny-pretrain.yaml" in card and "configs/xser-tiny.yaml" in card and "seed" in card
