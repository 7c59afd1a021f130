"""Claims on a shared folder: which machine does which fold.

A claim is a file that is made only if it is not there (`O_EXCL`), with host, process and time. Whoever made it takes
it away when done or stopped; that of a process that was killed stays until it is released by hand.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLAIM = "claim.json"


class Claimed(ValueError):
    """Somebody else does this fold."""


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Hold a claim.

    Raises:
        Claimed: it is held already; by whom and since when is said.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        raise Claimed(f"claimed by {describe(path)}") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(mine, file)
    try:
        yield
    finally:
        if read_claim(path) == mine:  # it may have been released, and taken by another
            path.unlink()


def read_claim(path: Path) -> dict | None:
    """Who holds a claim; `None` if nobody; empty where the file was only just made, or is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return {}


def describe(path: Path) -> str:
    """Who holds a claim, and whether it looks forgotten."""
    held = read_claim(path)
    if not held:
        return "another process, just now"
    said = f"process {held['pid']} on {held['host']} since {held['time']}"
    return said if _may_run(held) else f"{said}, which runs no more: give --release"


def release(path: Path) -> None:
    """Take away a claim that was forgotten.

    Raises:
        ValueError: there is none, or its process still runs on this machine.
    """
    held = read_claim(path)
    if held is None:
        raise ValueError(f"{path.parent} is claimed by nobody: there is nothing to release")
    if held.get("host") == socket.gethostname() and _may_run(held):
        raise ValueError(f"{path.parent} is claimed by process {held['pid']}, which still runs here: stop it first")
    path.unlink(missing_ok=True)


def _may_run(held: dict) -> bool:
    """Whether the process may still run: that of another machine always may."""
    if held["host"] != socket.gethostname():
        return True
    try:
        os.kill(held["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
