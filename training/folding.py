"""LoRA folded into its layer's weight for the time of a step: one product where there were three.

`W x + s B A x` is `(W + s B A) x`. The sum costs one pass over the weight; it saves two thin products of every token,
forward and backward, and asks for one thick one in the backward. On a CPU thin products run far below the speed of
thick ones, so small language models train faster this way; a GPU is better off without.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from xser.lora_xser import is_lora_hook, lora_layers


def check_foldable(model: nn.Module) -> None:
    """Refuse what a sum of weights cannot say.

    Raises:
        ValueError: names the layer: there is no LoRA, it has dropout, or the weight is not float32 (rounding to fewer
            bits would lose what LoRA adds).
    """
    layers = dict(lora_layers(model))
    if not layers:
        raise ValueError("fold_lora is true, but the model has no LoRA: leave it out, or set lora")
    for name, layer in layers.items():
        if layer.lora.dropout.p:
            raise ValueError(f"fold_lora is true, but {name} has lora dropout {layer.lora.dropout.p}: set one of them")
        if not isinstance(layer, (nn.Linear, Conv1D)) or layer.weight.dtype != torch.float32:
            raise ValueError(f"fold_lora is true, but {name} is {layer.weight.dtype}: it wants float32 weights")


@contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    """Inside, every layer with LoRA multiplies by one weight; results differ by rounding alone."""
    layers = [layer for _, layer in lora_layers(model)]
    hooks = [layer._forward_hooks for layer in layers]
    for layer in layers:
        layer._forward_hooks = {key: hook for key, hook in layer._forward_hooks.items() if not is_lora_hook(hook)}
        layer.forward = _product(layer)
    try:
        yield
    finally:
        for layer, before in zip(layers, hooks, strict=True):
            layer._forward_hooks = before
            del layer.forward


def _product(layer: nn.Module):
    def forward(states: torch.Tensor) -> torch.Tensor:  # (…, in) -> (…, out)
        weight = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
        return nn.functional.linear(states, weight + layer.lora.delta(), layer.bias)

    return forward
