"""The paper's tables in its own columns, ours beside them, and the published figures in a column of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xser.evaluation.report import NOT_KNOWN, markdown_table, text_table
from xser.evaluation.significance import ALPHA, resolvable_difference
from xser.systems.published import CAPTIONS, EMOSEC, MELD, RECOGNITION, TABLES, TITLES, Row, Table

PUBLISHED = "published"  # begins the column's title
BESIDE = ("WA", "weighted F1", "n", "seeds")
COMPARED = (
    "against",
    "UA difference",
    "95% interval",
    "WA difference",
    "p, bootstrap",
    "p, shuffled",
    "p, paper's t",
    "resolvable",
    "WER difference",
    "95% interval of WER",
    "n",
)


@dataclass(frozen=True)
class Shown:
    """A table as it is printed."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def as_text(self) -> str:
        return f"{self.title}\n{text_table(self.rows, self.columns)}"

    def as_markdown(self) -> str:
        return f"### {self.title}\n\n{markdown_table(self.rows, self.columns)}"


def paper_tables(figures: Mapping[str, Mapping], labels: Mapping[str, str] | None = None) -> list[Shown]:
    """Tables 1 to 3, and one more of the systems that stand in none of them.

    Args:
        figures: of each system, as `figures.figures_of`.
        labels: name of a system of others → the row that it stands on, such as "P5" of table 2.
    """
    labels = dict(labels or {})
    shown = [_paper_table(table, figures, labels) for table in TABLES.values()]
    placed = {row.system for table in TABLES.values() for row in table.rows} | set(labels)
    others = [name for name in figures if name not in placed]
    if others:
        columns = ("system", *TITLES.values(), *BESIDE)
        rows = [(name, *_cells(figures[name], TITLES), *_beside(figures[name])) for name in others]
        shown.append(Shown("Systems that the paper has not", columns, rows))
    return shown


def comparison_table(comparisons: Sequence[Mapping], first: str) -> Shown:
    """The first system against each other one."""
    rows = []
    for each in comparisons:
        words = each["words"]
        rows.append(
            (
                each["name"],
                _signed(each["difference"]),
                _between(each),
                _signed(each["wa_difference"]),
                f"{each['p_holm']['bootstrap']:.4f}",
                f"{each['p_holm']['randomisation']:.4f}",
                f"{each['p_t']:.4f}",
                NOT_KNOWN if each["resolvable"] is None else f"{100 * each['resolvable']:.1f}",
                *(2 * [NOT_KNOWN] if words is None else [_signed(words["difference"]), _between(words)]),
                f"{each['n']:,}",
            )
        )
    return Shown(f"{first} against each other system, in points", COMPARED, rows)


def notes(
    figures: Mapping[str, Mapping], comparisons: Sequence[Mapping], missing: Mapping[str, str], left_out: Mapping
) -> list[str]:
    """What a reader of the tables should know."""
    said = [
        f"Columns '{PUBLISHED}': as the paper prints them, of its own models on its own data; nothing of them is "
        "computed here.",
        f"The paper's UA on {MELD} is accuracy, by comparison with other papers: there it compares with our WA.",
        "UA, WER and captions are in percent, ± the standard deviation of UA over seeds; intervals of 95%.",
        "p of bootstrap and shuffled answers are two-sided, after Holm; the paper's t test is paired, one-tailed "
        f"(is the first system better?), at p = {ALPHA}, over utterances as if independent, and not corrected.",
    ]
    sizes = sorted({each["n"] for each in figures.values()}, reverse=True)
    for n in sizes:
        if (prior := resolvable_difference(n)) is not None:
            said.append(
                f"Before anything is measured, {n:,} utterances resolve {100 * prior:.1f} points of accuracy at 80% "
                "power (systems that err independently, on half of the utterances each); 'resolvable' is the same at "
                "the discordance as measured. Smaller differences are not shown to be any."
            )
    if "two_stage" in figures:
        said.append(
            "In the paper full lies 0.8 (IEMOCAP) and 1.0 (MELD) points above two-stage, less than those test sets "
            f"resolve: {100 * resolvable_difference(5531):.1f} points with 5,531 and "
            f"{100 * resolvable_difference(2610):.1f} with 2,610 utterances by the same prior."
        )
    units = {interval["of"] for each in figures.values() for interval in each["intervals"].values()}
    said += [f"Intervals are over {unit}." for unit in sorted(units)]
    said += _notes_on_captions(figures)
    said += [f"{name} is not compared: {why}." for name, why in left_out.items()]
    said += [f"Run {name} is missing: {why}." for name, why in missing.items()]
    lengths = {each["n"] for each in comparisons} | set(sizes)
    if len(lengths) > 1:
        said.append("Systems have answered different utterances: figures of one row do not compare with another's.")
    return said


def _notes_on_captions(figures: Mapping[str, Mapping]) -> list[str]:
    captioned = {name: each["captions"] for name, each in figures.items() if each["captions"] is not None}
    if not captioned:
        return ["No captions stand beside those of the data: B@4, METEOR, ROUGE-L, CIDEr and SPICE are not known."]
    first = next(iter(captioned.values()))
    said = [f"{TITLES.get(name, name)}: {variant}." for name, variant in first["variants"].items()]
    said += sorted({f"{TITLES[name]}: {why}." for each in captioned.values() for name, why in each["gaps"].items()})
    of_tags = [name for name, each in captioned.items() if each["captions"] != "of the system"]
    if of_tags:
        said.append(f"Captions of {', '.join(of_tags)} are sentences made of the tags.")
    return said


def _paper_table(table: Table, figures: Mapping[str, Mapping], labels: Mapping[str, str]) -> Shown:
    columns = ("row", "system", *(TITLES[name] for name in table.figures), _published_title(table), *BESIDE)
    rows = []
    for row in table.rows:
        of_label = {label: name for name, label in labels.items()}
        found = figures.get(row.system if row.is_ours else of_label.get(_label(table, row)))
        cells = _cells(found, table.figures)
        rows.append((row.label, row.system, *cells, _published(row, table), *_beside(found)))
    return Shown(table.title, columns, rows)


def label_of(name: str) -> str:
    """The row that a system of others stands on: `t2.P5`, or `P5`, which is of table 2; its name where it is none."""
    labels = [_label(table, row) for table in TABLES.values() for row in table.rows if not row.is_ours]
    wanted = name if name.startswith("t") else f"t2.{name}"
    return wanted if wanted in labels else name


def _label(table: Table, row: Row) -> str:
    number = next(number for number, each in TABLES.items() if each is table)
    return f"t{number}.{row.label}"


def _cells(found: Mapping | None, names: Sequence[str]) -> list[str]:
    """Figures of one system in the paper's columns, in percent."""
    return [NOT_KNOWN if found is None else _cell(found, name) for name in names]


def _cell(found: Mapping, name: str) -> str:
    if name not in ("ua", "wer"):
        value = (found["captions"] or {}).get(name)
        return NOT_KNOWN if value is None else f"{value if name == 'bleu' else 100 * value:.1f}"
    if found[name] is None:
        return NOT_KNOWN
    said = f"{100 * found[name]:.1f}"
    if name == "ua" and found["std"] is not None:
        said += f" ± {100 * found['std']:.1f}"
    interval = found["intervals"].get(name)
    return said if interval is None else f"{said} ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})"


def _beside(found: Mapping | None) -> list[str]:
    if found is None:
        return [NOT_KNOWN] * len(BESIDE)
    shares = [NOT_KNOWN if found[name] is None else f"{100 * found[name]:.1f}" for name in ("wa", "weighted_f1")]
    return [*shares, f"{found['n']:,}", str(len(found["seeds"]))]


def _published_title(table: Table) -> str:
    groups = [[name for name in group if name in table.figures] for group in (RECOGNITION, CAPTIONS)]
    return f"{PUBLISHED}: {'; '.join(' / '.join(TITLES[name] for name in group) for group in groups if group)}"


def _published(row: Row, table: Table) -> str:
    """The published figures of a row, such as `IEMOCAP 77.6 / 11.1; MELD 60.1 / 25.3`, in the title's order."""
    said = []
    for data, figures in row.published.items():
        names = [name for name in (CAPTIONS if data == EMOSEC else RECOGNITION) if name in table.figures]
        values = [f"{figures[name]:.1f}" if name in figures else NOT_KNOWN for name in names]
        if names:
            said.append(f"{data} {' / '.join(values)}")
    return "; ".join(said) or NOT_KNOWN


def _between(found: Mapping) -> str:
    return NOT_KNOWN if found["low"] is None else f"{_signed(found['low'])} to {_signed(found['high'])}"


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"
