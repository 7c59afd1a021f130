"""Which utterances make a batch: streams in an order, lengths bucketed, processes sharded, all without drift.

Everything here is a pure function of (seed, order, lengths, step). A run that is stopped, resumed, or split over
other numbers of processes and micro-batches draws the same utterances at the same optimizer step.

    optimizer step s → its streams → of each, one global batch of utterances of about equal duration
    global batch → gradient_accumulation_steps x num_replicas micro-batches of equal size; rank r takes its own

One optimizer step is of one stream (or, in the joint schedule, has a batch of every one), so that its gradient does
not depend on how the batch is cut up.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from torch.utils.data import Dataset, Sampler

from xser.training.balance import balanced_order, balanced_size


class Key(NamedTuple):
    """One utterance's place in training: index into its task's data set, and the optimizer step that draws it."""

    task: str
    index: int
    step: int


def stable_hash(*parts: object) -> int:
    """A 63-bit hash of `parts` that is the same in every process and every version of Python."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Order(Protocol):
    """Which streams every optimizer step draws a batch of: a `Timetable` of stages, for one.

    Attributes:
        tasks: name of a stream → the data set that it draws from.
    """

    tasks: Mapping[str, str]

    def batches(self, start: int, end: int) -> Iterator[list[tuple[str, int]]]:
        """(stream, number of its batch) pairs of the optimizer steps `start` … `end - 1`, or up to the last one."""

    def epoch(self, batches: Mapping[str, int]) -> int:
        """Steps of an epoch, by how many batches each stream has in one of its own."""


class UtteranceStream:
    """Utterances of one data set, endlessly: seeded permutations, one after the other, cut into batches of like
    duration.

    A window of batches is sorted by duration, cut, and its batches are put into a seeded order. Windows end where an
    epoch ends, so the first `ceil(N / batch_size)` batches hold every utterance; no batch is short, none is dropped.

    Args:
        emotions: of each utterance, to draw every emotion equally often: N, the draws of an epoch, is then
            `balanced_size`.
    """

    def __init__(
        self,
        durations: Sequence[float],
        batch_size: int,
        seed: int,
        name: str,
        window: int,
        emotions: Sequence[str | None] | None = None,
    ):
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_size, self.seed, self.name, self.window, self.emotions = batch_size, seed, name, window, emotions
        self.draws_per_epoch = len(self.durations) if emotions is None else balanced_size(emotions)
        self._permutation = self._batches = (None, None)  # (number, value) of the last one used

    @property
    def batches_per_epoch(self) -> int:
        """Batches after which every utterance was drawn at least once."""
        return math.ceil(self.draws_per_epoch / self.batch_size)

    def _draw(self, position: int) -> int:
        """Index of the utterance at `position` of the endless stream."""
        epoch, offset = divmod(position, self.draws_per_epoch)
        if self._permutation[0] != epoch:
            rng = np.random.default_rng(stable_hash(self.seed, self.name, "utterances", epoch))
            permutation = (
                rng.permutation(len(self.durations)) if self.emotions is None else balanced_order(self.emotions, rng)
            )
            self._permutation = (epoch, permutation)
        return int(self._permutation[1][offset])

    def batch(self, number: int) -> list[int]:
        """Indices of batch `number` (0, 1, …), shortest utterance first."""
        num, size = self.draws_per_epoch, self.batch_size
        epoch = number * size // num
        epoch_start, epoch_end = -(-epoch * num // size), -(-(epoch + 1) * num // size)
        start = epoch_start + (number - epoch_start) // self.window * self.window
        end = min(start + self.window, epoch_end)
        if self._batches[0] != start:
            indices = [self._draw(position) for position in range(start * size, end * size)]
            indices.sort(key=lambda index: (self.durations[index], index))
            rng = np.random.default_rng(stable_hash(self.seed, self.name, "batches", start))
            self._batches = (start, [indices[i * size : (i + 1) * size] for i in rng.permutation(end - start)])
        return self._batches[1][number - start]


class TaskInterleavingBatchSampler(Sampler[list[Key]]):
    """Micro-batches of keys for one rank; every rank is on the same stream at every step.

    Args:
        durations: task → seconds of each of its utterances, in the order of its data set.
        order: which streams a step draws from; each is of one of these tasks.
        batch_size: utterances of one micro-batch on one device.
        seed, rank, num_replicas, accumulation: of the run; `accumulation` micro-batches make an optimizer step.
        bucket_batches: global batches that are sorted by duration together; 1 sorts within each batch only.
        emotions: task → emotion of each of its utterances, of tasks that draw every emotion equally often.

    Iterating gives the micro-batches from `step` to the end of its epoch. An epoch is as `order` says: the fewest
    steps after which every utterance was drawn, as a rule; `len` is its number of micro-batches.

    Raises:
        ValueError: no stream to draw from, a task without utterances, or sizes below 1.
    """

    def __init__(
        self,
        durations: Mapping[str, Sequence[float]],
        order: Order,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        num_replicas: int = 1,
        accumulation: int = 1,
        bucket_batches: int = 32,
        emotions: Mapping[str, Sequence[str | None]] | None = None,
    ):
        empty = [name for name, task in order.tasks.items() if not len(durations.get(task, ()))]
        if empty or not order.tasks:
            raise ValueError(f"{empty or 'all streams'}: there are no utterances to draw")
        sizes = {"batch_size": batch_size, "accumulation": accumulation, "bucket_batches": bucket_batches}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank {rank} must lie in 0 … {num_replicas - 1}")
        self.batch_size, self.order = batch_size, order
        self.rank, self.num_replicas, self.accumulation = rank, num_replicas, accumulation
        size = batch_size * num_replicas * accumulation
        self.streams = {
            name: UtteranceStream(durations[task], size, seed, name, bucket_batches, (emotions or {}).get(task))
            for name, task in order.tasks.items()
        }
        self.steps_per_epoch = order.epoch({name: each.batches_per_epoch for name, each in self.streams.items()})
        self.step = 0  # micro-batches given so far

    def __len__(self) -> int:
        return self.steps_per_epoch * self.accumulation

    def __iter__(self) -> Iterator[list[Key]]:
        first, skip = divmod(self.step, self.accumulation)
        end = (self.step // len(self) + 1) * self.steps_per_epoch
        for step, batches in enumerate(self.order.batches(first, end), start=first):
            indices = {self.order.tasks[name]: self.streams[name].batch(number) for name, number in batches}
            for micro in range(skip, self.accumulation):
                start = (micro * self.num_replicas + self.rank) * self.batch_size
                self.step += 1
                yield [
                    Key(task, index, step)
                    for task in indices
                    for index in indices[task][start : start + self.batch_size]
                ]
            skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; the `Trainer` calls it before every pass."""
        self.step = epoch * len(self)

    def state_dict(self) -> dict:
        """What is needed to go on from here."""
        return {"step": self.step}

    def load_state_dict(self, state: dict) -> None:
        """Go to where `state_dict` was taken."""
        self.step = int(state["step"])


class TaskDataset(Dataset):
    """Rows of several tasks by key: `dataset[Key(task, index, step)]` is the row with its task and its noise seed.

    Args:
        datasets: task → `datasets.Dataset` of the one schema.
        seed: of the run. The noise seed is a hash of (seed, step, utterance id).
    """

    def __init__(self, datasets: dict[str, Dataset], seed: int = 0):
        self.datasets, self.seed = datasets, seed

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets.values())

    def __getitem__(self, key: Key) -> dict:
        row = self.datasets[key.task][key.index]
        return {**row, "task": key.task, "noise_seed": stable_hash(self.seed, key.step, row["id"])}


class TaskRows(Dataset):
    """One task's rows for evaluation, by index, shortest first (little padding); their noise seed is never used."""

    def __init__(self, task: str, dataset: Dataset):
        self.task = task
        self.dataset = dataset.select(np.argsort(dataset["duration"][:], kind="stable"))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        return {**self.dataset[index], "task": self.task, "noise_seed": 0}
