"""TowerTrainer: pieces of several sources in turn, what predictions look like in the log, a warning of collapse."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from xser.corpora.cache import write_json
from xser.pretraining.arguments import TowerTrainingArguments
from xser.pretraining.collator import TowerCollator, padded
from xser.pretraining.meters import meter_of
from xser.pretraining.model import TowerForPretraining
from xser.pretraining.shares import Shares
from xser.pretraining.targets import Targets, TowerDataset
from xser.training.checkpoints import WEIGHTS, Needs, Resumable
from xser.training.loading import interleaving_loader
from xser.training.sampler import TaskDataset, stable_hash
from xser.training.stopping import TimeLimit

OBJECTIVE = "objective.json"
COMPARED = {"objective": "objective", "targets": "digest", "clusters": "num_clusters"}  # of targets
COLLAPSED = 0.1  # of the targets' perplexity
PATIENCE = 0.25  # of the steps, before which few clusters are no sign of anything


class CollapseWarning(UserWarning):
    """Predictions use next to no clusters."""


class HeldOut(Dataset):
    """Held-out pieces of all sources, shortest first; masked the same way each time."""

    def __init__(self, datasets: list[TowerDataset]):
        self.datasets = datasets
        places = [(data.durations[i], number, i) for number, data in enumerate(datasets) for i in range(len(data))]
        self.places = sorted(places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict:
        _, number, place = self.places[index]
        row = self.datasets[number][place]
        return {**row, "noise_seed": stable_hash("held out", row["id"])}


class TowerTrainer(Resumable, Trainer):
    """Trains a tower on clusters, or on a teacher's states.

    Args:
        model: `TowerForPretraining`.
        args: `TowerTrainingArguments`.
        collator: perturbs and masks; evaluation does not perturb.
        datasets: source → its training pieces.
        weights: source → how often a step is of it.
        held_out: pieces to evaluate on.
        targets: what is predicted; a checkpoint of other targets is refused.

    Logged of clusters: `masked_loss` (nats a masked frame), `masked_accuracy`, `clusters_predicted` (share of the
    clusters that is ever predicted), `prediction_perplexity`, `target_perplexity`. Of states: `regression_loss`,
    `mean_difference`, `mean_cosine`. With `eval_` before it, of held-out pieces.
    """

    def __init__(
        self,
        model: TowerForPretraining,
        args: TowerTrainingArguments,
        collator: TowerCollator,
        datasets: dict[str, TowerDataset],
        weights: dict[str, float],
        held_out: list[TowerDataset],
        targets: Targets,
        max_minutes: float | None = None,
    ):
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=TaskDataset(datasets, args.seed),
            eval_dataset=HeldOut(held_out),
        )
        assert not self.model_accepts_loss_kwargs, "losses are means: the Trainer has to divide them by accumulation"
        self.source_weights, self.targets = weights, targets
        self.meter = meter_of(targets, args.device)
        self.has_collapsed = False
        if max_minutes is not None:
            self.add_callback(TimeLimit(max_minutes))

    # ------------------------------------------------------------------ data

    def get_train_dataloader(self) -> DataLoader:
        """Every step is of one source; sharding and shuffling are the sampler's."""
        return interleaving_loader(
            self.args,
            self.train_dataset,
            {name: dataset.durations for name, dataset in self.train_dataset.datasets.items()},
            self._train_batch_size,
            Shares(self.source_weights),
            self.data_collator,
        )

    # ------------------------------------------------------------------ training

    def _prepare_inputs(self, inputs: dict) -> dict:
        """On the device, with targets: those of recordings that have none come from the teacher, outside autocast."""
        inputs = super()._prepare_inputs(inputs)
        if "waves" not in inputs:
            return inputs
        states = padded(self.targets.live(inputs.pop("waves")), inputs["is_counted"].shape[1])
        return {**inputs, "targets": states.to(self.args.device)}

    def compute_loss(self, model, inputs: dict, return_outputs: bool = False, num_items_in_batch=None):
        """The loss of a micro-batch, its predictions noted for the log."""
        outputs = model(**inputs)
        self.meter.add(outputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what the predictions since the last log look like."""
        if "loss" in logs:
            figures = self.meter.read(self.accelerator)
            logs |= figures
            if "prediction_perplexity" in figures:
                self._warn_of_collapse(figures)
        super().log(logs, start_time)

    def _warn_of_collapse(self, figures: dict[str, float]) -> None:
        predicted, wanted = figures["prediction_perplexity"], figures["target_perplexity"]
        is_early = self.state.global_step < PATIENCE * self.state.max_steps
        if is_early or self.has_collapsed or predicted >= COLLAPSED * wanted:
            return
        self.has_collapsed = True
        warnings.warn(
            f"collapse at step {self.state.global_step}: the predictions' perplexity is {predicted:.1f}, the targets' "
            f"{wanted:.1f}, and {figures['clusters_predicted']:.0%} of the clusters are ever predicted. The tower has "
            "learned next to nothing: try a lower learning_rate, a longer warmup, or another mask_prob",
            CollapseWarning,
            stacklevel=2,
        )

    # ------------------------------------------------------------------ evaluation

    @torch.no_grad()
    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Predictions on held-out pieces, unperturbed; every process hears its share of them.

        Raises:
            ValueError: nothing is held out.
        """
        if not len(self.eval_dataset):
            raise ValueError("there is nothing to evaluate on: set held_out above 0, or eval_strategy to 'no'")
        rank, world = self.args.process_index, self.args.world_size
        collator = replace(self.data_collator, augmenter=None)
        meter, size = meter_of(self.targets, self.args.device), self.args.eval_batch_size
        self.model.eval()
        for start in range(rank * size, len(self.eval_dataset), world * size):
            rows = [self.eval_dataset[i] for i in range(start, min(start + size, len(self.eval_dataset)))]
            inputs = self._prepare_inputs(collator(rows))
            with self.compute_loss_context_manager():
                meter.add(self.model(**inputs))
        self.model.train()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in meter.read(self.accelerator).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # ------------------------------------------------------------------ checkpoints

    @property
    def needs(self) -> Needs:
        return needs_of(self.args)

    def _objective(self) -> dict:
        """What a checkpoint must have been trained on to go on from it."""
        tower = self.accelerator.unwrap_model(self.model).tower.config.to_diff_dict()
        tower.pop("transformers_version", None)
        targets = {name: getattr(self.targets, attribute) for name, attribute in COMPARED.items()}
        return {**targets, "tower": tower, "weights": self.source_weights, "seed": self.args.seed}

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Weights of tower and head, and what they were trained on."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        state_dict = self.accelerator.unwrap_model(self.model).state_dict() if state_dict is None else state_dict
        tensors = {name: value.contiguous() for name, value in state_dict.items()}
        safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        write_json(folder / OBJECTIVE, self._objective())

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        """Load weights to go on from.

        Raises:
            ValueError: they were trained on something else.
        """
        path = Path(resume_from_checkpoint) / OBJECTIVE
        if not path.is_file():
            raise ValueError(f"{resume_from_checkpoint} is no checkpoint of pretrain_tower.py: {OBJECTIVE} is missing")
        theirs = json.loads(path.read_text(encoding="utf-8"))
        ours = json.loads(json.dumps(self._objective(), default=str))
        for key in ours:
            if theirs.get(key) != ours[key]:
                raise ValueError(
                    f"{resume_from_checkpoint} was trained with {key} {theirs.get(key)!r}, and this run has "
                    f"{ours[key]!r}: resume with the data and options it was trained with"
                )
        super()._load_from_checkpoint(resume_from_checkpoint, model)


def needs_of(arguments: TowerTrainingArguments) -> Needs:
    """What a checkpoint must hold to go on from it."""
    return Needs.of(arguments, texts=(OBJECTIVE,))


def source_datasets(sources: list, targets: Targets, grid) -> tuple[dict[str, TowerDataset], list[TowerDataset]]:
    """Training pieces by source, and the held-out ones, with their targets."""
    train, held_out = {}, []
    for data, frames in zip(sources, targets.frames or [None] * len(sources), strict=True):
        train[data.name] = TowerDataset(data, data.train, frames, grid)
        held_out.append(TowerDataset(data, np.asarray(data.held_out), frames, grid))
    return train, held_out
