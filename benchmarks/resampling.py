"""What resampling to 16 kHz costs at usual and odd rates, and how far it is from torchaudio's.

    python benchmarks/resampling.py --output docs/results/resampling.json

30 seconds of noise a rate, each in a process of its own, so that its peak of memory is its own: what the process
holds at most, less what it held with the input in memory. Times are CPU seconds of one thread, the best of three runs,
over those of the recording and over the time of 44,100 Hz. torchaudio computes in float64, for a second of noise,
where its table of weights has at most 40 million; it would take gigabytes for the others.
"""

import argparse
import math
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torchaudio

from xser.audio_files_xser import MAX_RATE, MIN_RATE
from xser.audio_xser import SAMPLE_RATE
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table
from xser.resampling_xser import resample

COLUMNS = (
    "Hz",
    "times as long as 44,100 Hz",
    "share of real time, %",
    "memory beyond the input, MB",
    "from torchaudio, dB",
)
USUAL = (8_000, 11_025, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000)
ODD = (1_009, 11_127, 16_001, 44_101, 191_999)
RATES = (MIN_RATE, *sorted(USUAL + ODD), MAX_RATE - 1, MAX_RATE)
SECONDS = 30
REFERENCE = 44_100
MAX_WEIGHTS = 40_000_000


def measure(rate: int) -> tuple[float, float]:
    """Seconds, and MB beyond the input, of resampling `SECONDS` at `rate`."""
    torch.set_num_threads(1)
    resample(noise(REFERENCE), REFERENCE, SAMPLE_RATE)  # what is made once, such as threads
    wave = noise(SECONDS * rate)
    before = peak_mb()
    times = []
    for _ in range(3):
        start = time.process_time()
        resample(wave, rate, SAMPLE_RATE)
        times.append(time.process_time() - start)
    return min(times), peak_mb() - before


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).random(samples, dtype=np.float32)


def peak_mb() -> float:
    """Of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def difference_db(rate: int) -> str:
    """The largest difference from torchaudio's result over its largest sample."""
    divisor = math.gcd(rate, SAMPLE_RATE)
    if rate * SAMPLE_RATE / divisor**2 > MAX_WEIGHTS:
        return "–"
    wave = noise(rate)
    expected = torchaudio.functional.resample(torch.from_numpy(wave).double(), rate, SAMPLE_RATE).numpy()
    error = np.abs(resample(wave, rate, SAMPLE_RATE) - expected).max() / np.abs(expected).max()
    return f"{20 * math.log10(error):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        costs = dict(zip(RATES, pool.map(measure, RATES, chunksize=1), strict=True))
    rows = []
    for rate, (seconds, megabytes) in costs.items():
        times, share = seconds / costs[REFERENCE][0], 100 * seconds / SECONDS
        rows.append((str(rate), f"{times:.1f}", f"{share:.2f}", f"{megabytes:.0f}", difference_db(rate)))
    title = f"Resampling {SECONDS} s to {SAMPLE_RATE} Hz, one thread"
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(text_table(rows, COLUMNS))


if __name__ == "__main__":
    main()
