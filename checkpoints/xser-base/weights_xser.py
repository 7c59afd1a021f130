"""The files of a checkpoint: which hold its weights, and how a folder of them comes to its place whole."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers.utils import cached_file

from .lora_xser import renamed

SAMPLED = 16  # numbers of a weight, about
ROUNDING = 2.0**-7  # twice that of bfloat16
SHARD = r"-\d{5}-of-\d{5}"


def weight_files(path, variant: str | None, hub_options: dict) -> list[str]:
    """The safetensors files of a checkpoint: one, or the shards that its index names.

    Raises:
        ValueError: there are none.
    """
    end = "" if variant is None else f".{variant}"
    whole, index = f"model{end}.safetensors", f"model.safetensors.index{end}.json"
    options = {**hub_options, "_raise_exceptions_for_missing_entries": False}
    if (file := cached_file(str(path), whole, **options)) is not None:
        return [file]
    if (index := cached_file(str(path), index, **options)) is None:
        raise ValueError(f"checkpoint {path} holds no weights: neither {whole} nor an index of its shards")
    shards = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
    return [cached_file(str(path), shard, **hub_options) for shard in shards]


def read_weights(files: list[str]) -> dict[str, torch.Tensor]:
    """Every tensor of some files, by its name as of now."""
    return {renamed(name): tensor for file in files for name, tensor in load_file(file).items()}


def has_old_names(files: list[str]) -> bool:
    """Whether an earlier version has written them."""
    for file in files:
        with safe_open(file, "pt") as weights:
            if any(renamed(name) != name for name in weights.keys()):  # noqa: SIM118 - it is no dict
                return True
    return False


def samples(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A few numbers of every real weight, by which it is found to have changed."""
    return {
        name: tensor.detach().flatten()[:: max(1, tensor.numel() // SAMPLED)].to("cpu", copy=True)
        for name, tensor in state.items()
        if tensor.is_floating_point() and tensor.dtype.itemsize > 1 and tensor.device.type != "meta"
    }


def have_changed(before: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> bool:
    """Whether weights are others than those that `samples` were taken of; another dtype alone is no change."""
    for name, after in samples({name: state[name] for name in before if name in state}).items():
        old = before[name]
        if old.dtype == after.dtype and not torch.equal(old, after):
            return True
        if not torch.allclose(old.float(), after.float(), rtol=ROUNDING, atol=1e-6):
            return True
    return False


def in_dtype(state: dict[str, torch.Tensor], dtype: torch.dtype | str) -> dict[str, torch.Tensor]:
    """Tensors with the real ones in another dtype.

    Raises:
        ValueError: it is no dtype of reals, or numbers lie beyond its range.
    """
    wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(wanted, torch.dtype) or not wanted.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}; it must be one of reals, such as bfloat16 or float16")
    cast = {name: tensor.to(wanted) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    for name, tensor in cast.items():
        if tensor.is_floating_point() and not torch.equal(tensor.isfinite(), state[name].isfinite()):
            largest = state[name].nan_to_num(0, 0, 0).abs().max().item()
            raise ValueError(f"dtype {wanted} does not hold {name}, which has numbers up to {largest:g}: use bfloat16")
    return cast


@contextmanager
def put_in_place(folder) -> Iterator[Path]:
    """A folder beside `folder` to save to. What is in it is moved there when all went well, file by file; each is
    whole. Weights of an earlier save that would be read in place of the new ones go."""
    folder = Path(folder).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        yield beside
        if folder.exists():
            _move_files(beside, folder)
        elif beside.exists():
            os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move_files(source: Path, target: Path) -> None:
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda file: (file.suffix == ".safetensors", ".index." in file.name, file)):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / file, target / file)
    written = {file.name for file in files if len(file.parts) == 1}
    for start in {start for name in written if (start := _weights_of(name)) is not None}:
        for path in target.iterdir():
            if path.name not in written and _weights_of(path.name) == start:
                path.unlink()


def _weights_of(name: str) -> str | None:
    """`model`, or `model.VARIANT`, of a file that holds its weights, a shard of them or their index."""
    if match := re.fullmatch(r"model\.safetensors\.index(\.\w+)?\.json", name):
        return f"model{match[1] or ''}"
    match = re.fullmatch(rf"(model(?:\.\w+?)?)(?:{SHARD})?\.safetensors", name)
    return match and match[1]


__all__ = ["has_old_names", "have_changed", "in_dtype", "put_in_place", "read_weights", "samples", "weight_files"]
