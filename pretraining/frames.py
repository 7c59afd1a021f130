"""Which samples a frame of the tower sees: everything that must agree with it in time asks here."""

from dataclasses import dataclass

import numpy as np
from transformers import HubertConfig

from xser.audio_xser import SAMPLE_RATE
from xser.tower_frames_xser import TowerFrames


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

    def aligned(self, other: TowerFrames, samples: int) -> np.ndarray:
        """Which frames of another tower stand for each frame of this one, over a recording of so many samples.

        As many frames as one of ours lasts, those whose common centre is nearest to ours: their states are averaged.
        Where the other's frames are as long or longer, the nearest one. At the edges the other's first or last frame
        takes the place of those beyond it.

        Returns:
            (T, R) numbers of the other's frames, R = stride / other.hop or 1.
        """
        num_frames, num_others = int(self.num_frames(samples)), int(other.num_frames(samples))
        together = max(1, self.stride // other.hop)
        centres = (self.field - 1) / 2 + self.stride * np.arange(num_frames)
        first = np.floor((centres - other.first_centre) / other.hop - (together - 1) / 2 + 0.5).astype(np.int64)
        return np.clip(first[:, None] + np.arange(together), 0, num_others - 1)

    def check_aligns(self, other: TowerFrames, what: str) -> None:
        """`ValueError` where neither frame rate is a whole multiple of the other.

        Args:
            what: the other tower, in the message.
        """
        if self.stride % other.hop and other.hop % self.stride:
            raise ValueError(
                f"targets are from {what}, which has {SAMPLE_RATE / other.hop:g} frames a second, but the tower in "
                f"training has {self.rate:g}: of their strides, {other.hop} and {self.stride} samples, one must be a "
                "whole multiple of the other"
            )
