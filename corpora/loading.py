"""Find a corpus by its name or path."""

import os
from pathlib import Path

import datasets

from xser.corpora.espeak import load_espeak

NAMES = ("espeak",)


def load_corpus(
    name_or_path: str | os.PathLike,
    split: str | None = None,
    limit: int | None = None,
    cache_dir: str | os.PathLike | None = None,
    **options,
) -> datasets.Dataset | datasets.DatasetDict:
    """Load a corpus in the one schema."""
    if str(name_or_path) == "espeak":
        return load_espeak(split, limit, cache_dir, **options)
    raise ValueError(f"{name_or_path}: not yet {Path.cwd()}")
