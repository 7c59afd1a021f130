"""A HuBERT and the head that predicts the clusters of masked frames (Hsu et al. 2021, arXiv 2106.07447).

Shapes: B pieces, S samples, T frames, M masked frames of the batch, H width, K clusters.
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
from xser.pretraining.collator import NOT_MASKED
from xser.pretraining.items import NEW
from xser.tower_xser import mark_padding, prepare_tower
from xser.training.whole import whole_folder

TEMPERATURE = 0.1  # of the cosine, equation 3
LOWEST_HZ, HIGHEST_HZ = 60.0, 7_600.0  # of spectral filters


@dataclass
class TowerOutput(ModelOutput):
    """Of one batch."""

    loss: torch.FloatTensor | None = None  # cross-entropy of masked frames, nats; mean a piece, then over pieces
    predictions: torch.LongTensor | None = None  # (M,)
    targets: torch.LongTensor | None = None  # (M,)


class ClusterHead(nn.Module):
    """Scores of K clusters: a linear layer, or the cosine to an embedding of each, as in the paper."""

    def __init__(self, hidden_size: int, num_clusters: int, kind: str):
        super().__init__()
        self.kind = kind
        self.projector = nn.Linear(hidden_size, hidden_size if kind == "cosine" else num_clusters)
        if kind == "cosine":
            self.clusters = nn.Parameter(torch.randn(num_clusters, hidden_size))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:  # (M, H) -> (M, K) float32
        scores = self.projector(hidden_states).float()
        if self.kind == "linear":
            return scores
        with torch.autocast(scores.device.type, enabled=False):
            return nn.functional.normalize(scores, dim=-1) @ nn.functional.normalize(self.clusters).T / TEMPERATURE


class TowerForPretraining(nn.Module):
    """Masked prediction of clusters.

    The tower computes what it will compute inside XSER: group norm counts real samples only, and convolutions of few
    channels a group stay in float32 (see `xser.tower_xser`).
    """

    def __init__(self, tower: HubertModel, num_clusters: int, head: str):
        super().__init__()
        self.tower = tower
        self.head = ClusterHead(tower.config.hidden_size, num_clusters, head)
        prepare_tower(tower, least_channels=1)

    def forward(
        self,
        input_values: torch.Tensor,  # (B, S)
        attention_mask: torch.Tensor,  # (B, S)
        labels: torch.Tensor,  # (B, T), -100 where a frame is not masked
    ) -> TowerOutput:
        is_masked = labels != NOT_MASKED
        hidden_states = self.tower(
            mark_padding(self.tower, input_values, attention_mask),
            attention_mask=attention_mask,
            mask_time_indices=is_masked,
        ).last_hidden_state
        masked = is_masked.flatten().nonzero().squeeze(1)  # whole rows: their gradient is far cheaper than of a mask
        scores, targets = self.head(hidden_states.flatten(0, 1).index_select(0, masked)), labels[is_masked]
        losses = nn.functional.cross_entropy(scores, targets, reduction="none")
        share = (is_masked / is_masked.sum(-1, keepdim=True))[is_masked]  # (M,) weight of a frame in its piece
        return TowerOutput((losses * share).sum() / len(labels), scores.detach().argmax(-1), targets)


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


def check_layer(config: HubertConfig, layer: int, folder: str | Path) -> None:
    """`ValueError` where a tower has no such layer."""
    if layer > config.num_hidden_layers:
        raise ValueError(
            f"targets are from layer {layer} of {folder}, which has layers 0 to {config.num_hidden_layers}"
        )


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
