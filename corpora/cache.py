"""Data sets built once and kept on disk: written beside their place, then renamed, so half of one is never found."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import datasets
from datasets.arrow_writer import ArrowWriter

from xser.corpora.schema import FEATURES, complete


def cache_root(cache_dir: str | os.PathLike | None = None) -> Path:
    """`cache_dir`, else $XSER_CACHE, else ~/.cache/xser."""
    return Path(cache_dir or os.environ.get("XSER_CACHE") or Path.home() / ".cache" / "xser").expanduser()


def digest(*values) -> str:
    """Twenty hex digits that stand for JSON-able values: other values, other digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:20]


@contextlib.contextmanager
def written_beside(path: Path, keep_others: bool = False) -> Iterator[Path]:
    """A place beside `path` to write a file or folder at; it is renamed to `path` when all went well, else removed.

    Args:
        keep_others: a folder that another process has put at `path` in the meantime stays, and this one is removed:
            for places that are named by a digest of what they hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        yield beside
        try:
            os.replace(beside, path)
        except OSError:
            if not (keep_others and path.is_dir()):
                raise
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)


def stamp(path: str | os.PathLike) -> tuple[int, int, int] | None:
    """Size, time of writing and time of change of a file or folder; None where there is none.

    The time of change also tells a file that was put in the place of another of the same size and time of writing.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a name with a NUL is no file's
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def write_dataset(path: Path, rows: Iterable[dict], features: datasets.Features = FEATURES) -> datasets.Dataset:
    """Write rows of the one schema to an Arrow file and open it."""
    with (
        written_beside(path) as beside,
        ArrowWriter(path=str(beside), features=features, writer_batch_size=500) as out,
    ):
        for row in rows:
            out.write(row)
        out.finalize()
    return open_dataset(path)


def write_json(path: Path, value: dict) -> None:
    """Write a JSON file that a person can read."""
    with written_beside(path) as beside:
        beside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of `datasets` wrote a folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def open_dataset(path: Path) -> datasets.Dataset:
    """Open an Arrow file of `write_dataset`, with all columns of the schema; its audio stays undecoded."""
    return complete(datasets.Dataset.from_file(str(path)))
