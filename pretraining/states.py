"""A teacher's states, computed once: one file for each of its layers and each source, in half precision.

Which targets are made of them makes no difference: other clusters, another objective or a run that is resumed read the
same files. They hold what `xser.pretraining.pieces` has decoded, so they lie beside it, and are mapped into memory.

Shapes: N frames of a source, L layers, D width of the teacher.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from xser.corpora.cache import digest, written_beside
from xser.pretraining.features import TowerFeatures, features_of
from xser.pretraining.frames import FrameGrid
from xser.pretraining.sources import TowerData
from xser.pretraining.teacher import Teacher

VERSION = 1  # of what is kept
HALF = np.dtype(np.float16)


class LayerStates:
    """States of some layers, each (N, D) in a file of its own: `states[a:b]` is (b - a, L, D) of them all."""

    def __init__(self, places: Sequence[Path]):
        self.layers = [np.load(place, mmap_mode="r", allow_pickle=False) for place in places]

    def __len__(self) -> int:
        return len(self.layers[0])

    def __getitem__(self, frames: slice) -> np.ndarray:
        return np.stack([layer[frames] for layer in self.layers], axis=1)


def frame_offsets(data: TowerData, grid: FrameGrid) -> np.ndarray:
    """(pieces + 1,) where the frames of each piece of a source begin and end."""
    return np.concatenate([[0], np.cumsum(grid.num_frames(data.pieces.lengths))])


def cached_states(
    teacher: Teacher,
    layers: Sequence[int],
    sources: Sequence[TowerData],
    grid: FrameGrid,
    root: Path,
    device: torch.device,
) -> list[LayerStates]:
    """The states of all frames of all sources, from disk where they are there.

    Args:
        grid: of the tower in training, whose frames these are.
        root: folder of the cache.
        device: that the teacher computes on.

    Raises:
        ValueError: what is not there yet needs more space than there is.
    """
    stamp = teacher.stamp()
    places = [[_place(root, stamp, layer, grid, data.pieces.digest) for layer in layers] for data in sources]
    missing = [[number for number, place in enumerate(each) if not place.is_file()] for each in places]
    needed = sum(
        len(numbers) * int(frame_offsets(data, grid)[-1]) * teacher.config.hidden_size * HALF.itemsize
        for data, numbers in zip(sources, missing, strict=True)
    )
    if needed:
        _check_space(root, needed, teacher)
        features = TowerFeatures(teacher, layers, grid, device)
        for data, each, numbers in zip(sources, places, missing, strict=True):
            if numbers:
                _write(data, features, {number: each[number] for number in numbers})
    return [LayerStates(each) for each in places]


def _place(root: Path, stamp: list, layer: int, grid: FrameGrid, pieces: str) -> Path:
    return root / f"states-{digest('states', VERSION, stamp, layer, (grid.stride, grid.field), pieces)}.npy"


def _check_space(root: Path, needed: int, teacher: Teacher) -> None:
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise ValueError(
            f"the states of {teacher.id_or_path} need {needed / 1e9:.2f} GB in {root}, which has {free / 1e9:.2f} GB "
            "free: give another cache_dir, or cache_states false to compute them when they are needed"
        )


def _write(data: TowerData, features: TowerFeatures, places: dict[int, Path]) -> None:
    """Write some layers, by their numbers among those of `features`, of one source; whole or not at all."""
    offsets, width = frame_offsets(data, features.grid), features.teacher.config.hidden_size
    with ExitStack() as stack:
        files = {
            number: np.lib.format.open_memmap(
                stack.enter_context(written_beside(place)), "w+", HALF, (int(offsets[-1]), width)
            )
            for number, place in places.items()
        }
        every = features_of(data.pieces.wave, range(len(data.pieces)), data.pieces.lengths, features)
        for index, states in tqdm(every, f"teacher's states of {data.name}", len(data.pieces), disable=None):
            for number, file in files.items():
                file[offsets[index] : offsets[index + 1]] = states[:, number]
        for file in files.values():
            file.flush()
