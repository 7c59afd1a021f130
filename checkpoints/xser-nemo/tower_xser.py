"""The audio tower, made so that padding changes nothing, and bfloat16 little.

Shapes: B batch, S samples, C channels, G groups, T frames.
"""

from functools import partial

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

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


def prepare_tower(tower: PreTrainedModel, least_channels: int = 2) -> None:
    """Mask the group norm, and keep convolutions of few channels a group in float32, in place.

    Args:
        least_channels: convolutions of fewer channels a group are left as they are.
    """
    layers = tower.feature_extractor.conv_layers
    if isinstance(getattr(layers[0], "layer_norm", None), nn.GroupNorm):  # only ever in the first layer
        layers[0] = MaskedNormConvLayer(layers[0])
    for conv in (*(layer.conv for layer in layers), tower.encoder.pos_conv_embed.conv):
        if least_channels <= conv.in_channels // conv.groups < FEW_CHANNELS:
            _convolve_in_float32(conv)


def mark_padding(tower: PreTrainedModel, input_values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Waveforms (B, S) with NaN where `mask` (B, S) is 0, for a tower whose norm has to know; else as they are."""
    if not isinstance(tower.feature_extractor.conv_layers[0], MaskedNormConvLayer):
        return input_values
    return input_values.masked_fill(mask == 0, torch.nan)


def _convolve_in_float32(conv: nn.Conv1d) -> None:
    """Make a convolution compute in float32, whatever its weights' dtype, in place.

    oneDNN, as torch 2.11 has it, gets some bfloat16 convolutions of few channels a group wrong on CPUs with AMX: not
    by rounding, the sums are others. A small tower's positional convolution is of that kind.
    """
    conv._conv_forward = partial(_float32_forward, conv._conv_forward)


def _float32_forward(convolve, hidden_states, weight, bias):
    with torch.autocast(hidden_states.device.type, enabled=False):
        output = convolve(hidden_states.float(), weight.float(), None if bias is None else bias.float())
    return output.to(hidden_states.dtype)


__all__ = ["MaskedNormConvLayer", "mark_padding", "prepare_tower"]
