"""A thin model goes up with the hashes of its backbones; without ids, hashes or backbones it does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SMALL, save_text_backbone, save_tower
from publishing_folder import metadata, publish
from transformers import AutoTokenizer

import xser
from xser import XSERForEmotionDescription
from xser.backbone_sources_xser import HUB_FILES, ON_THE_HUB, TRAINED_ON
from xser.publishing.problems import PublishError

AUDIO, TEXT = HUB_FILES
ROOT = Path(xser.__file__).parent


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_tokenizer_folder):
    """(folder of tiny backbones, folder of a thin model around their ids)."""
    root = tmp_path_factory.mktemp("thin")
    save_tower(root / "backbones" / "whisper-base", "whisper")
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer_folder)
    save_text_backbone(root / "backbones" / "smollm2-135m-instruct", tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XSER_BACKBONES", str(root / "backbones"))
        torch.manual_seed(0)
        options = {**SMALL, "max_audio_seconds": 10.0, "trained_on": ["nemo"]}
        model, processor = XSERForEmotionDescription.from_backbones(AUDIO, TEXT, **options)
        model.save_pretrained(root / "model", thin=True, dtype="bfloat16")
        processor.save_pretrained(root / "model")
    return root


@pytest.fixture
def thin(made, tmp_path, monkeypatch):
    """A thin model that a test may change, its backbones found."""
    import shutil

    monkeypatch.setenv("XSER_BACKBONES", str(made / "backbones"))
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(made / "model", tmp_path / "model"))


def change(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_its_card_names_both_sources_of_each_backbone(thin, tmp_path):
    out = publish(thin, tmp_path / "out")
    config, card = json.loads((out / "config.json").read_text()), (out / "README.md").read_text()
    assert config["audio_model_id"] == AUDIO and config["text_model_id"] == TEXT and config["thin"] is True
    assert metadata(out)["base_model"] == [AUDIO, TEXT]
    for field, name in (("audio_model_id", AUDIO), ("text_model_id", TEXT)):
        first = config["backbone_sources"][field][0]["sha256"]
        assert f"| `{name}` | {TRAINED_ON} | weights, sha256 `{first}` |" in card
        assert f"| `{name}` | {ON_THE_HUB} | model.safetensors, sha256 `{HUB_FILES[name]}` |" in card
    assert "`xser backbones` fetches what it was trained on" in card and "| trained on | nemo |" in card
    assert "stored here; those of the backbones lie at their ids" in card


def test_a_full_model_has_no_such_section(tiny_pair, tmp_path):
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "full")
    card = (publish(tmp_path / "full", tmp_path / "out") / "README.md").read_text()
    assert "## Its backbones" not in card and "stored here" not in card and "| trained on |" not in card


@pytest.mark.parametrize("sources", [None, {"audio_model_id": [{"source": "x", "sha256": "0" * 64}]}])
def test_a_thin_model_without_hashes_is_refused(thin, tmp_path, sources):
    change(thin, backbone_sources=sources)
    with pytest.raises(PublishError, match=r"backbone_sources\.text_model_id is None: the hash of its weights is not"):
        publish(thin, tmp_path / "out")


def test_hashes_of_another_form_are_refused(thin, tmp_path):
    change(thin, backbone_sources={"audio_model_id": [{"source": "x", "sha256": "12"}]})
    with pytest.raises(PublishError, match="64 hex digits"):
        publish(thin, tmp_path / "out")


def test_a_thin_model_whose_backbones_are_not_here_is_refused_with_the_command(thin, tmp_path, monkeypatch):
    monkeypatch.delenv("XSER_BACKBONES")
    with pytest.raises(PublishError, match=rf"{AUDIO}.*not on this machine.*: xser backbones"):
        publish(thin, tmp_path / "out")


@pytest.mark.slow
def test_a_dry_run_loads_it_on_its_backbones_by_a_relative_path_too(thin, made):
    options = ["--model", str(thin), "--repo", "someone/xser-test", "--license", "mit", "--dry_run"]
    command = [sys.executable, str(ROOT / "push_to_hub.py"), *options]
    environment = {**os.environ, "XSER_BACKBONES": "backbones"}
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "AutoModel: XSERForEmotionDescription" in done.stdout and "dry run: nothing was uploaded" in done.stdout
