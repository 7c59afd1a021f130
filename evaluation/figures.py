"""Write every figure into README.md and docs/results.md, from the files in docs/results.

    python -m xser.evaluation.figures [--check]

A page says where: `<!-- figures: NAME -->` … `<!-- /figures -->`, NAME being `summary`, `strangers`, `example` or
`all`. With `--check` nothing is written, and the exit status is 1 where a page is out of date.
"""

import argparse
import pprint
import re
import sys
from collections.abc import Callable
from pathlib import Path

from xser.evaluation.conditions import AS_RECORDED
from xser.evaluation.report import NO_REFERENCE, figure_rows, markdown_table, read_json

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/results.md")
RESULTS = "docs/results"
SUMMARY = {"espeak-test": "voices of the training data", "espeak-test-unseen": "voices and accents never heard"}
EXAMPLE = "explanation"
STRANGERS = "nemo-folds"
STRANGERS_COLUMNS = ("system", "reference", "UA, mean of folds", "held against", "difference")
SUMMARY_FIGURES = ("emotion, UA", "best possible guess", "over the best possible", "WER", "accuracy")
NOTHING = "(nothing measured yet)"
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- /figures -->)", re.DOTALL)


def summary(results: dict[str, dict]) -> str:
    """The shipped model in a table: a row a figure, a column a test set."""
    known = {name: results[name] for name in SUMMARY if name in results}
    if not known:
        return NOTHING
    columns = {}
    for name, evaluation in known.items():
        values = {figure: value for figure, value, _ in figure_rows(evaluation)}
        columns[name] = {f: v for f, v in values.items() if any(wanted in f for wanted in SUMMARY_FIGURES)}
    figures = list(dict.fromkeys(figure for column in columns.values() for figure in column))
    rows = [(figure, *(columns[name].get(figure, "") for name in known)) for figure in figures]
    rows.append(("utterances", *(str(evaluation["n"]) for evaluation in known.values())))
    return markdown_table(rows, ("", *(SUMMARY[name] for name in known)))


def strangers(results: dict[str, dict]) -> str:
    """Real voices that no model has heard: a row a system."""
    if STRANGERS not in results:
        return NOTHING
    measured = results[STRANGERS]
    kept = [measured["columns"].index(name) for name in STRANGERS_COLUMNS]
    return markdown_table([tuple(row[index] for index in kept) for row in measured["rows"]], STRANGERS_COLUMNS)


def everything(results: dict[str, dict]) -> str:
    """A section a file: what was measured, by which command, and the table."""
    return "\n\n".join(_section(name, measured) for name, measured in results.items() if name != EXAMPLE) or NOTHING


def example(results: dict[str, dict]) -> str:
    """What the pipeline returns, as it is."""
    if EXAMPLE not in results:
        return NOTHING
    answer = results[EXAMPLE]["answer"]
    scores = {name: round(score, 3) for name, score in answer["scores"].items()}
    return f"```python\n{pprint.pformat(answer | {'scores': scores}, width=110, sort_dicts=False)}\n```"


RENDERERS: dict[str, Callable[[dict[str, dict]], str]] = {
    "summary": summary,
    "example": example,
    "strangers": strangers,
    "all": everything,
}


def fill(page: str, results: dict[str, dict]) -> str:
    """The page with all its blocks filled anew.

    Raises:
        ValueError: a block has an unknown name.
    """

    def replace(match: re.Match) -> str:
        if match[2] not in RENDERERS:
            raise ValueError(f"no figures are called {match[2]!r}; there are {list(RENDERERS)}")
        return f"{match[1]}{RENDERERS[match[2]](results)}\n{match[3]}"

    return BLOCK.sub(replace, page)


def read_results(folder: Path) -> dict[str, dict]:
    """Results files by name, in the order of their names."""
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def _section(name: str, measured: dict) -> str:
    if "columns" in measured:
        title, table = measured["title"], markdown_table(measured["rows"], measured["columns"])
    else:
        speakers = f", speakers {', '.join(measured['speakers'])}" if measured.get("speakers") else ""
        title = f"{Path(measured['model']).name} on {Path(measured['corpus']).name}, {measured['split']}{speakers}"
        if measured.get("condition", AS_RECORDED) != AS_RECORDED:
            title += f", {measured['condition']}"
        if measured.get("speaker_reference", NO_REFERENCE) != NO_REFERENCE:
            title += ", with a reference of the speaker"
        table = markdown_table(figure_rows(measured), ("figure", "value", "n"))
        if measured.get("speaker_reference"):
            table += f"\n\nSpeaker reference: {measured['speaker_reference']}."
        if measured["left_out"]:
            table += f"\n\n{len(measured['left_out'])} recordings were left out."
    return f"## {title}\n\n`{measured['command']}` ({name}.json)\n\n{table}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is out of date")
    check = parser.parse_args(argv).check
    results, stale = read_results(ROOT / RESULTS), []
    for name in PAGES:
        path = ROOT / name
        page = path.read_text(encoding="utf-8")
        filled = fill(page, results)
        if filled != page:
            stale.append(name)
            if not check:
                path.write_text(filled, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'out of date' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
