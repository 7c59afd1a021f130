"""Reading the tables that corpora bring: UTF-8, a header, a record a line."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path


def read_text(path: Path, name: str | None = None) -> str:
    """A file's text, without a byte order mark.

    Raises:
        ValueError: not UTF-8; says so of `name`, the path if not given, and at which byte.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name or path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error


def read_table(
    path: Path, needed: tuple[str, ...], delimiter: str = ",", optional: tuple[str, ...] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells of each record; see `parse_table`.

    Raises:
        ValueError: not UTF-8, a needed column that is not there, or a record with more or fewer cells than the header.
    """
    for line, cells in parse_table(path, read_text(path), needed, delimiter, optional):
        if cells is None:
            raise ValueError(f"{path}, line {line}: its number of cells is not that of the header")
        yield line, cells


def parse_table(
    path: Path, text: str, needed: tuple[str, ...], delimiter: str = ",", optional: tuple[str, ...] = ()
) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Line of each record, and its cells by column, stripped; `None` where it has too many or too few.

    Args:
        path: for errors.
        text: what stands in it.
        needed: columns, whose names may be in other letters (capital, small) in the header.
        delimiter: between cells.
        optional: columns that are read too where they are there.

    Raises:
        ValueError: a needed column is not there, or a cell is too long to be one.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = [name.lower() for name in header]
    missing = [name for name in needed if name.lower() not in reader.fieldnames]
    if missing:
        raise ValueError(f"{path}: columns {missing} are missing; its header is {header}")
    wanted = [*needed, *(name for name in optional if name.lower() in reader.fieldnames)]
    try:
        for cells in reader:
            whole = None not in cells and None not in cells.values()
            yield reader.line_num, {name: cells[name.lower()].strip() for name in wanted} if whole else None
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a table: {error}; is a quote not closed?") from error
