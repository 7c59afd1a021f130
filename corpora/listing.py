"""Listing a corpus's folder: which files to see, recordings by their names, what to say of another folder."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

MACOS_COPIES = "__MACOSX"  # of what a Mac's zip archives hold beside the files
SHOWN = 8
MOST = 120  # characters of a name in a message


def check_folder(source: Path) -> None:
    """Raise `FileNotFoundError` or `NotADirectoryError` where a source is no folder."""
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist: give the folder that the corpus was unpacked to")
    if not source.is_dir():
        raise NotADirectoryError(f"{source} is a file: unpack it, and give the folder")


def is_hidden(name: str) -> bool:
    """Names that are no part of a corpus: `.git`, AppleDouble stubs such as `._1001.wav`, `__MACOSX`."""
    return name.startswith(".") or name == MACOS_COPIES


def visible_files(folder: Path) -> Iterator[Path]:
    """All files under a folder that are not hidden, the nearest first, then by name; links to folders are followed."""
    level, seen = [folder], set()
    while level:
        deeper = []
        for place in level:
            if (real := place.resolve()) in seen:  # a link back up would never end
                continue
            seen.add(real)
            with os.scandir(place) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if is_hidden(entry.name):
                        continue
                    if entry.is_dir():
                        deeper.append(place / entry.name)
                    elif entry.is_file():
                        yield place / entry.name
        level = deeper


def named_recordings(
    source: Path, name: re.Pattern[str], corpus: str, example: str
) -> tuple[dict[Path, re.Match[str]], dict[str, str]]:
    """Recordings that are named as a corpus names them, wherever they lie under its folder.

    A second file of the same name is passed over where it has the size of the first (some archives hold everything
    twice), else left out. So is a wav file beside the recordings that is named otherwise.

    Args:
        source: the corpus's folder.
        name: matches a whole file name.
        corpus, example: for the error: whose folder it should be, and where a recording would lie.

    Returns:
        Recording → match of its name; and what was left out, relative to the source → why.

    Raises:
        FileNotFoundError, NotADirectoryError: no folder, or no recording of this corpus in it.
    """
    check_folder(source)
    matches: dict[Path, re.Match[str]] = {}
    first_of: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    others: list[Path] = []
    for path in visible_files(source):
        match = name.fullmatch(path.name)
        if match is None:
            if path.suffix.lower() == ".wav":
                others.append(path)
            continue
        first = first_of.setdefault(path.name.lower(), path)
        if first is path:
            matches[path] = match
        elif path.stat().st_size != first.stat().st_size:
            left_out[relative(path, source)] = f"{relative(first, source)} has its name, and other contents"
    if not matches:
        raise not_this_corpus(source, corpus, example)
    places = {path.parent for path in matches}
    for path in others:
        if path.parent in places:
            left_out[relative(path, source)] = f"its name is not like that of {Path(example).name}"
    return matches, left_out


def not_this_corpus(source: Path, corpus: str, looked_for: str) -> FileNotFoundError:
    """The error for a folder that is not the corpus: what was looked for, and what is there."""
    names = sorted(entry.name for entry in source.iterdir() if not is_hidden(entry.name))
    there = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return FileNotFoundError(f"{source} is not {corpus}: looked for {looked_for}; there is {there or 'nothing'}")


def name_some(left_out: dict[str, str], most: int = 10) -> str:
    """What is left out, and why, as one line that is not too long."""
    names = [
        f"{name if len(name) <= MOST else f'…{name[-MOST:]}'}: {reason[: 2 * MOST]}"
        for name, reason in left_out.items()
    ]
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")


def relative(path: Path, source: Path) -> str:
    """A path within the source, with forward slashes."""
    return path.relative_to(source).as_posix()
