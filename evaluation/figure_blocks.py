"""What a block of a page is filled with: tables and examples from results files, with the commands that made them."""

import os
import pprint
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from xser.evaluation.conditions import AS_RECORDED
from xser.evaluation.report import NO_REFERENCE, figure_rows, markdown_table

SUMMARY = {"espeak-test": "voices of the training data", "espeak-test-unseen": "voices and accents never heard"}
EXAMPLE = "explanation"
STRANGERS = "nemo-folds"
STRANGERS_COLUMNS = ("system", "UA, mean of folds", "held against", "difference")
SUMMARY_FIGURES = ("emotion, UA", "best possible guess", "over the best possible", "WER", "accuracy")
EVALUATION_COLUMNS = ("figure", "value", "n")
INDEX_COLUMNS = ("file", "page", "what it says", "command")
NOTHING = "(nothing measured yet)"


@dataclass(frozen=True)
class Measured:
    """Results files by name, the page that shows each whole, the one that shows the rest, and the one to fill."""

    results: dict[str, dict]
    page_of: dict[str, str] = field(default_factory=dict)
    rest_page: str | None = None
    here: str = "README.md"

    def link(self, name: str) -> str | None:
        """The page on which a file stands whole, as a link from here; None where that is here or nowhere."""
        page = self.page_of.get(name, self.rest_page)
        if page is None or page == self.here:
            return None
        address = os.path.relpath(page, PurePosixPath(self.here).parent)
        return f"[{PurePosixPath(page).name}]({PurePosixPath(address)})"


def summary(measured: Measured, _: str) -> str:
    """The shipped model in a table: a row a figure, a column a test set."""
    known = {name: measured.results[name] for name in SUMMARY if name in measured.results}
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


def strangers(measured: Measured, _: str) -> str:
    """Unseen speakers of real recordings: a row a system."""
    if STRANGERS not in measured.results:
        return NOTHING
    return markdown_table(*_part(measured.results[STRANGERS], STRANGERS_COLUMNS, {}))


def example(measured: Measured, _: str) -> str:
    """What the pipeline returns, as it is."""
    if EXAMPLE not in measured.results:
        return NOTHING
    answer = measured.results[EXAMPLE]["answer"]
    scores = {name: round(score, 3) for name, score in answer["scores"].items()}
    return f"```python\n{pprint.pformat(answer | {'scores': scores}, width=110, sort_dicts=False)}\n```"


def file(measured: Measured, arguments: str) -> str:
    """Whole files, by name: a section each, with title, command and table."""
    names = arguments.split()
    there = [name for name in names if name in measured.results]
    return "\n\n".join(_section(name, measured) for name in there) or NOTHING


def rest(measured: Measured, _: str) -> str:
    """Whole files that no page names."""
    names = [name for name in measured.results if name not in measured.page_of]
    return file(measured, " ".join(names)) if names else "Every results file has a page of its own."


def part(measured: Measured, arguments: str) -> str:
    """Some columns and rows of a file: `NAME`, then lines `columns: A; B` and `COLUMN: C; D`, the cells to keep.

    Of a file with several tables a line `table: TITLE` says which; the beginning of its title is enough.

    Raises:
        ValueError: the file has no such table, column or cell; it is named.
    """
    name, *lines = [line.strip() for line in arguments.strip().splitlines()]
    if name not in measured.results:
        return NOTHING
    chosen = {}
    for line in lines:
        column, _, values = line.partition(":")
        chosen[column] = tuple(value.strip() for value in values.split(";"))
    whole = measured.results[name]
    try:
        shown = _one_table(whole, *chosen.pop("table", ()))
        table = markdown_table(*_part(shown, chosen.pop("columns", ()), chosen))
    except ValueError as error:
        raise ValueError(f"figures: part {name}: {error}") from error
    link = measured.link(name)
    return f"{title(shown)}:\n\n{table}\n\n`{whole['command']}`" + (f"; all of it: {link}" if link else "")


def index(measured: Measured, _: str) -> str:
    """All results files: the page, what it says, the command."""
    rows = []
    for name, whole in measured.results.items():
        page = measured.link(name) or "this page"
        rows.append((f"[{name}.json]({name}.json)", page, title(whole), f"`{whole['command']}`"))
    return markdown_table(rows, INDEX_COLUMNS) if rows else NOTHING


RENDERERS: dict[str, Callable[[Measured, str], str]] = {
    renderer.__name__: renderer for renderer in (summary, example, strangers, file, rest, part, index)
}
WHOLE = {"file": lambda arguments: arguments.split(), "example": lambda _: [EXAMPLE]}  # blocks that show whole files


def title(measured: dict) -> str:
    """What a results file is of, in a line."""
    if "answer" in measured:
        return "What the pipeline returns for one recording"
    if "columns" in measured or "tables" in measured:
        return measured["title"]
    speakers = f", speakers {', '.join(measured['speakers'])}" if measured.get("speakers") else ""
    named = f"{Path(measured['model']).name} on {Path(measured['corpus']).name}, {measured['split']}{speakers}"
    if measured.get("condition", AS_RECORDED) != AS_RECORDED:
        named += f", {measured['condition']}"
    if measured.get("speaker_reference", NO_REFERENCE) != NO_REFERENCE:
        named += ", with a reference of the speaker"
    return named


def _part(
    measured: dict, columns: tuple[str, ...], cells: dict[str, tuple[str, ...]]
) -> tuple[list[tuple], tuple[str, ...]]:
    """Rows and header of a file: these columns, or all, and the rows that have one of these cells in each column."""
    header, rows = _table(measured)
    if missing := [name for name in (*columns, *cells) if name not in header]:
        raise ValueError(f"no columns {missing}; there are {list(header)}")
    for name, wanted in cells.items():
        place = header.index(name)
        there = list(dict.fromkeys(row[place] for row in rows))
        if missing := [cell for cell in wanted if cell not in there]:
            raise ValueError(f"{name} has no {missing}; there are {there}")
        rows = [row for row in rows if row[place] in wanted]
    kept = [header.index(name) for name in columns or header]
    return [tuple(str(row[place]) for place in kept) for row in rows], tuple(columns or header)


def _one_table(measured: dict, beginning: str = "") -> dict:
    """The table of a file whose title begins so, under both titles; the file itself where it is one table."""
    if "tables" not in measured:
        return measured
    found = [table for table in measured["tables"] if table["title"].startswith(beginning)]
    if len(found) != 1:
        raise ValueError(
            f"table is {beginning!r}; it must begin one of {[each['title'] for each in measured['tables']]}"
        )
    return {**found[0], "title": f"{measured['title']}. {found[0]['title']}"}


def _table(measured: dict) -> tuple[tuple[str, ...], list]:
    if "columns" in measured:
        return tuple(measured["columns"]), measured["rows"]
    return EVALUATION_COLUMNS, figure_rows(measured)


def _section(name: str, measured: Measured) -> str:
    whole = measured.results[name]
    about = f"## {title(whole)}\n\n`{whole['command']}` ({name}.json)"
    if "answer" in whole:
        return f"{about}\n\n{example(measured, '')}"
    if "tables" in whole:
        shown = [f"### {each['title']}\n\n{markdown_table(each['rows'], each['columns'])}" for each in whole["tables"]]
        notes = "\n".join(f"- {note}" for note in whole["notes"])
        return "\n\n".join([about, *shown, notes])
    header, rows = _table(whole)
    table = markdown_table(rows, header)
    if "columns" not in whole:
        if whole.get("speaker_reference"):
            table += f"\n\nSpeaker reference: {whole['speaker_reference']}."
        if whole["left_out"]:
            table += f"\n\n{len(whole['left_out'])} recordings were left out."
    return f"{about}\n\n{table}"
