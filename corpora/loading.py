"""Find a corpus by its name or path."""

import os
from pathlib import Path

import datasets

from xser.corpora.audiofolder import METADATA, load_audiofolder
from xser.corpora.espeak import load_espeak
from xser.corpora.schema import FEATURES

NAMES = ("espeak",)
_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves in a folder


def load_corpus(
    name_or_path: str | os.PathLike,
    split: str | None = None,
    limit: int | None = None,
    cache_dir: str | os.PathLike | None = None,
    **options,
) -> datasets.Dataset | datasets.DatasetDict:
    """Load a corpus in the one schema (`FEATURES`).

    Args:
        name_or_path: `"espeak"`, a folder with metadata.csv, or a folder written by `python -m xser.corpora prepare`.
        split: one split; all of them if not given. A folder without splits is all `train`.
        limit: at most so many rows of each split: espeak's first, a folder's evenly over its table (which may be
            sorted by speaker or emotion).
        cache_dir: where what is built is kept; else $XSER_CACHE, else ~/.cache/xser.
        options: those of `load_espeak` (seed, sizes) or `load_audiofolder` (emotion_map, test_speakers,
            validation_speakers, validation_fraction).

    Returns:
        `Dataset` if a split was given or there are none, else `DatasetDict`.

    Raises:
        FileNotFoundError: no such corpus or folder.
        ValueError: no such split, or one of the corpus's own errors.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: give at least 1")
    if str(name_or_path) in NAMES:
        return load_espeak(split, limit, cache_dir, **options)
    folder = Path(name_or_path).expanduser()
    if any((folder / name).is_file() for name in _SAVED):
        if options:
            raise ValueError(f"{folder} is prepared already: {sorted(options)} do not apply to it")
        corpus = _load_saved(folder)
    elif (folder / METADATA).is_file():
        corpus = load_audiofolder(folder, cache_dir, **options)
    else:
        raise FileNotFoundError(
            f"corpus {str(name_or_path)!r} is neither one of {list(NAMES)} nor a folder that holds {METADATA} "
            "or was written by `python -m xser.corpora prepare`"
        )
    if isinstance(corpus, datasets.Dataset):
        if split not in (None, "train"):
            raise ValueError(
                f"{folder} has no split {split!r}: it has no splits; add a column 'split' or give test_speakers"
            )
        return _evenly(corpus, limit)
    if split is None:
        return datasets.DatasetDict({name: _evenly(part, limit) for name, part in corpus.items()})
    if split not in corpus:
        raise ValueError(f"{folder} has no split {split!r}; it has {list(corpus)}")
    return _evenly(corpus[split], limit)


def _load_saved(folder: Path) -> datasets.Dataset | datasets.DatasetDict:
    corpus = datasets.load_from_disk(str(folder))
    for part in [corpus] if isinstance(corpus, datasets.Dataset) else corpus.values():
        if part.features != FEATURES:
            odd = sorted(name for name in {*part.features, *FEATURES} if part.features.get(name) != FEATURES.get(name))
            raise ValueError(
                f"{folder} is not in the one schema: columns {odd} are missing, foreign or of another type"
            )
    return corpus


def _evenly(dataset: datasets.Dataset, limit: int | None) -> datasets.Dataset:
    if limit is None or limit >= len(dataset):
        return dataset
    return dataset.select([i * len(dataset) // limit for i in range(limit)])
