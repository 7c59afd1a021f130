"""Averages of the weights: what they are of, and who has them when; those of runs are in test_training_trainer.py."""

import pytest
import torch
from torch import nn

from xser.training.averaging import WeightAverage


def step(average: WeightAverage, model: nn.Module, values: dict[str, float]) -> None:
    """As an optimizer would set the weights named, and them alone."""
    for name, weight in model.named_parameters():
        weight.grad = None
        if name in values:
            weight.data.fill_(values[name])
            weight.grad = torch.ones_like(weight)
    average.on_optimizer_step(None, None, None)


def test_a_weight_counts_the_steps_that_changed_it_and_the_last_tenth_most():
    model = nn.Linear(1, 1)
    average = WeightAverage(model)
    for number in range(1, 101):
        step(average, model, {"weight": number} if number <= 90 else {"weight": number, "bias": 7.0})
    # weight n has the share (n + 8)! / (n - 1)! of the sum: the mean of such numbers up to N is (10 N + 1) / 11
    assert float(average.averages["weight"]) == pytest.approx((10 * 100 + 1) / 11, rel=1e-4)
    assert float(average.averages["bias"]) == pytest.approx(7.0)
    assert average.updates == {"weight": 100, "bias": 10}
    assert (model.weight.item(), model.bias.item()) == (100.0, 7.0)


def test_frozen_and_untouched_weights_stay_as_they_are():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    average = WeightAverage(model)
    step(average, model, {"0.weight": 3.0})
    step(average, model, {"0.weight": 5.0})
    average.apply()
    assert not any(name.startswith("1.") for name in average.averages)
    for name, weight in model.named_parameters():
        expected = torch.full_like(weight, 3 + 2 * 10 / 11) if name == "0.weight" else before[name]
        torch.testing.assert_close(weight.detach(), expected)


def test_half_precision_weights_are_averaged_in_float32():
    model = nn.Linear(1, 1, bias=False).bfloat16()
    average = WeightAverage(model)
    for value in (1.0, 1.0078125):  # neighbours in bfloat16
        step(average, model, {"weight": value})
    assert float(average.averages["weight"]) == pytest.approx(1 + 0.0078125 * 10 / 11)
    average.apply()
    assert model.weight.dtype == torch.bfloat16


def test_own_weights_come_back_whatever_happens_meanwhile():
    model = nn.Linear(1, 1)
    average = WeightAverage(model)
    step(average, model, {"weight": 1.0})
    step(average, model, {"weight": 2.0})
    with pytest.raises(KeyError), average.applied():
        assert model.weight.item() == pytest.approx(1 + 10 / 11)
        raise KeyError
    assert model.weight.item() == 2.0
