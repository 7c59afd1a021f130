"""LoRA (Hu et al. 2021) as a part of the model: `y = W x + alpha / rank * B A x` on linear layers of a language model.

It belongs to the layer and is no adapter of PEFT's, so that PEFT can add, switch and remove adapters on top without
touching it. A layer with LoRA stays the layer it was, quantised or not, with a small module `lora` inside.
"""

import math
import re
from collections.abc import Iterator

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from .options_xser import nearest

LORA_NAMES = (".lora.A", ".lora.B")  # ends of the tensors' names
OLD_NAMES = {  # of tensors in checkpoints of earlier versions → as they are now
    r"\.base_layer\.": ".",
    r"\.lora_A\.default\.weight$": ".lora.A",
    r"\.lora_B\.default\.weight$": ".lora.B",
}


class XSERLora(nn.Module):
    """The low-rank part of one linear layer. `B` is zero at first, so a new one changes nothing."""

    def __init__(self, in_features: int, out_features: int, rank: int, alpha: float, dropout: float, device):
        super().__init__()
        self.A = nn.Parameter(torch.empty(rank, in_features, device=device))
        self.B = nn.Parameter(torch.zeros(out_features, rank, device=device))
        self.dropout, self.scaling = nn.Dropout(dropout), alpha / rank
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self._is_hf_initialized = True  # the language model around it would not know how

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:  # (…, in) -> (…, out)
        down = nn.functional.linear(self.dropout(hidden_states.to(self.A.dtype)), self.A)
        return nn.functional.linear(down, self.B) * self.scaling

    def delta(self) -> torch.Tensor:
        """What it adds to the layer's weight, (out, in) float32."""
        return self.B.float() @ self.A.float() * self.scaling


def _add_lora(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    """A forward hook, not a wrapper: the layer keeps its class, which quantisers and PEFT go by."""
    return (output + layer.lora(inputs[0])).to(output.dtype)


def is_lora_hook(hook) -> bool:
    """Whether a forward hook is the one that adds LoRA."""
    return hook is _add_lora


def add_lora(language_model: PreTrainedModel, options: dict) -> None:
    """Put LoRA on a language model's layers, in place; `options` as `XSERConfig.lora`.

    Raises:
        ValueError: a name in `target_modules` fits no linear layer.
    """
    for layer in _targets(language_model, options["target_modules"]):
        in_features, out_features = _features(layer)
        layer.lora = XSERLora(
            in_features, out_features, options["rank"], options["alpha"], options["dropout"], layer.weight.device
        )
        layer.register_forward_hook(_add_lora)


@torch.no_grad()
def merge_lora(language_model: PreTrainedModel) -> None:
    """Add every LoRA to its layer's weight and take it off, in place.

    Raises:
        ValueError: a weight is quantised, or is that of the input embeddings, too.
    """
    layers = dict(lora_layers(language_model))
    embeddings = language_model.get_input_embeddings().weight
    for name, layer in layers.items():
        if layer.weight.shape not in ((shape := layer.lora.delta().shape), shape[::-1]) or layer.weight.itemsize < 2:
            raise ValueError(f"{name} is quantised: load the model without quantization_config to merge its LoRA")
        if layer.weight is embeddings:
            raise ValueError(
                f"{name} is tied to the input embeddings, which LoRA does not change: it cannot be merged"
            )
    for layer in layers.values():
        delta = layer.lora.delta().to(layer.weight.device)
        layer.weight.copy_(layer.weight.float() + (delta.T if isinstance(layer, Conv1D) else delta))
        for key in [key for key, hook in layer._forward_hooks.items() if is_lora_hook(hook)]:
            del layer._forward_hooks[key]
        del layer.lora


def lora_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and layer of all that have LoRA."""
    for name, module in model.named_modules():
        if isinstance(module._modules.get("lora"), XSERLora):
            yield name, module


def renamed(name: str) -> str:
    """A tensor's name as it is now, from one of an earlier version."""
    for old, new in OLD_NAMES.items():
        name = re.sub(old, new, name)
    return name


def _features(layer: nn.Module) -> tuple[int, int]:
    return (layer.nx, layer.nf) if isinstance(layer, Conv1D) else (layer.in_features, layer.out_features)


def _targets(language_model: PreTrainedModel, wanted: list[str]) -> list[nn.Module]:
    """The linear layers whose names are, or end in, those of `target_modules`."""
    linear = {
        name: module
        for name, module in language_model.named_modules()
        if isinstance(module, Conv1D) or (hasattr(module, "in_features") and hasattr(module, "out_features"))
    }
    found = {end: [name for name in linear if f".{name}".endswith(f".{end}")] for end in wanted}
    for target, names in found.items():
        if not names:
            ends = {name.rpartition(".")[2] for name in linear}
            raise ValueError(
                f"XSERConfig.lora['target_modules'] has {target!r}, which is no linear layer of the language model; "
                f"the nearest is {nearest(target, ends)!r}, and there are {sorted(ends)}"
            )
    names = {name for each in found.values() for name in each}
    return [layer for name, layer in linear.items() if name in names]


__all__ = ["XSERLora", "add_lora", "is_lora_hook", "lora_layers", "merge_lora"]
