"""What a step of pretraining a tower costs beside the bare forward and backward of the same tower.

    python benchmarks/tower_step.py configs/pretraining/30-minutes.yaml --output docs/results/tower-step.json

A whole step is everything from one update to the next: reading, perturbing, masking and padding the batch, the head
and its loss, the figures for the log, clipping and AdamW. After each, the tower alone is given the same batch, masks
and precision, and goes forward and back; so a slow moment of the machine falls on both.
"""

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import TrainerCallback, set_seed

from xser.corpora.cache import cache_root, write_json
from xser.evaluation.report import command_line, text_table
from xser.pretraining.arguments import parse_tower_config
from xser.pretraining.augment import Augmenter
from xser.pretraining.collator import TowerCollator
from xser.pretraining.frames import FrameGrid
from xser.pretraining.model import TowerForPretraining, start_tower
from xser.pretraining.objectives import objective_of
from xser.pretraining.sources import load_sources
from xser.pretraining.targets import make_targets
from xser.pretraining.trainer import TowerTrainer, source_datasets

WARM_UP = 5  # steps that are not counted
COLUMNS = ("config", "parameters", "seconds of sound a batch", "bare tower, ms", "whole step, ms", "ratio")


class StepTimer(TrainerCallback):
    """Times each step, and the bare tower on the same batch after it."""

    def __init__(self, trainer: TowerTrainer):
        self.trainer, self.bare, self.whole, self.seconds, self.started = trainer, [], [], [], None

    def on_step_end(self, args, state, control, **kwargs):
        now = self._time()
        if self.started is not None:
            self.whole.append(now - self.started)
            self.bare.append(self._bare_step())
            self.seconds.append(self.trainer.batch["attention_mask"].sum().item() / 16_000)
        self.started = self._time()

    def _bare_step(self) -> float:
        trainer, batch = self.trainer, self.trainer.batch
        start = self._time()
        with trainer.compute_loss_context_manager():
            states = trainer.model.tower(
                batch["input_values"],
                attention_mask=batch["attention_mask"],
                mask_time_indices=batch["is_masked"],
            ).last_hidden_state
        states.backward(torch.ones_like(states))
        seconds = self._time() - start
        trainer.model.zero_grad()
        return seconds

    def _time(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


class NotingTrainer(TowerTrainer):
    """Keeps the last batch."""

    batch: dict | None = None

    def compute_loss(self, model, inputs, *args, **kwargs):
        """As ever."""
        self.batch = inputs
        return super().compute_loss(model, inputs, *args, **kwargs)


def build(argv: list[str], steps: int, output_dir: str) -> NotingTrainer:
    """The trainer of a config's first iteration."""
    tower_arguments, data_arguments, arguments = parse_tower_config(argv)
    arguments = copy.copy(arguments)
    arguments.output_dir, arguments.max_steps, arguments.save_strategy = output_dir, steps + WARM_UP, "no"
    arguments.eval_strategy, arguments.report_to = "no", ["tensorboard"]
    sources = load_sources(data_arguments, arguments.seed)
    set_seed(arguments.seed)
    iteration = tower_arguments.steps[0]
    tower = start_tower(iteration.start, tower_arguments)
    grid = FrameGrid.of(tower.config)
    cache = cache_root(data_arguments.cache_dir) / "tower"
    targets = make_targets(
        iteration, sources, grid, cache, tower_arguments.fit_frames, arguments.seed, arguments.device
    )
    collator = TowerCollator(
        grid,
        tower_arguments.mask_prob,
        tower_arguments.mask_length,
        tower_arguments.do_normalize,
        Augmenter(tower_arguments.augment) if any(tower_arguments.augment.values()) else None,
        targets.objective,
    )
    model = TowerForPretraining(tower, objective_of(targets, tower.config.hidden_size, tower_arguments.head))
    train, held_out = source_datasets(sources, targets, grid)
    weights = {data.name: data.weight for data in sources}
    return NotingTrainer(model, arguments, collator, train, weights, held_out, targets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=240)
    arguments, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build([arguments.config, *others], arguments.steps, folder)
        timer = StepTimer(trainer)
        trainer.add_callback(timer)
        trainer.train()
    bare, whole, seconds = (
        statistics.median(each[WARM_UP - 1 :]) for each in (timer.bare, timer.whole, timer.seconds)
    )
    ratios = [w / b for w, b in zip(timer.whole[WARM_UP - 1 :], timer.bare[WARM_UP - 1 :], strict=True)]
    ratio = statistics.median(ratios)
    size = sum(parameter.numel() for parameter in trainer.model.tower.parameters())
    row = (
        Path(arguments.config).stem, f"{size / 1e6:.2f} M", f"{seconds:.0f}", f"{1000 * bare:.0f}",
        f"{1000 * whole:.0f}", f"{ratio:.3f}",
    )  # fmt: skip
    precision = "bfloat16 autocast" if trainer.args.bf16 else "float32"
    where = "one GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    title = f"Pretraining step against the bare tower, median of {len(ratios)} steps, {precision}, {where}"
    figures = {"bare_seconds": bare, "step_seconds": whole, "ratio": ratio}
    written = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": [row], **figures}
    write_json(arguments.output, written)
    print(title, text_table([row], COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
