"""Do the stated errors know what a filter has taken from a voice, and are levels not certain and wrong?

    python benchmarks/filtered_voice.py --data DIR DIR DIR --output docs/results/filtered-voice.json

Recordings are measured as they are and filtered: nothing is left beyond 30 Hz from an edge. `beyond two errors` is how
often a measurement deviates from that of the recording as it is by more than twice the error stated, of the contour in
its rise from start to end; `certain and wrong` how often, by built-in cuts around the unfiltered value, a level of
pitch, volume, speed or range has a confidence of 0.9 or more and is another one than `normal`, or a tone is
as certain and another one than that of the unfiltered recording. `half a frame later` is no filter: it shows how often
that is so where nothing was taken.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from xser.audio_xser import SAMPLE_RATE, load_audio
from xser.calibration_xser import QUANTITIES, Calibration, Reference
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table
from xser.frames_xser import HOP
from xser.levels_xser import QUANTITIES_OF, label
from xser.prosody_xser import Prosody, measure

COLUMNS = ("quantity", "filter", "recordings", "median deviation", "median error", "beyond two errors",
           "certain and wrong", "certain")  # fmt: skip
SLOTS = {of[-1]: slot for slot, of in QUANTITIES_OF.items()}  # quantity → slot
WIDTH = 30.0  # Hz
CERTAIN = 0.9
DEFAULT = Calibration.default()


def band(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """A filter that keeps what lies between, in Hz."""

    def filtered(wave: np.ndarray) -> np.ndarray:
        hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
        gain = np.clip((hz - low) / WIDTH + 1, 0, 1) * np.clip((high - hz) / WIDTH + 1, 0, 1)
        return np.fft.irfft(np.fft.rfft(wave) * gain, len(wave)).astype(np.float32)

    return filtered


def notch(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """A filter that takes what lies between, in Hz."""

    def filtered(wave: np.ndarray) -> np.ndarray:
        hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
        return np.fft.irfft(np.fft.rfft(wave) * ((hz < low) | (hz > high)), len(wave)).astype(np.float32)

    return filtered


FILTERS = {
    "none, half a frame later": lambda wave: wave[HOP // 2 :],
    "high-pass at 200 Hz": band(200, 8_000),
    "high-pass at 300 Hz": band(300, 8_000),
    "high-pass at 400 Hz": band(400, 8_000),
    "300 to 3,400 Hz": band(300, 3_400),
    "low-pass at 1,000 Hz": band(0, 1_000),
    "without 80 to 160 Hz": notch(80, 160),
    "without 200 to 400 Hz": notch(200, 400),
}


def waves(folders: list[Path], limit: int) -> Iterator[np.ndarray]:
    """(S,) each, `limit` of each folder, evenly from all that its `metadata.csv` names."""
    for folder in folders:
        with (folder / "metadata.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows[:: max(len(rows) // limit, 1)][:limit]:
            yield load_audio(folder / row["file_name"])


def value(prosody: Prosody, quantity: str) -> float | None:
    measured = getattr(prosody, quantity)
    return measured[-1] - measured[0] if quantity == "contour" and measured else measured


def levels(prosody: Prosody, clean: Prosody) -> dict[str, str | None]:
    """Levels that are certain, relative to the unfiltered recording."""
    medians = {name: float(getattr(clean, name)) for name in QUANTITIES if getattr(clean, name) is not None}
    found = label(prosody, DEFAULT, Reference(medians, dict.fromkeys(medians, 0.0)))
    return {slot: of.level if of.level and of.confidence >= CERTAIN else None for slot, of in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of recordings")
    parser.add_argument("--limit", type=int, default=70, help="recordings of each")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    found = defaultdict(list)  # (quantity, filter) → deviation, error, certain and wrong, certain
    count = 0
    for wave in tqdm(waves(arguments.data, arguments.limit), total=arguments.limit * len(arguments.data), unit="file"):
        clean = measure(wave)
        count += 1
        tone = label(clean, DEFAULT, margin=0.0)["tone"].level
        for name, take in FILTERS.items():
            cut = measure(take(wave))
            certain = levels(cut, clean)
            for quantity, slot in SLOTS.items():
                pair = value(clean, quantity), value(cut, quantity)
                if None in pair:
                    continue
                is_certain = certain[slot] is not None
                is_wrong = is_certain and certain[slot] != (tone if slot == "tone" else "normal")
                error = getattr(cut, f"{quantity}_error")
                found[quantity, name].append((abs(pair[1] - pair[0]), error, is_wrong, is_certain))
    rows = []
    for (quantity, name), of in sorted(found.items(), key=lambda item: list(SLOTS).index(item[0][0])):
        deviation, error, is_wrong, is_certain = np.array(of, float).T
        shares = (np.mean(deviation > 2 * error), np.mean(is_wrong), np.mean(is_certain))
        figures = (f"{np.median(deviation):.2f}", f"{np.median(error):.2f}", *(f"{share:.1%}" for share in shares))
        rows.append((quantity, name, str(len(of)), *figures))
    title = (
        f"Deviations of filtered measurements (semitones, dB, syllables a second) from unfiltered ones, and the "
        f"errors stated, on {count} recordings of {', '.join(folder.name for folder in arguments.data)}"
    )
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
