"""LoRA as a part of the model: where it lies, checkpoints of earlier versions, and merging it for good."""

import json

import pytest
import torch
from conftest import SMALL, save_text_backbone
from safetensors.torch import load_file, save_file
from test_checkpoint import logits, randomise
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from xser import XSERForEmotionDescription
from xser.lora_xser import lora_layers


def test_a_layer_with_lora_is_the_layer_it_was_and_adds_the_low_rank_part(tiny_pair, tiny_backbone_folders):
    model, _ = tiny_pair
    randomise(model)
    name, layer = next(lora_layers(model.language_model))
    original = AutoModelForCausalLM.from_pretrained(tiny_backbone_folders[1]).get_submodule(name)
    assert type(layer) is type(original) and torch.equal(layer.weight, original.weight)
    states = torch.randn(2, 5, layer.in_features)
    lora = model.config.lora
    expected = original(states) + states @ layer.lora.A.T @ layer.lora.B.T * lora["alpha"] / lora["rank"]
    torch.testing.assert_close(layer(states), expected)


@pytest.mark.parametrize(
    ("targets", "ends"), [(["q_proj"], {"q_proj"}), (("self_attn.v_proj", "up_proj"), {"v_proj", "up_proj"})]
)
def test_targets_are_ends_of_names(tiny_backbone_folders, targets, ends):
    lora = {"target_modules": targets}
    model, _ = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), lora=lora, **SMALL)
    assert {name.rpartition(".")[2] for name, _ in lora_layers(model)} == ends
    assert len(list(lora_layers(model))) == 2 * len(ends)


def test_a_target_that_fits_nothing_is_refused_with_the_nearest(tiny_backbone_folders):
    lora = {"target_modules": ["q_proj", "v_porj"]}
    with pytest.raises(ValueError, match=r"'v_porj', which is no linear layer .* the nearest is 'v_proj'"):
        XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), lora=lora, **SMALL)


def old_name(name: str, layers: set[str]) -> str:
    """As the version before named it, when LoRA was an adapter of PEFT's."""
    if name.endswith((".lora.A", ".lora.B")):
        return f"{name[:-1].removesuffix('lora.')}lora_{name[-1]}.default.weight"
    layer, _, end = name.rpartition(".")
    return f"{layer}.base_layer.{end}" if layer in layers else name


@pytest.mark.parametrize("thin", [False, True])
def test_checkpoints_of_earlier_versions_load_exactly_and_are_saved_with_todays_names(
    tmp_path, tiny_pair, waves, thin
):
    model, processor = tiny_pair
    expected = logits(randomise(model), processor, waves)
    model.save_pretrained(tmp_path, thin=thin)
    weights = load_file(tmp_path / "model.safetensors")
    layers = {name for name, _ in lora_layers(model)}
    old = {old_name(name, layers): tensor for name, tensor in weights.items()}
    assert any(".lora_A.default." in name for name in old) and (thin or any(".base_layer." in name for name in old))
    save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path)
    assert torch.equal(logits(loaded, processor, waves), expected)
    loaded.save_pretrained(tmp_path / "again", thin=thin)
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert again.keys() == weights.keys() and all(torch.equal(again[name], weights[name]) for name in weights)


# ---------------------------------------------------------------- merging


def test_a_merged_model_answers_the_same_is_saved_in_full_and_loads(tmp_path, tiny_pair, waves):
    model, processor = tiny_pair
    expected = logits(randomise(model), processor, waves)
    assert model.merge_lora() is model
    torch.testing.assert_close(logits(model, processor, waves), expected, rtol=1e-3, atol=1e-4)
    assert model.config.lora is None and not list(lora_layers(model))
    assert not any(parameter.requires_grad for parameter in model.language_model.parameters())
    merged = logits(model, processor, waves)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["lora"] is None
    assert torch.equal(logits(XSERForEmotionDescription.from_pretrained(tmp_path), processor, waves), merged)
    with pytest.raises(ValueError, match="lora is null"):
        model.merge_lora()


def test_a_merged_model_is_not_saved_thin_for_its_language_model_lies_nowhere_else(tmp_path, tiny_pair):
    model, _ = tiny_pair
    randomise(model).merge_lora()
    with pytest.raises(ValueError, match="text_model_id"):
        model.save_pretrained(tmp_path / "thin", thin=True)
    assert not (tmp_path / "thin").exists()


def test_an_adapter_of_pefts_stays_where_it_is_when_lora_is_merged_beneath_it(tiny_pair, waves):
    from peft import LoraConfig

    model, processor = tiny_pair
    randomise(model).add_adapter(LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    expected = logits(model, processor, waves)
    model.merge_lora()
    torch.testing.assert_close(logits(model, processor, waves), expected, rtol=1e-3, atol=1e-4)
    assert model.active_adapters() == ["default"]


def test_lora_goes_on_convolutions_of_gpt2_too_and_is_merged_there(
    tmp_path, tiny_backbone_folders, tiny_tokenizer, waves
):
    ids = {"bos_token_id": None, "eos_token_id": tiny_tokenizer.eos_token_id}
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 2048}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tiny_tokenizer), **size, **ids)).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    model, processor = XSERForEmotionDescription.from_backbones(
        tiny_backbone_folders[0], tmp_path, lora={"target_modules": ["c_attn", "c_proj"]}, **SMALL
    )
    expected = logits(randomise(model), processor, waves)
    torch.testing.assert_close(logits(model.merge_lora(), processor, waves), expected, rtol=1e-3, atol=1e-4)


def test_lora_on_tied_embeddings_is_not_merged(tmp_path, tiny_backbone_folders, tiny_tokenizer):
    text = save_text_backbone(tmp_path, tiny_tokenizer, tie_word_embeddings=True)
    lora = {"target_modules": ["q_proj", "lm_head"]}
    model, _ = XSERForEmotionDescription.from_backbones(tiny_backbone_folders[0], text, lora=lora, **SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="lm_head is tied to the input embeddings"):
        model.merge_lora()
    assert model.config.lora is not None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
