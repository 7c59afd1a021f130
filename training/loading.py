"""Loaders of batches of one kind each, of several kinds in turn."""

from collections.abc import Callable, Mapping, Sequence

from torch.utils.data import DataLoader
from transformers import TrainingArguments

from xser.training.sampler import Order, TaskDataset, TaskInterleavingBatchSampler
from xser.training.stopping import heed_no_signals


class TaskDataLoader(DataLoader):
    """A plain loader over our sampler, which shards for itself: accelerate must not wrap it."""

    def set_epoch(self, epoch: int) -> None:
        """Called by the `Trainer` before every pass."""
        self.batch_sampler.set_epoch(epoch)


def loader_options(arguments: TrainingArguments) -> dict:
    """What a `DataLoader` takes of the options of a training."""
    return {
        "num_workers": arguments.dataloader_num_workers,
        "pin_memory": arguments.dataloader_pin_memory and arguments.device.type != "cpu",
        "persistent_workers": arguments.dataloader_persistent_workers,
        "prefetch_factor": arguments.dataloader_prefetch_factor,
        "worker_init_fn": heed_no_signals,
    }


def interleaving_loader(
    arguments: TrainingArguments,
    dataset: TaskDataset,
    durations: Mapping[str, Sequence[float]],
    batch_size: int,
    order: Order,
    collate_fn: Callable,
    emotions: Mapping[str, Sequence[str | None]] | None = None,
) -> TaskDataLoader:
    """A loader of batches of each task in turn, as `order` says.

    Args:
        arguments: of the training, with `bucket_batches`.
        durations: seconds of each item of each task.
        emotions: of each item of tasks that draw every emotion equally often.
    """
    sampler = TaskInterleavingBatchSampler(
        durations,
        order,
        batch_size=batch_size,
        seed=arguments.seed,
        rank=arguments.process_index,
        num_replicas=arguments.world_size,
        accumulation=arguments.gradient_accumulation_steps,
        bucket_batches=arguments.bucket_batches,
        emotions=emotions,
    )
    return TaskDataLoader(dataset, batch_sampler=sampler, collate_fn=collate_fn, **loader_options(arguments))
