"""Results as files and as a table."""

import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from xser.corpora.cache import written_beside


def command_line() -> str:
    """The command that runs now, as it would be typed in the repository's root."""
    script = Path(sys.argv[0]).resolve()
    root = Path(__file__).resolve().parent.parent
    name = script.relative_to(root) if script.is_relative_to(root) else script.name
    return shlex.join(["python", str(name), *sys.argv[1:]])


def write_jsonl(path: Path, rows: Iterable[dict]) -> None:
    """One row a line."""
    with written_beside(path) as beside:
        beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


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
