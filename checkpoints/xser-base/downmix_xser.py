"""Several channels to one, without losing what one of them says.

The mean of the channels is right where all of them hold the same scene. It is wrong where a channel holds nothing,
which halves the level, and where two are in opposite phase, which cancels them. So:

- a channel is left out where its sound is 30 dB below that of the loudest, or absent;
- a channel is turned over where it correlates with the loudest by less than -0.5;
- the rest is averaged. Ordinary stereo is the plain mean, to the bit.

Both are judged over the whole recording, about each channel's mean, at the 16 bits that a fingerprint has too. The
sums are whole numbers, so they are exact and do not depend on how a recording is cut into blocks.

Shapes: S samples, C channels.
"""

import numpy as np

ABSENT_DB = 30.0  # below the loudest channel
OPPOSITE = -0.5  # correlation with the loudest channel
SCALE = 2**15
LIMIT = 2**17  # four times full scale: squares of 2^18 such samples add up exactly in float64
BLOCK = 2**18


class Downmix:
    """How the channels of one recording become one: `add` all of it, then `apply`.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        self.channels = channels
        self.count = 0
        self.sums = [0] * channels
        self.products = [[0] * channels for _ in range(channels)]

    @classmethod
    def of(cls, samples: np.ndarray) -> "Downmix":
        """Of a recording (S, C) as a whole."""
        downmix = cls(samples.shape[1])
        downmix.add(samples)
        return downmix

    def add(self, samples: np.ndarray) -> None:
        """Take a block (S, C) of finite floats into account."""
        if self.channels == 1:
            return
        for start in range(0, len(samples), BLOCK):
            block = np.rint(samples[start : start + BLOCK].astype(np.float64) * SCALE).clip(-LIMIT, LIMIT)
            self.count += len(block)
            self.sums = [total + int(each) for total, each in zip(self.sums, block.sum(axis=0), strict=True)]
            for row, products in zip(self.products, block.T @ block, strict=True):
                row[:] = [total + int(each) for total, each in zip(row, products, strict=True)]

    def weights(self) -> np.ndarray:
        """(C,) 1 for a channel that is averaged, -1 for one that is turned over first, 0 for one that is left out."""
        everyone = range(self.channels)
        covariance = [  # times the squared count, which makes no difference to ratios
            [self.count * self.products[i][j] - self.sums[i] * self.sums[j] for j in everyone] for i in everyone
        ]
        power = [covariance[i][i] for i in everyone]
        loudest = max(everyone, key=lambda i: power[i])
        if power[loudest] == 0:  # no channel holds anything: the mean is as good as any
            return np.ones(self.channels, dtype=np.int8)
        weights = np.zeros(self.channels, dtype=np.int8)
        for i in everyone:
            if power[i] * 10 ** (ABSENT_DB / 10) >= power[loudest]:
                correlation = covariance[loudest][i] / (float(power[loudest]) * float(power[i])) ** 0.5
                weights[i] = -1 if correlation < OPPOSITE else 1
        return weights

    @property
    def is_mean(self) -> bool:
        """Whether this is the plain mean of all channels."""
        return self.channels == 1 or bool((self.weights() == 1).all())

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """A block (S, C) as (S,) float32."""
        if self.channels == 1:
            return samples[:, 0].astype(np.float32, copy=False)
        weights = self.weights()
        if not (weights == 1).all():
            samples = samples[:, weights != 0] * weights[weights != 0].astype(np.float32)
        return samples.mean(axis=1, dtype=np.float32)


__all__ = ["Downmix"]
