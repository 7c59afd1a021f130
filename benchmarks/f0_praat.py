"""F0 against Praat's on recorded speech, and what measuring costs.

    pip install --target PRAAT praat-parselmouth
    PYTHONPATH=PRAAT python benchmarks/f0_praat.py --data DIR --output docs/results/f0-praat.json

Parselmouth (Praat as a library) is GPL-3.0: nothing of XSER imports it but this. Praat tracks by the method of Boersma
(1993) with its own settings, from 50 to 600 Hz in one pass, or in two, whose second has the range of ours.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table
from xser.frames_xser import FRAME_SECONDS
from xser.pitch_xser import SPEAKER_RANGE, WIDE_RANGE
from xser.prosody_xser import measure

COLUMNS = ("reference", "frames voiced in both", "within 5%", "beyond 20%", "voiced in one", "times real time")
AUDIO = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


def import_parselmouth():
    try:
        import parselmouth
    except ImportError as error:
        raise SystemExit(
            "this benchmark compares to Praat, by parselmouth, which is not installed (GPL-3.0, so never by XSER): "
            "pip install --target FOLDER praat-parselmouth, then set PYTHONPATH=FOLDER"
        ) from error
    return parselmouth


def praat_f0(parselmouth, wave: np.ndarray, num_frames: int, passes: int) -> np.ndarray:
    """(T,) Hz at the centres of our frames, NaN where Praat finds no voice: its nearest frame, at most 5 ms away."""
    sound = parselmouth.Sound(wave.astype(np.float64), SAMPLE_RATE)
    low, high = WIDE_RANGE
    for _ in range(passes):
        track = sound.to_pitch_ac(time_step=FRAME_SECONDS, pitch_floor=low, pitch_ceiling=high)
        hz = track.selected_array["frequency"]
        if not hz.any():
            break
        median = float(np.median(hz[hz > 0]))
        low, high = max(SPEAKER_RANGE[0] * median, WIDE_RANGE[0]), min(SPEAKER_RANGE[1] * median, WIDE_RANGE[1])
    nearest = np.rint(((np.arange(num_frames) + 0.5) * FRAME_SECONDS - track.x1) / FRAME_SECONDS).astype(int)
    inside = (nearest >= 0) & (nearest < len(hz))
    found = np.where(inside, hz[np.clip(nearest, 0, len(hz) - 1)], 0)
    return np.where(found > 0, found, np.nan)


def timed(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What it gives, and how many seconds of processor time it took."""
    start = time.process_time()
    result = run()
    return result, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of recordings")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=400, help="how many of them, evenly from all")
    arguments = parser.parse_args()
    parselmouth = import_parselmouth()
    files = sorted(path for path in arguments.data.rglob("*") if path.suffix.lower() in AUDIO)
    if not files:
        raise SystemExit(f"--data {arguments.data} holds no recording ({', '.join(sorted(AUDIO))})")
    seconds, own_cost = 0.0, 0.0
    tracks: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {1: [], 2: []}
    costs = dict.fromkeys(tracks, 0.0)
    for path in files[:: max(len(files) // arguments.limit, 1)][: arguments.limit]:
        wave = load_audio(path)
        seconds += len(wave) / SAMPLE_RATE
        f0, cost = timed(lambda wave=wave: measure(wave).f0)
        own_cost += cost
        for passes in tracks:
            reference, cost = timed(
                lambda wave=wave, f0=f0, passes=passes: praat_f0(parselmouth, wave, len(f0), passes)
            )
            costs[passes] += cost
            tracks[passes].append((f0, reference))
    rows = []
    for passes, name in ((2, "Praat, two passes"), (1, "Praat, one pass")):
        f0, reference = (np.concatenate(column) for column in zip(*tracks[passes], strict=True))
        both = ~np.isnan(f0) & ~np.isnan(reference)
        off = np.abs(f0[both] / reference[both] - 1)
        shares = (np.mean(off <= 0.05), np.mean(off > 0.2), np.mean(np.isnan(f0) != np.isnan(reference)))
        rows.append((name, str(both.sum()), *(f"{share:.2%}" for share in shares), f"{seconds / costs[passes]:.0f}"))
    rows.append(("none: all that XSER measures", "", "", "", "", f"{seconds / own_cost:.0f}"))
    title = f"F0 against Praat's, on {len(tracks[1])} recordings of {arguments.data.name} ({seconds / 60:.0f} minutes)"
    measured = {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows}
    write_json(arguments.output, measured)
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
