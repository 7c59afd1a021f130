"""What is fetched is what was pinned, by its whole sha256."""

import hashlib


def check_pinned(data: bytes, sha256: str, name: str) -> None:
    """`ValueError` where some bytes are not those that were pinned; the message names both hashes."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"{name} has sha256 {found}, the pinned one is {sha256}: it is not the file that was meant")
