"""A hash of a model's weights that stays the same whatever files they lie in: shards, dtypes and order do not count.

It is the sha256 of one line a tensor, sorted by name: `NAME DTYPE SHAPE SHA256`. The last is of the numbers, in row
order and little-endian: every real number as float32, which holds float16 and bfloat16 exactly, others as they are.
200 million numbers take 0.7 s of one core that has instructions for SHA-256.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch

CHUNK = 2**22  # numbers at a time: no second copy of a model in float32
# a tower's embedding of masked frames: many checkpoints come without, so it is random, and a frozen tower never masks
UNUSED = "masked_spec_embed"


def weights_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """The hash of some tensors by name, 64 hex digits. Tensors that share their memory are read once."""
    named = {name: tensor for name, tensor in state.items() if not name.endswith(UNUSED)}
    one_of = {_memory(tensor): tensor for tensor in named.values()}
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # hashlib lets go of the lock
        digests = dict(zip(one_of, threads.map(_digest, one_of.values()), strict=True))
    lines = (
        f"{name} {_dtype(tensor)} {tuple(tensor.shape)} {digests[_memory(tensor)]}\n"
        for name, tensor in sorted(named.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_sha256(path) -> str:
    """The hash of a file's bytes, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _memory(tensor: torch.Tensor) -> tuple:
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device


def _dtype(tensor: torch.Tensor) -> str:
    return "float32" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")


def _digest(tensor: torch.Tensor) -> str:
    digest, convert = hashlib.sha256(), _converter(tensor)
    for part in tensor.detach().reshape(-1).split(CHUNK):
        digest.update(convert(part).cpu().contiguous().numpy())
    return digest.hexdigest()


def _converter(tensor: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    assert sys.byteorder == "little"
    return torch.Tensor.float if tensor.is_floating_point() else lambda part: part


__all__ = ["UNUSED", "file_sha256", "weights_sha256"]
