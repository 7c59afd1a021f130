"""The files of a prepared corpus, Arrow or parquet: read a few rows at a time, and written anew with other labels."""

import json
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow as pa
from tqdm.auto import tqdm

from xser.corpora.cache import digest, stamp, write_json
from xser.corpora.schema import FEATURES, with_added_slots
from xser.corpora.shards import PARQUET_NAME, batch_writer, read_batches, read_schema, sort_shards

SLICE_ROWS = 32  # recordings in memory at a time
_MEASURED_FROM = ["id", "audio", "text", "language"]


@dataclass(frozen=True)
class File:
    """A file of rows: its split, its path within the folder, `arrow` or `parquet`."""

    split: str
    path: Path
    kind: str

    def stamp(self, folder: Path) -> tuple[str, tuple | None]:
        """Another one when the file is another."""
        return self.path.as_posix(), stamp(folder / self.path)

    def read_known(self, folder: Path) -> list[dict]:
        """Its rows, without the recordings; columns and descriptors that came into the schema later are None."""
        path, known = folder / self.path, dict.fromkeys(name for name in FEATURES if name != "audio")
        names = [name for name in known if name in read_schema(path, self.kind).names]
        rows = [known | row for batch in read_batches(path, self.kind, names) for row in batch.to_pylist()]
        slots = dict.fromkeys(FEATURES["descriptors"])
        return [{**row, "descriptors": slots | row["descriptors"]} for row in rows]

    def read_recordings(self, folder: Path, wanted: Collection[int]) -> Iterator[dict]:
        """What is needed of rows to measure them, recordings included, a few at a time.

        Args:
            wanted: the rows' places in the file, from 0; others are passed over.
        """
        start = 0
        for batch in read_batches(folder / self.path, self.kind, _MEASURED_FROM):
            places = [place - start for place in range(start, start + batch.num_rows) if place in wanted]
            for first in range(0, len(places), SLICE_ROWS):
                yield from batch.take(pa.array(places[first : first + SLICE_ROWS])).to_pylist()
            start += batch.num_rows


def list_files(folder: Path) -> list[File]:
    """The files of a prepared corpus, split by split.

    Raises:
        FileNotFoundError: no prepared corpus there, or a file of it is missing.
        ValueError: it is not in the one schema.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give one that `xser prepare` has written")
    names = [path.name for path in folder.iterdir()]
    if any(PARQUET_NAME.fullmatch(name) for name in names):
        shards = sort_shards(names, folder)
        files = [File(split, Path(name), "parquet") for split in shards for name in shards[split]]
    elif (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        files = [file for split in splits for file in _arrow_files(folder, split, Path(split))]
    elif (folder / "state.json").is_file():
        files = _arrow_files(folder, "train", Path())
    else:
        raise FileNotFoundError(
            f"{folder} holds no prepared corpus: write one by `xser prepare NAME --source DIR --out {folder}`"
        )
    for file in files:
        if not (folder / file.path).is_file():
            raise FileNotFoundError(f"{folder}: {file.path} is missing")
        read_schema(folder / file.path, file.kind)
    return files


def write_descriptors(folder: Path, files: list[File], descriptors: list[dict], target: Path) -> None:
    """Write a corpus to another folder, with other descriptors and with whatever else lies in its own.

    Descriptors that came into the schema after the corpus was prepared are added to its columns.

    Args:
        files: of `list_files`.
        descriptors: the column of that name, in the order of files and rows.
        target: it must not exist.
    """
    places = {file.path.as_posix() for file in files}
    target.mkdir()
    for path in sorted(folder.rglob("*")):  # `shutil.copytree` would not say that the disk is full
        within = path.relative_to(folder)
        if path.is_dir():
            (target / within).mkdir()
        elif within.as_posix() not in places:
            shutil.copy2(path, target / within)
    remaining = iter(descriptors)
    for file in tqdm(files, desc="writing", unit="file"):
        features = with_added_slots(datasets.Features.from_arrow_schema(read_schema(folder / file.path, file.kind)))
        schema = features.arrow_schema
        column = schema.get_field_index("descriptors")
        with batch_writer(target / file.path, file.kind, schema) as write_batch:
            for batch in read_batches(folder / file.path, file.kind):
                columns = list(batch.columns)
                values = [next(remaining) for _ in range(batch.num_rows)]
                columns[column] = pa.array(values, schema.field(column).type)
                write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    for info in target.rglob("dataset_info.json"):
        values = json.loads(info.read_text(encoding="utf-8"))
        features = with_added_slots(datasets.Features.from_dict(values["features"]))
        write_json(info, {**values, "features": features.to_dict()})
    written = digest(descriptors)
    for state in target.rglob("state.json"):
        values = json.loads(state.read_text(encoding="utf-8"))
        values["_fingerprint"] = digest(values["_fingerprint"], written)  # else stale caches would be found by it
        write_json(state, values)


def _arrow_files(folder: Path, split: str, within: Path) -> list[File]:
    state = json.loads((folder / within / "state.json").read_text(encoding="utf-8"))
    return [File(split, within / file["filename"], "arrow") for file in state["_data_files"]]
