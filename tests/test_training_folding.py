"""LoRA folded into the weights for a step: the same loss and gradients, and the layers are as before afterwards."""

import pytest
import torch
import yaml
from conftest import SMALL
from test_checkpoint import randomise
from transformers import GPT2Config, GPT2LMHeadModel

from xser import XSERForEmotionDescription
from xser.lora_xser import add_lora, lora_layers
from xser.training.arguments import parse_config
from xser.training.folding import check_foldable, folded


def gradients(model, **inputs) -> tuple[float, dict]:
    model.zero_grad()
    logits = model(**inputs).logits
    loss = logits.float().log_softmax(-1)[..., 3].mean()
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def with_lora(model, targets):
    model.requires_grad_(False)
    add_lora(model, {"rank": 3, "alpha": 5, "dropout": 0.0, "target_modules": targets})
    for _, layer in lora_layers(model):
        torch.nn.init.normal_(layer.lora.B, std=0.3)
    return model.eval()


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_folding_gives_the_same_loss_and_gradients(tiny_pair, kind):
    torch.manual_seed(3)
    if kind == "linear":
        model = randomise(tiny_pair[0]).language_model.eval()
    else:
        model = with_lora(GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2)), ["c_attn"])
    inputs = {"input_ids": torch.randint(0, 50, (2, 7))}
    loss, expected = gradients(model, **inputs)
    with folded(model):
        assert not any(layer._forward_hooks for _, layer in lora_layers(model))
        folded_loss, found = gradients(model, **inputs)
    assert folded_loss == pytest.approx(loss, abs=1e-6)
    assert found.keys() == expected.keys() and any(name.endswith(".lora.A") for name in found)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-6, rtol=1e-4)


def test_layers_are_as_before_after_an_error_within(tiny_pair):
    model = randomise(tiny_pair[0]).eval()
    ids = torch.tensor([[1, 2, 3]])
    before = model.language_model(input_ids=ids).logits
    with pytest.raises(RuntimeError, match="within"), folded(model):
        raise RuntimeError("within")
    assert torch.equal(model.language_model(input_ids=ids).logits, before)
    assert all("forward" not in vars(layer) for _, layer in lora_layers(model))


def test_a_hook_of_somebody_else_is_kept(tiny_pair):
    model = randomise(tiny_pair[0]).eval()
    name, layer = next(lora_layers(model))
    calls = []
    handle = layer.register_forward_hook(lambda *_: calls.append(name))
    with folded(model):
        model.language_model(input_ids=torch.tensor([[1]]))
    handle.remove()
    assert calls == [name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": {"dropout": 0.1}}, r"q_proj has lora dropout 0\.1"),
        ({"lora": None}, "the model has no LoRA"),
    ],
)
def test_what_cannot_be_folded_is_refused(tiny_backbone_folders, options, message):
    model, _ = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **(SMALL | options))
    with pytest.raises(ValueError, match=message):
        check_foldable(model)


def test_fewer_bits_are_refused(tiny_pair):
    with pytest.raises(ValueError, match=r"is torch\.bfloat16: it wants float32"):
        check_foldable(tiny_pair[0].to(torch.bfloat16))


def test_mixed_precision_is_refused(tmp_path):
    options = {"data": "x", "audio_model": "a", "text_model": "b", "use_cpu": True, "fold_lora": True, "bf16": True}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"output_dir": str(tmp_path / "run"), **options}))
    with pytest.raises(ValueError, match="fold_lora is true, and so is bf16"):
        parse_config([str(config)])
