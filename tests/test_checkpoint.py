"""Full and thin checkpoints: exact round trips, and named errors for what does not fit."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel

from xser import XSERForEmotionDescription, XSERProcessor


def logits(model, processor, waves):
    with torch.no_grad():
        return model(**processor(waves[:2], task="describe")).logits


def randomise(model):
    """As if trained: LoRA's zeros would hide a mistake."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("thin", [False, True])
def test_save_load_save_is_bit_equal(tmp_path, tiny_pair, waves, thin):
    model, processor = tiny_pair
    expected = logits(randomise(model), processor, waves)
    for folder in (tmp_path / "first", tmp_path / "second"):
        model.save_pretrained(folder, thin=thin)
        processor.save_pretrained(folder)
        model = XSERForEmotionDescription.from_pretrained(folder).eval()
        processor = XSERProcessor.from_pretrained(folder)
        assert torch.equal(logits(model, processor, waves), expected)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_thin_holds_what_was_trained_alone(tmp_path, tiny_pair):
    model, _ = tiny_pair
    model.save_pretrained(tmp_path, thin=True)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert names == {name for name, p in model.named_parameters() if p.requires_grad}
    assert json.loads((tmp_path / "config.json").read_text())["thin"] is True
    assert model.config.thin is False


def test_a_thin_save_that_is_refused_leaves_the_model_as_it_was(tmp_path, tiny_pair):
    model, _ = tiny_pair
    model.config.text_model_id = None
    with pytest.raises(ValueError, match="text_model_id"):
        model.save_pretrained(tmp_path, thin=True)
    assert model.config.thin is False


def test_thin_and_full_answer_the_same(tmp_path, tiny_pair, waves):
    model, processor = tiny_pair
    randomise(model)
    outputs = []
    for thin in (False, True):
        model.save_pretrained(tmp_path / str(thin), thin=thin)
        outputs.append(logits(XSERForEmotionDescription.from_pretrained(tmp_path / str(thin)), processor, waves))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("missing", ["model.content.layer_mix.scores", "lora.A"])
def test_missing_weights_are_an_error_that_names_them(tmp_path, tiny_pair, thin, missing):
    model, _ = tiny_pair
    model.save_pretrained(tmp_path, thin=thin)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if missing not in name}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"{tmp_path.name}.* lacks weights: .*{missing}"):
        XSERForEmotionDescription.from_pretrained(tmp_path)


def test_weights_without_a_place_are_an_error(tmp_path, tiny_pair):
    model, _ = tiny_pair
    model.save_pretrained(tmp_path, thin=True)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({**weights, "stranger": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="no place for: stranger"):
        XSERForEmotionDescription.from_pretrained(tmp_path)


def test_a_saved_model_holds_safetensors_and_no_adapter_config(tmp_path, tiny_pair):
    model, _ = tiny_pair
    model.save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert "model.safetensors" in names and "adapter_config.json" not in names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pkl"))}


def test_the_first_layers_of_a_tower_hear_as_they_did_among_the_others(tmp_path, tiny_backbone_folders, waves):
    whole, processor = XSERForEmotionDescription.from_backbones(*tiny_backbone_folders)
    part, _ = XSERForEmotionDescription.from_backbones(*tiny_backbone_folders, audio_layers=1)
    inputs = processor(waves[:1], task="asr")
    heard = [
        model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])[0] for model in (whole, part)
    ]
    assert [len(states) for states in heard] == [3, 2]
    assert all(torch.equal(one, other) for one, other in zip(*heard, strict=False))
    expected = logits(randomise(part), processor, waves)
    for thin in (False, True):
        part.save_pretrained(tmp_path / str(thin), thin=thin)
        again = XSERForEmotionDescription.from_pretrained(tmp_path / str(thin)).eval()
        assert torch.equal(logits(again, processor, waves), expected)


@pytest.mark.parametrize("layers", [0, 3])
def test_layers_that_a_tower_does_not_have_are_refused(tiny_backbone_folders, layers):
    with pytest.raises(ValueError, match=rf"{layers} layers of the audio tower .* are wanted; it has 2"):
        XSERForEmotionDescription.from_backbones(*tiny_backbone_folders, audio_layers=layers)


def test_a_thin_checkpoint_on_another_tower_is_refused_naming_both(tmp_path, tiny_backbone_folders):
    model, _ = XSERForEmotionDescription.from_backbones(*tiny_backbone_folders)
    model.save_pretrained(tmp_path / "thin", thin=True)
    config = model.config.audio_config.to_dict()
    other = HubertModel(HubertConfig(**{**config, "hidden_size": 2 * config["hidden_size"]}))
    other.save_pretrained(tmp_path / "other")
    path = tmp_path / "thin" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"audio_model_id": str(tmp_path / "other")}))
    with pytest.raises(
        ValueError, match=r"audio tower .*other has hidden_size \d+, the checkpoint .*thin was made with"
    ):
        XSERForEmotionDescription.from_pretrained(tmp_path / "thin")
