"""A function over many items by several threads, in order, with few results waiting at a time."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

AHEAD = 4  # items in the works for each thread


def map_in_order(function: Callable, items: Iterable, workers: int | None = None) -> Iterator:
    """`function(item)` of each, in the order of the items; at most `AHEAD` x `workers` results are held.

    Threads suit decoding: files, libsndfile and hashing run outside of Python's lock. An exception of `function` is
    raised where its result would have come, and what was not begun is not begun any more.
    """
    workers = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        yield from submit_in_order(pool, function, items, AHEAD * workers)


def submit_in_order(pool: Executor, function: Callable, items: Iterable, ahead: int) -> Iterator:
    """`function(item)` of each by the pool, in the order of the items; at most `ahead` of them are in the works."""
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
