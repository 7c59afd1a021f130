"""Open every recording of a corpus and write the good ones to shards; what is bad is named, and loses no other."""

import errno
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa
from tqdm.auto import tqdm

from xser.corpora.cache import write_json, written_beside
from xser.corpora.parallel import map_in_order
from xser.corpora.recording import Heard, hear, read_recording
from xser.corpora.shards import parquet_name, shard_writer, split_order

# What one file can suffer by itself; any other error of the system would befall the next file too
FILE_ERRORS = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EIO,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)


@dataclass(frozen=True)
class Shard:
    """Some rows of one split, for one file; `count` is the number of this split's shards."""

    split: str
    index: int
    count: int
    rows: list[dict]

    def path(self, data: Path, kind: str) -> Path:
        """Where it stands in a prepared folder."""
        if kind == "parquet":
            return data / parquet_name(self.split, self.index, self.count)
        return data / self.split / f"data-{self.index:05d}-of-{self.count:05d}.arrow"


@dataclass
class Checked:
    """What opening recordings has told: id → seconds and fingerprint; id → why it is left out."""

    good: dict[str, tuple[float, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, other: "Checked") -> None:
        self.good |= other.good
        self.left_out |= other.left_out


@dataclass(frozen=True)
class Checker:
    """How recordings are opened and written.

    Args:
        kind: of the shards: "arrow" or "parquet".
        read: a recording's path → bytes that libsndfile reads; see `Corpus.read`.
        name: a row → the path that is written beside its recording, which must be none of this machine.
        max_seconds: longer recordings are left out.
        schema: of the rows.
        workers: threads; as many as there are cores if None.
    """

    kind: str
    read: Callable[[Path], bytes]
    name: Callable[[dict], str]
    max_seconds: float
    schema: pa.Schema
    workers: int | None = None

    def check(self, shards: list[Shard], data: Path, notes: Path, title: str) -> Checked:
        """Write all shards to `data`, and to `notes` what was found; those that are there are not made again."""
        checked, todo = Checked(), []
        for shard in shards:
            path, note = shard.path(data, self.kind), notes / f"{shard.split}-{shard.index:05d}.json"
            if path.is_file() and note.is_file():
                checked.add(Checked(**json.loads(note.read_text(encoding="utf-8"))))
            else:
                todo.append((shard, path, note))
        total, done = sum(len(shard.rows) for shard in shards), len(checked.good) + len(checked.left_out)
        with tqdm(total=total, initial=done, desc=f"preparing {title}", unit="file") as progress:
            for shard, path, note in todo:
                found = self._write(shard.rows, path, progress)
                write_json(note, asdict(found))
                checked.add(found)
        return checked

    def _write(self, rows: list[dict], path: Path, progress: tqdm) -> Checked:
        checked = Checked()
        with (
            written_beside(path) as beside,
            shard_writer(beside, self.kind, self.schema) as write,
            closing(map_in_order(partial(examine, read=self.read, max_seconds=self.max_seconds), rows, self.workers))
            as results,
        ):  # fmt: skip
            for row, result in zip(rows, results, strict=True):
                if isinstance(result, str):
                    checked.left_out[row["id"]] = result
                else:
                    data, heard = result
                    audio = {"bytes": data, "path": self.name(row)}
                    write({**row, "audio": audio, "duration": heard.seconds})
                    checked.good[row["id"]] = (heard.seconds, heard.fingerprint)
                progress.update()
        return checked


def examine(row: dict, read: Callable[[Path], bytes], max_seconds: float) -> tuple[bytes, Heard] | str:
    """A recording's bytes and what they sound like, or why it is left out."""
    try:
        data = row["audio"]["bytes"]
        if data is None:
            data = read_recording(row["audio"]["path"], read)
        return data, hear(data, max_seconds)
    except (ValueError, OSError) as error:
        return reason_to_leave_out(error)


def reason_to_leave_out(error: ValueError | OSError) -> str:
    """Why a recording is left out; an error that is not about its file, such as a full disk, is raised anew."""
    if isinstance(error, ValueError):
        return str(error)
    if error.errno not in FILE_ERRORS:
        raise error
    return f"cannot be read: {error.strerror}"


def cut_into_shards(rows: list[dict], rows_a_shard: int) -> list[Shard]:
    """Shards of each split, train and validation first; rows stay in order."""
    by_split: dict[str, list[dict]] = {}
    for row in rows:
        by_split.setdefault(row["split"], []).append(row)
    shards = []
    for split in sorted(by_split, key=split_order):
        whole = by_split[split]
        parts = [whole[start : start + rows_a_shard] for start in range(0, len(whole), rows_a_shard)]
        shards += [Shard(split, index, len(parts), part) for index, part in enumerate(parts)]
    return shards
