"""A quantised language model, by a stand-in that packs weights into bytes as 4-bit and 8-bit libraries do."""

import json

import pytest
import torch
from conftest import SMALL
from test_checkpoint import logits, randomise
from torch import nn
from transformers import AutoModel
from transformers.quantizers import HfQuantizer
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from xser import XSERForEmotionDescription
from xser.bottleneck_xser import compute_dtype
from xser.lora_xser import lora_layers
from xser.training.export import export_backbones

METHOD = "bytes-for-tests"


class PackedLinear(nn.Linear):
    """Weights as one column of bytes, with their scale."""

    @classmethod
    def of(cls, linear: nn.Linear) -> "PackedLinear":
        packed = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        scale = linear.weight.abs().max().float() / 127
        values = (linear.weight.float() / scale).round().to(torch.int8).view(torch.uint8).reshape(-1, 1)
        packed.weight, packed.bias = nn.Parameter(values, requires_grad=False), linear.bias
        packed.scale = scale
        return packed

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        weight = self.weight.view(torch.int8).view(self.out_features, self.in_features).float() * self.scale
        bias = None if self.bias is None else self.bias.float()
        return nn.functional.linear(states.float(), weight, bias).to(states.dtype)


class PackedEmbedding(nn.Embedding):
    """The same for embeddings."""

    @classmethod
    def of(cls, embedding: nn.Embedding) -> "PackedEmbedding":
        linear = PackedLinear.of(nn.Linear(*embedding.weight.shape[::-1], bias=False).requires_grad_(False))
        packed = cls(*embedding.weight.shape, device="meta")
        packed.shape, packed.weight, packed.scale = embedding.weight.shape, linear.weight, linear.scale
        packed.compute_dtype = embedding.weight.dtype
        return packed

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return (self.weight.view(torch.int8).view(self.shape).float() * self.scale)[ids].to(self.compute_dtype)


def pack(model: nn.Module, but=()) -> None:
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and name not in but:
            model.set_submodule(name, PackedLinear.of(module))


@register_quantization_config(METHOD)
class BytesConfig(QuantizationConfigMixin):
    def __init__(self, quant_method=METHOD, **kwargs):
        self.quant_method = quant_method


@register_quantizer(METHOD)
class BytesQuantizer(HfQuantizer):
    requires_calibration = False

    def _process_model_after_weight_loading(self, model, **kwargs):
        pack(model, self.get_modules_to_not_convert(model, [], None))

    def is_serializable(self):
        return True

    @property
    def is_trainable(self):
        return True


def packed_names(model) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, PackedLinear)}


def check_parts(model) -> None:
    names = packed_names(model)
    assert names and all(name.startswith("language_model.") for name in names)
    assert any(name.endswith("q_proj") for name in names)
    assert all(
        not p.is_floating_point()
        for name, p in model.named_parameters()
        if name.endswith("q_proj.weight") and "audio" not in name
    )


@pytest.mark.parametrize("loader", [XSERForEmotionDescription, AutoModel])
def test_a_full_checkpoint_loads_and_the_language_model_alone_is_quantised(tmp_path, tiny_pair, waves, loader):
    model, processor = tiny_pair
    expected = logits(randomise(model), processor, waves)
    model.generation_config.max_new_tokens = 17
    model.save_pretrained(tmp_path)
    loaded, info = loader.from_pretrained(tmp_path, quantization_config=BytesConfig(), output_loading_info=True)
    assert not any(info.values()) and not loaded.training
    check_parts(loaded)
    found = logits(loaded, processor, waves)
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)
    others = {n: t for n, t in model.state_dict().items() if not n.startswith("language_model.") or ".lora." in n}
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in others.items())
    assert loaded.generation_config.max_new_tokens == 17
    assert loaded.explain(waves[:2], processor)[1]["status"] == "ok"
    assert {name for name, p in loaded.named_parameters() if p.requires_grad} == {
        name for name, p in model.named_parameters() if p.requires_grad
    }


def test_a_full_checkpoint_that_lacks_weights_is_refused_there_too(tmp_path, tiny_pair):
    from safetensors.torch import load_file, save_file

    tiny_pair[0].save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["language_model.model.layers.0.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks weights .*layers\.0\.mlp\.up_proj"):
        XSERForEmotionDescription.from_pretrained(tmp_path, quantization_config=BytesConfig())


@pytest.mark.parametrize("how", ["from_backbones", "full", "thin"])
def test_a_full_save_is_refused_with_what_to_do_and_a_thin_one_loads(tmp_path, tiny_backbone_folders, waves, how):
    quantised = {"quantization_config": BytesConfig()}
    options = quantised if how == "from_backbones" else {}
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), load_options=options, **SMALL
    )
    if how != "from_backbones":
        model.save_pretrained(tmp_path / how, thin=how == "thin")
        model = XSERForEmotionDescription.from_pretrained(tmp_path / how, **quantised)
    check_parts(model)
    expected = logits(randomise(model), processor, waves)
    with pytest.raises(ValueError, match=r"quantised.*thin=True.*without quantization_config"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    model.save_pretrained(tmp_path / "saved", thin=True)
    assert "quantization_config" not in json.dumps(json.loads((tmp_path / "saved" / "config.json").read_text()))
    again = XSERForEmotionDescription.from_pretrained(tmp_path / "saved", **quantised)
    check_parts(again)
    assert torch.equal(logits(again, processor, waves), expected)
    assert not packed_names(XSERForEmotionDescription.from_pretrained(tmp_path / "saved"))


def test_it_trains_its_lora(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), load_options={"quantization_config": BytesConfig()}, **SMALL
    )
    model.train()
    model(**processor(waves[:2], task="asr", targets=["we won", "the dog"])).loss.backward()
    assert all(layer.lora.B.grad.abs().sum() > 0 for _, layer in lora_layers(model))


def test_what_needs_real_weights_is_refused(tmp_path, tiny_backbone_folders):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), load_options={"quantization_config": BytesConfig()}, **SMALL
    )
    with pytest.raises(ValueError, match="quantised: load the model without quantization_config to merge"):
        model.merge_lora()
    assert model.config.lora is not None
    with pytest.raises(ValueError, match="quantised: load it without quantization_config to export"):
        export_backbones(model, processor, tmp_path / "backbones")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_dtype_is_read_from_packed_weights(tmp_path, waves, tiny_backbone_folders, dtype):
    """As where a user quantises everything: not one weight of a linear layer says what is computed in."""
    streams = {
        "aux_streams": {"prosody": {"size": 5, "frame_stack": 4}},
        "summary_tokens": True,
        "emotion_weight": 0.3,
    }
    known = {"speaker_reference": True, "recording_states": True, "emotion_votes": True}
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, **streams, **known
    )
    model.to(dtype)
    pack(model)
    embeddings = model.get_input_embeddings()
    model.set_input_embeddings(PackedEmbedding.of(embeddings))
    assert compute_dtype(model.language_model) == dtype
    profile = model.profile(waves[5:8], processor)
    for reference in (None, profile):
        [answer] = model.explain(waves[:1], processor, reference=reference)
        assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-3)


def test_its_parts_are_in_the_dtype_of_the_checkpoint(tmp_path, tiny_pair):
    tiny_pair[0].to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path, quantization_config=BytesConfig())
    real = {tensor.dtype for tensor in loaded.state_dict().values() if tensor.is_floating_point()}
    assert real == {torch.bfloat16}
