"""Audio towers of convolutions and a transformer, made so that padding changes nothing, and bfloat16 little.

HuBERT, wav2vec2, WavLM and data2vec-audio: they differ in their layers, and read a waveform alike.

Shapes: B batch, S samples, C channels, G groups, T frames, H width.
"""

from functools import partial

import torch
from torch import nn
from transformers import MODEL_MAPPING, PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor
from transformers.modeling_layers import GradientCheckpointingLayer

from .tower_frames_xser import TowerFrames

FEW_CHANNELS = 32  # a group, below which a convolution stays in float32


class MaskedNormConvLayer(GradientCheckpointingLayer):
    """A tower's first layer, whose group norm over time counts real samples only.

    HuBERT-base normalises over the padding as well. Where the padding is, the waveform itself says, by NaN
    (`mark_padding`): the layer holds nothing of a call, so many threads may use one tower, and a pass that is
    computed again for its gradient is the same.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.conv, self.layer_norm, self.activation = layer.conv, layer.layer_norm, layer.activation

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:  # (B, 1, S) -> (B, C, T)
        is_padding = hidden_states.isnan()
        lengths = ((~is_padding).sum(-1) - self.conv.kernel_size[0]) // self.conv.stride[0] + 1  # (B, 1)
        hidden_states = self.conv(hidden_states.masked_fill(is_padding, 0))
        return self.activation(masked_group_norm(hidden_states, lengths, self.layer_norm))


def masked_group_norm(hidden_states: torch.Tensor, lengths: torch.Tensor, norm: nn.GroupNorm) -> torch.Tensor:
    """A group norm over the first `lengths` (B, 1) of T frames, (B, C, T) -> (B, C, T)."""
    groups = hidden_states.float().unflatten(1, (norm.num_groups, -1))  # (B, G, C/G, T)
    mask = torch.arange(groups.shape[-1], device=groups.device) < lengths.view(-1, 1, 1, 1)
    count = mask.sum((2, 3), keepdim=True) * groups.shape[2]
    mean = (groups * mask).sum((2, 3), keepdim=True) / count
    variance = ((groups - mean) ** 2 * mask).sum((2, 3), keepdim=True) / count
    normed = ((groups - mean) * torch.rsqrt(variance + norm.eps)).flatten(1, 2)
    return (normed * norm.weight.unsqueeze(-1) + norm.bias.unsqueeze(-1)).to(hidden_states.dtype)


class MaskedPositionalConvolutions(nn.Module):
    """data2vec-audio's positions, five convolutions one after another, of which each sees zeros where padding is.

    Each but the first would see what the one before makes of padding. Where that is, the states say: the encoder sets
    them to zero, as no real frame is.
    """

    def __init__(self, embedding: nn.Module):
        super().__init__()
        self.layers = embedding.layers

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:  # (B, T, H)
        is_padding = (hidden_states == 0).all(-1).unsqueeze(1)  # (B, 1, T)
        hidden_states = hidden_states.transpose(1, 2)
        for layer in self.layers:
            hidden_states = layer(hidden_states.masked_fill(is_padding, 0))
        return hidden_states.transpose(1, 2)


def prepare_tower(tower: PreTrainedModel, least_channels: int = 2) -> None:
    """Mask what sees padding, and keep convolutions of few channels a group in float32, in place.

    Args:
        least_channels: convolutions of fewer channels a group are left as they are.
    """
    layers, encoder = tower.feature_extractor.conv_layers, tower.encoder
    if isinstance(getattr(layers[0], "layer_norm", None), nn.GroupNorm):  # only ever in the first layer
        layers[0] = MaskedNormConvLayer(layers[0])
    positions = [encoder.pos_conv_embed]
    if hasattr(encoder.pos_conv_embed, "layers"):
        encoder.pos_conv_embed = MaskedPositionalConvolutions(encoder.pos_conv_embed)
        positions = encoder.pos_conv_embed.layers
    convolve_in_float32(*(layer.conv for layer in (*layers, *positions)), least_channels=least_channels)


def mark_padding(tower: PreTrainedModel, input_values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Waveforms (B, S) with NaN where `mask` (B, S) is 0, for a tower whose norm has to know; else as they are."""
    if not isinstance(tower.feature_extractor.conv_layers[0], MaskedNormConvLayer):
        return input_values
    return input_values.masked_fill(mask == 0, torch.nan)


def convolve_in_float32(*convolutions: nn.Conv1d, least_channels: int = 2) -> None:
    """Make convolutions of few channels a group compute in float32, whatever their weights' dtype, in place.

    oneDNN, as torch 2.11 has it, gets some bfloat16 convolutions of few channels a group wrong on CPUs with AMX: not
    by rounding, the sums are others. A small tower's positional convolution is of that kind.
    """
    for conv in convolutions:
        if least_channels <= conv.in_channels // conv.groups < FEW_CHANNELS:
            conv._conv_forward = partial(_float32_forward, conv._conv_forward)


def _float32_forward(convolve, hidden_states, weight, bias):
    with torch.autocast(hidden_states.device.type, enabled=False):
        output = convolve(hidden_states.float(), weight.float(), None if bias is None else bias.float())
    return output.to(hidden_states.dtype)


class ConvTower:
    """See `AudioTower`."""

    model_types = ("hubert", "wav2vec2", "wavlm", "data2vec-audio")
    own_fields = ("conv_dim", "conv_kernel", "conv_stride")
    same_fields = ("hidden_size", "conv_kernel", "conv_stride")
    load_options = {}
    max_samples = None

    def __init__(self, config: PreTrainedConfig, padded: bool = False):
        if padded:
            raise ValueError(
                f"XSERConfig.padded is True; it must be false with a tower of type {config.model_type!r}, which reads "
                "recordings of any length: it is for Whisper"
            )
        self.frames = TowerFrames(config.conv_kernel, config.conv_stride)
        self.model_class = MODEL_MAPPING[type(config)]

    def extractor(self) -> Wav2Vec2FeatureExtractor:
        return Wav2Vec2FeatureExtractor(return_attention_mask=True)

    def check_extractor(self, extractor) -> None:
        if not hasattr(extractor, "do_normalize"):
            raise ValueError(
                f"feature_extractor is a {type(extractor).__name__}, which does not say whether clips are normalised "
                "(do_normalize): give the Wav2Vec2FeatureExtractor of the tower's folder"
            )

    def prepare(self, tower: PreTrainedModel) -> None:
        tower.config.layerdrop = 0.0  # a dropped layer would be missing from the mix
        prepare_tower(tower)

    def set_trained(self, tower: PreTrainedModel, is_trained: bool) -> None:
        tower.requires_grad_(is_trained)

    def encode(
        self, tower: PreTrainedModel, input_values: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        if mask is not None:
            input_values, mask = mark_padding(tower, input_values, mask), mask.long()
        input_values = input_values.to(tower.dtype)
        return tower(input_values, attention_mask=mask, output_hidden_states=True, return_dict=True).hidden_states


__all__ = [
    "ConvTower",
    "MaskedNormConvLayer",
    "MaskedPositionalConvolutions",
    "convolve_in_float32",
    "mark_padding",
    "prepare_tower",
]
