"""What a voice survives: another room, another channel, noise, a drifting level. The targets stay the clean one's.

Each is drawn with its probability from a generator that is a function of (seed, step, piece), so a run that is resumed
hears the same. All in one pair of Fourier transforms at most, and noise from a bank: a few per cent of a step.

The conditions of `xser.evaluation.conditions` are not used here: they are fixed tests, each of one strength, and a
tower should be tested under what it was not trained on. Speed is no perturbation either, see `pieces`; and pitch
alone is not changed: that needs a vocoder, which leaves traces of its own.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import fft

from xser.audio_xser import SAMPLE_RATE

AUGMENTATIONS = ("gain", "noise", "band", "room")
GAIN_DB = 10.0  # at most so much from the first sample to the last: do_normalize would undo a constant gain
SNR_DB = (5.0, 30.0)
NOISE_SLOPES = (0.0, -3.0, -6.0)  # dB an octave: white, pink, brown
NOISE_SECONDS = 30
LOW_CUT, HIGH_CUT = (50.0, 400.0), (3_000.0, 7_500.0)  # Hz, drawn on a log scale
BAND_ORDER = 4  # of Butterworth's magnitude, without its phase: nothing moves in time
ROOM_SECONDS = (0.15, 0.6)  # in which echoes fall by 60 dB
DIRECT_TO_REVERBERANT_DB = (0.0, 15.0)
LN_10 = math.log(10)  # powers of ten by exp, which numpy computes many at once


class Augmenter:
    """Perturbs pieces.

    Args:
        probabilities: of each of `AUGMENTATIONS`; those not named never happen.
    """

    def __init__(self, probabilities: dict[str, float]):
        self.probabilities = {name: probabilities.get(name, 0.0) for name in AUGMENTATIONS}
        self.noises = noise_bank() if self.probabilities["noise"] else None

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(S,) → (S,) float32: a room and a channel, then noise, then the level."""
        chosen = {name for name, share in self.probabilities.items() if rng.random() < share}
        if chosen & {"room", "band"}:
            wave = _filter(wave, rng, "room" in chosen, "band" in chosen)
        if "noise" in chosen:
            wave = wave + self._noise(wave, rng)
        if "gain" in chosen:
            wave = wave * _drift(len(wave), rng)
        return wave

    def _noise(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noise of some colour, from some place in the bank, at some ratio to the piece."""
        noise = self.noises[rng.integers(len(self.noises))]
        start = rng.integers(max(len(noise) - len(wave), 1))
        noise = np.resize(noise[start : start + len(wave)], len(wave))  # goes round where a piece is longer
        scale = _rms(wave) * 10 ** (-rng.uniform(*SNR_DB) / 20)
        return noise * np.float32(scale)


def noise_bank() -> np.ndarray:
    """(colours, S) float32 noises of unit RMS that end where they began, always the same ones."""
    size = NOISE_SECONDS * SAMPLE_RATE
    rng = np.random.default_rng(0)
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 50.0)  # level below 50 Hz
    noises = []
    for slope in NOISE_SLOPES:
        phases = np.exp(2j * np.pi * rng.random(len(hertz)))
        noise = np.fft.irfft(phases * hertz ** (slope / (20 * math.log10(2))), size)
        noises.append((noise / _rms(noise)).astype(np.float32))
    return np.stack(noises)


def _filter(wave: np.ndarray, rng: np.random.Generator, in_room: bool, in_band: bool) -> np.ndarray:
    """Through a room and a channel, by one product of spectra; as loud as before."""
    echoes = _echoes(rng) if in_room else np.zeros(1, dtype=np.float32)
    size = fft.next_fast_len(len(wave) + len(echoes), real=True)
    spectrum = fft.rfft(wave, size)  # of one wave far faster than torch's, and in float32
    if in_room:
        spectrum *= fft.rfft(echoes, size)
    if in_band:
        spectrum *= _band(len(spectrum), rng)
    changed = fft.irfft(spectrum, size)[: len(wave)]
    return changed * np.float32(_rms(wave) / max(_rms(changed), 1e-12))


def _echoes(rng: np.random.Generator) -> np.ndarray:
    """(R,) the direct sound and noise under an exponential: Polack's model of late reverberation."""
    seconds, ratio = rng.uniform(*ROOM_SECONDS), rng.uniform(*DIRECT_TO_REVERBERANT_DB)
    fall = np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) * np.float32(-3 * LN_10 / (seconds * SAMPLE_RATE))
    echoes = rng.standard_normal(len(fall), dtype=np.float32) * np.exp(fall)
    echoes *= np.float32(10 ** (-ratio / 20)) / np.sqrt(np.dot(echoes, echoes))
    echoes[0] = 1.0
    return echoes


def _band(bins: int, rng: np.random.Generator) -> np.ndarray:
    """(bins,) magnitude of a high-pass and a low-pass."""
    low, high = (math.exp(rng.uniform(math.log(a), math.log(b))) for a, b in (LOW_CUT, HIGH_CUT))
    below, above = _powers(bins)
    passed = (1 + below * np.float32(low ** (2 * BAND_ORDER))) * (1 + above * np.float32(high ** (-2 * BAND_ORDER)))
    return 1 / np.sqrt(passed)


@lru_cache(maxsize=64)
def _powers(bins: int) -> tuple[np.ndarray, np.ndarray]:
    """(bins,) each bin's hertz to the power of minus and of plus twice the order; float32 holds both."""
    hertz = np.linspace(0, SAMPLE_RATE / 2, bins).clip(min=1.0)
    powers = hertz ** (2 * BAND_ORDER)
    return (1 / powers).astype(np.float32), powers.astype(np.float32)


def _drift(samples: int, rng: np.random.Generator) -> np.ndarray:
    """(S,) gains, from one level to another, straight in dB."""
    change = rng.uniform(-GAIN_DB, GAIN_DB) / 20 * LN_10
    return np.exp(np.linspace(-change / 2, change / 2, samples, dtype=np.float32))


def _rms(wave: np.ndarray) -> float:
    return math.sqrt(float(np.dot(wave, wave)) / max(len(wave), 1))
