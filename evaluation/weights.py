"""Which weights a result is of."""

import hashlib
from pathlib import Path

CHUNK = 2**22  # bytes


def weights_digest(folder: str | Path) -> str | None:
    """Hex digits that stand for all safetensors files of a folder; None where there is none, as of a Hub id."""
    files = sorted(Path(folder).glob("*.safetensors")) if Path(folder).is_dir() else []
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest() if files else None
