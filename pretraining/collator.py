"""Pieces and their targets → a batch: perturbed, normalised, padded, and masked.

Shapes: B pieces, S samples, T frames, L layers of targets, D width of a teacher.
"""

from dataclasses import dataclass

import numpy as np
import torch

from xser.pretraining.augment import Augmenter
from xser.pretraining.frames import FrameGrid
from xser.pretraining.items import CLUSTERS, REGRESSION

NORMALIZE_EPSILON = 1e-7  # that of Wav2Vec2FeatureExtractor


def span_mask(num_frames: int, prob: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """(T,) bool: spans of `length` masked frames from different starts; they may overlap.

    As many as would cover `prob` of the frames if none did, rounded up or down by chance, and at least one (the rule
    of wav2vec 2.0 and HuBERT). So that a run can go on exactly, the generator is the caller's.
    """
    number = max(1, int(prob * num_frames / length + rng.random()))
    starts = rng.choice(num_frames - length + 1, min(number, num_frames - length + 1), replace=False)
    mask = np.zeros(num_frames, dtype=bool)
    mask[starts[:, None] + np.arange(length)] = True
    return mask


def normalize(wave: np.ndarray) -> np.ndarray:
    """(S,) to zero mean and unit variance, bit for bit as the feature extractor does, with fewer passes."""
    centred = wave - wave.mean()
    variance = np.square(centred).sum() / len(wave)  # what `var` computes, which would take the mean once more
    centred /= np.sqrt(variance + NORMALIZE_EPSILON)
    return centred


@dataclass
class TowerCollator:
    """Makes one micro-batch of rows `{wave (S,), targets (T, L) or (T, L, D), noise_seed}`.

    Gives `input_values` (B, S) float32; `attention_mask` (B, S), `is_masked` (B, T) and `is_counted` (B, T), bool;
    `targets` (B, T, L) or (B, T, L, D), 0 on padding. The loss counts masked frames, or all of them where the
    objective is plain regression, which masks none. Rows without targets give `waves`, the recordings as they were,
    in place of these. A row's masks and perturbations are a function of its `noise_seed` alone.

    A batch is padded to whole frames: lengths recur then, and what a backend compiles for a shape serves again.
    """

    grid: FrameGrid
    mask_prob: float
    mask_length: int
    do_normalize: bool = True
    augmenter: Augmenter | None = None
    objective: str = CLUSTERS

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        lengths = np.array([len(row["wave"]) for row in rows])
        width = -(-lengths.max() // self.grid.stride) * self.grid.stride
        input_values = np.zeros((len(rows), width), dtype=np.float32)
        is_masked, is_counted = np.zeros((2, len(rows), self.grid.num_frames(width)), dtype=bool)
        for row, values, masked, counted in zip(rows, input_values, is_masked, is_counted, strict=True):
            rng, wave = np.random.default_rng(row["noise_seed"]), row["wave"]
            num_frames = self.grid.num_frames(len(wave))
            if self.objective == REGRESSION:
                counted[:num_frames] = True
            else:
                masked[:num_frames] = span_mask(num_frames, self.mask_prob, self.mask_length, rng)
                counted[:] = masked
            if self.augmenter is not None:
                wave = self.augmenter(wave, rng)
            values[: len(wave)] = normalize(wave) if self.do_normalize else wave
        batch = {
            "input_values": torch.from_numpy(input_values),
            "attention_mask": torch.from_numpy(np.arange(width) < lengths[:, None]),
            "is_masked": torch.from_numpy(is_masked),
            "is_counted": torch.from_numpy(is_counted),
        }
        if "targets" not in rows[0]:
            return {**batch, "waves": [row["wave"] for row in rows]}
        return {**batch, "targets": padded([row["targets"] for row in rows], is_masked.shape[1])}


def padded(targets: list[np.ndarray], num_frames: int) -> torch.Tensor:
    """(T, …) each -> (B, num_frames, …), 0 on padding."""
    batch = np.zeros((len(targets), num_frames, *targets[0].shape[1:]), dtype=targets[0].dtype)
    for row, each in zip(batch, targets, strict=True):
        row[: len(each)] = each
    return torch.from_numpy(batch)
