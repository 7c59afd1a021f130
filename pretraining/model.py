"""The HuBERT in training: where its weights come from, its loss, and the folder that it is written to.

Shapes: B pieces, S samples, T frames, M frames of the batch that count, L layers of targets, D width of a teacher.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor
from transformers.utils import ModelOutput

from xser.audio_xser import SAMPLE_RATE
from xser.backbones_xser import load_whole
from xser.pretraining.arguments import TowerArguments
from xser.pretraining.items import NEW
from xser.tower_xser import mark_padding, prepare_tower
from xser.training.whole import whole_folder

LOWEST_HZ, HIGHEST_HZ = 60.0, 7_600.0  # of spectral filters


@dataclass
class TowerOutput(ModelOutput):
    """Of one batch."""

    loss: torch.FloatTensor | None = None  # of frames that count; mean a piece, then over pieces
    predictions: torch.Tensor | None = None  # (M, L) clusters or (M, L, D) states
    targets: torch.Tensor | None = None  # of the same shape


class TowerForPretraining(nn.Module):
    """A tower and what its states are asked for.

    The tower computes what it will compute inside XSER: group norm counts real samples only, and convolutions of few
    channels a group stay in float32 (see `xser.tower_xser`).

    Args:
        objective: gives losses of frames, see `xser.pretraining.objectives`.
    """

    def __init__(self, tower: HubertModel, objective: nn.Module):
        super().__init__()
        self.tower, self.objective = tower, objective
        prepare_tower(tower, least_channels=1)

    def forward(
        self,
        input_values: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor,  # (B, S)
        is_masked: torch.Tensor,  # (B, T) frames that the tower does not see
        is_counted: torch.Tensor,  # (B, T) frames of the loss
        targets: torch.Tensor,  # (B, T, L) clusters, or (B, T, L, D) states
    ) -> TowerOutput:
        hidden_states = self.tower(
            mark_padding(self.tower, input_values, attention_mask),
            attention_mask=attention_mask,
            mask_time_indices=is_masked,
        ).last_hidden_state
        counted = is_counted.flatten().nonzero().squeeze(1)  # whole rows: their gradient is far cheaper than of a mask
        losses, predictions, targets = self.objective(
            *(each.flatten(0, 1).index_select(0, counted) for each in (hidden_states, targets))
        )
        share = (is_counted / is_counted.sum(-1, keepdim=True))[is_counted]  # (M,) weight of a frame in its piece
        return TowerOutput((losses * share).sum() / len(is_counted), predictions, targets)


def spectral_filters(channels: int, kernel: int) -> torch.Tensor:
    """(channels, 1, kernel) Hann-windowed cosines and sines of unit norm at log-spaced frequencies."""
    hertz = torch.logspace(math.log10(LOWEST_HZ), math.log10(HIGHEST_HZ), channels // 2)
    phase = 2 * math.pi * hertz.unsqueeze(1) * (torch.arange(kernel) - kernel / 2) / SAMPLE_RATE
    filters = torch.cat([phase.cos(), phase.sin()]) * torch.hann_window(kernel)
    return (filters / filters.norm(dim=1, keepdim=True)).unsqueeze(1)


def new_tower(arguments: TowerArguments) -> HubertModel:
    """A tower of new weights."""
    tower = HubertModel(arguments.new_config)
    if arguments.filters == "spectral":
        conv = tower.feature_extractor.conv_layers[0].conv
        with torch.no_grad():
            conv.weight.copy_(spectral_filters(*conv.weight.shape[::2]))
            if conv.bias is not None:
                conv.bias.zero_()
    return tower


def start_tower(start: str | Path, arguments: TowerArguments) -> HubertModel:
    """New weights (`new`), or those of a folder, in float32.

    Raises:
        ValueError: the folder holds no HuBERT, or one that is not as `tower` says, or that lacks weights.
    """
    if start == NEW:
        return new_tower(arguments)
    config = read_tower_config(start)
    for key, value in arguments.tower.items():
        found = getattr(config, key)
        if (list(found) if isinstance(found, (list, tuple)) else found) != value:
            raise ValueError(f"tower gives {key} {value!r}, but the tower to start from, {start}, has {found!r}")
    masks = {"mask_time_prob": arguments.mask_prob, "mask_time_length": arguments.mask_length}
    return load_whole(HubertModel, start, apply_spec_augment=True, **masks, dtype=torch.float32)


def read_tower_config(folder: str | Path) -> HubertConfig:
    """Config of a tower's folder; `ValueError` if there is none, or not of a HuBERT."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no tower: {path.name} is missing; give a folder with a HubertModel")
    settings, _ = HubertConfig.get_config_dict(folder)
    if settings.get("model_type") != "hubert":
        raise ValueError(f"{folder} holds a model of type {settings.get('model_type')!r}; it must be 'hubert'")
    return HubertConfig.from_dict(settings)


def export_tower(tower: HubertModel, folder: Path, do_normalize: bool) -> None:
    """Write an ordinary `HubertModel` folder, with its feature extractor, whole or not at all.

    `apply_spec_augment` is off in it: whoever fine-tunes the tower hears no masks unless they ask for them.
    """
    with whole_folder(folder) as beside:
        try:
            tower.config.apply_spec_augment = False
            tower.save_pretrained(beside)
        finally:
            tower.config.apply_spec_augment = True
        Wav2Vec2FeatureExtractor(
            sampling_rate=SAMPLE_RATE,
            do_normalize=do_normalize,
            return_attention_mask=tower.config.feat_extract_norm == "layer",
        ).save_pretrained(beside)
