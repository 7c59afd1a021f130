"""What a save holds is what the config says, and it comes to its place whole or not at all."""

import json
import os

import pytest
import torch
from conftest import SMALL, save_text_backbone
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from test_checkpoint import logits, randomise
from torch import nn

from xser import XSERForEmotionDescription


def break_heads(model):
    del model.ctc_head
    model.ctc_head = None


def widen_head(model):
    model.ctc_head = nn.Linear(model.ctc_head.in_features, model.ctc_head.out_features + 1)


def drop_lora(model):
    model.config.lora = None


def forget_rank(model):
    model.config.lora = {**model.config.lora, "rank": 2}


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_heads, r"lacks weights that its config wants: ctc_head\.bias, ctc_head\.weight"),
        (widen_head, r"other shapes than its config wants: ctc_head\.bias is \(258,\) and not \(257,\)"),
        (drop_lora, r"holds weights that its config has no place for: .*\.lora\.A"),
        (forget_rank, r"other shapes .*lora\.A is \(8, 32\) and not \(2, 32\)"),
    ],
)
def test_a_model_that_is_not_what_its_config_says_is_not_saved(tmp_path, tiny_pair, thin, change, message):
    model, _ = tiny_pair
    change(model)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path / "saved", thin=thin)
    assert os.listdir(tmp_path) == []


def test_a_language_model_whose_vocabulary_has_grown_is_not_saved_under_the_old_config(tmp_path, tiny_pair):
    model, _ = tiny_pair
    model.language_model.resize_token_embeddings(model.config.text_config.vocab_size + 8)
    with pytest.raises(ValueError, match=r"other shapes .*embed_tokens\.weight is \(\d+, 32\) and not"):
        model.save_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize(
    "options", [{"variant": "bf16"}, {"max_shard_size": "20KB"}, {"variant": "x", "max_shard_size": 9_000}]
)
def test_saves_with_a_variant_or_in_shards_load(tmp_path, tiny_pair, waves, thin, options):
    model, processor = tiny_pair
    expected = logits(randomise(model), processor, waves)
    model.save_pretrained(tmp_path, thin=thin, **options)
    files = list(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) is ("max_shard_size" in options) and not (tmp_path / "model.safetensors").exists()
    variant = {key: options[key] for key in options if key == "variant"}
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path, **variant)
    assert torch.equal(logits(loaded, processor, waves), expected)


@pytest.mark.parametrize("thin", [False, True])
def test_a_variant_that_is_not_there_is_refused_by_name(tmp_path, tiny_pair, thin):
    model, _ = tiny_pair
    model.save_pretrained(tmp_path, thin=thin)
    with pytest.raises(ValueError, match=r"neither model\.fp16\.safetensors nor an index"):
        XSERForEmotionDescription.from_pretrained(tmp_path, variant="fp16")


def test_the_newest_save_is_what_loads_whatever_lay_there(tmp_path, tiny_pair, waves):
    model, processor = tiny_pair
    (tmp_path / "README.md").write_text("mine")
    for seed, options in enumerate([{}, {"max_shard_size": "20KB"}, {"max_shard_size": "40KB"}, {}]):
        torch.manual_seed(seed)
        with torch.no_grad():
            model.ctc_head.bias.normal_()
            model.model.content.layer_mix.scores.normal_()
        model.save_pretrained(tmp_path, **options)
        loaded = XSERForEmotionDescription.from_pretrained(tmp_path)
        assert torch.equal(logits(loaded, processor, waves), logits(model, processor, waves))
    assert (tmp_path / "README.md").read_text() == "mine"
    assert [path.name for path in tmp_path.glob("model*") if path.suffix != ".py"] == ["model.safetensors"]


@pytest.mark.parametrize("thin", [False, True])
def test_a_save_that_breaks_off_leaves_what_was_there(tmp_path, tiny_pair, monkeypatch, thin):
    model, _ = tiny_pair
    folder = tmp_path / "model"
    model.save_pretrained(folder, thin=thin)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    from transformers import modeling_utils

    def full_disk(tensors, path, **options):
        with open(path, "wb") as file:
            file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(modeling_utils, "safe_save_file", full_disk)
    randomise(model)
    for place in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="no space left"):
            model.save_pretrained(place, thin=thin)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert os.listdir(tmp_path) == ["model"]
    assert model.config.thin is False


def test_a_given_state_is_saved_and_of_a_thin_save_what_was_trained(tmp_path, tiny_pair):
    model, _ = tiny_pair
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["ctc_head.bias"] += 1
    for thin in (False, True):
        model.save_pretrained(tmp_path / str(thin), thin=thin, state_dict=state)
        saved = load_file(tmp_path / str(thin) / "model.safetensors")
        assert torch.equal(saved["ctc_head.bias"], state["ctc_head.bias"])
        assert any(name.startswith("model.audio_tower.") for name in saved) is not thin


def test_a_thin_save_of_a_language_model_that_was_trained_and_ties_its_embeddings_loads(
    tmp_path, tiny_backbone_folders, tiny_tokenizer, waves
):
    text = save_text_backbone(tmp_path / "text", tiny_tokenizer, tie_word_embeddings=True)
    model, processor = XSERForEmotionDescription.from_backbones(
        tiny_backbone_folders[0], text, freeze_language_model=False, **SMALL
    )
    expected = logits(randomise(model), processor, waves)
    model.save_pretrained(tmp_path / "thin", thin=True)
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path / "thin")
    assert torch.equal(logits(loaded, processor, waves), expected)
    assert loaded.language_model.lm_head.weight is loaded.language_model.get_input_embeddings().weight


def test_a_thin_checkpoint_keeps_its_generation_config(tmp_path, tiny_pair):
    model, _ = tiny_pair
    model.generation_config.max_new_tokens = 17
    model.save_pretrained(tmp_path, thin=True)
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path).generation_config
    assert (loaded.max_new_tokens, loaded.eos_token_id) == (17, model.generation_config.eos_token_id)


def test_a_file_is_no_place_for_a_model(tmp_path, tiny_pair):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="taken is a file"):
        tiny_pair[0].save_pretrained(tmp_path / "taken")


def test_weights_of_another_shape_are_an_error_even_where_the_caller_would_not_mind(tmp_path, tiny_pair):
    model, _ = tiny_pair
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"ctc_unit": "token"}))
    with pytest.raises(ValueError, match=r"lacks weights: ctc_head"):
        XSERForEmotionDescription.from_pretrained(tmp_path, ignore_mismatched_sizes=True)


def test_frozen_weights_that_were_changed_are_saved_in_full_alone(tmp_path, tiny_pair, waves):
    model, processor = tiny_pair
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    merged = get_peft_model(randomise(model), config).merge_and_unload()
    expected = logits(merged, processor, waves)
    with pytest.raises(ValueError, match=r"no longer those of \w+_model_id .*save in full"):
        merged.save_pretrained(tmp_path / "thin", thin=True)
    merged.save_pretrained(tmp_path / "full")
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path / "full")
    assert torch.equal(logits(loaded, processor, waves), expected)
    with pytest.raises(ValueError, match="text_model_id"):  # nor after it was loaded again
        loaded.save_pretrained(tmp_path / "thin", thin=True)
    assert os.listdir(tmp_path) == ["full"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_another_dtype_is_no_change(tmp_path, tiny_pair, dtype):
    model, _ = tiny_pair
    randomise(model).to(dtype).save_pretrained(tmp_path, thin=True)
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path, dtype=dtype)
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in loaded.state_dict().items())
    assert loaded.config.text_model_id == model.config.text_model_id is not None
