"""What a corpus on disk is to this package: a way to find its rows, and a way to read its recordings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Found:
    """What a corpus's folder says it holds, before any recording is opened.

    Args:
        rows: rows of the one schema (`make_row`), each with `audio={"bytes": None, "path": str}` and `duration=None`.
        left_out: file, or utterance where there is no file, relative to the source → why it is no row.
        labels: column → label as the corpus writes it → label as the rows have it, None for not known, where these
            differ in a table of a user's own (`Labels.settle`).
        parts: of a corpus made of others, the `corpus` and `licence` of each.
    """

    rows: list[dict]
    left_out: dict[str, str] = field(default_factory=dict)
    labels: dict[str, dict[str, str | None]] = field(default_factory=dict)
    parts: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Corpus:
    """A corpus by its official layout.

    Args:
        name: as in `xser prepare NAME`.
        find: `find(source: Path, **options) -> Found`; cheap, opens tables and lists files only. Raises `ValueError`
            (or `FileNotFoundError`) where the folder is not this corpus, saying what was looked for. A corpus that
            needs no folder gives `source` a default.
        options: names of the options that `find` takes → one line of help.
        read: a recording's path → its bytes in a format that libsndfile reads (wav, flac, …). Raises `ValueError`
            that says what is wrong with the file.
        licence: one line: the licence, and what it asks of a user.
        makes_levels: whether its levels are those that a synthesiser was given, which no measurement knows better.
    """

    name: str
    find: Callable[..., Found]
    licence: str
    options: dict[str, str] = field(default_factory=dict)
    read: Callable[[Path], bytes] = Path.read_bytes
    makes_levels: bool = False
