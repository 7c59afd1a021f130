"""The table of a folder of recordings: metadata.csv, .tsv, .jsonl or .parquet, as records of named values.

A csv file may have `,`, `;`, tabs or `|` between its cells; an index that a tool has written beside them is passed
over. Whatever else a table has wrong is an error that names the file, the line and what to do.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq

from xser.corpora.listing import is_hidden
from xser.corpora.tables import read_text

NAMES = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".json", ".txt", ".xlsx", ".ods")
INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__")  # as pandas names a column that has no name
NESTED = "descriptors"  # of which each value is a column, as `descriptors.arousal`
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass
class Table:
    """A table, read.

    Args:
        path: of the file.
        unit: what a record is in it: a line or a row.
        header: names of its columns.
        records: number of each record, and its values by column; cells that are empty are not there.
        form: how its header was read, for errors.
    """

    path: Path
    unit: str
    header: list[str]
    records: list[tuple[int, dict[str, object]]]
    form: str = ""

    def where(self, number: int) -> str:
        """A record, for errors."""
        return f"{self.path}, {self.unit} {number}"


def find_metadata(folder: Path) -> Path | None:
    """The table of a folder, if there is one.

    Raises:
        ValueError: there are several.
    """
    there = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(there) > 1:
        raise ValueError(f"{folder} holds {' and '.join(path.name for path in there)}: keep one, the other elsewhere")
    return there[0] if there else None


def no_metadata(folder: Path, known: tuple[str, ...]) -> FileNotFoundError:
    """The error for a folder without such a table: which others lie there, and what stands in them."""
    others = []
    for path in sorted(folder.glob("*")) + sorted(folder.glob("*/*")):
        if path.suffix.lower() in TABLE_SUFFIXES and path.is_file() and not is_hidden(path.name):
            others.append(f"{path.relative_to(folder).as_posix()}{_described(path, known)}")
    there = f"; there is {', '.join(others[:5])}: bring it to that name and form" if others else ""
    return FileNotFoundError(f"{folder} holds none of {', '.join(NAMES)}, with a column {known[0]!r}{there}")


def read_metadata(path: Path, known: tuple[str, ...]) -> Table:
    """Read a table of one of `NAMES`.

    Args:
        known: names of the column that every table needs, by which the separator is found.

    Raises:
        ValueError: it cannot be read; see the module.
    """
    if path.suffix == ".jsonl":
        records = [(number, flat(record)) for number, record in read_jsonl(path)]
        header = list(dict.fromkeys(name for _, record in records for name in record))
        return Table(path, "line", header, [(number, _without_gaps(record)) for number, record in records])
    if path.suffix == ".parquet":
        return _read_parquet(path)
    return _read_csv(path, known)


def read_jsonl(path: Path) -> Iterator[tuple[int, dict]]:
    """Number and object of each line that is not empty.

    Raises:
        ValueError: a line that is not UTF-8, not a JSON object, or has a key twice.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                if number == 1 and line.startswith(UTF16):
                    raise ValueError("UTF-16, not UTF-8: save the file as UTF-8")
                record = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{where}: not UTF-8 (byte {error.start}, {error.reason}): save the file as UTF-8"
                ) from error
            except json.JSONDecodeError as error:
                raise ValueError(f"{where}: not JSON: {error.msg} at {error.colno}: give an object a line") from error
            except RecursionError as error:
                raise ValueError(f"{where}: nested too deep: give an object of plain values") from error
            except ValueError as error:  # a number of thousands of digits, or of `_without_repeats`
                raise ValueError(f"{where}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(
                    f'{where}: a JSON object was expected, as in {{"file_name": …}}; it is {str(record)[:40]}'
                )
            yield number, record


def is_missing(value: object) -> bool:
    """Whether a cell says nothing: none, empty text, or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or (
        isinstance(value, str) and not value.strip()
    )  # fmt: skip


def _read_csv(path: Path, known: tuple[str, ...]) -> Table:
    text = _text(path)
    separator = _separator(text, known, "\t" if path.suffix == ".tsv" else ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    records, header = [], None
    try:
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if header is None:
                header = [name.strip() for name in cells]
                continue
            if not any(cell.strip() for cell in cells):
                continue  # as spreadsheets leave them at the end
            if len(cells) != len(header):
                raise ValueError(
                    f"{where}: its number of cells is not that of the header, {len(header)}: it has {len(cells)}, "
                    f"separated by {SEPARATORS[separator]}; quote a cell that holds one"
                )
            for name, cell in zip(header, cells, strict=True):
                if _holds_a_record(cell, separator, len(header)):
                    raise ValueError(
                        f"{where}: {name} holds whole lines, from {cell.splitlines()[0][:40]!r} on: a quote is not "
                        "closed, or write the cell on one line"
                    )
            records.append((reader.line_num, cells))
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: not cells separated by {SEPARATORS[separator]}: {error}; close every "
            "quote, and double those within a cell"
        ) from error
    header = header or []
    _check_repeats(path, header)
    for column, name in enumerate(header):
        if column and not name and (full := [number for number, cells in records if cells[column].strip()]):
            raise ValueError(
                f"{path}, line {full[0]}: column {column + 1} has cells and no name: name it in the header"
            )
    return Table(
        path,
        "line",
        [name for name in header if not _is_index(name)],
        [
            (number, _without_gaps(dict(zip(header, (cell.strip() for cell in cells), strict=True))))
            for number, cells in records
        ],
        f", separated by {SEPARATORS[separator]}",
    )


def _read_parquet(path: Path) -> Table:
    try:
        table = pq.read_table(path)
        _check_repeats(path, table.column_names)
        records = [flat(record) for record in table.to_pylist()]
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        raise ValueError(f"{path} cannot be read as parquet: {' '.join(str(error).split())}; write it anew") from error
    names = dict.fromkeys(name for record in records for name in record) if records else table.column_names
    header = [name for name in names if not _is_index(name)]
    return Table(path, "row", header, [(number, _without_gaps(record)) for number, record in enumerate(records)])


def _text(path: Path) -> str:
    if path.read_bytes()[:2] in UTF16:
        raise ValueError(f"{path} is UTF-16, not UTF-8: save it as UTF-8")
    text = read_text(path)
    if "\0" in text:
        raise ValueError(f"{path} holds NUL characters, as UTF-16 read as UTF-8 does: save it as UTF-8")
    return text


def _separator(text: str, known: tuple[str, ...], usual: str = ",") -> str:
    """What stands between the cells of the header: what makes a known column of it, else what makes most of it."""
    line = text.splitlines()[0] if text else ""

    def judged(separator: str) -> tuple[bool, int]:
        names = [name.strip().strip('"') for name in line.split(separator)]
        return any(name in known for name in names), len(names)

    return max((usual, *SEPARATORS), key=judged)


def _described(path: Path, known: tuple[str, ...]) -> str:
    """What a reader should know of another table: its separator, where it is text."""
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return ""
    try:
        text = _text(path)
    except (ValueError, OSError):
        return " (not UTF-8)"
    separator = _separator(text, known)
    return f" (separated by {SEPARATORS[separator]})" if separator in (text.splitlines() or [""])[0] else ""


def _holds_a_record(cell: str, separator: str, columns: int) -> bool:
    """Whether a cell of several lines has swallowed a record, as one does whose quote is not closed."""
    return columns > 1 and "\n" in cell and any(line.count(separator) >= columns - 1 for line in cell.split("\n")[1:])


def _is_index(name: str) -> bool:
    return not name or INDEX.fullmatch(name) is not None


def _without_gaps(record: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in record.items() if not _is_index(name) and not is_missing(value)}


def flat(record: dict[str, object]) -> dict[str, object]:
    """Nested descriptors as columns of their own; names without spaces at their ends."""
    nested = record.get(NESTED)
    if isinstance(nested, dict):
        record = {name: value for name, value in record.items() if name != NESTED}
        record |= {f"{NESTED}.{slot}": value for slot, value in nested.items()}
    return {name.strip(): value for name, value in record.items()}


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"keys {repeated} stand more than once: keep one of each")
    return dict(pairs)


def _check_repeats(path: Path, header: list[str]) -> None:
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: more than one column for {repeated[0]}: {repeated} stand more than once; keep one")
