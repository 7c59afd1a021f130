"""How far do measurements move for reasons that are not the voice, and do the errors beside them say so?

    python benchmarks/measurement_error.py --data DIR --output docs/results/measurement-error.json

Recordings are measured as they are and disturbed: with noise added, from half a frame later on, and with the speech
cut by up to 50 ms at either end; each of them whole, and 0.6 s from its middle. The deviation of a disturbed
measurement from the undisturbed one is held against the error that the disturbed one states. Of a contour it is that
of its rise from start to end. Recordings come from DIR, and from the espeak corpus (`pip install xser[espeak]`).
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table
from xser.frames_xser import HOP
from xser.prosody_xser import Prosody, measure

COLUMNS = ("quantity", "disturbance", "recordings", "68% move by", "median error", "within one", "within two")
QUANTITIES = ("pitch", "pitch_range", "loudness", "rate", "contour")
NOISE_DECIBELS = (30, 20, 10)  # below the speech
CUT_SECONDS = 0.05  # at most, of either end
PIECE_SECONDS = 0.6
AUDIO = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


def waves(data: Path, limit: int) -> Iterator[np.ndarray]:
    """(S,) each: `limit` recordings of the folder, evenly from all, and as many of the espeak corpus."""
    files = sorted(path for path in data.rglob("*") if path.suffix.lower() in AUDIO)
    if not files:
        raise SystemExit(f"--data {data} holds no recording ({', '.join(sorted(AUDIO))})")
    for path in files[:: max(len(files) // limit, 1)][:limit]:
        yield load_audio(path)
    for row in load_corpus("espeak", "test", limit):
        yield load_audio(row["audio"])


def with_piece(wave: np.ndarray) -> Iterator[np.ndarray]:
    """The wave, and the middle of it."""
    middle, half = len(wave) // 2, round(PIECE_SECONDS / 2 * SAMPLE_RATE)
    yield wave
    yield wave[max(middle - half, 0) : middle + half]


def noise(rng: np.random.Generator, num_samples: int, colour: str) -> np.ndarray:
    """(S,) of unit power; pink has as much in every octave from 50 Hz on."""
    sound = rng.standard_normal(num_samples)
    if colour == "pink":
        hz = np.fft.rfftfreq(num_samples, 1 / SAMPLE_RATE)
        sound = np.fft.irfft(np.fft.rfft(sound) / np.sqrt(np.maximum(hz, 50)), num_samples)
    return sound / sound.std()


def disturbed(wave: np.ndarray, prosody: Prosody, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """(what was done, (S,))."""
    for decibels in NOISE_DECIBELS:
        for colour in ("white", "pink"):
            gain = 10 ** ((prosody.loudness - decibels) / 20)
            yield f"noise at {decibels} dB", wave + gain * noise(rng, len(wave), colour)
    yield "half a frame later", wave[HOP // 2 :]
    first, last = np.flatnonzero(prosody.speech)[[0, -1]] * HOP
    start, end = rng.integers(0, CUT_SECONDS * SAMPLE_RATE, 2)
    yield f"cut by up to {CUT_SECONDS * 1000:.0f} ms", wave[first + start : last + HOP - end]


def value(prosody: Prosody, quantity: str) -> float | None:
    measured = getattr(prosody, quantity)
    return measured[-1] - measured[0] if quantity == "contour" and measured else measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of recordings")
    parser.add_argument("--limit", type=int, default=150, help="how many of them, and of the espeak corpus")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    moved: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)  # deviation, stated error
    for wave in tqdm(waves(arguments.data, arguments.limit), total=2 * arguments.limit, unit="file"):
        for sound in with_piece(wave):
            clean = measure(sound)
            if clean.loudness is None:
                continue
            for what, other in disturbed(sound, clean, rng):
                found = measure(other)
                for quantity in QUANTITIES:
                    pair = value(clean, quantity), value(found, quantity)
                    if None not in pair:
                        moved[quantity, what].append((abs(pair[1] - pair[0]), getattr(found, f"{quantity}_error")))
    rows = []
    for quantity, what in sorted(moved, key=lambda key: QUANTITIES.index(key[0])):
        deviation, error = np.array(moved[quantity, what]).T
        sizes = f"{np.quantile(deviation, 0.683):.2f}", f"{np.median(error):.2f}"
        within = (f"{np.mean(deviation <= times * error):.0%}" for times in (1, 2))
        rows.append((quantity, what, str(len(error)), *sizes, *within))
    title = (
        f"Deviations of disturbed measurements (semitones, dB, syllables a second) and the errors stated, on "
        f"{arguments.limit} recordings of {arguments.data.name} and {arguments.limit} of espeak, whole and in part"
    )
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
