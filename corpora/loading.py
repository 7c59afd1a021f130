"""Find a corpus by its name or path."""

import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets

from xser.corpora.audiofolder import FILE_NAME, load_audiofolder
from xser.corpora.cache import cache_root, digest, is_saved, open_dataset, stamp, written_beside
from xser.corpora.catalogue import MODULES
from xser.corpora.cells import check_options
from xser.corpora.espeak import load_espeak
from xser.corpora.folds import by_fold
from xser.corpora.hub import load_hub
from xser.corpora.labels import split_label
from xser.corpora.metadata import NAMES as TABLES
from xser.corpora.metadata import find_metadata, no_metadata
from xser.corpora.protocols import by_protocol
from xser.corpora.schema import complete
from xser.corpora.shards import PARQUET_NAME, check_features, copy_to_arrow, sort_shards

NAMES = ("espeak",)
_FOLDS = ("test_fold", "validation_fold", "new_texts", "protocol")


def load_corpus(
    name_or_path: str | os.PathLike,
    split: str | None = None,
    limit: int | None = None,
    cache_dir: str | os.PathLike | None = None,
    **options,
) -> datasets.Dataset | datasets.DatasetDict:
    """Load a corpus in the one schema (`FEATURES`).

    Args:
        name_or_path: `"espeak"`, a folder with a table of recordings (metadata.csv, .tsv, .jsonl or .parquet), or a
            folder written by `xser prepare` (one of parquet shards is copied into the cache once; to
            read it as it is, see `stream_corpus`); with `columns`, also a data set of the Hub or another folder of
            `datasets` (see `hub.load_hub`).
        split: one split; all of them if not given. A folder without splits is all `train`. `dev` and the like are
            `validation` where no split has that very name.
        limit: at most so many rows of each split: espeak's first, a folder's evenly over its table (which may be
            sorted by speaker or emotion).
        cache_dir: where what is built is kept; else $XSER_CACHE, else ~/.cache/xser.
        options: those of `load_espeak` (seed, sizes), `load_audiofolder` (emotion_map, descriptors, columns,
            dimension_range, test_speakers, validation_speakers, validation_fraction) or `load_hub` (columns, subset,
            revision, splits and more); for a prepared folder whose rows have folds, `test_fold`, `validation_fold`
            and `new_texts`, which split it anew (see `folds.by_fold`), and `protocol` (see `protocols`).

    Returns:
        `Dataset` if a split was given or there are none, else `DatasetDict`.

    Raises:
        FileNotFoundError: no such corpus or folder.
        ValueError: no such split or option, or one of the corpus's own errors.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: give at least 1")
    if str(name_or_path) in NAMES:
        check_options(str(name_or_path), options, _options_of(load_espeak))
        return load_espeak(split, limit, cache_dir, **options)
    folder = Path(name_or_path).expanduser()
    if options.get("columns") is not None and find_metadata(folder) is None and str(name_or_path) not in MODULES:
        check_options(str(name_or_path), options, _options_of(load_hub))
        corpus = load_hub(str(folder) if folder.exists() else str(name_or_path), cache_dir, **options)
    elif is_prepared(folder):
        foreign = sorted(set(options) - set(_FOLDS))
        if foreign:
            raise ValueError(f"{folder} is prepared already: {foreign} do not apply to it")
        corpus = _from_parquet(folder, cache_dir) if is_parquet(folder) else _load_saved(folder)
        protocol = options.pop("protocol", None)
        if protocol is not None and options.get("new_texts") is not None:
            raise ValueError(f"new_texts is {options['new_texts']}: protocol {protocol!r} tests on all sentences")
        if protocol is not None:
            options.pop("new_texts", None)
            corpus = by_protocol(corpus, protocol, **options)
        elif options:
            corpus = by_fold(corpus, **options)
    elif find_metadata(folder) is not None:
        check_options(str(folder), options, _options_of(load_audiofolder))
        corpus = load_audiofolder(folder, cache_dir, **options)
    elif str(name_or_path) in MODULES:
        raise FileNotFoundError(
            f"corpus {name_or_path!r} must be prepared first: "
            f"xser prepare {name_or_path} --source DIR --out DIR; then load the folder"
        )
    else:
        raise not_a_corpus(name_or_path, NAMES)
    if isinstance(corpus, datasets.Dataset):
        if split is not None and split_label(split) != "train":
            raise ValueError(
                f"{folder} has no split {split!r}: it has no splits; add a column 'split' or give test_speakers"
            )
        return _evenly(corpus, limit)
    if split is None:
        return datasets.DatasetDict({name: _evenly(part, limit) for name, part in corpus.items()})
    if split not in corpus and split_label(split) in corpus:
        split = split_label(split)
    if split not in corpus:
        raise ValueError(f"{folder} has no split {split!r}; it has {list(corpus)}")
    return _evenly(corpus[split], limit)


def not_a_corpus(name_or_path: str | os.PathLike, names: Iterable[str]) -> FileNotFoundError:
    """The error for what is no corpus; of a folder, it says which tables lie there."""
    folder = Path(name_or_path).expanduser()
    there = f": {no_metadata(folder, FILE_NAME)}" if folder.is_dir() else ""
    return FileNotFoundError(
        f"corpus {str(name_or_path)!r} is neither one of {list(names)} nor a folder that holds {TABLES[0]} "
        f"or was written by `xser prepare`{there}"
    )


def _options_of(function: Callable) -> list[str]:
    """What a loader takes beside what `load_corpus` gives it."""
    given = ("folder", "name", "split", "limit", "cache_dir")
    return [name for name in inspect.signature(function).parameters if name not in given]


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds a corpus in the one schema, rather than recordings and a table."""
    return is_parquet(folder) or is_saved(folder)


def is_parquet(folder: str | os.PathLike) -> bool:
    """Whether a folder holds a corpus that was prepared with `--format parquet`."""
    return Path(folder).is_dir() and any(PARQUET_NAME.fullmatch(path.name) for path in Path(folder).iterdir())


def _load_saved(folder: Path) -> datasets.Dataset | datasets.DatasetDict:
    corpus = datasets.load_from_disk(str(folder))
    if isinstance(corpus, datasets.Dataset):
        check_features(corpus.features, folder)
        return complete(corpus)
    for part in corpus.values():
        check_features(part.features, folder)
    return datasets.DatasetDict({name: complete(part) for name, part in corpus.items()})


def _from_parquet(folder: Path, cache_dir: str | os.PathLike | None) -> datasets.DatasetDict:
    """Shards as Arrow files in the cache, which can be read at any row; written once."""
    parts = {}
    for split, names in sort_shards((path.name for path in folder.iterdir()), folder).items():
        paths = [folder / name for name in names]
        stamps = [(str(path.absolute()), stamp(path)) for path in paths]
        target = cache_root(cache_dir) / "parquet" / f"{folder.name}-{split}-{digest(stamps)}.arrow"
        if not target.is_file():
            with written_beside(target) as beside:
                copy_to_arrow(paths, beside)
        parts[split] = open_dataset(target)
    return datasets.DatasetDict(parts)


def _evenly(dataset: datasets.Dataset, limit: int | None) -> datasets.Dataset:
    if limit is None or limit >= len(dataset):
        return dataset
    return dataset.select([i * len(dataset) // limit for i in range(limit)])
