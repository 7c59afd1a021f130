"""Which utterances make a batch: tasks interleaved by weight, lengths bucketed, processes sharded, all without drift.

Everything here is a pure function of (seed, weights, lengths, step). A run that is stopped, resumed, or split over
other numbers of processes and micro-batches draws the same utterances at the same optimizer step.

    optimizer step s → its tasks → of each, one global batch of utterances of about equal duration
    global batch → gradient_accumulation_steps x num_replicas micro-batches of equal size; rank r takes its own

One optimizer step is of one task (or, in the joint schedule, has a batch of every task), so that its gradient does not
depend on how the batch is cut up.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count, islice
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset, Sampler


class Key(NamedTuple):
    """One utterance's place in training: index into its task's data set, and the optimizer step that draws it."""

    task: str
    index: int
    step: int


def stable_hash(*parts: object) -> int:
    """A 63-bit hash of `parts` that is the same in every process and every version of Python."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def interleave(weights: dict[str, float]) -> Iterator[str]:
    """Task of every step, endlessly: the one furthest behind its share, the first named where they are level.

    No random numbers: after n steps a task of share p was drawn about n * p times, in the same order every time.
    """
    total = sum(Fraction(str(weight)) for weight in weights.values())
    shares = {task: Fraction(str(weight)) / total for task, weight in weights.items()}
    drawn = dict.fromkeys(shares, 0)
    for step in count(1):
        task = max(shares, key=lambda task: shares[task] * step - drawn[task])  # the first of equals
        drawn[task] += 1
        yield task


class UtteranceStream:
    """One task's utterances, endlessly: seeded permutations, one after the other, cut into batches of like duration.

    A window of batches is sorted by duration, cut, and its batches are put into a seeded order. Windows end where an
    epoch ends, so the first `ceil(N / batch_size)` batches hold every utterance; no batch is short, none is dropped.
    """

    def __init__(self, durations: Sequence[float], batch_size: int, seed: int, name: str, window: int):
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_size, self.seed, self.name, self.window = batch_size, seed, name, window
        self._permutation = self._batches = (None, None)  # (number, value) of the last one used

    @property
    def batches_per_epoch(self) -> int:
        """Batches after which every utterance was drawn at least once."""
        return math.ceil(len(self.durations) / self.batch_size)

    def _draw(self, position: int) -> int:
        """Index of the utterance at `position` of the endless stream."""
        epoch, offset = divmod(position, len(self.durations))
        if self._permutation[0] != epoch:
            rng = np.random.default_rng(stable_hash(self.seed, self.name, "utterances", epoch))
            self._permutation = (epoch, rng.permutation(len(self.durations)))
        return int(self._permutation[1][offset])

    def batch(self, number: int) -> list[int]:
        """Indices of batch `number` (0, 1, …), shortest utterance first."""
        num, size = len(self.durations), self.batch_size
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
    """Micro-batches of keys for one rank; every rank is on the same task at every step.

    Args:
        durations: task → seconds of each of its utterances, in the order of its data set.
        batch_size: utterances of one micro-batch on one device.
        weights: task → weight, of any scale; a task of weight 0 is not drawn. Ignored where `joint`.
        joint: every step draws a batch of every task, in the order of `durations`; their losses are summed.
        seed, rank, num_replicas, accumulation: of the run; `accumulation` micro-batches make an optimizer step.
        bucket_batches: global batches that are sorted by duration together; 1 sorts within each batch only.

    Iterating gives the micro-batches from `step` to the end of its epoch. An epoch is the fewest steps after which
    every utterance of every task was drawn; `len` is its number of micro-batches.

    Raises:
        ValueError: no task to draw, a task without utterances, a weight below 0, or sizes below 1.
    """

    def __init__(
        self,
        durations: dict[str, Sequence[float]],
        batch_size: int,
        weights: dict[str, float] | None = None,
        joint: bool = False,
        seed: int = 0,
        rank: int = 0,
        num_replicas: int = 1,
        accumulation: int = 1,
        bucket_batches: int = 32,
    ):
        weights = dict.fromkeys(durations, 1) if joint or weights is None else weights
        if negative := {task: weight for task, weight in weights.items() if weight < 0}:
            raise ValueError(f"task weights {negative} must be 0 or more")
        self.weights = {task: weight for task, weight in weights.items() if weight > 0}
        empty = [task for task in self.weights if not len(durations.get(task, ()))]
        if empty or not self.weights:
            raise ValueError(f"tasks {empty or list(weights)} have no utterances, or no weight above 0")
        sizes = {"batch_size": batch_size, "accumulation": accumulation, "bucket_batches": bucket_batches}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank {rank} must lie in 0 … {num_replicas - 1}")
        self.batch_size, self.joint = batch_size, joint
        self.rank, self.num_replicas, self.accumulation = rank, num_replicas, accumulation
        size = batch_size * num_replicas * accumulation
        self.streams = {
            task: UtteranceStream(durations[task], size, seed, task, bucket_batches) for task in self.weights
        }
        self.steps_per_epoch = self._count_steps()
        self.step = 0  # micro-batches given so far

    def _count_steps(self) -> int:
        missing = {task: stream.batches_per_epoch for task, stream in self.streams.items()}
        if self.joint:
            return max(missing.values())
        for step, task in enumerate(interleave(self.weights), start=1):
            missing[task] -= 1
            if all(batches <= 0 for batches in missing.values()):
                return step

    def _schedule(self) -> Iterator[list[tuple[str, int]]]:
        """(task, number of its batch) pairs of every optimizer step."""
        if self.joint:
            yield from ([(task, number) for task in self.streams] for number in count())
        drawn = dict.fromkeys(self.streams, 0)
        for task in interleave(self.weights):
            yield [(task, drawn[task])]
            drawn[task] += 1

    def __len__(self) -> int:
        return self.steps_per_epoch * self.accumulation

    def __iter__(self) -> Iterator[list[Key]]:
        first, skip = divmod(self.step, self.accumulation)
        end = (self.step // len(self) + 1) * self.steps_per_epoch
        for step, batches in enumerate(islice(self._schedule(), first, end), start=first):
            indices = {task: self.streams[task].batch(number) for task, number in batches}
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
