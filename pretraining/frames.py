"""Which samples a frame of the tower sees: everything that must agree with it in time asks here."""

from dataclasses import dataclass

import numpy as np
from transformers import HubertConfig

from xser.audio_xser import SAMPLE_RATE


@dataclass(frozen=True)
class FrameGrid:
    """Frame t sees samples t * stride … t * stride + field - 1.

    Args:
        stride: samples from one frame to the next.
        field: samples that a frame sees, its receptive field before the transformer.
    """

    stride: int
    field: int

    @classmethod
    def of(cls, config: HubertConfig) -> "FrameGrid":
        """The grid of a tower's convolutions, which have no padding."""
        field, stride = 1, 1
        for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
            field, stride = field + (kernel - 1) * stride, stride * step
        return cls(stride, field)

    @property
    def rate(self) -> float:
        """Frames a second."""
        return SAMPLE_RATE / self.stride

    def num_frames(self, samples: int | np.ndarray) -> int | np.ndarray:
        """Frames of so many samples."""
        return np.maximum((samples - self.field) // self.stride + 1, 0)

    def nearest(self, other: "FrameGrid", num_frames: int, num_others: int) -> np.ndarray:
        """For each of `num_frames` frames, (T,) the frame of a grid of the same stride whose centre is nearest."""
        assert self.stride == other.stride
        shift = round((self.field - other.field) / (2 * self.stride))
        return np.clip(np.arange(num_frames) + shift, 0, num_others - 1)
