"""Dynamic time warping (Sakoe and Chiba 1978) of a recording to what is expected in it, with costs of a changed tempo.

A row of the table is computed at once: within it, passing over expected frames is a running minimum.

Shapes: T frames heard, P frames expected, K steps of the path.
"""

import numpy as np


def dtw(cost: np.ndarray, stay: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, float]:
    """The cheapest path from the first pair of frames to the last.

    Args:
        cost: (T, P) of hearing a frame where another is expected.
        stay: (P,) on top of it for each further frame heard at the same expected one.
        skip: (P,) on top of it for each expected frame that is reached without a new frame heard.

    Returns:
        (K, 2) int: pairs (frame heard, frame expected), neither ever decreasing; and the cost of that path.

    Raises:
        ValueError: there are no frames, or the shapes do not fit.
    """
    heard, expected = cost.shape
    if not heard or not expected or stay.shape != (expected,) or skip.shape != (expected,):
        raise ValueError(
            f"cost {cost.shape} must be (T, P), not empty, with stay {stay.shape} and skip {skip.shape} (P,)"
        )
    # entering a row at q and skipping on to p costs entry[q] + cost[q] + sum of (cost + skip) over q+1..p
    passed = np.cumsum(cost + skip, axis=1, dtype=np.float64)
    offset = cost - passed
    stayed = np.ones((heard, expected), dtype=bool)  # rather than stepped on in both, where the row was entered
    entered = np.zeros((heard, expected), dtype=bool)
    total = passed[0] - skip[0]
    for t in range(1, heard):
        entry = total + stay
        np.less(entry[1:], total[:-1], out=stayed[t, 1:])
        np.minimum(entry[1:], total[:-1], out=entry[1:])
        entry += offset[t]
        best = np.minimum.accumulate(entry)
        np.equal(entry, best, out=entered[t])
        total = best + passed[t]
    return _trace(entered, stayed), float(total[-1])


def _trace(entered: np.ndarray, stayed: np.ndarray) -> np.ndarray:
    """The path to the last pair, (K, 2)."""
    t, p = entered.shape[0] - 1, entered.shape[1] - 1
    path = [(t, p)]
    while t or p:
        if not entered[t, p]:
            p -= 1
        else:
            t, p = t - 1, p if stayed[t, p] else p - 1
        path.append((t, p))
    return np.array(path[::-1])
