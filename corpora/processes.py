"""A function over many items by several processes, in order, with few items waiting at a time.

Measuring is Python and small arrays: threads would wait for each other's lock. Decoding does not (`corpora.parallel`).
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import torch

from xser.corpora.parallel import submit_in_order

AHEAD = 8  # items in the works for each process

Mapping = Callable[[Callable, Iterable], Iterator]


@contextmanager
def open_processes(workers: int | None) -> Iterator[Mapping]:
    """Gives what maps a function over items, as `map` does: in order, and none read far ahead.

    Functions, items and results cross over to other processes, so they must pickle.

    Args:
        workers: processes; as many as there are cores if None, this one alone if 1.

    Raises:
        ValueError: `workers` is below 1.
    """
    workers = workers if workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers is {workers}: give at least 1")
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:

        def mapping(function: Callable, items: Iterable) -> Iterator:
            return submit_in_order(pool, function, items, AHEAD * workers)

        try:
            yield mapping
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In a new process: one thread, and an interrupt is left to the process that started it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
