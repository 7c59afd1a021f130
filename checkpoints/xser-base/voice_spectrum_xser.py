"""Where the energy of a voice lies over frequency: its balance, timbre, harmonics and resonances. NumPy alone.

An effort of the voice, a smile, a tense or a breathy voice show there, whatever the pitch and the loudness.

Shapes: S samples, T frames (one every 10 ms), N analysed frames, W samples of a window, F bins, P predictors.

Sources: [1] Eyben et al. (2016), "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for voice research and
affective computing", IEEE Transactions on Affective Computing 7(2): alpha ratio, Hammarberg index, slopes, harmonic
differences; [2] Hammarberg et al. (1980), "Perceptual and acoustic correlates of abnormal voice qualities", Acta
Oto-Laryngologica 90; [3] Davis and Mermelstein (1980), cepstra on a mel scale, IEEE Transactions on ASSP 28(4);
[4] Markel and Gray (1976), "Linear Prediction of Speech": resonances from the roots of the predictor.
"""

import math
from functools import cache

import numpy as np

from .frames_xser import BLOCK_FRAMES, HOP, NARROW_RATE, SAMPLE_RATE, decimate, framed, hann, scaled
from .prosody_xser import Prosody

WINDOW, FFT_SIZE = 640, 1024  # samples: 40 ms, for harmonics of low voices
FLOOR = 1e-12  # of a bin's power; a sine as large as the largest sample has some 10^4
TELEPHONE_HZ = 5_500.0  # 8 kHz recordings end at 4,000 Hz; resampling leaves a mirror image just above
TELEPHONE_DB = -58.0  # what is above against what is below: real voices had -50 at least, 8 kHz ones -65 at most
NUM_BANDS, NUM_CEPSTRA = 26, 8
LOWEST_HZ, HIGHEST_HZ = 50.0, 8_000.0
NEAR_HARMONIC, NEAR_RESONANCE = 0.25, 0.6  # of F0, on either side, where its peak is looked for
PREDICTORS, PRE_EMPHASIS = 10, 0.97  # at 8 kHz
NARROW_WINDOW = 256  # samples: 32 ms
NUM_RESONANCES = 3
RESONANCE_HZ, WIDEST_HZ = (90.0, 3_900.0), 700.0

BALANCE = ("alpha_ratio", "hammarberg", "slope_low", "slope_middle", "slope_high", "centroid", "brightness")
TIMBRE = tuple(f"cepstrum_{number}" for number in range(1, NUM_CEPSTRA + 1))
HARMONICS = ("h1_h2", "h1_a3", "a1_h1", "a2_h1")
RESONANCES = tuple(f"{what}_{number}" for what in ("formant", "bandwidth") for number in range(1, NUM_RESONANCES + 1))
ANY_SOUND = (*BALANCE, "flux", *TIMBRE)
FRAME_NAMES = (*ANY_SOUND, *HARMONICS, *RESONANCES)


def spectrum_frames(wave: np.ndarray, prosody: Prosody) -> np.ndarray:
    """(T, len(FRAME_NAMES)) float32, the same at every gain; NaN outside speech and where it cannot be told.

    It cannot in digital silence, nor anywhere in a recording with nothing above 5,500 Hz: 8 kHz telephone speech.

    alpha_ratio: dB of 50 to 1,000 Hz over 1,000 to 5,000; hammarberg: dB of the strongest bin below 2 kHz over that
    from there to 5 kHz; slopes: dB a kHz over 50 to 500, 500 to 1,500 and 1,000 to 5,000 Hz; centroid: octaves re
    1 kHz; brightness: dB of 4 to 8 kHz over what lies below; flux: RMS change of the bands' log energies, about
    their mean, from the frame before; cepstra: of mel bands' log energies. In voiced frames alone: dB of the first
    harmonic over the second and over the third formant's, of the first two formants' harmonics over the first;
    formants in octaves re 1 kHz and their bandwidths in octaves re 100 Hz.

    Args:
        wave: (S,) at 16 kHz, that `prosody` was measured of.
    """
    sound, _ = scaled(wave)
    frames = np.full((len(prosody.f0), len(FRAME_NAMES)), np.nan, np.float32)
    narrow = framed(decimate(sound), len(frames), NARROW_WINDOW)
    wide = _framed(sound, len(frames))
    speech = np.flatnonzero(prosody.speech)
    above, whole = 0.0, 0.0
    for start in range(0, len(speech), BLOCK_FRAMES):
        at = speech[start : start + BLOCK_FRAMES]
        at = at[wide[at].max(1) > wide[at].min(1)]  # gaps in speech may be digital silence
        power = _power(wide[at])
        above, whole = above + power[:, _band(TELEPHONE_HZ, math.inf)].sum(), whole + power.sum()
        frames[at, : len(BALANCE)] = _balance(power)
        bands = np.log(power @ _mel_bands() + FLOOR)
        frames[at, len(BALANCE)] = _flux(bands, at)
        frames[at, len(BALANCE) + 1 : len(ANY_SOUND)] = bands @ _cosines()
        is_voiced = ~np.isnan(prosody.f0[at])
        if is_voiced.any():
            formants, bandwidths = _resonances(narrow[at[is_voiced]])
            decibels = 10 * np.log10(power[is_voiced])
            harmonics = _harmonics(decibels, prosody.f0[at[is_voiced]].astype(np.float64), formants)
            octaves = np.log2(formants / 1_000), np.log2(bandwidths / 100)
            frames[at[is_voiced], len(ANY_SOUND) :] = np.concatenate([harmonics, *octaves], 1)
    if above < 10 ** (TELEPHONE_DB / 10) * (whole - above):
        frames[:] = np.nan
    return frames


def _framed(sound: np.ndarray, num_frames: int) -> np.ndarray:
    """Windows at 16 kHz, centred on their frames, zeros beyond the ends: (S,) -> (T, W), a view."""
    before = (WINDOW - HOP) // 2
    padded = np.zeros(num_frames * HOP + WINDOW, np.float32)
    padded[before : before + len(sound)] = sound
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: num_frames * HOP : HOP]


def _power(frames: np.ndarray) -> np.ndarray:
    """(N, W) -> (N, F) power spectrum."""
    return np.abs(np.fft.rfft(frames * hann(WINDOW), FFT_SIZE)).astype(np.float64) ** 2 + FLOOR


@cache
def _hertz() -> np.ndarray:
    return np.fft.rfftfreq(FFT_SIZE, 1 / SAMPLE_RATE)


def _band(low: float, high: float) -> slice:
    """The bins from `low` up to `high` hertz."""
    return slice(*np.searchsorted(_hertz(), (low, high)))


def _balance(power: np.ndarray) -> np.ndarray:
    """(N, F) -> (N, len(BALANCE))."""
    decibels = 10 * np.log10(power)

    def energy(low: float, high: float) -> np.ndarray:
        return 10 * np.log10(power[:, _band(low, high)].sum(1))

    def slope(low: float, high: float) -> np.ndarray:
        kilohertz = _hertz()[_band(low, high)] / 1_000
        centred = kilohertz - kilohertz.mean()
        return decibels[:, _band(low, high)] @ centred / (centred @ centred)

    strongest = [decibels[:, _band(low, high)].max(1) for low, high in ((0, 2_000), (2_000, 5_000))]
    heard = power[:, _band(LOWEST_HZ, HIGHEST_HZ)]
    centroid = heard @ _hertz()[_band(LOWEST_HZ, HIGHEST_HZ)] / heard.sum(1)
    return np.stack(
        [
            energy(50, 1_000) - energy(1_000, 5_000),
            strongest[0] - strongest[1],
            slope(50, 500),
            slope(500, 1_500),
            slope(1_000, 5_000),
            np.log2(centroid / 1_000),
            energy(4_000, 8_000) - energy(50, 4_000),
        ],
        1,
    )


@cache
def _mel_bands() -> np.ndarray:
    """(F, NUM_BANDS) triangles, evenly spaced on a mel scale."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, NUM_BANDS + 2) / 2595) - 1)
    rising = (_hertz()[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - _hertz()[:, None]) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0.0, None)


@cache
def _cosines() -> np.ndarray:
    """(NUM_BANDS, NUM_CEPSTRA) of the cosine transform, without its mean [3]."""
    phase = np.pi / NUM_BANDS * (np.arange(NUM_BANDS)[:, None] + 0.5) * np.arange(1, NUM_CEPSTRA + 1)
    return np.cos(phase) * np.sqrt(2 / NUM_BANDS)


def _flux(bands: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(N, NUM_BANDS) of the frames `at` -> (N,); NaN where the frame before is not among them."""
    shape = bands - bands.mean(1, keepdims=True)
    change = np.full(len(bands), np.nan)
    change[1:] = np.sqrt(((shape[1:] - shape[:-1]) ** 2).mean(1))
    change[1:][np.diff(at) != 1] = np.nan
    return change


def _resonances(narrow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, W) at 8 kHz -> formants and bandwidths in Hz, (N, NUM_RESONANCES) each, NaN where there is none.

    Linear prediction by Levinson's recursion, and the roots of the predictor [4].
    """
    frames = narrow.astype(np.float64)
    frames = np.concatenate([frames[:, :1], frames[:, 1:] - PRE_EMPHASIS * frames[:, :-1]], 1) * hann(NARROW_WINDOW)
    lags = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * NARROW_WINDOW)) ** 2)[:, : PREDICTORS + 1]
    lags[:, 0] = lags[:, 0] * 1.0001 + FLOOR
    predictor, error = np.zeros((len(frames), PREDICTORS + 1)), lags[:, 0].copy()
    predictor[:, 0] = 1.0
    for order in range(1, PREDICTORS + 1):
        reflection = -np.einsum("np,np->n", predictor[:, :order], lags[:, order:0:-1]) / error
        predictor[:, 1 : order + 1] += reflection[:, None] * predictor[:, order - 1 :: -1][:, :order]
        error *= 1 - reflection**2
    companion = np.zeros((len(frames), PREDICTORS, PREDICTORS))
    companion[:, 0] = -predictor[:, 1:]
    companion[:, np.arange(1, PREDICTORS), np.arange(PREDICTORS - 1)] = 1.0
    roots = np.linalg.eigvals(companion)
    hertz = np.angle(roots) * NARROW_RATE / (2 * np.pi)
    width = -np.log(np.abs(roots) + FLOOR) * NARROW_RATE / np.pi
    is_resonance = (hertz > RESONANCE_HZ[0]) & (hertz < RESONANCE_HZ[1]) & (width < WIDEST_HZ) & (width > 0)
    order = np.argsort(np.where(is_resonance, hertz, np.inf), axis=1)[:, :NUM_RESONANCES]
    found = [np.where(is_resonance, values, np.nan) for values in (hertz, width)]
    return tuple(np.take_along_axis(values, order, 1) for values in found)


def _harmonics(decibels: np.ndarray, f0: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """(N, F) dB, (N,) and (N, NUM_RESONANCES) in Hz -> (N, len(HARMONICS)) dB [1]."""
    first, second = (_peak(decibels, number * f0, NEAR_HARMONIC * f0) for number in (1, 2))
    at_formants = [_peak(decibels, formant, NEAR_RESONANCE * f0) for formant in formants.T]
    return np.stack([first - second, first - at_formants[2], at_formants[0] - first, at_formants[1] - first], 1)


def _peak(decibels: np.ndarray, hertz: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """(N, F), (N,), (N,) -> (N,) the strongest bin within `reach` of each place; NaN where there is no place."""
    bins = _hertz()
    is_near = np.abs(bins - hertz[:, None]) <= np.maximum(reach, bins[1])[:, None]
    strongest = np.where(is_near, decibels, -np.inf).max(1)
    return np.where(np.isfinite(strongest), strongest, np.nan)


__all__ = ["ANY_SOUND", "BALANCE", "FRAME_NAMES", "TELEPHONE_DB", "TELEPHONE_HZ", "spectrum_frames"]
