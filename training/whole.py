"""Folders that appear whole or not at all: written beside their place, flushed to the disk, then renamed.

A process that is killed leaves a hidden folder beside the place, never half of one in it; `tidy` takes such ones away.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL, REPLACED, REMOVED = "partial", "replaced", "removed"
_HIDDEN = re.compile(rf"\.(.+)\.({PARTIAL}|{REPLACED}|{REMOVED})")


@contextmanager
def whole_folder(place: Path, is_writer: bool = True, wait: Callable[[], object] = lambda: None) -> Iterator[Path]:
    """A folder to write into, which takes the place of what is at `place` when all went well, and else goes away.

    Args:
        is_writer: of several processes that write into it, one makes and renames it.
        wait: until all of these processes have come here.
    """
    partial = _hidden(place, PARTIAL)
    if is_writer:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    wait()
    try:
        yield partial
    except BaseException:
        if is_writer:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    wait()
    if is_writer:
        _put_in_place(partial, place)
    wait()


def remove_folder(place: Path) -> None:
    """Take a folder away; one that is half removed is never found."""
    removed = _hidden(place, REMOVED)
    shutil.rmtree(removed, ignore_errors=True)
    os.rename(place, removed)
    shutil.rmtree(removed, ignore_errors=True)


def tidy(parent: Path) -> None:
    """Take away what a process that was killed has left in `parent`; what it was about to replace is put back."""
    for path in sorted(parent.glob(".*")) if parent.is_dir() else ():
        match = _HIDDEN.fullmatch(path.name)
        if match is None or not path.is_dir():
            continue
        place = parent / match.group(1)
        if match.group(2) == REPLACED and not place.exists():
            os.rename(path, place)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _hidden(place: Path, kind: str) -> Path:
    return place.with_name(f".{place.name}.{kind}")


def _put_in_place(folder: Path, place: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _flush(path)
    replaced = _hidden(place, REPLACED)
    if place.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(place, replaced)
    os.rename(folder, place)
    _flush(place.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _flush(path: Path) -> None:
    """Until it is on the disk: after a power cut a renamed folder may hold empty files otherwise."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
