"""Which samples each frame of an audio tower sees: everything that must agree with a tower in time asks here.

A tower's first layers are taken for convolutions over the waveform. Those of HuBERT are; Whisper's spectrum is one,
too, of its window and hop, and has padding as Whisper's convolutions do.

Shapes: B batch, S samples, T frames.
"""

from collections.abc import Sequence

import torch


class TowerFrames:
    """From samples at 16 kHz to frames.

    Args:
        conv_kernel, conv_stride: of each convolution, the first one first.
        conv_padding: (before, after) of each convolution, in its own inputs; none by default.
    """

    def __init__(
        self,
        conv_kernel: Sequence[int],
        conv_stride: Sequence[int],
        conv_padding: Sequence[Sequence[int]] | None = None,
    ):
        padding = None if conv_padding is None else [list(each) for each in conv_padding]
        # as they are given, in the types that JSON has
        self.options = {"conv_kernel": list(conv_kernel), "conv_stride": list(conv_stride), "conv_padding": padding}
        self.convolutions = list(zip(conv_kernel, conv_stride, padding or [(0, 0)] * len(conv_kernel), strict=True))
        self.hop, self.field = 1, 1  # samples: from a frame to the next, and what one sees
        start = 0  # of the first frame's field
        for kernel, stride, (before, _) in self.convolutions:
            start -= before * self.hop
            self.field, self.hop = self.field + (kernel - 1) * self.hop, self.hop * stride
        self.first_centre = start + (self.field - 1) / 2  # samples: the middle of what the first frame sees

    def num_frames(self, num_samples: int | torch.Tensor) -> int | torch.Tensor:
        """Frames of so many samples; 0 where they do not fill one."""
        count = num_samples
        for kernel, stride, (before, after) in self.convolutions:
            count = (count + before + after - kernel) // stride + 1
        return count * (count > 0)

    def mask(self, samples_mask: torch.Tensor) -> torch.Tensor:
        """The real samples (B, S), 1 or 0, those of padding last -> the real frames (B, T), bool."""
        lengths = self.num_frames(samples_mask.long().sum(-1, keepdim=True))
        return torch.arange(self.num_frames(samples_mask.shape[1]), device=lengths.device) < lengths


__all__ = ["TowerFrames"]
