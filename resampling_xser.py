"""From any rate to another by windowed-sinc interpolation, in time and memory that no ratio of the rates blows up.

A sample between two others is a sum over their neighbours, weighted by a sinc under a Hann window of six zero
crossings a side, cut off at 0.99 of the lower Nyquist frequency: the defaults of torchaudio's `Resample`, and its
results.

The rates' ratio in lowest terms is `step / phases`: outputs `phases` apart see the same weights, `step` inputs later.
For 44,100 to 16,000 Hz there are 160 phases; for 11,127 Hz, which has no factor in common with it, 16,000. One table
of all phases over a whole step would then have 178 million weights, of which few are not zero. So where the table is
large, a few phases that lie side by side are computed at a time, over those inputs alone that they see.

Shapes: S samples, P phases, K inputs under a phase's weights.
"""

import math
from functools import lru_cache

import numpy as np
import torch

ZERO_CROSSINGS = 6  # a side
ROLLOFF = 0.99  # of the lower Nyquist frequency
TABLE_LIMIT = 2**19  # weights (2 MB)


def resample(wave: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """(S,) at `rate` Hz as (ceil(S · new_rate / rate),) float32 at `new_rate` Hz; both are whole numbers."""
    divisor = math.gcd(rate, new_rate)
    step, phases = rate // divisor, new_rate // divisor
    length = -(-len(wave) * phases // step)
    if step == phases or not length:
        return np.array(wave[:length], dtype=np.float32)
    width = _width(step, phases)
    padded = torch.from_numpy(np.pad(np.asarray(wave, dtype=np.float32), (width, width + step)))
    with torch.no_grad():
        if phases * (2 * width + step) <= TABLE_LIMIT:
            table = _table(step, phases)[:, None]  # (P, 1, K)
            out = torch.nn.functional.conv1d(padded[None, None], table, stride=step)[0].T  # (P, steps) -> (steps, P)
        else:
            out = _by_groups(padded, step, phases, width)
    return out.reshape(-1)[:length].numpy()


def _by_groups(padded: torch.Tensor, step: int, phases: int, width: int) -> torch.Tensor:
    """Outputs (steps, P) of a padded wave, computed for as many phases at once as the weights of one are wide."""
    steps = (len(padded) - 2 * width - step) // step + 1
    out = torch.empty(steps, phases)
    group = min(max(2 * width * phases // step, 1), phases)
    for first in range(0, phases, group):
        last = min(first + group, phases) - 1
        start = first * step // phases  # the padding's `width` is the window's left half
        stop = min(last * step // phases + 2 * width + 2, 2 * width + step)
        seen = padded.as_strided((steps, stop - start), (step, 1), start)
        out[:, first : last + 1] = seen @ _weights(step, phases, first, last + 1, start - width, stop - width).T
    return out


def _width(step: int, phases: int) -> int:
    """Inputs on either side of an output that may weigh in."""
    return math.ceil(ZERO_CROSSINGS * step / (min(step, phases) * ROLLOFF))


@lru_cache(maxsize=8)
def _table(step: int, phases: int) -> torch.Tensor:
    width = _width(step, phases)
    return _weights(step, phases, 0, phases, -width, width + step, torch.float64)


def _weights(
    step: int, phases: int, first: int, end: int, start: int, stop: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """(P, K) float32 weights of inputs `start` to `stop`, counted from a step's first, for phases `first` to `end`.

    Args:
        dtype: of sine and cosine, which cost the time; in float32 their errors stay below -110 dB.
    """
    cutoff = min(step, phases) * ROLLOFF  # per step's time
    outputs = torch.arange(first, end, dtype=torch.float64)[:, None] / phases
    inputs = torch.arange(start, stop, dtype=torch.float64)[None] / step
    time = ((inputs - outputs) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS).to(dtype)  # in zero crossings
    window = torch.cos(time * (math.pi / ZERO_CROSSINGS / 2)) ** 2
    return (torch.sinc(time) * window * (cutoff / step)).float()


__all__ = ["resample"]
