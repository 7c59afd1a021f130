"""From any rate to another by windowed-sinc interpolation, in time and memory that no ratio of the rates blows up.

A sample between two others is a sum over their neighbours, weighted by a sinc under a Hann window of six zero
crossings a side, cut off at 0.99 of the lower Nyquist frequency: the defaults of torchaudio's `Resample`, and its
results.

The rates' ratio in lowest terms is `step / phases`: outputs `phases` apart see the same weights, `step` inputs later.
For 44,100 to 16,000 Hz there are 160 phases; for 11,127 Hz, which has no factor in common with it, 16,000. One table
of all phases over a whole step would then have 178 million weights, of which few are not zero. So where the table is
large, phases that lie side by side are computed in groups, over those inputs alone that a group sees.

Shapes: S samples, P phases, K inputs under a phase's weights.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided

ZERO_CROSSINGS = 6  # a side
ROLLOFF = 0.99  # of the lower Nyquist frequency
TABLE_LIMIT = 2**19  # weights (2 MB)
SPARE = 3  # inputs more than a window, for what rounding takes at both of its ends
CHUNK = 2**20  # weights, or inputs under them, at once


def resample(wave: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """(S,) at `rate` Hz as (ceil(S · new_rate / rate),) float32 at `new_rate` Hz; both are whole numbers."""
    divisor = math.gcd(rate, new_rate)
    step, phases = rate // divisor, new_rate // divisor
    length = -(-len(wave) * phases // step)
    if step == phases or not length:
        return np.array(wave[:length], dtype=np.float32)
    width = _width(step, phases)
    is_small = phases * (2 * width + step) <= TABLE_LIMIT
    after = width + step if is_small else 3 * width + step + SPARE  # a group may go beyond the last phase
    padded = np.pad(np.asarray(wave, dtype=np.float32), (width, after))
    if not is_small:
        return _by_groups(padded, length, step, phases, width)
    with torch.no_grad():
        table = _table(step, phases)[:, None]  # (P, 1, K)
        out = torch.nn.functional.conv1d(torch.from_numpy(padded)[None, None], table, stride=step)[0].T  # (steps, P)
    return out.reshape(-1)[:length].numpy()


def _by_groups(padded: np.ndarray, length: int, step: int, phases: int, width: int) -> np.ndarray:
    """(length,) outputs, by groups of phases that span about as many inputs as the weights of one."""
    steps = -(-length // phases)
    needed = min(phases, length)  # a short wave does not come to all phases
    group = min(max(2 * width * phases // step, 1), phases)  # spans at most 2 * width inputs
    span = (group - 1) * step // phases + 2 * width + SPARE
    at_once = max(CHUNK // (max(steps, group) * span), 1)
    out = np.empty((steps, -(-needed // group) * group), dtype=np.float32)
    for first in range(0, needed, at_once * group):
        outputs = np.arange(first, min(first + at_once * group, out.shape[1])).reshape(-1, group)
        inputs = outputs[:, :1] * step // phases + np.arange(span)  # the padding is a window's left half
        weights = _weights(step, phases, outputs, inputs - width, np.float32)  # (groups, phases, span)
        seen = np.empty((len(inputs), steps, span), dtype=np.float32)
        for each, start in zip(seen, inputs[:, 0], strict=True):
            each[:] = as_strided(padded[start:], (steps, span), (4 * step, 4))
        block = np.matmul(seen, weights.transpose(0, 2, 1))  # (groups, steps, phases)
        out[:, first : first + outputs.size] = block.transpose(1, 0, 2).reshape(steps, -1)
    return out[:, :needed].reshape(-1)[:length]


def _width(step: int, phases: int) -> int:
    """Inputs on either side of an output that may weigh in."""
    return math.ceil(ZERO_CROSSINGS * step / (min(step, phases) * ROLLOFF))


@lru_cache(maxsize=8)
def _table(step: int, phases: int) -> torch.Tensor:
    width = _width(step, phases)
    return torch.from_numpy(_weights(step, phases, np.arange(phases), np.arange(-width, width + step), np.float64))


def _weights(step: int, phases: int, outputs: np.ndarray, inputs: np.ndarray, dtype: type) -> np.ndarray:
    """(…, P, K) float32 weights.

    Args:
        outputs: (…, P) numbers of phases.
        inputs: (…, K) numbers of inputs, counted from a step's first.
        dtype: of sine and cosine, which cost the time; in float32 their errors stay below -110 dB.
    """
    cutoff = min(step, phases) * ROLLOFF  # per step's time
    time = (inputs * (cutoff / step))[..., None, :] - (outputs * (cutoff / phases))[..., :, None]  # in zero crossings
    time = time.clip(-ZERO_CROSSINGS, ZERO_CROSSINGS).astype(dtype)
    window = np.cos(time * dtype(math.pi / ZERO_CROSSINGS / 2)) ** 2
    return (np.sinc(time) * window * dtype(cutoff / step)).astype(np.float32)


__all__ = ["resample"]
