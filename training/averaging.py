"""The average of the weights that training passes through: it tells strangers' emotions better than the last ones do.

Polynomial-decay averaging (Shamir and Zhang 2013): the n-th update of a weight moves its average towards it by
`POWER / (n + POWER - 1)` of the way, so that about the last tenth of its updates counts, whenever training ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback

FILE = "weight_average.safetensors"  # in a checkpoint
COUNTS = "updates"  # of each weight, in the order of their names
POWER = 10


class WeightAverage(TrainerCallback):
    """Averages the weights that are trained, each over the steps that changed it.

    What joins later, as the language model does after `heads_first`, has an average of its own steps.

    Args:
        model: whose weights have `requires_grad` where they are averaged, in float32.
    """

    def __init__(self, model: nn.Module):
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.averages = {name: weight.detach().float().clone() for name, weight in self.weights.items()}
        self.updates = dict.fromkeys(self.weights, 0)

    @torch.no_grad()
    def on_optimizer_step(self, args, state, control, **kwargs):
        """After the optimizer's step, while gradients tell which weights it changed."""
        for name, weight in self.weights.items():
            if weight.grad is not None:
                self.updates[name] += 1
                average = self.averages[name]
                average.lerp_(weight.detach().float(), POWER / (self.updates[name] + POWER - 1))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averages inside, and its own weights again afterwards."""
        own = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self._set(self.averages)
        try:
            yield
        finally:
            self._set(own)

    def apply(self) -> None:
        """Give the model the averages, for good."""
        self._set(self.averages)

    @torch.no_grad()
    def _set(self, values: dict[str, torch.Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.copy_(values[name])

    def save(self, checkpoint: str | Path) -> None:
        """Write the averages into a checkpoint's folder."""
        counts = torch.tensor([self.updates[name] for name in sorted(self.weights)])
        save_file({**self.averages, COUNTS: counts}, Path(checkpoint) / FILE)

    def load(self, checkpoint: str | Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it has no averages, or those of other weights.
        """
        path = Path(checkpoint) / FILE
        if not path.is_file():
            raise ValueError(f"average_weights is true, but {checkpoint} holds no {FILE}: it was trained without")
        kept = load_file(path)
        counts = kept.pop(COUNTS).tolist()
        if set(kept) != set(self.averages):
            raise ValueError(
                f"{path} holds averages of other weights: resume with the configuration it was trained with"
            )
        self.updates = dict(zip(sorted(self.weights), counts, strict=True))
        for name, average in self.averages.items():
            average.copy_(kept[name])
