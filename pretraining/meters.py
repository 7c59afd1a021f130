"""What a tower predicts since the last log, summed on the device and over all processes.

Shapes: L layers, K clusters.
"""

import torch

from xser.pretraining.features import perplexity
from xser.pretraining.items import CLUSTERS
from xser.pretraining.model import TowerOutput
from xser.pretraining.objectives import distances
from xser.pretraining.targets import Targets


class PredictionMeter:
    """Loss, accuracy, and histograms of predictions and targets over masked frames, since the last reading."""

    def __init__(self, num_layers: int, num_clusters: int, device: torch.device):
        self.starts = torch.arange(num_layers, device=device) * num_clusters
        self.shape = (num_layers, num_clusters)
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)  # losses, batches, right predictions
        self.counts = torch.zeros(2, num_layers * num_clusters, dtype=torch.float64, device=device)

    def add(self, outputs: TowerOutput) -> None:
        """Add a batch; nothing waits for the device."""
        is_right = (outputs.predictions == outputs.targets).sum()
        self.sums += torch.stack([outputs.loss.detach().double(), torch.ones_like(self.sums[0]), is_right.double()])
        for counts, clusters in zip(self.counts, (outputs.predictions, outputs.targets), strict=True):
            places = (clusters + self.starts).flatten()
            counts.index_add_(0, places, torch.ones_like(places, dtype=counts.dtype))

    def read(self, accelerator) -> dict[str, float]:
        """The figures over all processes, perplexities as means over layers; starts anew."""
        loss, batches, right = accelerator.reduce(self.sums, "sum").tolist()
        predicted, targets = (
            counts.reshape(self.shape) for counts in accelerator.reduce(self.counts, "sum").cpu().numpy()
        )
        self.sums, self.counts = torch.zeros_like(self.sums), torch.zeros_like(self.counts)
        return {
            "masked_loss": loss / max(batches, 1),
            "masked_accuracy": right / max(targets.sum(), 1),
            "clusters_predicted": float((predicted > 0).mean()),
            "prediction_perplexity": sum(map(perplexity, predicted)) / self.shape[0],
            "target_perplexity": sum(map(perplexity, targets)) / self.shape[0],
        }


class RegressionMeter:
    """Loss, mean absolute difference and cosine of standardised states, since the last reading."""

    def __init__(self, device: torch.device):
        self.sums = torch.zeros(5, dtype=torch.float64, device=device)  # losses, batches, |h-y|, cosines, vectors

    @torch.no_grad()
    def add(self, outputs: TowerOutput) -> None:
        """Add a batch; nothing waits for the device."""
        distance, cosine = distances(outputs.predictions, outputs.targets)
        one = torch.ones_like(self.sums[0])
        loss, sums = outputs.loss.detach().double(), (distance.double().sum(), cosine.double().sum())
        self.sums += torch.stack([loss, one, *sums, one * cosine.numel()])

    def read(self, accelerator) -> dict[str, float]:
        """The figures over all processes; starts anew."""
        loss, batches, distance, cosine, vectors = accelerator.reduce(self.sums, "sum").tolist()
        self.sums = torch.zeros_like(self.sums)
        return {
            "regression_loss": loss / max(batches, 1),
            "mean_difference": distance / max(vectors, 1),
            "mean_cosine": cosine / max(vectors, 1),
        }


def meter_of(targets: Targets, device: torch.device) -> PredictionMeter | RegressionMeter:
    """What measures the predictions of such targets."""
    if targets.objective == CLUSTERS:
        return PredictionMeter(targets.num_layers, targets.num_clusters, device)
    return RegressionMeter(device)
