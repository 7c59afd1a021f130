"""Results as files and as a table."""

import json
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path


def command_line() -> str:
    """The command that runs now, as it would be typed in the repository's root."""
    return shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])


def write_json(value: dict, path: str | Path) -> Path:
    """Write beside `path`, then rename: a reader never sees half a file."""
    return _write(json.dumps(value, indent=2, ensure_ascii=False) + "\n", path)


def write_jsonl(rows: Iterable[dict], path: str | Path) -> Path:
    """One row a line, written beside `path`, then renamed."""
    return _write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), path)


def read_json(path: str | Path) -> dict:
    """Read a results file.

    Raises:
        ValueError: it does not exist or is not JSON; it is named.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"results file {path} does not exist") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"results file {path} is not JSON: {error}") from error


def figure_rows(results: dict) -> list[tuple[str, str, str]]:
    """What `evaluate_model` found, as rows of figure, value and n; figures that are not known are left out."""
    n_of, rows = results["n_of"], []
    if results["ua"] is not None:
        n = n_of["emotion"]
        low, high = results["ua_interval"]
        interval = f"95% interval {low:.3f} to {high:.3f}, over {results['ua_interval_of']}"
        rows.append(("emotion, UA", f"{results['ua']:.3f} ({interval})", n))
        if results["ua_ceiling"] is not None:
            ceiling = results["ua_ceiling"]
            rows.append(("UA, best possible over the corpus", f"{ceiling:.3f}", ""))
            rows.append(("UA, best possible guess on these utterances", f"{results['ua_bayes']:.3f}", n))
            rows.append(("UA over the best possible", f"{results['ua'] / ceiling:.3f}", n))
        rows.append(("emotion, WA", f"{results['wa']:.3f}", n))
        for emotion, recall in results["recall"].items():
            rows.append((f"recall, {emotion}", f"{recall:.3f}", n_of["recall"][emotion]))
    for slot, accuracy in results["descriptors"].items():
        rows.append((f"{slot}, accuracy", f"{accuracy:.3f}", n_of[slot]))
    if results["wer"] is not None:
        rows.append(("words, WER", f"{results['wer']:.3f}", n_of["text"]))
    return [(figure, value, str(n)) for figure, value, n in rows]


def text_table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """A table for the terminal."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """A table for a Markdown page."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _write(text: str, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
