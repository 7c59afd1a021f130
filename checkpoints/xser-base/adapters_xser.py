"""Adapters of PEFT that lie on a model: what it is without them, and they themselves, saved beside it."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

ADAPTERS = "adapters"  # folder of a checkpoint, with one of each adapter's name inside


def own_names(model: nn.Module) -> dict[str, str]:
    """Name of each of a model's own tensors in its state → the name it has without the adapters of PEFT.

    Raises:
        ValueError: adapters are merged into its weights.
    """
    return dict(_own_names(model, "", ""))


def _own_names(module: nn.Module, prefix: str, plain: str) -> Iterator[tuple[str, str]]:
    if merged := getattr(module, "merged_adapters", None):
        raise ValueError(
            f"the adapters {merged} of PEFT are merged into the model's weights: take them out by unmerge_adapter, or "
            "keep them for good by merge_and_unload, before it is saved"
        )
    if hasattr(module, "active_adapters"):
        for inner in ("base_layer", "original_module"):
            if inner in module._modules:
                yield from _own_names(module._modules[inner], f"{prefix}{inner}.", plain)
                return
    own = [name for name, tensor in module._parameters.items() if tensor is not None]
    own += [name for name in module._buffers if name not in module._non_persistent_buffers_set]
    yield from ((prefix + name, plain + name) for name in own if getattr(module, name) is not None)
    for name, child in module._modules.items():
        if child is not None:
            yield from _own_names(child, f"{prefix}{name}.", f"{plain}{name}.")


def own_state(model: nn.Module, state: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """A model's state without the adapters of PEFT that lie on top of it."""
    state = model.state_dict() if state is None else state
    names = own_names(model)
    if all(name == plain for name, plain in names.items()):
        return dict(state)
    return {plain: state[name] for name, plain in names.items() if name in state}


def save_adapters(model: nn.Module, folder: Path) -> None:
    """Write each adapter of PEFT that lies on a model as PEFT does, to `adapters/NAME`."""
    for name, config in getattr(model, "peft_config", {}).items():
        place = folder / ADAPTERS / name
        peft = importlib.import_module("peft")  # whoever has an adapter has it
        state = peft.get_peft_model_state_dict(model, adapter_name=name)
        place.mkdir(parents=True)
        tensors = {f"base_model.model.{key}": tensor.contiguous() for key, tensor in state.items()}
        save_file(tensors, place / "adapter_model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(place)


__all__ = ["own_state", "save_adapters"]
