"""A corpus as a stream of parquet shards: the same rows, little read, every row on one process alone."""

import shutil
from itertools import chain
from pathlib import Path

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from xser.corpora import FEATURES, load_corpus, make_row, streaming
from xser.corpora.prepare import Options, prepare
from xser.corpora.shards import GROUP_ROWS
from xser.corpora.source import Corpus, Found
from xser.corpora.streaming import stream_corpus

ROWS, ROWS_A_SHARD = 230, 70  # shards of 70, 70, 70 and 20 rows, in groups of at most 32


def find(source: Path) -> Found:
    rows = []
    for index, path in enumerate(sorted(source.iterdir())):
        known = {"text": f"sentence {index}", "emotion": ("happy", None)[index % 2], "corpus": "noises"}
        levels = {"pitch": "high", "emphasis": ["sentence"] if index % 3 else None}
        audio = {"bytes": None, "path": str(path)}
        rows.append(make_row(id=path.stem, audio=audio, descriptors=levels, speaker=f"s{index}", **known))
    return Found(rows)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The same corpus as Arrow and as parquet; the folder's name has characters that patterns give a meaning."""
    root = tmp_path_factory.mktemp("stream")
    source = root / "source"
    source.mkdir()
    for index in range(ROWS):
        soundfile.write(source / f"{index:03}.wav", np.random.default_rng(index).standard_normal(1600) * 0.1, 16_000)
    corpus = Corpus("noises", find, licence="")
    for kind in ("arrow", "parquet"):
        prepare(corpus, source, root / f"{kind}[*]", options=Options(format=kind), rows_a_shard=ROWS_A_SHARD)
    return root


@pytest.fixture
def folder(prepared):
    return prepared / "parquet[*]"


@pytest.fixture(scope="module")
def rows(prepared):
    return load_corpus(prepared / "arrow[*]", split="train").to_list()


@pytest.fixture
def groups_read(monkeypatch):
    """Rows of every group that was read, as they are read."""
    read, group = [], streaming.read_group

    def counted(*arguments):
        found = group(*arguments)
        read.append(len(found))
        return found

    monkeypatch.setattr(streaming, "read_group", counted)
    return read


def test_the_stream_gives_the_rows_of_the_arrow_data_set(folder, rows):
    stream = stream_corpus(folder, "train")
    assert isinstance(stream, datasets.IterableDataset) and stream.features == FEATURES
    assert list(stream) == rows and len(rows) == ROWS
    assert stream.num_shards == 4 == len(list(folder.glob("train-0000?-of-00004.parquet")))


def test_the_same_folder_loads_as_a_whole_from_a_copy_made_once(folder, rows, tmp_path):
    assert load_corpus(folder, cache_dir=tmp_path)["train"].to_list() == rows
    (copy,) = tmp_path.rglob("*.arrow")
    made = copy.stat().st_mtime_ns
    assert load_corpus(folder, split="train", limit=5, cache_dir=tmp_path)["id"][:] == [
        "000",
        "046",
        "092",
        "138",
        "184",
    ]
    assert copy.stat().st_mtime_ns == made


def test_datasets_itself_reads_the_shards(folder, rows, tmp_path):
    plain = tmp_path / "plain"  # a name that is no pattern
    shutil.copytree(folder, plain)
    stream = datasets.load_dataset("parquet", data_dir=str(plain), split="train", streaming=True)
    assert stream.features == FEATURES and list(stream) == rows


def test_only_what_is_asked_for_is_read(folder, groups_read):
    stream = iter(stream_corpus(folder, "train"))
    assert not groups_read
    for _ in range(3):
        next(stream)
    assert groups_read == [GROUP_ROWS]
    assert len(list(stream)) == ROWS - 3 and sum(groups_read) == ROWS and max(groups_read) == GROUP_ROWS


def test_large_recordings_make_small_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("xser.corpora.shards.GROUP_BYTES", 6_000)
    source = tmp_path / "source"
    source.mkdir()
    for index in range(5):
        soundfile.write(source / f"{index}.wav", np.random.default_rng(index).standard_normal(1600) * 0.1, 16_000)
    prepare(Corpus("noises", find, licence=""), source, tmp_path / "out", options=Options(format="parquet"))
    with pq.ParquetFile(tmp_path / "out" / "train-00000-of-00001.parquet") as parquet:
        assert [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)] == [2, 2, 1]


def test_columns_can_be_chosen_and_the_recordings_are_not_read_then(folder, rows, monkeypatch):
    read = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, index, columns: read.append(columns) or original(self, index, columns),
    )
    stream = stream_corpus(folder, "train", columns=["id", "descriptors"])
    assert list(stream) == [{"id": row["id"], "descriptors": row["descriptors"]} for row in rows]
    assert read and all(columns == ["id", "descriptors"] for columns in read)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_every_row_is_on_one_process_and_no_process_opens_the_shards_of_another(folder, rows, world_size, monkeypatch):
    opened = []
    original = fsspec.open
    seen = []
    for rank in range(world_size):
        stream = stream_corpus(folder, "train", rank=rank, world_size=world_size)
        with monkeypatch.context() as patch:
            patch.setattr(fsspec, "open", lambda file, *a, **k: opened.append(file) or original(file, *a, **k))
            seen.append([row["id"] for row in stream])
    assert all(seen) and sorted(chain(*seen)) == [row["id"] for row in rows]
    assert len(opened) == len(set(opened)) == 4


def test_shuffling_mixes_rows_and_shards_and_is_another_every_epoch(folder, rows, groups_read):
    def ids(**options) -> list[str]:
        stream = stream_corpus(folder, "train", shuffle_buffer=50, **options)
        if epoch is not None:
            stream.set_epoch(epoch)
        return [row["id"] for row in stream]

    in_order = [row["id"] for row in rows]
    epoch = None
    first = ids(seed=1)
    assert first == ids(seed=1) != in_order and sorted(first) == in_order != first
    assert ids(seed=2) != first
    epoch = 1
    assert ids(seed=1) != first
    epoch = None
    shares = [ids(seed=1, rank=rank, world_size=2) for rank in range(2)]
    assert sorted(chain(*shares)) == in_order
    groups_read.clear()
    next(iter(stream_corpus(folder, "train", shuffle_buffer=50, seed=1)))
    assert sum(groups_read) <= 50 + 4 * GROUP_ROWS  # one group of each shard


def test_a_stream_goes_on_where_its_state_says(folder, rows):
    stream = stream_corpus(folder, "train")
    for index, _ in enumerate(stream):
        if index == 99:
            state = stream.state_dict()
            break
    again = stream_corpus(folder, "train")
    again.load_state_dict(state)
    assert [row["id"] for row in again] == [row["id"] for row in rows[100:]]


def test_shards_may_lie_behind_any_address(folder, rows):
    remote = fsspec.filesystem("memory")
    for path in folder.iterdir():
        remote.pipe_file(f"/bucket/{path.name}", path.read_bytes())
    assert list(stream_corpus("memory://bucket", "train")) == rows
    remote.rm("/bucket", recursive=True)


def test_mistakes_are_named(folder, prepared, tmp_path):
    with pytest.raises(ValueError, match=r"has no split 'test'; it has \['train'\]"):
        stream_corpus(folder, "test")
    with pytest.raises(ValueError, match=r"columns \['words'\] do not exist"):
        stream_corpus(folder, "train", columns=["words"])
    with pytest.raises(ValueError, match="rank is 2: of 2 processes, give 0 to 1"):
        stream_corpus(folder, "train", rank=2, world_size=2)
    with pytest.raises(ValueError, match="world_size is 5, and split 'train' has 4 shards"):
        stream_corpus(folder, "train", world_size=5)
    for nothing in (prepared / "arrow[*]", tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="holds no parquet shards: prepare the corpus with"):
            stream_corpus(nothing, "train")


def test_missing_and_foreign_shards_are_named(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "train-00002-of-00004.parquet").unlink()
    for load in (lambda: stream_corpus(copy, "train"), lambda: load_corpus(copy, cache_dir=tmp_path / "cache")):
        with pytest.raises(FileNotFoundError, match=r"of 4 shards of split 'train', \[2\] are missing"):
            load()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    pq.write_table(pa.table({"words": ["a"]}), foreign / "train-00000-of-00001.parquet")
    for load in (lambda: stream_corpus(foreign, "train"), lambda: load_corpus(foreign, cache_dir=tmp_path / "cache")):
        with pytest.raises(ValueError, match="is not in the one schema"):
            load()
    assert not list((tmp_path / "cache").rglob("*.*"))
