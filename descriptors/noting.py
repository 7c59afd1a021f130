"""Measurements of a whole corpus, noted on disk as they come: a run that was stopped goes on from its notes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from xser.corpora.cache import write_json
from xser.descriptors.measuring import Measured, open_measuring
from xser.descriptors.prepared import File

NOTED_ROWS = 256  # of a note: what a run that is stopped loses at most


@dataclass(frozen=True)
class _Part:
    """Rows of a file that are noted together."""

    file: File
    rows: range
    note: Path


def measure_files(
    folder: Path, files: list[File], counts: list[int], notes: Path, workers: int | None, word_times: str | None
) -> Iterator[Measured | str]:
    """`measure_row` of every row, in the order of files and rows, or a text that says why it cannot be read.

    Args:
        folder: where the files are.
        counts: how many rows each file has.
        notes: folder of the notes; those of an earlier run, of the same files and `word_times`, are taken as they are.
        workers, word_times: as of `measure_rows`.
    """
    parts = [part for index, file in enumerate(files) for part in _parts(index, file, counts[index], notes)]
    missing = [part for part in parts if not part.note.is_file()]
    progress = tqdm(total=sum(counts), desc="measuring", unit="file")
    with progress, open_measuring(workers, word_times) as measuring:
        progress.update(sum(counts) - sum(len(part.rows) for part in missing))
        results = measuring(_recordings(folder, missing))
        for part in missing:
            write_json(part.note, {"rows": [_noted(next(results), progress) for _ in part.rows]})
    for part in parts:
        for values in json.loads(part.note.read_text(encoding="utf-8"))["rows"]:
            yield values["error"] if "error" in values else Measured.from_dict(values)


def _parts(index: int, file: File, count: int, notes: Path) -> list[_Part]:
    return [
        _Part(file, range(start, min(start + NOTED_ROWS, count)), notes / f"{index:05d}-{start:08d}.json")
        for start in range(0, count, NOTED_ROWS)
    ]


def _recordings(folder: Path, parts: list[_Part]) -> Iterator[dict]:
    """Those of the parts, in order; a file is read once."""
    wanted: dict[File, set[int]] = {}
    for part in parts:
        wanted.setdefault(part.file, set()).update(part.rows)
    for file, rows in wanted.items():
        yield from file.read_recordings(folder, rows)


def _noted(result: Measured | str, progress: tqdm) -> dict:
    progress.update()
    return {"error": result} if isinstance(result, str) else result.to_dict()
