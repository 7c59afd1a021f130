"""What a report consists of, whatever form it is written in: tables, pictures, examples and gaps, in sections."""

from dataclasses import dataclass, field

from xser.evaluation.page.charts import Chart
from xser.evaluation.page.examples import Example


@dataclass(frozen=True)
class Table:
    """A table of texts; `title` says what of, and with which n where no column does."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A chart under a title."""

    title: str
    chart: Chart
    kind: str = "picture"


@dataclass(frozen=True)
class Gap:
    """What is not shown, and why."""

    title: str
    reason: str
    kind: str = "gap"


@dataclass(frozen=True)
class Examples:
    """Utterances of one kind, and the rule by which they were picked."""

    title: str
    rule: str
    examples: list[Example]
    kind: str = "examples"


Block = Table | Picture | Gap | Examples


@dataclass(frozen=True)
class Section:
    """A part of a report, with the command that its figures come from, where the file says so."""

    title: str
    text: str = ""
    command: str = ""
    blocks: list[Block] = field(default_factory=list)
