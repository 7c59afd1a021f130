"""Is a right transcript taken for one, and one of another length not? And what becomes of the speed then?

    python benchmarks/transcript_fit.py --data DIR DIR DIR --output docs/results/transcript-fit.json

Each DIR is a folder with a `metadata.csv` of `file_name`, `text` and `language`. Every recording is judged with its
own transcript, with that four times, twice, by its first half and quarter, and with another's, whose length is less
than 0.4 or more than 2.5 times its own; each with the language given, and without. `speed told` is how often a level
is told with a confidence of 0.9 or more, by built-in cuts, and `told otherwise` how often that is another one than by
the right transcript.
"""

import argparse
import csv
import random
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from xser.audio_xser import load_audio
from xser.calibration_xser import Calibration
from xser.corpora.cache import write_json
from xser.evaluation.report import command_line, text_table
from xser.levels_xser import label
from xser.prosody_xser import Prosody, measure
from xser.rate_xser import usual_syllables, with_text_rate

COLUMNS = ("corpus", "transcript", "language", "recordings", "fits", "speed told at 0.9", "told otherwise")
OTHER_LENGTH = (0.4, 2.5)  # times the right transcript's
CERTAIN = 0.9
DEFAULT = Calibration.default()


def recordings(folder: Path, limit: int) -> list[tuple[Prosody, str, str]]:
    """(measurements, text, language) of `limit` recordings, evenly from all."""
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = rows[:: max(len(rows) // limit, 1)][:limit]
    rows = tqdm(rows, desc=f"measuring {folder.name}", unit="file")
    return [(measure(load_audio(folder / row["file_name"])), row["text"], row["language"]) for row in rows]


def transcripts(text: str, language: str, others: list[str], rng: random.Random) -> Iterator[tuple[str, str]]:
    """(what it is, the transcript)."""
    words = text.split()
    yield "right", text
    yield "four times", " ".join(words * 4)
    yield "twice", " ".join(words * 2)
    yield "first half", " ".join(words[: max(len(words) // 2, 1)])
    yield "first quarter", " ".join(words[: max(len(words) // 4, 1)])
    other, own = rng.choice(others), usual_syllables(text, language)
    size = usual_syllables(other, language)
    if own and size and not OTHER_LENGTH[0] <= size.value / own.value <= OTHER_LENGTH[1]:
        yield "another of other length", other


def speed(prosody: Prosody) -> str | None:
    """The level, where it is certain."""
    found = label(prosody, DEFAULT)["speed"]
    return found.level if found.level is not None and found.confidence >= CERTAIN else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of recordings with transcripts")
    parser.add_argument("--limit", type=int, default=400, help="recordings of each")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rng = random.Random(0)
    counts: dict[tuple[str, str, str], list[tuple[bool, bool, bool]]] = {}  # fits, told, told otherwise
    for folder in arguments.data:
        measured = recordings(folder, arguments.limit)
        texts = [text for _, text, _ in measured]
        for prosody, text, language in measured:
            for what, transcript in transcripts(text, language, texts, rng):
                for given in (language, None):
                    right = speed(with_text_rate(prosody, text, given))
                    found = with_text_rate(prosody, transcript, given)
                    level, fits = speed(found), found.text_fits is True
                    counts.setdefault((folder.name, what, "given" if given else "not given"), []).append(
                        (fits, level is not None, level is not None and level != right)
                    )
    rows = [
        (*key, str(len(of)), *(f"{sum(column) / len(of):.1%}" for column in zip(*of, strict=True)))
        for key, of in counts.items()
    ]
    title = (
        f"Transcripts held against the syllables in the signal, {arguments.limit} recordings of each corpus at most"
    )
    write_json(arguments.output, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})
    print(title, text_table(rows, COLUMNS), sep="\n")


if __name__ == "__main__":
    main()
