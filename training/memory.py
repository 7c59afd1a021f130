"""Bytes that a training needs on one device, from configs alone: no weight is loaded.

    weights      every parameter in the dtype that it is loaded in: float32 where it is trained, that of `load_options`
                 elsewhere; in 8 or 4 bits the language model's linear layers but the last, with their scales
    gradients    4 bytes for each number that a stage trains
    optimizer    AdamW: 8 bytes for each number that is trained in any stage, and 4 for each tensor
    averages     4 bytes for each number that is trained, with `average_weights`
    activations  see `activations`: the most bytes alive at once beside these

The device's own context, workspaces of kernels and fragmentation come on top: a tenth of the sum (`RESERVE`).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
RESERVE = 0.1  # of the sum
BLOCK = 64  # weights that share a scale in 4 bits, by default of bitsandbytes
SCALE_BYTES = 4  # float32


def parse_bytes(text: str) -> int:
    """`24GB` (10⁹), `24GiB` (2³⁰) as bytes.

    Raises:
        ValueError: it is no number above 0 with a unit.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text.casefold())
    if not match or match.group(2) not in UNITS or not float(match.group(1)):
        raise ValueError(f"memory is {text!r}; it must be a number above 0 with a unit, such as 24GB or 80GiB")
    return int(float(match.group(1)) * UNITS[match.group(2)])


def with_reserve(size: int) -> int:
    """A sum of bytes and what comes on top."""
    return round(size * (1 + RESERVE))


@dataclass(frozen=True)
class LoadedAs:
    """How backbones are loaded.

    Attributes:
        tower, language_model: dtypes of what is frozen.
        bits: 4 or 8 where the language model is quantised, else `None`.
        double_quant: whether the scales of 4 bits are themselves in 8.
    """

    tower: torch.dtype = torch.float32
    language_model: torch.dtype = torch.float32
    bits: int | None = None
    double_quant: bool = False

    @classmethod
    def of(cls, load_options: Mapping | None, config, is_on_cpu: bool) -> "LoadedAs":
        """By `load_options`; without a dtype float32 on a CPU, and that of the files elsewhere."""
        options = dict(load_options or {})
        given = options.get("dtype") or options.get("torch_dtype") or "auto"
        quantisation = options.get("quantization_config") or {}
        bits = 4 if quantisation.get("load_in_4bit") else 8 if quantisation.get("load_in_8bit") else None
        dtypes = []
        for part in (config.audio_config, config.text_config):
            is_open = given == "auto"
            own = torch.float32 if is_on_cpu and bits is None else part.dtype or torch.float32
            dtypes.append(_dtype(own if is_open else given))
        return cls(*dtypes, bits, bool(quantisation.get("bnb_4bit_use_double_quant")))


def _dtype(name: str | torch.dtype) -> torch.dtype:
    return getattr(torch, name) if isinstance(name, str) else name


def weight_bytes(model: PreTrainedModel, loaded: LoadedAs) -> int:
    """Bytes of parameters and buffers, tied ones once. What has `requires_grad`, and what is new, is float32."""
    language_model = getattr(model, "language_model", None)
    quantised = _quantised(language_model) if loaded.bits else {}
    dtypes = {"model.audio_tower.": loaded.tower, "language_model.": loaded.language_model}
    total = 0
    for name, tensor in model.named_parameters():
        dtype = next((dtype for prefix, dtype in dtypes.items() if name.startswith(prefix)), torch.float32)
        if tensor.requires_grad:
            total += 4 * tensor.numel()
        elif id(tensor) in quantised:
            total += quantised_bytes(tensor, loaded)
        else:
            total += dtype.itemsize * tensor.numel()
    return total + sum(buffer.numel() * buffer.itemsize for buffer in model.buffers())


def _quantised(language_model: PreTrainedModel) -> dict[int, str]:
    """Weights that are quantised: of linear layers, but not of the one that gives the logits."""
    head = language_model.get_output_embeddings()
    layers = language_model.named_modules()
    return {id(each.weight): name for name, each in layers if isinstance(each, nn.Linear) and each is not head}


def quantised_bytes(weight: torch.Tensor, loaded: LoadedAs) -> int:
    """Of one weight: 8 bits with a scale a row, or 4 bits with a scale a block, itself in 8 bits where so loaded."""
    if loaded.bits == 8:
        return weight.numel() + SCALE_BYTES * weight.shape[0]
    blocks = -(-weight.numel() // BLOCK)
    scales = blocks + SCALE_BYTES * -(-blocks // 256) if loaded.double_quant else SCALE_BYTES * blocks
    return -(-weight.numel() // 2) + scales


def optimizer_bytes(sizes: Collection[int]) -> int:
    """AdamW's state for tensors of these sizes: two averages in float32, and a step each."""
    return sum(8 * size + 4 for size in sizes)
