"""A thousand tables that no one should write: each is read or refused by name, none crashes, hangs or loses a row."""

import csv
import io
import json
import logging
import re
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recordings_folder import recording

from xser.corpora import load_corpus
from xser.corpora.audiofolder import CORPUS

NUMBER, SEED, SECONDS = 1_000, 17, 10.0
NAN = float("nan")
GOOD = {
    "file_name": ["a.wav", "sub/b.flac", "c.ogg", "gone.wav"],
    "id": ["1", "2", "3", "4", ""],
    "text": ["we won, again", "never said that", "été à la mer", ""],
    "emotion": ["angry", "SAD", "Joyful", "gloomy", ""],
    "pitch": ["high", "Low", ""],
    "tone": ["falling-rising", "flat", ""],
    "emphasis": ["won", "none", "", "never that"],
    "speaker": ["anna", "ben", "7", ""],
    "gender": ["F", "male", "non-binary", ""],
    "age": ["31", "64", ""],
    "split": ["train", "Train", "TRAIN"],
}
PATHS = [
    "../a.wav", "sub/../../a.wav", "/etc/passwd", "a\0.wav", "out.wav", "loop.wav", "sub", ".", "", " ", "gone.wav",
    "x" * 300 + ".wav", "x/" * 3_000 + "a.wav", "..\\a.wav", "sub\\b.flac", "C:\\a.wav", "\\\\host\\a.wav", "~/a.wav",
    "https://host/a.wav", "a.wav/b.wav", "a.wav ", "A.WAV", "*.wav", "a\n.wav", "empty.wav", "text.wav", "cut.wav",
    "\ud800.wav", "é.wav", "e\u0301.wav", "-rf", "$(id).wav", "a.wav\u200b", "\u202evaw.a", "a.wav;b.wav", "NaN",
]  # fmt: skip
CELLS = [
    "", " ", "\t", "\0", "\x07", "\x1b[31m", "\u200b", "\u202e", "\ufeff", "\ud800", "nan", "NaN", "None", "null",
    "N/A", "?", "0", "1", "-1", "0.5", "1e309", "31.0", "031", "²", "١", "9" * 400, "true", "happy ", "HAPPY", "hap",
    "happy|sad", "sad!", "emo_tion", "-", "--", "a-", "high", "HIGH", "highest", "falling_rising", "[]", "['never']",
    '["never"]', "{}", "<|end|>", '"', '""', "'", "\\", "x" * 5_000, "x" * 140_000, "a\nb", "a\r\nb", "\u2028",
    "日本語", "😀", "ß", "ı", "=1+1", "train/test", "../x", "dev", "eval", "Test", "none", "f", "M", "woman ",
]  # fmt: skip
VALUES = [
    None, NAN, float("inf"), True, False, 0, -1, 31, 31.0, 31.5, 10**30, 1e300, [], ["never"], [None], [1], [["x"]],
    {}, {"path": "a.wav"}, {"bytes": None, "path": "a.wav"}, {"path": ["a.wav"]}, {"a": {"b": 1}}, "", "\x00",
]  # fmt: skip
HEADERS = [
    "emotoin", "Emotion", " emotion ", "emotion", "label", "", "Unnamed: 0", "index", "file_name", "path", "audio",
    "descriptors", "descriptors.", "descriptors.pitch", "descriptors.mood", "descriptors.mood 1", "duration", "id",
    "descriptors.emotion", "\ufefftext", "te\0xt", "text\n", "x" * 500, "😀", "raw_text", "corpus", "arousal",
]  # fmt: skip
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "cp037", "utf-7"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "clips"
    (root / "sub").mkdir(parents=True)
    for name in ("a.wav", "sub/b.flac", "c.ogg", "out/far.wav"):
        path = root / name if name[:3] != "out" else root.parent / "far.wav"
        path.write_bytes(recording(name))
    (root / "out.wav").symlink_to(root.parent / "far.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    (root / "empty.wav").touch()
    (root / "text.wav").write_text("this is no recording")
    (root / "cut.wav").write_bytes(recording("a.wav")[:200])
    return root


def choose(rng: np.random.Generator, options: list):
    return options[int(rng.integers(len(options)))]


def good_rows(rng: np.random.Generator) -> list[dict]:
    names = [name for name in GOOD if name == "file_name" or rng.random() < 0.6]
    return [{name: choose(rng, GOOD[name]) for name in names} for _ in range(int(rng.integers(1, 5)))]


def spoilt_rows(rng: np.random.Generator, typed: bool) -> list[dict]:
    """Good rows, of which some cells or a header are not."""
    rows = good_rows(rng)
    kind = int(rng.integers(5))
    for _ in range(int(rng.integers(1, 4))):
        row = choose(rng, rows)
        name = choose(rng, list(row))
        if kind == 0:
            row["file_name"] = choose(rng, PATHS)
        elif kind == 1:
            header = choose(rng, HEADERS)
            rows = [{header if key == name else key: value for key, value in each.items()} for each in rows]
            break
        elif kind == 2 and len(rows) > 1:
            rows.append(dict(row))
        elif kind == 3 and typed:
            row[name] = choose(rng, VALUES)
        else:
            row[name] = choose(rng, CELLS)
    return rows


def as_csv(rng: np.random.Generator, rows: list[dict]) -> bytes:
    file = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    separator = choose(rng, [",", ",", ";", "\t", "|", ":", "::"])[:1]
    quoting = choose(rng, [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE])
    writer = csv.writer(
        file, delimiter=separator, quoting=quoting, escapechar="\\", lineterminator=choose(rng, ["\n", "\r\n"])
    )
    if rng.random() < 0.95:
        writer.writerow(names)
    writer.writerows([[row.get(name, "") for name in names] for row in rows])
    return file.getvalue().encode("utf-8", "surrogatepass")


def as_jsonl(rng: np.random.Generator, rows: list[dict]) -> bytes:
    text = "\n".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows)
    return text.encode("utf-8", "surrogatepass")


def as_parquet(rng: np.random.Generator, rows: list[dict]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
            columns[name] = pa.array([repr(row.get(name)) for row in rows])
    file = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), file)
    except (pa.ArrowException, UnicodeEncodeError):  # an empty struct, a lone surrogate in a header
        return b"PAR1"
    return file.getvalue()


def with_broken_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(len(data) + 1))
        kind = int(rng.integers(4))
        if kind == 0:
            data[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 4))).astype(np.uint8))
        elif kind == 1:
            del data[place : place + int(rng.integers(1, 9))]
        elif kind == 2:
            data[place:place] = choose(rng, [b'"', b"\n", b"\r", b",", b";", b"\0", b"{", b"]", b"\\", b"\xff\xfe"])
        else:
            del data[place:]
    return bytes(data)


WRITERS = {"metadata.csv": as_csv, "metadata.tsv": as_csv, "metadata.jsonl": as_jsonl, "metadata.parquet": as_parquet}


def hostile_table(index: int) -> tuple[str, bytes, int | None]:
    """Name and bytes of a table, and how many rows it has where that is certain."""
    rng = np.random.default_rng((SEED, index))
    name = choose(rng, list(WRITERS))
    typed = name in ("metadata.jsonl", "metadata.parquet")
    rows = spoilt_rows(rng, typed) if rng.random() < 0.8 else good_rows(rng)
    data = WRITERS[name](rng, rows)
    if rng.random() < 0.25:
        return name, with_broken_bytes(rng, data), None
    if name.endswith(("csv", "tsv")) and rng.random() < 0.2:
        text = data.decode("utf-8", "surrogatepass")
        return name, text.encode(choose(rng, ENCODINGS), "replace"), None
    return name, data, len(rows) if typed and data != b"PAR1" else None


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_table_gives_rows_or_an_error_that_names_what_is_wrong(folder, part, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    outcomes = {"read": 0, "refused": 0}
    for index in range(part, NUMBER, 4):
        name, data, number = hostile_table(index)
        table = folder / name
        table.write_bytes(data)
        caplog.clear()
        started = time.perf_counter()
        try:
            found = CORPUS.find(folder)
            loaded = load_corpus(folder)
        except (ValueError, FileNotFoundError) as error:
            assert type(error) in (ValueError, FileNotFoundError), f"{index}: {error!r}"
            check_refusal(str(error), name, f"{index}: {data[:300]!r}: {error}")
            outcomes["refused"] += 1
        else:
            rows = len(loaded) if not isinstance(loaded, dict) else sum(map(len, loaded.values()))
            if number is not None:
                assert len(found.rows) + len(found.left_out) == number, f"{index}: a row is lost: {data[:300]!r}"
            said = [re.search(r"(\d+) of (\d+) rows left out", message) for message in caplog.messages]
            left_out = next((int(match[1]) for match in said if match), 0)
            assert rows + left_out == len(found.rows) + len(found.left_out), f"{index}: a row is lost: {data[:300]!r}"
            outcomes["read"] += 1
        finally:
            table.unlink()
        assert time.perf_counter() - started < SECONDS, f"{index}: it takes too long: {data[:300]!r}"
    assert min(outcomes.values()) >= 25, outcomes


def check_refusal(message: str, name: str, context: str) -> None:
    """It names the file, where in it or what of it, and what to do; and can be read."""
    assert name in message or "none of metadata.csv" in message, context
    assert re.search(r"(line|row) \d+|column|recordings is left|table is empty|UTF|NUL|parquet|split", message), (
        context
    )
    assert re.search(r": |give|keep|save|take|write|name", message), context
    assert len(message) < 3_000 and "\n" not in message, context


@pytest.mark.parametrize("logger", ["xser.corpora.audiofolder"])
def test_a_name_that_is_too_long_for_the_system_costs_no_other_row(folder, logger, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    (folder / "metadata.csv").write_text(f"file_name\n{'x' * 300}.wav\nloop.wav\na.wav\n")
    with caplog.at_level(logging.WARNING, logger=logger):
        assert load_corpus(folder)["id"] == ["a"]
    assert "2 of 3 rows left out" in caplog.text
    (folder / "metadata.csv").unlink()
