"""F0 against sounds whose F0 is known, from 60 to 500 Hz, clean and at 10 dB SNR in white noise.

    python benchmarks/f0_accuracy.py --output docs/results/f0-accuracy.json --data DIR

Sounds: sines, harmonic sounds (plain, without their fundamental, with a second harmonic 12 dB above it), vowels
(harmonics through formants), and speech, spoken anew: the spectral envelopes (LPC) and the voicing of recorded speech
with an F0 of our own. Its recordings are eSpeak NG's (`pip install xser[espeak]`) and, where given, those of `--data`.
An error is gross beyond 20%; a voicing error is a frame taken for voiced that is not, or the reverse.

Shapes: S samples, T frames.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.corpora import espeak_synthesis
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table
from xser.frames_xser import FRAME_SECONDS
from xser.prosody_xser import measure

COLUMNS = ("sound", "noise", "voiced seconds", "median error", "gross errors", "voicing errors")
LOWEST, HIGHEST = 60.0, 500.0  # Hz
MEDIANS = (75, 100, 130, 175, 230, 300, 400)  # Hz, each a third of an octave either way
NOISES = {"none": None, "white, 10 dB SNR": 10.0}
SECONDS = 2.5
HOP = round(FRAME_SECONDS * SAMPLE_RATE)
AUDIO = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
VOWELS = ((730, 1090, 2440, 3500), (270, 2290, 3010, 3600), (300, 870, 2240, 3400), (530, 1840, 2480, 3500))  # Hz
FORMANT_WIDTHS = (80, 100, 120, 180)  # Hz
SENTENCES = (
    "you never told me that the old museum closes on Monday",
    "a sudden storm took the roof off our neighbour's house",
    "please leave the silver keys on the kitchen table",
)
VOICES = ("en-us+m1", "en-gb-x-rp+m4", "en-us+f2", "en-029+f4")
ORDER, SIZE = 18, 1_024  # of the linear prediction, and of its transforms


def contour(rng: np.random.Generator, num_samples: int, median: float) -> np.ndarray:
    """(S,) Hz: slow waves of random phase around the median, a third of an octave up and down."""
    time = np.arange(num_samples) / SAMPLE_RATE
    waves = sum(rng.normal() * np.sin(2 * np.pi * (hz * time + rng.random())) for hz in (0.4, 0.9, 1.7, 2.9))
    return np.clip(median * 2 ** (waves / np.abs(waves).max() / 3), LOWEST, HIGHEST)


def harmonics(f0: np.ndarray, slope: float = 1.0, gains: dict[int, float] | None = None) -> np.ndarray:
    """(S,): harmonic k at amplitude k**-slope, times `gains` where given, below 7.5 kHz."""
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    sound = np.zeros(len(f0))
    for k in range(1, int(7_500 / f0.min()) + 1):
        sound += (gains or {}).get(k, 1.0) * k**-slope * (k * f0 < 7_500) * np.sin(k * phase)
    return sound


def vowel(sound: np.ndarray, formants: tuple[int, ...]) -> np.ndarray:
    """(S,) through one resonance a formant."""
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    response = np.ones(len(hz), complex)
    for centre, width in zip(formants, FORMANT_WIDTHS, strict=True):
        pole = np.exp((-np.pi * width + 2j * np.pi * centre) / SAMPLE_RATE)
        delay = np.exp(-2j * np.pi * hz / SAMPLE_RATE)
        response /= (1 - pole * delay) * (1 - pole.conjugate() * delay)
    return np.fft.irfft(np.fft.rfft(sound) * response, len(sound))


def frames_of(sound: np.ndarray, width: int) -> np.ndarray:
    """(S,) -> (T, width) under a Hann window, centred on the frames."""
    num_frames = -(-len(sound) // HOP)
    before = (width - HOP) // 2
    padded = np.pad(sound, (before, num_frames * HOP + width - before - len(sound)))
    return sliding_window_view(padded, width)[: num_frames * HOP : HOP] * np.hanning(width + 2)[1:-1]


def resynthesise(recording: np.ndarray, f0: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The recording's envelopes over harmonics of `f0` where it is voiced, over noise elsewhere: (S,), (T,) voiced."""
    voiced = ~np.isnan(measure(recording).f0)
    power = np.abs(np.fft.rfft(frames_of(recording.astype(np.float64), 512), SIZE)) ** 2
    correlation = np.fft.irfft(power)[:, : ORDER + 1]
    correlation[:, 0] = correlation[:, 0] * 1.0001 + 1e-9
    lags = np.arange(ORDER)
    toeplitz = correlation[:, np.abs(lags[:, None] - lags)]
    predictor = np.linalg.solve(toeplitz, correlation[:, 1:, None])[:, :, 0]
    residual = np.maximum(correlation[:, 0] - (predictor * correlation[:, 1:]).sum(axis=1), 1e-12)
    whitening = np.fft.rfft(np.concatenate([np.ones((len(predictor), 1)), -predictor], axis=1), SIZE)

    fade = np.hanning(HOP // 2 + 2)[1:-1]
    gate = np.convolve(np.repeat(voiced.astype(float), HOP)[: len(f0)], fade / fade.sum(), mode="same")
    pulses = harmonics(f0, slope=0)
    excitation = gate * pulses / pulses.std() + (1 - gate) * rng.standard_normal(len(f0))
    spoken = np.fft.irfft(np.fft.rfft(frames_of(excitation, 2 * HOP), SIZE) * np.sqrt(residual)[:, None] / whitening)
    sound = np.zeros(len(spoken) * HOP + SIZE)
    for frame, samples in enumerate(spoken):
        sound[frame * HOP : frame * HOP + SIZE] += samples
    return sound[HOP // 2 : HOP // 2 + len(recording)], voiced


def synthetic(seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Sounds that are voiced throughout: name, sound (S,), F0 (S,), voiced (T,)."""
    for number, median in enumerate(MEDIANS):
        rng = np.random.default_rng([seed, number])
        f0 = contour(rng, int(SECONDS * SAMPLE_RATE), median)
        voiced = np.ones(-(-len(f0) // HOP), bool)
        yield "sine", np.sin(2 * np.pi * np.cumsum(f0) / SAMPLE_RATE), f0, voiced
        yield "harmonics", harmonics(f0), f0, voiced
        yield "no fundamental", harmonics(f0, gains={1: 0.0}), f0, voiced
        yield "strong second harmonic", harmonics(f0, gains={2: 8.0}), f0, voiced
        yield "vowel", vowel(harmonics(f0), VOWELS[(seed + number) % len(VOWELS)]), f0, voiced


def spoken(name: str, recordings: list[np.ndarray]) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Recordings spoken anew, the medians in turn: name, sound (S,), F0 (S,), voiced (T,)."""
    for number, recording in enumerate(recordings):
        rng = np.random.default_rng([number])
        f0 = contour(rng, len(recording), MEDIANS[number % len(MEDIANS)])
        sound, voiced = resynthesise(recording, f0, rng)
        yield name, sound, f0, voiced


def espeak_recordings() -> list[np.ndarray]:
    return [
        load_audio((espeak_synthesis.speak(text, voice), espeak_synthesis.SAMPLE_RATE))
        for text, voice in itertools.product(SENTENCES, VOICES)
    ] * 2  # as many again, under other medians


def recordings_under(folder: Path, limit: int) -> list[np.ndarray]:
    """`limit` recordings, evenly from all of them."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO)
    if not files:
        raise ValueError(f"--data {folder} holds no recording ({', '.join(sorted(AUDIO))})")
    return [load_audio(path) for path in files[:: max(len(files) // limit, 1)][:limit]]


def errors(sound: np.ndarray, f0: np.ndarray, voiced: np.ndarray, snr: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors of F0 where it is rightly voiced, and (T,) which frames' voicing is wrong."""
    if snr is not None:
        noise = np.random.default_rng(0).standard_normal(len(sound))
        sound = sound + noise * np.sqrt(np.mean(sound**2) / 10 ** (snr / 10))
    found = measure((0.1 * sound / np.std(sound)).astype(np.float32)).f0
    centres = np.minimum(np.arange(len(voiced)) * HOP + HOP // 2, len(f0) - 1)
    both = voiced & ~np.isnan(found)
    return np.abs(found[both] / f0[centres][both] - 1), voiced == np.isnan(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder of recorded speech, to be spoken anew")
    parser.add_argument("--limit", type=int, default=70, help="how many of its recordings")
    arguments = parser.parse_args()
    cases = [synthetic(seed) for seed in range(3)] + [spoken("speech, from eSpeak NG", espeak_recordings())]
    if arguments.data:
        cases.append(spoken(f"speech, from {arguments.data.name}", recordings_under(arguments.data, arguments.limit)))
    found: dict[tuple[str, str], list] = {}
    for name, sound, f0, voiced in itertools.chain(*cases):
        for noise, snr in NOISES.items():
            found.setdefault((name, noise), []).append(errors(sound, f0, voiced, snr))
    rows = []
    for (name, noise), parts in found.items():
        error, misvoiced = (np.concatenate(column) for column in zip(*parts, strict=True))
        figures = (f"{np.median(error):.2%}", f"{np.mean(error > 0.2):.2%}", f"{np.mean(misvoiced):.2%}")
        rows.append((name, noise, f"{len(error) * FRAME_SECONDS:.0f}", *figures))
    title = f"F0 against sounds of known F0, {LOWEST:.0f} to {HIGHEST:.0f} Hz"
    measured = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows}
    write_json(arguments.output, measured)
    print(text_table(rows, COLUMNS))


if __name__ == "__main__":
    main()
