"""What targets are made of: MFCC, or layers of a tower; one vector of each a frame of the tower in training.

Shapes: S samples, T frames, L layers (1 of MFCC), D features.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torchaudio.functional import compute_deltas
from torchaudio.transforms import MFCC

from xser.audio_xser import SAMPLE_RATE
from xser.pretraining.collator import normalize
from xser.pretraining.frames import FrameGrid
from xser.pretraining.teacher import Teacher

Features = Callable[[list[np.ndarray]], list[np.ndarray]]  # waves (S,) -> (T, L, D) each, of L layers

NUM_CEPSTRA, NUM_MELS = 13, 40
MIN_WINDOW = 400  # samples, 25 ms
BATCH, BATCH_SECONDS = 32, 120
HIGHEST_HALF = float(np.finfo(np.float16).max)


class CepstralFeatures:
    """13 MFCC, their deltas and second deltas, 39 in all, each window centred where a frame of the tower is.

    The window is as long as the step from frame to frame, and 25 ms at least: at 25 frames a second one of 25 ms would
    not hear three eighths of the sound.
    """

    def __init__(self, grid: FrameGrid):
        self.grid = grid
        self.window = max(MIN_WINDOW, grid.stride)
        size = 1 << (self.window - 1).bit_length()
        spectrum = {
            "n_fft": size, "win_length": self.window, "hop_length": grid.stride, "center": False, "n_mels": NUM_MELS
        }  # fmt: skip
        self.size, self.mfcc = size, MFCC(SAMPLE_RATE, NUM_CEPSTRA, melkwargs=spectrum)

    def __call__(self, waves: list[np.ndarray]) -> list[np.ndarray]:
        return [self.of(wave)[:, None] for wave in waves]

    @torch.no_grad()
    def of(self, wave: np.ndarray) -> np.ndarray:
        """(S,) → (T, 39) float32."""
        num_frames = int(self.grid.num_frames(len(wave)))
        start = (self.grid.field - self.size) // 2  # of the first window, before the recording if negative
        needed = (num_frames - 1) * self.grid.stride + self.size
        samples = torch.from_numpy(wave)[max(start, 0) :]
        samples = torch.nn.functional.pad(samples, (max(-start, 0), 0))
        samples = torch.nn.functional.pad(samples, (0, max(needed - len(samples), 0)))[:needed]
        cepstra = self.mfcc(samples)  # (13, T)
        deltas = compute_deltas(cepstra)
        return torch.cat([cepstra, deltas, compute_deltas(deltas)]).T.numpy()


class TowerFeatures:
    """States of a pretrained tower's layers, over unmasked and unperturbed recordings, at the frames of another tower.

    Computed in float32, and rounded to half precision after frames are averaged: whether they come from disk or not,
    they are the same.

    Args:
        teacher: whose states.
        layers: 0, before the first transformer layer, to their number.
        grid: of the tower in training; `FrameGrid.aligned` says which frames of the teacher stand for one of its own.
        device: that the teacher computes on.
    """

    def __init__(self, teacher: Teacher, layers: Sequence[int], grid: FrameGrid, device: torch.device):
        self.teacher, self.layers, self.grid, self.device = teacher, tuple(layers), grid, device
        self.tower = teacher.load(max(layers), device)

    @torch.no_grad()
    def __call__(self, waves: list[np.ndarray]) -> list[np.ndarray]:
        """Waves (S,) -> (T, L, D) float16 each."""
        lengths = torch.tensor([len(wave) for wave in waves], device=self.device)
        waves = [normalize(wave) if self.teacher.do_normalize else wave for wave in waves]
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
        mask = (torch.arange(padded.shape[1], device=self.device) < lengths.unsqueeze(1)).long()
        states = self.teacher.kind.encode(self.tower, padded.to(self.device), mask)
        layers = torch.stack([states[layer].float() for layer in self.layers], dim=2).cpu().numpy()  # (B, T', L, D)
        return [self._frames(each, len(wave)) for each, wave in zip(layers, waves, strict=True)]

    def _frames(self, states: np.ndarray, samples: int) -> np.ndarray:
        """(T', L, D) -> (T, L, D)."""
        averaged = states[self.grid.aligned(self.teacher.kind.frames, samples)].mean(1)
        if not (highest := np.abs(averaged).max()) <= HIGHEST_HALF:  # or it is no number
            raise ValueError(
                f"states of layers {list(self.layers)} of {self.teacher.id_or_path} reach {highest:.0f}; "
                f"half precision ends at {HIGHEST_HALF:.0f}: choose other teacher_layers"
            )
        return averaged.astype(np.float16)


def by_length(indices: Iterable[int], lengths: np.ndarray) -> list[int]:
    """Pieces, the shortest first."""
    return sorted(indices, key=lambda index: (lengths[index], index))


def features_of(
    waves: Callable[[int], np.ndarray], indices: Iterable[int], lengths: np.ndarray, features: Features
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, (T, L, D)) of pieces, in batches of about equal length."""
    for batch in _batches(by_length(indices, lengths), lengths):
        yield from zip(batch, features([waves(index) for index in batch]), strict=True)


def _batches(order: Iterable[int], lengths: np.ndarray) -> Iterator[list[int]]:
    """Pieces in batches of at most `BATCH`, and of so many seconds that a large teacher's first layers fit."""
    batch = []
    for index in order:  # the longest so far
        if batch and (len(batch) == BATCH or (len(batch) + 1) * lengths[index] > BATCH_SECONDS * SAMPLE_RATE):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def perplexity(counts: np.ndarray) -> float:
    """e to the entropy of a histogram: of how many equally used clusters it could be. 0 of no counts."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return math.exp(-float((shares * np.log(shares)).sum())) if len(shares) else 0.0
