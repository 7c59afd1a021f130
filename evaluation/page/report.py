"""The report as a page that stands alone, as Markdown, and as JSON: three renderings of the same blocks."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xser.corpora.cache import write_json, written_beside
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.page.blocks import Block, Gap, Picture, Section, Table
from xser.evaluation.page.examples import Example
from xser.evaluation.page.inputs import read_given
from xser.evaluation.page.sections import Report, build
from xser.evaluation.report import NOT_KNOWN, markdown_table

TEMPLATE = "page.html.jinja"
NAME = "report"
EXAMPLE_COLUMNS = ("utterance", "said", "true", "scores", "cues said", "cues true", "heard", "spoken", "explanation")


def write_report(
    files: Sequence[Path],
    predictions: Sequence[Path],
    output: Path,
    title: str = "Evaluation",
    resamples: int = RESAMPLES,
) -> Report:
    """Write `report.html`, `report.md` and `report.json`, each beside its place first; nothing if one cannot be made.

    Args:
        files, predictions: as `page_inputs.read_given` takes them.
        output: the folder; it is made.
        title: of the report.
        resamples: of intervals and tests.

    Raises:
        ValueError: as `page_inputs.read_given`.
        OSError: a file cannot be read or written.
    """
    report = build(read_given(files, predictions, resamples), title, resamples)
    pages = {".html": render_html(report), ".md": render_markdown(report)}
    content = as_json(report)
    for ending, page in pages.items():
        with written_beside(output / f"{NAME}{ending}") as beside:
            beside.write_text(page, encoding="utf-8")
    write_json(output / f"{NAME}.json", content)
    return report


def render_html(report: Report) -> str:
    """The report as one page that needs nothing else."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(report=report)


def render_markdown(report: Report) -> str:
    """The tables, gaps and examples of the report as Markdown; its pictures show nothing that the tables do not."""
    parts = [f"# {_escaped(report.title)}"]
    for section in report.sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += [_escaped(section.text)] if section.text else []
        parts += [_code(section.command)] if section.command else []
        for block in section.blocks:
            parts += _block_as_markdown(block)
    parts.append(f"Made from {_escaped(', '.join(report.numbers['files']))}.")
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> dict:
    """All that the page shows, pictures in words, and the numbers unrounded."""
    return {
        "title": report.title,
        "sections": [_section_as_json(section) for section in report.sections],
        **report.numbers,
    }


def _block_as_markdown(block: Block) -> list[str]:
    title = f"### {_escaped(block.title)}"
    if isinstance(block, Picture):
        return []
    if isinstance(block, Gap):
        return [title, _escaped(f"{NOT_KNOWN} ({block.reason})")]
    if isinstance(block, Table):
        return [title, _table(block.rows, block.columns), *([_escaped(block.note)] if block.note else [])]
    return [title, _escaped(block.rule), _table([_example_row(e) for e in block.examples], EXAMPLE_COLUMNS)]


def _example_row(example: Example) -> tuple[str, ...]:
    scores = ", ".join(f"{name} {score:.3f}" for name, score in example.scores)
    said = ", ".join(f"{cue.slot}: {cue.said}" for cue in example.cues)
    true = ", ".join(f"{cue.slot}: {cue.true}" for cue in example.cues)
    return (
        *(example.id, example.said, example.true, scores or NOT_KNOWN, said or NOT_KNOWN, true or NOT_KNOWN),
        *(example.heard, example.spoken, example.explanation or NOT_KNOWN),
    )


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    return markdown_table([tuple(map(_escaped, row)) for row in rows], tuple(map(_escaped, columns)))


def _escaped(text: str) -> str:
    """Text that is no markup in Markdown: no tag, no link or picture, no code, no other cell, on one line."""
    text = " ".join(text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").split())
    for sign in "|`[]":
        text = text.replace(sign, f"\\{sign}")
    return text


def _code(text: str) -> str:
    """Text as code; a fence longer than any run of backticks in it."""
    text = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _section_as_json(section: Section) -> dict:
    blocks = [_block_as_json(block) for block in section.blocks]
    return {"title": section.title, "text": section.text, "command": section.command, "blocks": blocks}


def _block_as_json(block: Block) -> dict:
    if isinstance(block, Picture):
        return {"kind": block.kind, "title": block.title, "alt": block.chart.alt}
    return asdict(block)
