"""Files of rows of the one schema, recordings included: Arrow streams or parquet, a few rows in memory at a time."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xser.corpora.cache import written_beside
from xser.corpora.schema import ADDED, ADDED_SLOTS, features_with, own_slots

FORMATS = ("arrow", "parquet")
GROUP_ROWS, GROUP_BYTES = 32, 2**24  # a group is written, and read, as a whole
PARQUET_NAME = re.compile(r"(?P<split>.+)-(?P<index>\d{5,})-of-(?P<count>\d{5,})\.parquet")


def parquet_name(split: str, index: int, count: int) -> str:
    """File name of a shard, as the Hub knows it."""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


def sort_shards(names: Iterable[str], folder: object) -> dict[str, list[str]]:
    """Splits, train and validation first → the parquet shards of each, in order.

    Args:
        names: of files; those that are no shards are passed over.
        folder: where they are, for errors.

    Raises:
        FileNotFoundError: there are no shards, or some are missing.
    """
    found: dict[str, dict[int, str]] = {}
    counts: dict[str, int] = {}
    for name in names:
        if match := PARQUET_NAME.fullmatch(name):
            counts[match["split"]] = int(match["count"])
            found.setdefault(match["split"], {})[int(match["index"])] = name
    if not found:
        raise FileNotFoundError(f"{folder} holds no parquet shards: prepare the corpus with --format parquet")
    for split, shards in found.items():
        missing = sorted(set(range(counts[split])) - set(shards))
        if missing:
            raise FileNotFoundError(f"{folder}: of {counts[split]} shards of split {split!r}, {missing} are missing")
    return {split: [found[split][index] for index in sorted(found[split])] for split in sorted(found, key=split_order)}


def split_order(split: str) -> tuple:
    """Sorts train first, then validation, then the others by name."""
    return split != "train", split != "validation", split


def check_features(features: datasets.Features, where: object) -> None:
    """Raise `ValueError` where a data set's columns are not those of the one schema.

    It may have more descriptors, and lack columns and descriptors that came into the schema later (`ADDED`,
    `ADDED_SLOTS`).
    """
    expected = {
        name: feature
        for name, feature in features_with(own_slots(features)).items()
        if name in features or name not in ADDED
    }
    if isinstance(given := features.get("descriptors"), Mapping):
        late = {*ADDED_SLOTS} - {*given}
        expected["descriptors"] = {slot: of for slot, of in expected["descriptors"].items() if slot not in late}
    if dict(features) != expected:
        odd = sorted(name for name in {*features, *expected} if features.get(name) != expected.get(name))
        raise ValueError(f"{where} is not in the one schema: columns {odd} are missing, foreign or of another type")


@contextmanager
def shard_writer(path: Path, kind: str, schema: pa.Schema) -> Iterator[Callable[[dict], None]]:
    """Opens a file of the `kind` (one of `FORMATS`); gives a function that writes a row to it."""
    with batch_writer(path, kind, schema) as write_batch:
        group, size = [], 0

        def flush() -> None:
            nonlocal size
            if group:
                write_batch(pa.RecordBatch.from_pylist(group, schema=schema))
            group.clear()
            size = 0

        def write(row: dict) -> None:
            nonlocal size
            group.append(row)
            size += len(row["audio"]["bytes"])
            if len(group) >= GROUP_ROWS or size >= GROUP_BYTES:
                flush()

        yield write
        flush()


@contextmanager
def batch_writer(path: Path, kind: str, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """As `shard_writer`, for batches of rows: each is a group of the file."""
    with path.open("wb") as file:
        sink = _sink(file, kind, schema)
        yield sink.write_batch
        sink.close()  # only where all is written: half a file has no end


def read_schema(path: Path, kind: str) -> pa.Schema:
    """The schema of a file, checked.

    Raises:
        ValueError: it is not the one schema.
    """
    if kind == "arrow":
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            schema = stream.schema
    else:
        schema = pq.read_schema(path)
    check_features(datasets.Features.from_arrow_schema(schema), path)
    return schema


def read_batches(path: Path, kind: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A file's groups, in order.

    Args:
        kind: the file's, one of `FORMATS`.
        columns: read only these; of Arrow, which is mapped, only what is looked at is read anyhow.
    """
    if kind == "arrow":
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                yield batch if columns is None else batch.select(columns)
    else:
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                yield from parquet.read_row_group(group, columns=columns).to_batches()


def drop_rows(path: Path, kind: str, ids: set[str]) -> None:
    """Write a shard anew without the rows of these ids; as it was where it has none of them."""
    if not ids or not any(ids & set(batch.column("id").to_pylist()) for batch in read_batches(path, kind, ["id"])):
        return
    unwanted = pa.array(sorted(ids), pa.string())
    schema = read_schema(path, kind)
    with written_beside(path) as beside, batch_writer(beside, kind, schema) as write_batch:
        for batch in read_batches(path, kind):
            kept = batch.filter(pc.invert(pc.is_in(batch.column("id"), unwanted)))
            if kept.num_rows:
                write_batch(kept)


def copy_to_arrow(shards: list[Path], target: Path) -> None:
    """Write the rows of parquet shards to one Arrow stream, a group at a time."""
    schemas = {shard: read_schema(shard, "parquet") for shard in shards}
    [first, *others] = shards
    for shard in others:
        if not schemas[shard].equals(schemas[first]):
            raise ValueError(f"{shard} has other columns or descriptors than {first}: prepare the corpus anew")
    with batch_writer(target, "arrow", schemas[first]) as write_batch:
        for shard in shards:
            for batch in read_batches(shard, "parquet"):
                write_batch(batch)


def _sink(file: BinaryIO, kind: str, schema: pa.Schema) -> pa.RecordBatchStreamWriter | pq.ParquetWriter:
    if kind == "arrow":
        return pa.ipc.new_stream(file, schema)
    # Next to the recordings, which hardly compress, all else is nothing
    return pq.ParquetWriter(file, schema, compression="none", use_dictionary=False, write_statistics=False)
