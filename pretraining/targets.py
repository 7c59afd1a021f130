"""What each frame is asked for, once, on disk under a digest of all it depends on: clusters, or a teacher's states.

Chosen here: every feature is scaled to zero mean and unit variance before k-means, so that deltas count; sources lend
frames to the fit by their weight; each layer has clusters of its own.

Shapes: S samples, T frames of a piece, N frames of a source, L layers, D width of the teacher.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset
from tqdm import tqdm

from xser.corpora.cache import digest, written_beside
from xser.pretraining.features import (
    BATCH,
    CepstralFeatures,
    Features,
    TowerFeatures,
    by_length,
    features_of,
    perplexity,
)
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import CLUSTERS, MFCC, Iteration
from xser.pretraining.sources import TowerData
from xser.pretraining.states import LayerStates, cached_states, frame_offsets
from xser.pretraining.teacher import Teacher
from xser.training.sampler import stable_hash

logger = logging.getLogger(__name__)
VERSION = 2  # of how targets are made
KMEANS_BATCH = 10_000
Reader = Callable[[int, Iterable[int]], Iterator[tuple[int, np.ndarray]]]  # source, pieces -> (piece, (T, L, D))


@dataclass
class Targets:
    """Targets of all frames of all sources.

    Args:
        digest: of all that they depend on.
        objective: that they are made for.
        frames: of each source, piece after piece: (N, L) uint16 clusters, or (N, L, D) float16 states; None where
            `live` computes these when they are needed.
        num_layers: L.
        num_clusters: k of each layer; 0 of states.
        mean, std: (L, D) float32 by which states are standardised; None of clusters.
        live: gives the states of recordings.
    """

    digest: str
    objective: str
    frames: Sequence[np.ndarray | LayerStates] | None
    num_layers: int
    num_clusters: int = 0
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    live: TowerFeatures | None = None


class TowerDataset(Dataset):
    """Pieces of one source with their targets: rows `{id, wave (S,), targets (T, L) or (T, L, D)}`.

    Args:
        data: of a source.
        indices: of its pieces.
        frames: of all its pieces, as in `Targets`; without them rows have no targets.
        grid: of the tower.
    """

    def __init__(self, data: TowerData, indices: np.ndarray, frames: np.ndarray | LayerStates | None, grid: FrameGrid):
        self.pieces, self.indices, self.frames = data.pieces, indices, frames
        self.offsets = frame_offsets(data, grid)
        assert frames is None or self.offsets[-1] == len(frames)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def durations(self) -> np.ndarray:
        """(N,) seconds."""
        return self.pieces.seconds[self.indices]

    def __getitem__(self, number: int) -> dict:
        index = self.indices[number]
        row = {"id": self.pieces.ids[index], "wave": self.pieces.wave(index)}
        if self.frames is None:
            return row
        targets = self.frames[self.offsets[index] : self.offsets[index + 1]]
        return {**row, "targets": targets.astype(np.int64) if targets.dtype == np.uint16 else targets}


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
        iteration: its `targets` is `mfcc`, or a tower's folder or id.
        root: folder of the cache.
        fit_frames: that k-means, or the scale of states, is fitted on.

    Raises:
        ValueError: no such tower or layer, a tower of another frame rate, fewer frames than clusters, or no space for
            a teacher's states.
    """
    teacher = None if iteration.targets == MFCC else Teacher.read(iteration.targets)
    if teacher is not None:
        lengths = [data.pieces.lengths for data in sources]
        teacher.check(iteration.layers, grid, *(int(fold(map(fold, lengths))) for fold in (min, max)))
    origin = MFCC if teacher is None else (teacher.stamp(), iteration.layers)
    aim = iteration.clusters if iteration.objective in (None, CLUSTERS) else "states"
    pieces = [(data.pieces.digest, data.weight, data.train.tolist()) for data in sources]
    key = digest("targets", VERSION, origin, aim, (grid.stride, grid.field), fit_frames, seed, pieces)
    maker = _Maker(iteration, teacher, sources, grid, root, device)
    folder = root / f"targets-{key}"
    if aim == "states":
        return _states(maker, folder, key, fit_frames, seed)
    return _clusters(maker, folder, key, fit_frames, seed)


class _Maker:
    """What targets of an iteration are made from; nothing is loaded or computed before it is asked for."""

    def __init__(
        self,
        iteration: Iteration,
        teacher: Teacher | None,
        sources: list[TowerData],
        grid: FrameGrid,
        root: Path,
        device: torch.device,
    ):
        self.iteration, self.teacher, self.sources, self.grid = iteration, teacher, sources, grid
        self.root, self.device = root, device
        self._features: Features | None = None

    @property
    def name(self) -> str:
        if self.teacher is None:
            return MFCC
        return f"layer {', '.join(map(str, self.iteration.layers))} of {self.teacher.id_or_path}"

    @property
    def num_layers(self) -> int:
        return max(1, len(self.iteration.layers))

    def features(self) -> Features:
        """Of recordings, computed anew."""
        if self._features is None:
            self._features = (
                CepstralFeatures(self.grid)
                if self.teacher is None
                else TowerFeatures(self.teacher, self.iteration.layers, self.grid, self.device)
            )
        return self._features

    def states(self) -> list[LayerStates] | None:
        """The teacher's, of every source, where they are kept on disk."""
        if not self.iteration.cache_states or self.teacher is None:
            return None
        return cached_states(self.teacher, self.iteration.layers, self.sources, self.grid, self.root, self.device)

    def reader(self) -> Reader:
        """(piece, (T, L, D)) of pieces of a source, from disk or computed."""
        states = self.states()
        if states is None:
            pieces = [data.pieces for data in self.sources]
            return lambda source, indices: features_of(
                pieces[source].wave, indices, pieces[source].lengths, self.features()
            )
        return lambda source, indices: _read(states[source], self.sources[source], self.grid, indices)


def _read(
    states: LayerStates, data: TowerData, grid: FrameGrid, indices: Iterable[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """As `features_of`, from disk."""
    offsets = frame_offsets(data, grid)
    for index in by_length(indices, data.pieces.lengths):
        yield index, states[offsets[index] : offsets[index + 1]]


def _clusters(maker: _Maker, folder: Path, key: str, fit_frames: int, seed: int) -> Targets:
    """Clusters of features, from disk if they are there."""
    clusters = maker.iteration.clusters
    if not folder.is_dir():
        read = maker.reader()
        models = _fit(maker, read, clusters, fit_frames, seed)
        with written_beside(folder, keep_others=True) as beside:
            beside.mkdir()
            for number in range(len(maker.sources)):
                np.save(beside / f"{number}.npy", _assign(maker, read, number, models), allow_pickle=False)
    frames = [
        np.load(folder / f"{number}.npy", mmap_mode="r", allow_pickle=False) for number in range(len(maker.sources))
    ]
    for layer in range(maker.num_layers):
        counts = sum(np.bincount(each[:, layer], minlength=clusters) for each in frames)
        logger.info(
            "targets from %s, %d of %d: %d frames, %d of %d clusters used, perplexity %.1f", maker.name, layer + 1,
            maker.num_layers, counts.sum(), (counts > 0).sum(), clusters, perplexity(counts),
        )  # fmt: skip
    return Targets(key, CLUSTERS, frames, maker.num_layers, num_clusters=clusters)


def _states(maker: _Maker, folder: Path, key: str, fit_frames: int, seed: int) -> Targets:
    """States of a teacher's layers, and the scale that they are standardised by."""
    states = maker.states()
    if not folder.is_dir():
        scales = [_scale(vectors) for vectors in _layers(_sample(maker, maker.reader(), fit_frames, seed))]
        with written_beside(folder, keep_others=True) as beside:
            beside.mkdir()
            for name in ("mean_", "scale_"):  # a feature that never changes has scale 1
                values = np.stack([getattr(scaler, name) for scaler in scales]).astype(np.float32)
                np.save(beside / f"{name}.npy", values, allow_pickle=False)
    mean, std = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("mean_", "scale_"))
    live = maker.features() if states is None else None
    where = "computed when needed" if states is None else "from disk"
    logger.info("targets are states of %s, %d numbers a frame each, %s", maker.name, mean.shape[1], where)
    return Targets(key, maker.iteration.objective, states, maker.num_layers, mean=mean, std=std, live=live)


def _sample(maker: _Maker, read: Reader, fit_frames: int, seed: int) -> np.ndarray:
    """(frames, L, D) of pieces drawn from the training part of every source, as many as its weight is worth."""
    total = sum(data.weight for data in maker.sources)
    chosen = []
    for number, data in enumerate(maker.sources):
        rng = np.random.default_rng(stable_hash(seed, "k-means", data.pieces.digest))
        order = rng.permutation(data.train)
        frames = np.cumsum(maker.grid.num_frames(data.pieces.lengths[order]))
        order = order[: np.searchsorted(frames, fit_frames * data.weight / total) + 1]
        bar = tqdm(read(number, order), f"features of {data.name}", len(order), disable=None)
        chosen += [vectors for _, vectors in bar]
    return np.concatenate(chosen)


def _layers(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """(frames, L, D) -> (frames, D) float32 of one layer after the other: one copy at a time."""
    for layer in range(vectors.shape[1]):
        yield vectors[:, layer].astype(np.float32)


def _scale(vectors: np.ndarray) -> StandardScaler:
    return StandardScaler().fit(vectors)


def _fit(
    maker: _Maker, read: Reader, clusters: int, fit_frames: int, seed: int
) -> list[tuple[StandardScaler, MiniBatchKMeans]]:
    """k-means of every layer."""
    vectors = _sample(maker, read, fit_frames, seed)
    if len(vectors) < clusters:
        raise ValueError(f"clusters is {clusters}, but all that is heard has {len(vectors)} frames: ask for fewer")
    models = []
    for layer in tqdm(_layers(vectors), "k-means", maker.num_layers, disable=None):
        scaler = _scale(layer)
        kmeans = MiniBatchKMeans(
            clusters,
            batch_size=KMEANS_BATCH,
            n_init=3,
            max_no_improvement=50,
            reassignment_ratio=0.0,
            random_state=seed,
        )
        models.append((scaler, kmeans.fit(scaler.transform(layer).astype(np.float32))))
    return models


def _assign(
    maker: _Maker, read: Reader, source: int, models: list[tuple[StandardScaler, MiniBatchKMeans]]
) -> np.ndarray:
    """(N, L) uint16 cluster of every frame of every piece of a source, held out or not."""
    data = maker.sources[source]
    offsets = frame_offsets(data, maker.grid)
    frames = np.zeros((offsets[-1], len(models)), dtype=np.uint16)
    batch = []
    every = read(source, range(len(data.pieces)))
    for number, item in enumerate(tqdm(every, f"targets of {data.name}", len(data.pieces), disable=None), start=1):
        batch.append(item)
        if len(batch) == BATCH or number == len(data.pieces):
            vectors = np.concatenate([vectors for _, vectors in batch])
            found = np.stack(
                [
                    kmeans.predict(scaler.transform(layer).astype(np.float32))
                    for layer, (scaler, kmeans) in zip(_layers(vectors), models, strict=True)
                ],
                axis=1,
            )
            split = np.cumsum([len(vectors) for _, vectors in batch])[:-1]
            for (index, _), clusters in zip(batch, np.split(found, split), strict=True):
                frames[offsets[index] : offsets[index + 1]] = clusters
            batch = []
    return frames
