"""Whisper's encoder as an audio tower: it reads waveforms, for as long as the recording is.

Whisper is made for 30 s: silence follows a shorter recording, and the encoder attends to it all. Here positions and
attention end with the recording, so the cost grows with its length, and padding in a batch changes nothing. `padded`
is the original.

Shapes: B batch, S samples, T frames, H width.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig, WhisperFeatureExtractor
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from .log_mel_xser import HOP, SAMPLE_RATE, WINDOW, log_mel
from .tower_frames_xser import TowerFrames
from .tower_xser import convolve_in_float32

STRIDE = 2  # of the second convolution: frames of 20 ms from those of 10 ms
SILENT_FRAMES = 4  # of 10 ms, after a recording: all that see its end, and those that the convolutions read of them


class WhisperTower:
    """See `AudioTower`."""

    model_types = ("whisper",)
    own_fields = ("encoder_layers", "num_mel_bins", "max_source_positions")
    same_fields = ("hidden_size", "num_mel_bins", "max_source_positions")
    model_class = WhisperEncoder
    # the encoder stands under one of two names, or alone; the decoder has no place in it, and is not read
    load_options = {"key_mapping": {r"^(model\.)?encoder\.": ""}}

    def __init__(self, config: PreTrainedConfig, padded: bool = False):
        self.config, self.padded = config, padded
        spectrum = (WINDOW // 2, WINDOW // 2 - HOP)  # a window is centred on its frame; an incomplete hop is none
        self.frames = TowerFrames((WINDOW, 3, 3), (HOP, 1, STRIDE), (spectrum, (1, 1), (1, 1)))
        self.max_samples = config.max_source_positions * STRIDE * HOP

    def extractor(self) -> WhisperFeatureExtractor:
        return WhisperFeatureExtractor(feature_size=self.config.num_mel_bins)

    def check_extractor(self, extractor) -> None:
        if getattr(extractor, "do_normalize", False):
            raise ValueError(
                f"feature_extractor is a {type(extractor).__name__} with do_normalize true; Whisper reads waveforms "
                "as they are: give the WhisperFeatureExtractor of the tower's folder"
            )

    def prepare(self, tower: WhisperEncoder) -> None:
        convolve_in_float32(tower.conv1, tower.conv2)

    def set_trained(self, tower: WhisperEncoder, is_trained: bool) -> None:
        tower.requires_grad_(is_trained)
        tower.embed_positions.requires_grad_(False)  # sinusoids, as Whisper is trained

    def encode(
        self, tower: WhisperEncoder, input_values: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        num_samples = input_values.shape[1]
        if num_samples > self.max_samples:
            raise ValueError(
                f"input_values hold {num_samples} samples, {num_samples / SAMPLE_RATE:.2f} s; this Whisper has "
                f"{self.config.max_source_positions} positions, and reads {self.max_samples} samples, "
                f"{self.max_samples / SAMPLE_RATE:g} s, at most: cut the recording"
            )
        if mask is not None:
            input_values = input_values.masked_fill(mask == 0, 0)
        num_frames = self.frames.num_frames(num_samples)
        hidden_states = self._embed(tower, input_values)
        if not self.padded:
            hidden_states = hidden_states[:, :num_frames]
        attention_mask = None
        if mask is not None and not self.padded:
            attention_mask = create_bidirectional_mask(tower.config, hidden_states, self.frames.mask(mask))
        hidden_states = nn.functional.dropout(hidden_states, tower.dropout, tower.training)
        states = [hidden_states]
        for layer in tower.layers:
            states.append(layer(states[-1], attention_mask))
        states[-1] = tower.layer_norm(states[-1])
        return tuple(each[:, :num_frames] for each in states)

    def _embed(self, tower: WhisperEncoder, waves: torch.Tensor) -> torch.Tensor:
        """(B, S) -> (B, T', H) with positions, T' at least the frames of the recording.

        Silence follows the waves, as in Whisper's training, so frames at their end are the original's, too.
        """
        wanted = self.max_samples
        if not self.padded:
            wanted = min((waves.shape[1] // HOP + SILENT_FRAMES) * HOP, wanted)
        waves = nn.functional.pad(waves, (0, wanted - waves.shape[1]))
        spectrum = log_mel(waves, self.config.num_mel_bins).to(tower.conv1.weight.dtype)  # (B, F, 2 T')
        hidden_states = nn.functional.gelu(tower.conv2(nn.functional.gelu(tower.conv1(spectrum))))
        positions = torch.arange(hidden_states.shape[-1], device=hidden_states.device)
        return hidden_states.transpose(1, 2) + tower.embed_positions(positions)


__all__ = ["WhisperTower"]
