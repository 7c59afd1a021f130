"""What is clustered into targets: MFCC at first, then layers of a tower; one vector a frame of the tower in training.

Shapes: S samples, T frames, D features.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torchaudio.functional import compute_deltas
from torchaudio.transforms import MFCC
from transformers import HubertModel

from xser.audio_xser import SAMPLE_RATE
from xser.pretraining.collator import normalize
from xser.pretraining.frames import FrameGrid
from xser.tower_xser import mark_padding, prepare_tower

Features = Callable[[list[np.ndarray]], list[np.ndarray]]  # waves (S,) -> (T, D) each

NUM_CEPSTRA, NUM_MELS = 13, 40
MIN_WINDOW = 400  # samples, 25 ms
BATCH = 32


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
        return [self.of(wave) for wave in waves]

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


class LayerFeatures:
    """A layer of a tower, over unmasked and unperturbed recordings, in float32.

    Args:
        tower: in whose hidden states to look.
        layer: 0, before the first transformer layer, to their number.
        grid: of the tower in training; where the other's frames have other centres, the nearest one counts.
    """

    def __init__(self, tower: HubertModel, layer: int, grid: FrameGrid, do_normalize: bool, device: torch.device):
        self.tower, self.layer, self.grid = tower.eval().to(device), layer, grid
        self.do_normalize, self.device = do_normalize, device
        self.own_grid = FrameGrid.of(tower.config)
        prepare_tower(tower)

    @torch.no_grad()
    def __call__(self, waves: list[np.ndarray]) -> list[np.ndarray]:
        lengths = torch.tensor([len(wave) for wave in waves], device=self.device)
        waves = [normalize(wave) if self.do_normalize else wave for wave in waves]
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
        mask = torch.arange(padded.shape[1], device=self.device) < lengths.unsqueeze(1)
        padded = mark_padding(self.tower, padded.to(self.device), mask)
        states = self.tower(padded, attention_mask=mask, output_hidden_states=True)
        layer = states.hidden_states[self.layer].float().cpu().numpy()
        return [self._frames(features, len(wave)) for features, wave in zip(layer, waves, strict=True)]

    def _frames(self, features: np.ndarray, samples: int) -> np.ndarray:
        own, wanted = (int(grid.num_frames(samples)) for grid in (self.own_grid, self.grid))
        return features[self.grid.nearest(self.own_grid, wanted, own)]


def features_of(
    waves: Callable[[int], np.ndarray], indices: Iterable[int], lengths: np.ndarray, features: Features
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, (T, D)) of pieces, in batches of about equal length."""
    order = sorted(indices, key=lambda index: (lengths[index], index))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        yield from zip(batch, features([waves(index) for index in batch]), strict=True)


def perplexity(counts: np.ndarray) -> float:
    """e to the entropy of a histogram: of how many equally used clusters it could be. 0 of no counts."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return math.exp(-float((shares * np.log(shares)).sum())) if len(shares) else 0.0
