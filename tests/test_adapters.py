"""PEFT's own adapters on top of a trained model: added, switched, trained, saved and removed; beneath them the model,
its own LoRA included, stays what it was."""

import peft
import pytest
import torch
from conftest import SMALL
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from test_checkpoint import randomise

from xser import XSERForEmotionDescription
from xser.adapters_xser import own_state

TARGETS = [["q_proj", "v_proj"], "all-linear", r".*(q_proj|down_proj)", ["up_proj", "projector.0", "lm_head"]]


def logits(model, processor, waves):
    with torch.no_grad():
        return model(**processor(waves[:2], task="describe")).logits


def lora(targets=("q_proj", "v_proj"), **options) -> LoraConfig:
    """An adapter that changes something from the first."""
    targets = targets if isinstance(targets, str) else list(targets)
    return LoraConfig(r=4, target_modules=targets, init_lora_weights=False, **options)


@pytest.fixture
def trained(tiny_pair, waves):
    """(model, processor, what it answers), with a LoRA of its own that is not zero."""
    model, processor = tiny_pair
    return randomise(model), processor, logits(model, processor, waves)


@pytest.mark.parametrize("targets", TARGETS)
def test_adapters_are_added_switched_disabled_and_removed(trained, waves, targets):
    model, processor, expected = trained
    model.add_adapter(lora(targets), "one")
    one = logits(model, processor, waves)
    model.add_adapter(lora(targets), "two")
    two = logits(model, processor, waves)
    assert not torch.equal(one, expected) and not torch.equal(two, one)
    model.set_adapter("one")
    assert torch.equal(logits(model, processor, waves), one)
    model.disable_adapters()
    assert torch.equal(logits(model, processor, waves), expected)
    model.enable_adapters()
    assert torch.equal(logits(model, processor, waves), one)
    model.delete_adapter("one")
    model.delete_adapter("two")
    assert torch.equal(logits(model, processor, waves), expected)
    model.add_adapter(lora(targets), "one")  # there is room again
    assert not torch.equal(logits(model, processor, waves), expected)


def test_the_usual_name_of_an_adapter_is_free(trained, waves):
    model, processor, expected = trained
    model.add_adapter(LoraConfig(r=4, target_modules=["q_proj"]))  # B is zero: nothing changes yet
    torch.testing.assert_close(logits(model, processor, waves), expected)
    assert model.active_adapters() == ["default"]


@pytest.mark.parametrize("targets", TARGETS)
def test_a_model_of_pefts_own_around_it(trained, waves, targets, tmp_path):
    model, processor, expected = trained
    wrapped = get_peft_model(model, lora(targets))
    changed = logits(wrapped, processor, waves)
    assert not torch.equal(changed, expected)
    with wrapped.disable_adapter():
        assert torch.equal(logits(wrapped, processor, waves), expected)
    wrapped.save_pretrained(tmp_path)
    assert torch.equal(logits(wrapped.unload(), processor, waves), expected)
    again = PeftModel.from_pretrained(model, tmp_path)
    assert torch.equal(logits(again, processor, waves), changed)
    merged = again.merge_and_unload()
    torch.testing.assert_close(logits(merged, processor, waves), changed, rtol=1e-3, atol=1e-4)


def test_it_is_wrapped_as_a_causal_language_model_too(trained, waves):
    model, processor, expected = trained
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    torch.testing.assert_close(logits(wrapped, processor, waves), expected)
    assert [answer["status"] for answer in wrapped.explain(waves[:1], processor)] == ["ok"]


@pytest.mark.parametrize("kind", ["LoHaConfig", "IA3Config", "OFTConfig", "VeraConfig"])
def test_other_kinds_of_adapters_work_too(trained, waves, kind):
    model, processor, expected = trained
    options = {"IA3Config": {"feedforward_modules": []}, "OFTConfig": {"oft_block_size": 4, "r": 0}}.get(
        kind, {"r": 4}
    )
    wrapped = get_peft_model(model, getattr(peft, kind)(target_modules=["o_proj"], **options))
    torch.testing.assert_close(logits(wrapped, processor, waves), expected, rtol=1e-3, atol=1e-4)
    with wrapped.disable_adapter():
        assert torch.equal(logits(wrapped, processor, waves), expected)
    assert torch.equal(logits(wrapped.unload(), processor, waves), expected)


def test_training_moves_the_adapter_alone_in_tower_and_language_model(trained, waves):
    model, processor, expected = trained
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.add_adapter(lora(["q_proj", "v_proj"]), "mine")
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    model(**processor(waves[:2], task="asr", targets=["we won", "the dog"], noise_seed=[0, 1])).loss.backward()
    optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, start[name])}
    assert all(".mine." in name for name in moved)
    assert {name.split(".")[0] for name in moved} == {"model", "language_model"}
    model.delete_adapter("mine")
    own = own_state(model)
    assert own.keys() == before.keys() and all(torch.equal(own[name], before[name]) for name in before)
    assert torch.equal(logits(model.eval(), processor, waves), expected)


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("targets", TARGETS)
def test_a_save_holds_the_model_without_the_adapter_and_the_adapter_beside_it(tmp_path, trained, waves, thin, targets):
    model, processor, expected = trained
    names = set(model.state_dict())
    model.add_adapter(lora(targets), "mine")
    changed = logits(model, processor, waves)
    model.save_pretrained(tmp_path, thin=thin)
    assert torch.equal(logits(model, processor, waves), changed)
    assert set(load_file(tmp_path / "model.safetensors")) <= names
    loaded = XSERForEmotionDescription.from_pretrained(tmp_path)
    assert torch.equal(logits(loaded, processor, waves), expected)
    loaded.load_adapter(str(tmp_path / "adapters" / "mine"), "mine")
    assert torch.equal(logits(loaded, processor, waves), changed)


def test_adapters_that_are_merged_are_refused_when_saving(tmp_path, trained, waves):
    model, processor, _ = trained
    wrapped = get_peft_model(model, lora())
    wrapped.merge_adapter()
    with pytest.raises(ValueError, match=r"adapters \['default'\] of PEFT are merged.*unmerge_adapter"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    kept = wrapped.merge_and_unload()
    answers = logits(kept, processor, waves)
    kept.save_pretrained(tmp_path / "saved")
    assert torch.equal(
        logits(XSERForEmotionDescription.from_pretrained(tmp_path / "saved"), processor, waves), answers
    )


def test_its_own_lora_needs_no_peft(tiny_backbone_folders, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    model, _ = XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL)
    assert any(name.endswith(".lora.A") for name in model.state_dict())
