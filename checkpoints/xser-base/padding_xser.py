"""Rows of unequal length as one batch, and the mask of what is real. Shapes: B batch, L tokens, S samples, frames."""

import numpy as np


def pad_left(rows: list[np.ndarray], value: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad and stack; (B, L) and the mask of what is real, both int64."""
    padded = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
    mask = np.zeros_like(padded)
    for b, row in enumerate(rows):
        padded[b, padded.shape[1] - len(row) :] = row
        mask[b, padded.shape[1] - len(row) :] = 1
    return padded, mask


def pad_right(rows: list[np.ndarray], value: float, dtype=np.int64) -> tuple[np.ndarray, np.ndarray]:
    """Pad and stack; (B, S, …) of `dtype` and the mask (B, S) of what is real, int64."""
    padded = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), value, dtype=dtype)
    mask = np.zeros(padded.shape[:2], dtype=np.int64)
    for b, row in enumerate(rows):
        padded[b, : len(row)] = row
        mask[b, : len(row)] = 1
    return padded, mask


__all__ = ["pad_left", "pad_right"]
