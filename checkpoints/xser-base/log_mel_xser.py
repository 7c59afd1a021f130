"""Whisper's log-mel spectrogram of a batch, in torch and in float32.

It is what `WhisperFeatureExtractor` makes of each recording, for any length: zeros follow the recording there as they
do here.

Shapes: B batch, S samples at 16 kHz, M frames of 10 ms, F mel bins.
"""

from functools import cache

import numpy as np
import torch
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP = 400, 160  # samples: 25 and 10 ms
SMALLEST = 1e-10  # of a power whose logarithm is taken
RANGE = 8.0  # powers of ten below the loudest bin that count: 80 dB


def log_mel(waves: torch.Tensor, num_mel_bins: int) -> torch.Tensor:
    """(B, S) in [-1, 1] -> (B, F, M), M = S // 160; frame m is centred at sample 160 m.

    The loudest bin, which all others are relative to, is that of each row alone. A row that ends in 200 zeros or more
    gives the same frames whatever number of zeros follows: they are as silent as can be, and never the loudest.
    """
    with torch.autocast(waves.device.type, enabled=False):
        waves = waves.float()
        window = torch.hann_window(WINDOW, device=waves.device)
        spectrum = torch.stft(waves, WINDOW, HOP, window=window, return_complex=True)[..., :-1]
        # step by step as the feature extractor: from rounding alone, Whisper's upper layers make differences of 1e-3
        power = spectrum.abs().square()  # (B, 201, M)
        filters = torch.from_numpy(_filters(num_mel_bins)).to(waves.device)
        levels = (filters.T @ power.contiguous()).clamp(min=SMALLEST).log10()
        loudest = levels.amax((1, 2), keepdim=True)
        return (torch.maximum(levels, loudest - RANGE) + 4) / 4


@cache
def _filters(num_mel_bins: int) -> np.ndarray:
    """(201, F) float32 triangles on Slaney's mel scale, of equal area."""
    filters = mel_filter_bank(1 + WINDOW // 2, num_mel_bins, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, "slaney", "slaney")
    return filters.astype(np.float32)


__all__ = ["HOP", "SAMPLE_RATE", "WINDOW", "log_mel"]
