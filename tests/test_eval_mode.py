"""One model serves many: a call answers as in eval mode, and leaves no trace on the model."""

import threading
from functools import partial

import pytest
import torch
from conftest import SMALL
from torch import nn

from xser import XSERForEmotionDescription
from xser.eval_mode_xser import in_eval_mode
from xser.profile_xser import make_profile

NOISY = {  # what answers otherwise in training mode: dropout, beside the bottlenecks' own noise
    "content_bottleneck": {"latent_size": 8, "hidden_size": 16, "dropout": 0.5},
    "descriptor_bottleneck": {"latent_size": 4, "hidden_size": 16, "dropout": 0.5},
}


@pytest.fixture
def pair(tiny_backbone_folders):
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **{**SMALL, **NOISY})


def modes(model) -> list[bool]:
    return [module.training for module in model.modules()]


def test_explain_answers_as_in_eval_mode_and_leaves_every_module_in_its_own(pair, waves):
    model, processor = pair
    expected = model.eval().explain(waves[:3], processor)
    model.train()
    model.language_model.eval()  # a mode of its own, which train(True) would undo
    before = modes(model)
    assert model.explain(waves[:3], processor) == expected
    assert modes(model) == before and any(before) and not all(before)


def test_an_error_leaves_the_modes_too(pair, waves, monkeypatch):
    model, processor = pair
    model.train()
    before = modes(model)

    def fail(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(type(processor), "decode_answer", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.explain(waves[:1], processor)
    assert modes(model) == before


@pytest.mark.parametrize("others", ["explains", "trains", "evaluates"])
def test_what_another_thread_does_in_the_middle_changes_nothing(pair, waves, others):
    """One thread stands inside `explain`, before its streams are encoded, while another enters and leaves."""
    model, processor = pair
    expected = model.eval().explain(waves[:1], processor)
    if others != "trains":
        model.train()
    inside, go_on, answers, main = threading.Event(), threading.Event(), [], threading.current_thread()

    def wait(module, inputs):
        if threading.current_thread() is not main:
            inside.set()
            assert go_on.wait(60)

    handle = model.model.audio_tower.register_forward_pre_hook(wait)
    thread = threading.Thread(target=lambda: answers.extend(model.explain(waves[:1], processor)))
    thread.start()
    assert inside.wait(60)
    if others == "explains":
        model.explain(waves[1:2], processor)
    else:
        model.train(others == "trains")
    meanwhile = modes(model)
    go_on.set()
    thread.join(60)
    handle.remove()
    assert answers == expected
    assert modes(model) == meanwhile


def test_lengths_of_a_tower_with_group_norm_are_those_of_the_call(pair, waves):
    """`valid_lengths` lies on the module: another call in the middle would overwrite it."""
    model, processor = pair
    long, short = waves[7:8], waves[0:1]
    expected = model.explain(long, processor)
    convolution = model.model.audio_tower.feature_extractor.conv_layers[0].conv
    inside, go_on, answers, main = threading.Event(), threading.Event(), [], threading.current_thread()

    def wait(module, inputs):
        if threading.current_thread() is not main:
            inside.set()
            assert go_on.wait(60)

    handle = convolution.register_forward_pre_hook(wait)
    thread = threading.Thread(target=lambda: answers.extend(model.explain(long, processor)))
    thread.start()
    assert inside.wait(60)
    model.explain(short, processor)
    go_on.set()
    thread.join(60)
    handle.remove()
    assert answers == expected


def test_a_profile_is_made_in_eval_mode_and_changes_none(pair, waves):
    model, processor = pair
    expected = make_profile(model.eval(), processor, waves[:3])
    model.train()
    model.model.audio_tower.train()  # as a tower that is trained itself
    before = modes(model)
    profile = make_profile(model, processor, waves[:3])
    assert (profile.mean == expected.mean).all()
    assert modes(model) == before


def test_a_twin_shares_every_tensor_and_nothing_else(pair):
    model, _ = pair
    model.train()
    twin = in_eval_mode(model)
    assert not any(modes(twin)) and model.training
    assert {name: id(value) for name, value in twin.named_parameters()} == {
        name: id(value) for name, value in model.named_parameters()
    }
    assert {name: id(value) for name, value in twin.named_buffers()} == {
        name: id(value) for name, value in model.named_buffers()
    }
    assert not {id(module) for module in twin.modules()} & {id(module) for module in model.modules()}


def test_what_is_bound_to_a_module_is_bound_to_its_twin():
    """As accelerate binds a `forward` that casts or moves its inputs."""
    model = nn.Sequential(nn.Dropout(0.5), nn.ModuleList())
    layer = model[0]
    plain = layer.forward

    def noted(module, inputs):
        return inputs + 10 if module.training else plain.__func__(module, inputs)

    layer.forward = partial(noted, layer)
    twin = in_eval_mode(model.train())
    zeros = torch.zeros(4)
    assert torch.equal(twin[0](zeros), zeros)
    assert torch.equal(model[0](zeros), zeros + 10)
    layer.forward = plain  # a bound method
    ones = torch.ones(100)
    assert torch.equal(in_eval_mode(model)[0](ones), ones) and not torch.equal(model[0](ones), ones)


def test_hooks_that_a_call_registers_stay_with_the_call():
    model = nn.Linear(2, 2)
    in_eval_mode(model).register_forward_hook(lambda *arguments: None)
    assert not model._forward_hooks
