"""What a report says, before it is a page: all systems, their comparison, each of them, and other tables.

All forms of a report (HTML, Markdown, JSON) are written from this, so they hold the same figures.
"""

from dataclasses import asdict, dataclass

from xser.evaluation.page.blocks import Block, Gap, Section, Table
from xser.evaluation.page.inputs import Given, System
from xser.evaluation.page.system import about, heard, reason, system_section
from xser.evaluation.predictions import PredictionError
from xser.evaluation.report import NOT_KNOWN, figure_rows, without_folders
from xser.evaluation.significance import TESTS, compare

SPEAKER_REFERENCE = "speaker_reference"  # key of a results file: were measurements held against the speaker's usual?
PRIVATE = ("command", "model", "corpus", "predictions", "left_out")  # keys of a results file that may hold paths
COMPARED = (
    *("system", "against", "n", "UA", "difference", "95% interval", "WA difference", *TESTS),
    *("WER", "WER difference", "95% interval of WER"),
)
LEAST_P = 0.0001  # that is written out
HOW_TO_READ = (
    "UA is the mean recall of the emotions, WA the share of utterances whose emotion is right. A value is followed by "
    "its 95% interval, where one can be told, and n is the number of utterances behind it. A dash with a reason is a "
    "figure that is not known. Systems over different utterances stand side by side here, but cannot be compared."
)


@dataclass(frozen=True)
class Report:
    """All of it; `numbers` are the figures as they are, unrounded."""

    title: str
    sections: list[Section]
    numbers: dict


def build(given: Given, title: str, resamples: int) -> Report:
    """The report of what was read.

    Args:
        given: by `page_inputs.read_given`.
        title: of the report.
        resamples: of the paired tests.
    """
    systems, sections, comparisons = list(given.systems.values()), [], []
    if systems:
        sections.append(Section("All systems", HOW_TO_READ, blocks=[_side_by_side(systems)]))
    answered = {name: given.systems[name].predictions for name in given.answered}
    if len(answered) > 1:
        try:
            comparisons = [asdict(comparison) for comparison in compare(answered, resamples)]
        except PredictionError as error:
            blocks: list[Block] = [Gap("Paired tests", f"each system is shown on its own: {error}")]
        else:
            blocks = [_comparison_table(comparisons)]
        sections.append(Section(f"Each system against {next(iter(answered))}", blocks=blocks))
    sections += [system_section(system) for system in systems]
    sections += [_of_table(name, content) for name, content in given.tables]
    numbers = {
        "systems": {system.name: _numbers(system) for system in systems},
        "comparisons": comparisons,
        "files": [*(file for system in systems for file in system.files), *(name for name, _ in given.tables)],
    }
    return Report(title, sections, numbers)


def _side_by_side(systems: list[System]) -> Table:
    """A row a figure, a column a system."""
    slots = dict.fromkeys(slot for system in systems for slot in _slots(system.results))
    wanted = [  # what it is called here, in `figure_rows`, and in the gaps
        ("UA", "emotion, UA", "emotion"),
        ("WA", "emotion, WA", "emotion"),
        ("macro F1", "emotion, macro F1", "emotion"),
        ("WER", "words, WER", "text"),
        *((f"{slot}, accuracy", f"{slot}, accuracy", slot) for slot in slots),
        ("ECE", "scores, ECE", "scores"),
    ]
    found = {s.name: {figure: (value, n) for figure, value, n in figure_rows(s.results)} for s in systems}
    rows = [("measured on", *map(heard, systems)), ("utterances", *(str(s.results["n"]) for s in systems))]
    for name, figure, gap in wanted:
        cells = [
            _with_n(*found[s.name][figure]) if figure in found[s.name] else _missing(s.results, gap) for s in systems
        ]
        rows.append((name, *cells))
    ceilings = [system.results.get("ua_ceiling") for system in systems]
    rows.append(("best possible UA", *("not known" if c is None else f"{c:.3f}" for c in ceilings)))
    references = [system.results.get(SPEAKER_REFERENCE) for system in systems]
    if references != [None] * len(systems):
        rows.append(("speaker reference used", *map(_yes_or_no, references)))
    return Table("Side by side", ("figure", *(system.name for system in systems)), rows)


def _of_table(name: str, content: dict) -> Section:
    command = without_folders(content.get("command", ""))
    tables = [
        Table(each["title"], tuple(each["columns"]), [tuple(row) for row in each["rows"]])
        for each in content.get("tables", [{**content, "title": name}])
    ]
    if content.get("notes"):
        tables.append(Table("Notes", ("note",), [(note,) for note in content["notes"]]))
    blocks = [table if table.rows else Gap(table.title, "it has no rows") for table in tables]
    return Section(content["title"], command=command, blocks=blocks)


def _comparison_table(comparisons: list[dict]) -> Table:
    rows = [
        (
            c["name"],
            c["against"],
            str(c["n"]),
            f"{c['ua']:.3f}",
            f"{c['difference']:+.3f}",
            _between(c),
            f"{c['wa_difference']:+.3f}",
            *map(_p, (c["p_holm"][test] for test in TESTS)),
            *_word_cells(c["words"]),
        )
        for c in comparisons
    ]
    first = comparisons[0]
    note = (
        f"UA of {first['against']}: {first['ua_against']:.3f}. {', '.join(TESTS)} are p-values, corrected for the "
        f"number of systems (Holm). McNemar's test is of the WA, the others are of the UA, over {first['of']}."
    )
    return Table("Paired tests", COMPARED, rows, note)


def _word_cells(words: dict | None) -> tuple[str, ...]:
    if words is None:
        return (f"{NOT_KNOWN} (not both transcribe)",) * 3
    return f"{words['wer']:.3f}", f"{words['difference']:+.3f}", _between(words)


def _between(found: dict) -> str:
    return (
        f"{NOT_KNOWN} (every resample agrees)"
        if found["low"] is None
        else f"{found['low']:+.3f} to {found['high']:+.3f}"
    )


def _numbers(system: System) -> dict:
    """The results as they are, without what may hold paths."""
    known = {key: value for key, value in system.results.items() if key not in PRIVATE}
    return {"about": about(system), "left_out": len(system.results.get("left_out", [])), **known}


def _slots(results: dict) -> list[str]:
    """Descriptors that are known, or meant to be."""
    return [*results["descriptors"], *(s for s in results.get("slots", []) if s in results.get("gaps", {}))]


def _missing(results: dict, name: str) -> str:
    return f"{NOT_KNOWN} ({reason(results, name)})"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= LEAST_P else f"< {LEAST_P}"


def _with_n(value: str, n: str) -> str:
    return f"{value}; n {n}"


def _yes_or_no(value: object) -> str:
    if value is None:
        return "not said"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
