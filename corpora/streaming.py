"""A prepared corpus as a stream: parquet shards, on this machine or behind any address that fsspec knows."""

import os
from collections.abc import Iterator

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.distributed import split_dataset_by_node
from datasets.iterable_dataset import ArrowExamplesIterable

from xser.corpora.schema import FEATURES
from xser.corpora.shards import check_features, sort_shards


def stream_corpus(
    folder: str | os.PathLike,
    split: str,
    columns: list[str] | None = None,
    shuffle_buffer: int | None = None,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> datasets.IterableDataset:
    """Rows of a corpus that was prepared with `--format parquet`, a group of at most 32 in memory at a time.

    Args:
        folder: that of the shards: a path, or an address such as `hf://datasets/USER/NAME` or `s3://BUCKET/FOLDER`.
        split: one of its splits.
        columns: read only these; all if not given.
        shuffle_buffer: shuffle the order of the shards, and draw from so many rows read ahead, out of ten shards at a
            time (so that ten groups are in memory too). The order is another one after `set_epoch`.
        seed: of the shuffling; the same in all processes.
        rank, world_size: which of how many processes this is; each reads shards of its own and no row is read twice.

    Returns:
        A data set of the one schema (of its `columns`), whose shards are files: `torch.utils.data.DataLoader` shares
        them among its workers.

    Raises:
        FileNotFoundError: no shards there, or some are missing.
        ValueError: no such split or column; more processes than shards; shards that are not in the one schema.
    """
    unknown = sorted(set(columns or []) - set(FEATURES))
    if unknown:
        raise ValueError(f"columns {unknown} do not exist; there are {list(FEATURES)}")
    shards = list_shards(folder)
    if split not in shards:
        raise ValueError(f"{folder} has no split {split!r}; it has {list(shards)}")
    files = shards[split]
    if not 0 <= rank < world_size:
        raise ValueError(f"rank is {rank}: of {world_size} processes, give 0 to {world_size - 1}")
    if world_size > len(files):
        raise ValueError(f"world_size is {world_size}, and split {split!r} has {len(files)} shards: one a process")
    with fsspec.open(files[0]) as first:
        every = datasets.Features.from_arrow_schema(pq.read_schema(first))
        check_features(every, files[0])
    names = [name for name in FEATURES if columns is None or name in columns]
    # Tables and not rows: `IterableDataset.from_generator` encodes every row anew, and wants torchcodec for recordings
    tables = ArrowExamplesIterable(_tables, {"files": files, "columns": tuple(names)})
    features = datasets.Features({name: every.get(name, FEATURES[name]) for name in names})
    dataset = datasets.IterableDataset(tables, info=datasets.DatasetInfo(features=features))
    if shuffle_buffer is not None:
        dataset = dataset.shuffle(seed=seed, buffer_size=shuffle_buffer)
    if world_size == 1:
        return dataset
    return split_dataset_by_node(dataset, rank, world_size, strategy="shards")


def list_shards(folder: str | os.PathLike) -> dict[str, list[str]]:
    """Splits of a folder of parquet shards → their files, as addresses, in order.

    Raises:
        FileNotFoundError: none are there, or some are missing.
    """
    filesystem, root = fsspec.core.url_to_fs(os.fspath(folder))
    paths = filesystem.ls(root, detail=False) if filesystem.isdir(root) else []
    address = {path.rpartition("/")[2]: filesystem.unstrip_protocol(path) for path in paths}
    return {split: [address[name] for name in names] for split, names in sort_shards(address, folder).items()}


def _tables(files: list[str], columns: tuple[str, ...]) -> Iterator[tuple[tuple[str, int], pa.Table]]:
    for file in files:
        with fsspec.open(file) as opened, pq.ParquetFile(opened) as parquet:
            stored = tuple(name for name in columns if name in parquet.schema_arrow.names)
            for group in range(parquet.num_row_groups):
                yield (file, group), _completed(read_group(parquet, group, stored), columns)


def read_group(parquet: pq.ParquetFile, group: int, columns: tuple[str, ...]) -> pa.Table:
    """One group of a shard: what is in memory at a time."""
    return parquet.read_row_group(group, columns=list(columns))


def _completed(table: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    """A table with columns that its file lacks, which are not known."""
    for name in set(columns) - set(table.column_names):
        field = FEATURES.arrow_schema.field(name)
        table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(list(columns))
