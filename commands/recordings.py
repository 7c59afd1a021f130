"""The recordings that a command line names: files, folders, and paths on standard input."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

STANDARD_INPUT = "-"
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64")


def named_recordings(names: Sequence[str], standard_input: TextIO | None = None) -> list[str]:
    """Paths of recordings, in the order in which they are named.

    A folder stands for the recordings in it and below, by the suffix of their names, sorted, without hidden ones. A
    `-` stands for the lines of standard input, or what NUL characters separate there. A file that is named stays,
    whether it is there or not: the answer says what is wrong with it.

    Raises:
        ValueError: a folder without recordings, `-` twice, or no path at all.
    """
    if names.count(STANDARD_INPUT) > 1:
        raise ValueError(f"{STANDARD_INPUT} is given {names.count(STANDARD_INPUT)} times; standard input is read once")
    paths: list[str] = []
    for name in names:
        if name == STANDARD_INPUT:
            paths += _lines((standard_input or sys.stdin).read())
        elif Path(name).is_dir():
            paths += _in_folder(Path(name))
        else:
            paths.append(name)
    if not paths:
        raise ValueError("standard input names no recording: give a path a line")
    return paths


def _lines(text: str) -> Iterable[str]:
    parts = text.split("\0") if "\0" in text else text.splitlines()
    return [part.strip() for part in parts if part.strip()]


def _in_folder(folder: Path) -> list[str]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        raise ValueError(f"{folder} holds no recording: looked for names that end in {', '.join(SUFFIXES)}")
    return [str(path) for path in found]


__all__ = ["STANDARD_INPUT", "named_recordings"]
