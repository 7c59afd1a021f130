"""The folder in which a corpus is prepared: it lies beside the result, and outlives a run that is stopped."""

import contextlib
import errno
import fcntl
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from xser.corpora.cache import write_json

logger = logging.getLogger(__name__)

DATA, NOTES, PLAN, LOCK = "data", "notes", "plan.json", "lock"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(OSError):
    """The disk is full; what was finished is kept."""


@contextlib.contextmanager
def open_workshop(folder: Path, key: str) -> Iterator[Path]:
    """Work in a folder, alone; what an earlier run with the same key finished there is kept, all else cleared away.

    The lock goes with the process, however it ends.

    Raises:
        BlockingIOError: another process works there.
        FileExistsError: the folder holds what no run has put there.
        DiskFullError: there is no room.
    """
    with _full_disk_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        ours = {DATA, NOTES, PLAN, LOCK}
        foreign = sorted(path.name for path in folder.iterdir() if path.name.split(".partial-")[0] not in ours)
        if foreign:
            raise FileExistsError(f"{folder}, where this would be prepared, holds {foreign[:5]}: take it away first")
        with (folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(error.errno, f"another process is at work in {folder}") from error
            _clear(folder, key)
            yield folder


def _clear(folder: Path, key: str) -> None:
    plan = folder / PLAN
    if plan.is_file() and json.loads(plan.read_text(encoding="utf-8")) == {"key": key}:
        for beside in folder.rglob("*.partial-*"):  # what was being written when a run was killed
            beside.unlink()
        return
    plan.unlink(missing_ok=True)
    for part in (folder / DATA, folder / NOTES):
        if part.exists():
            logger.warning("%s is of another source, or of other options: begun anew", part)
            shutil.rmtree(part)
    write_json(plan, {"key": key})


@contextlib.contextmanager
def _full_disk_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        message = f"the disk is full: make room, then give the same command again; {folder} keeps what is finished"
        raise DiskFullError(error.errno, message) from error
