"""Which cluster each frame belongs to: k-means, once, kept on disk under a digest of all it depends on.

Chosen here: every feature is scaled to zero mean and unit variance before k-means, so that deltas count; sources lend
frames to the fit by their weight.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import HubertModel, Wav2Vec2FeatureExtractor

from xser.backbones_xser import load_whole
from xser.corpora.cache import digest, written_beside
from xser.pretraining.features import BATCH, CepstralFeatures, Features, LayerFeatures, features_of, perplexity
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import MFCC, Iteration
from xser.pretraining.model import check_layer, read_tower_config
from xser.pretraining.sources import TowerData
from xser.training.sampler import stable_hash

logger = logging.getLogger(__name__)
VERSION = 1  # of how targets are made
KMEANS_BATCH = 10_000


@dataclass
class Targets:
    """Clusters of all frames of all sources.

    Args:
        digest: of all that they depend on.
        num_clusters: k.
        frames: of each source, (all frames,) uint16, piece after piece.
    """

    digest: str
    num_clusters: int
    frames: list[np.ndarray]


class TowerDataset(Dataset):
    """Pieces of one source with their targets: rows `{id, wave (S,), targets (T,)}`.

    Args:
        data: of a source.
        indices: of its pieces.
        frames: (all frames,) clusters of all its pieces.
        grid: of the tower.
    """

    def __init__(self, data: TowerData, indices: np.ndarray, frames: np.ndarray, grid: FrameGrid):
        self.pieces, self.indices, self.frames = data.pieces, indices, frames
        self.offsets = np.concatenate([[0], np.cumsum(grid.num_frames(data.pieces.lengths))])
        assert self.offsets[-1] == len(frames)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def durations(self) -> np.ndarray:
        """(N,) seconds."""
        return self.pieces.seconds[self.indices]

    def __getitem__(self, number: int) -> dict:
        index = self.indices[number]
        targets = self.frames[self.offsets[index] : self.offsets[index + 1]]
        return {"id": self.pieces.ids[index], "wave": self.pieces.wave(index), "targets": targets.astype(np.int64)}


def make_targets(
    iteration: Iteration,
    sources: list[TowerData],
    grid: FrameGrid,
    root: Path,
    fit_frames: int,
    seed: int,
    device: torch.device,
) -> Targets:
    """Targets of an iteration, from disk if they are there.

    Args:
        iteration: its `targets` is `mfcc` or a tower's folder.
        root: folder of the cache.

    Raises:
        ValueError: no such tower or layer, a tower of another frame rate, or fewer frames than clusters.
    """
    check_targets(iteration, grid)
    origin = MFCC
    if iteration.targets != MFCC:
        weights = sorted(Path(iteration.targets).glob("*.safetensors"))
        files = [
            *weights,
            Path(iteration.targets) / "config.json",
            Path(iteration.targets) / "preprocessor_config.json",
        ]
        origin = ([hashlib.sha256(file.read_bytes()).hexdigest() for file in files], iteration.layer)
    pieces = [(data.pieces.digest, data.weight, data.train.tolist()) for data in sources]
    key = digest("targets", VERSION, origin, iteration.clusters, (grid.stride, grid.field), fit_frames, seed, pieces)
    folder = root / f"targets-{key}"
    if not folder.is_dir():
        features = _features(iteration, grid, device)
        model = _fit(sources, features, grid, iteration.clusters, fit_frames, seed)
        with written_beside(folder, keep_others=True) as beside:
            beside.mkdir()
            for number, data in enumerate(sources):
                np.save(beside / f"{number}.npy", _assign(data, features, grid, *model), allow_pickle=False)
    frames = [np.load(folder / f"{number}.npy", mmap_mode="r", allow_pickle=False) for number in range(len(sources))]
    counts = sum(np.bincount(each, minlength=iteration.clusters) for each in frames)
    logger.info(
        "targets from %s: %d frames, %d of %d clusters used, perplexity %.1f",
        _origin_name(iteration), counts.sum(), (counts > 0).sum(), iteration.clusters, perplexity(counts),
    )  # fmt: skip
    return Targets(key, iteration.clusters, frames)


def check_targets(iteration: Iteration, grid: FrameGrid) -> None:
    """Whether targets of the tower that an iteration names can be had; a `ValueError` says what is wrong."""
    if iteration.targets == MFCC:
        return
    config = read_tower_config(iteration.targets)
    check_layer(config, iteration.layer, iteration.targets)
    other = FrameGrid.of(config)
    if other.stride != grid.stride:
        raise ValueError(
            f"targets are from {iteration.targets}, which has {other.rate:g} frames a second, but the tower in "
            f"training has {grid.rate:g}: their strides, {other.stride} and {grid.stride} samples, must be the same"
        )


def _origin_name(iteration: Iteration) -> str:
    return MFCC if iteration.targets == MFCC else f"layer {iteration.layer} of {iteration.targets}"


def _features(iteration: Iteration, grid: FrameGrid, device: torch.device) -> Features:
    if iteration.targets == MFCC:
        return CepstralFeatures(grid)
    tower = load_whole(HubertModel, iteration.targets, dtype=torch.float32)
    do_normalize = Wav2Vec2FeatureExtractor.from_pretrained(iteration.targets).do_normalize
    return LayerFeatures(tower, iteration.layer, grid, do_normalize, device)


def _fit(
    sources: list[TowerData], features: Features, grid: FrameGrid, clusters: int, fit_frames: int, seed: int
) -> tuple[StandardScaler, MiniBatchKMeans]:
    """k-means on frames of pieces drawn from the training part of every source, as many as its weight is worth."""
    total = sum(data.weight for data in sources)
    chosen = []
    for data in sources:
        rng = np.random.default_rng(stable_hash(seed, "k-means", data.pieces.digest))
        order = rng.permutation(data.train)
        frames = np.cumsum(grid.num_frames(data.pieces.lengths[order]))
        order = order[: np.searchsorted(frames, fit_frames * data.weight / total) + 1]
        each = features_of(data.pieces.wave, order, data.pieces.lengths, features)
        chosen += [vectors for _, vectors in tqdm(each, f"features of {data.name}", len(order), disable=None)]
    vectors = np.concatenate(chosen)
    if len(vectors) < clusters:
        raise ValueError(f"clusters is {clusters}, but all that is heard has {len(vectors)} frames: ask for fewer")
    scaler = StandardScaler().fit(vectors)
    kmeans = MiniBatchKMeans(
        clusters, batch_size=KMEANS_BATCH, n_init=3, max_no_improvement=50, reassignment_ratio=0.0, random_state=seed
    )
    kmeans.fit(scaler.transform(vectors).astype(np.float32))
    return scaler, kmeans


def _assign(
    data: TowerData, features: Features, grid: FrameGrid, scaler: StandardScaler, kmeans: MiniBatchKMeans
) -> np.ndarray:
    """(all frames,) uint16 cluster of every frame of every piece, held out or not."""
    offsets = np.concatenate([[0], np.cumsum(grid.num_frames(data.pieces.lengths))])
    frames = np.zeros(offsets[-1], dtype=np.uint16)
    batch = []
    every = features_of(data.pieces.wave, range(len(data.pieces)), data.pieces.lengths, features)
    for number, item in enumerate(tqdm(every, f"targets of {data.name}", len(data.pieces), disable=None), start=1):
        batch.append(item)
        if len(batch) == BATCH or number == len(data.pieces):
            vectors = np.concatenate([vectors for _, vectors in batch])
            found = kmeans.predict(scaler.transform(vectors).astype(np.float32))
            split = np.cumsum([len(vectors) for _, vectors in batch])[:-1]
            for (index, _), clusters in zip(batch, np.split(found, split), strict=True):
                frames[offsets[index] : offsets[index + 1]] = clusters
            batch = []
    return frames
