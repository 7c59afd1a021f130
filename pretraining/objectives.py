"""What a tower's states are asked for, and the loss of each frame: clusters, or the states of a teacher.

Each layer of the teacher has a head of its own, a linear map or HuBERT's cosine, and counts alike. Heads are thrown
away after training.

Shapes: M frames that count, H width of the tower, L layers, K clusters, D width of the teacher.
"""

import numpy as np
import torch
from torch import nn

from xser.pretraining.items import CLUSTERS
from xser.pretraining.targets import Targets

TEMPERATURE = 0.1  # of the cosine, equation 3 of HuBERT
Losses = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # (M,) losses, predictions, targets


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


class ClusterPrediction(nn.Module):
    """Cross-entropy of clusters in nats, mean over layers (Hsu et al. 2021, arXiv 2106.07447).

    Several layers have clusters and heads of their own, not one set of their states side by side: there the layer of
    the larger variance would draw the borders, and each layer takes part in the loss here, whatever its clusters are.
    """

    def __init__(self, hidden_size: int, num_layers: int, num_clusters: int, head: str):
        super().__init__()
        self.heads = nn.ModuleList(ClusterHead(hidden_size, num_clusters, head) for _ in range(num_layers))

    def forward(self, hidden_states: torch.Tensor, targets: torch.Tensor) -> Losses:
        """(M, H), (M, L) -> losses (M,), predictions (M, L), targets (M, L)."""
        scores = [head(hidden_states) for head in self.heads]
        losses = [
            nn.functional.cross_entropy(each, wanted, reduction="none")
            for each, wanted in zip(scores, targets.unbind(1), strict=True)
        ]
        predictions = torch.stack([each.detach().argmax(-1) for each in scores], dim=1)
        return torch.stack(losses).mean(0), predictions, targets


class StateRegression(nn.Module):
    """|h - y| - log sigmoid(cos(h, y)) of standardised states, mean over layers (Chang et al. 2022, arXiv 2110.01900).

    |h - y| is the mean over D. The paper adds layers up; their mean keeps the learning rate the same for any number.

    Args:
        mean, std: (L, D) of the teacher's states.
    """

    def __init__(self, hidden_size: int, mean: np.ndarray, std: np.ndarray):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(hidden_size, mean.shape[1]) for _ in mean)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.float32)))

    def forward(self, hidden_states: torch.Tensor, targets: torch.Tensor) -> Losses:
        """(M, H), (M, L, D) -> losses (M,), predictions (M, L, D), standardised targets (M, L, D)."""
        wanted = (targets.float() - self.mean) / self.std
        predictions = torch.stack([head(hidden_states).float() for head in self.heads], dim=1)
        distance, cosine = distances(predictions, wanted)
        return (distance - nn.functional.logsigmoid(cosine)).mean(-1), predictions.detach(), wanted


def distances(predictions: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(M, L, D) twice -> (M, L) mean absolute difference, (M, L) cosine."""
    return (predictions - targets).abs().mean(-1), nn.functional.cosine_similarity(predictions, targets, dim=-1)


def objective_of(targets: Targets, hidden_size: int, head: str) -> ClusterPrediction | StateRegression:
    """The objective that targets are made for, with new heads.

    Args:
        hidden_size: of the tower in training.
        head: of clusters: `cosine` or `linear`.
    """
    if targets.objective == CLUSTERS:
        return ClusterPrediction(hidden_size, targets.num_layers, targets.num_clusters, head)
    return StateRegression(hidden_size, targets.mean, targets.std)
