"""An option that there is not is refused wherever it is given, with the nearest that there is."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModel

from xser import XSERConfig, XSERForEmotionDescription


@pytest.fixture
def saved(tiny_pair, tmp_path):
    model, processor = tiny_pair
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return tmp_path


def refused(name: str, nearest: str):
    return pytest.raises(ValueError, match=rf"unknown options \['{name}'\].*the nearest is '{nearest}'")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("label", "labels"),
        ("ctc_label", "ctc_labels"),
        ("input_value", "input_values"),
        ("heads_onli", "heads_only"),
        ("use_cach", "use_cache"),
        ("atention_mask", "attention_mask"),
    ],
)
def test_by_forward(tiny_pair, waves, name, nearest):
    model, processor = tiny_pair
    batch = processor(waves[:1], task="asr", targets=["we won"])
    with refused(name, nearest):
        model(**batch, **{name: torch.zeros(1)})


def test_by_forward_where_a_prefix_alone_is_right(tiny_pair, waves):
    model, processor = tiny_pair
    with pytest.raises(ValueError, match=r"unknown options \['aux_face'\]"):
        model(**processor(waves[:1]), aux_face=torch.zeros(1, 1, 1))
    with pytest.raises(ValueError, match=r"unknown options \['noise_sed'\] of XSERModel"):
        batch = processor(waves[:1])
        model.hear(batch["input_ids"], input_values=batch["input_values"], noise_sed=torch.zeros(1))


@pytest.mark.parametrize(
    ("name", "nearest"), [("max_new_token", "max_new_tokens"), ("do_sampl", "do_sample"), ("loudnes", "loudness")]
)
def test_by_generate(tiny_pair, waves, name, nearest):
    model, processor = tiny_pair
    with refused(name, nearest):
        model.generate(**processor(waves[:1], task="asr"), **{name: 5})


def test_what_is_the_language_models_reaches_it(tiny_pair, waves):
    model, processor = tiny_pair
    batch = processor(waves[:1], task="asr")
    assert model(**batch, use_cache=True).past_key_values is not None
    assert model(**batch, use_cache=False, logits_to_keep=1).logits.shape[1] == 1
    assert model.generate(**batch, max_new_tokens=3, do_sample=False, num_beams=2).shape[1] <= 3


@pytest.mark.parametrize(
    ("options", "name", "nearest"),
    [
        ({"frame_stak": 2}, "frame_stak", "frame_stack"),
        ({"emotion": ["a", "b"]}, "emotion", "emotions"),
        ({"content_bottlenek": {}}, "content_bottlenek", "content_bottleneck"),
    ],
)
def test_by_the_config(options, name, nearest):
    with refused(name, nearest):
        XSERConfig(**options)


@pytest.mark.parametrize("field", ["lora", "content_bottleneck"])
def test_by_mappings_of_the_config(field):
    key, nearest = {"lora": ("rnak", "rank"), "content_bottleneck": ("latent_siz", "latent_size")}[field]
    with pytest.raises(ValueError, match=rf"{field} has unknown keys \['{key}'\]: the nearest is '{nearest}'"):
        XSERConfig(**{field: {key: 4}})


def test_what_transformers_gives_a_config_is_taken():
    config = XSERConfig(
        dtype="bfloat16", num_labels=3, attn_implementation="eager", name_or_path="x", output_hidden_states=True
    )
    assert config.dtype == torch.bfloat16 and config._attn_implementation == "eager"
    assert XSERConfig.from_dict(config.to_dict()).to_dict() == config.to_dict()


def test_by_a_config_file_only_where_it_looks_like_a_field_of_ours(saved):
    path = saved / "config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "temperature": 0.5, "of_a_later_transformers": 1, "use_cache": True}))
    assert XSERConfig.from_pretrained(saved).emotions == fields["emotions"]
    assert XSERForEmotionDescription.from_pretrained(saved).config.emotions == fields["emotions"]
    path.write_text(json.dumps({**fields, "frame_stak": 2}))
    for load in (XSERConfig.from_pretrained, AutoConfig.from_pretrained, AutoModel.from_pretrained):
        with pytest.raises(ValueError, match="nearest is 'frame_stack'"):
            load(saved)


def test_by_loading_a_config(saved):
    with refused("frame_stak", "frame_stack"):
        XSERConfig.from_pretrained(saved, frame_stak=2)
    config = XSERConfig.from_pretrained(saved, silence_dbfs=-50, content_bottleneck={"latent_size": 3})
    assert (config.silence_dbfs, config.content_bottleneck["beta"]) == (-50, 1e-2)
    with pytest.raises(ValueError, match="silence_dbfs is 3"):
        XSERConfig.from_pretrained(saved, silence_dbfs=3)


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize(
    ("name", "nearest"), [("frame_stak", "frame_stack"), ("device_mapp", "device_map"), ("dtyp", "dtype")]
)
def test_by_loading_a_model(tiny_pair, tmp_path, thin, name, nearest):
    tiny_pair[0].save_pretrained(tmp_path, thin=thin)
    for loader in (XSERForEmotionDescription, AutoModel):
        with refused(name, nearest):
            loader.from_pretrained(tmp_path, **{name: 2})


@pytest.mark.parametrize("loader", [XSERForEmotionDescription, AutoModel])
def test_fields_of_the_config_may_be_given_anew_when_a_model_is_loaded(saved, loader):
    assert loader.from_pretrained(saved, silence_dbfs=-45.0).config.silence_dbfs == -45
    with pytest.raises(ValueError, match="silence_dbfs is 5"):
        loader.from_pretrained(saved, silence_dbfs=5)


def test_by_a_thin_checkpoint_what_it_cannot_do(tiny_pair, tmp_path):
    tiny_pair[0].save_pretrained(tmp_path, thin=True)
    with pytest.raises(ValueError, match=r"unknown options \['ignore_mismatched_sizes'\] of .* a thin checkpoint"):
        XSERForEmotionDescription.from_pretrained(tmp_path, ignore_mismatched_sizes=True)


def test_by_saving_and_by_from_backbones(tiny_pair, tiny_backbone_folders, tmp_path):
    with refused("max_shard_siz", "max_shard_size"):
        tiny_pair[0].save_pretrained(tmp_path, max_shard_siz="1GB")
    with refused("frame_stak", "frame_stack"):
        XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), frame_stak=2)
