"""Folders of short recordings with a table, as users have them."""

import zlib
from pathlib import Path

from corpus_files import encoded, noise


def recording(name: str) -> bytes:
    """0.2 s of noise, another for each name; flac and ogg by its suffix."""
    kind = {".flac": "FLAC", ".ogg": "OGG"}.get(Path(name).suffix, "WAV")
    return encoded(noise(zlib.crc32(name.encode()), 0.2), kind, subtype="VORBIS" if kind == "OGG" else "PCM_16")


def write_folder(
    root: Path, table: str | bytes, name: str = "metadata.csv", recordings: tuple[str, ...] = ("a.wav", "b.wav")
) -> Path:
    """A folder with this table and these recordings."""
    for each in recordings:
        (root / each).parent.mkdir(parents=True, exist_ok=True)
        (root / each).write_bytes(recording(each))
    root.mkdir(exist_ok=True)
    (root / name).write_bytes(table.encode() if isinstance(table, str) else table)
    return root
