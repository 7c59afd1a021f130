"""Data sets built once and kept on disk: written beside their place, then renamed, so half of one is never found."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

import datasets
from datasets.arrow_writer import ArrowWriter

from xser.corpora.schema import FEATURES


def cache_root(cache_dir: str | os.PathLike | None = None) -> Path:
    """`cache_dir`, else $XSER_CACHE, else ~/.cache/xser."""
    return Path(cache_dir or os.environ.get("XSER_CACHE") or Path.home() / ".cache" / "xser").expanduser()


def digest(*values) -> str:
    """Twenty hex digits that stand for JSON-able values: other values, other digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:20]


def write_dataset(path: Path, rows: Iterable[dict]) -> datasets.Dataset:
    """Write rows of the one schema to an Arrow file and open it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        with ArrowWriter(path=str(beside), features=FEATURES, writer_batch_size=500) as writer:
            for row in rows:
                writer.write(row)
            writer.finalize()
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return open_dataset(path)


def open_dataset(path: Path) -> datasets.Dataset:
    """Open an Arrow file of `write_dataset`; its audio stays undecoded."""
    return datasets.Dataset.from_file(str(path))
