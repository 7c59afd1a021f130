"""One report of everything measured: a page that stands alone, its tables as Markdown, and the numbers as JSON.

    python -m xser.evaluation.page mine.json robustness.json --predictions mine.jsonl other.csv --output report/

Files are results of `eval.py` or `xser score`, tables (probes, bias, robustness, protocols, …:
`title`, `command`, `columns`, `rows`) and what `compare` wrote. Predictions give pictures and examples too; several
are tested against the first. Results and predictions of one name (`mine.json`, `mine.jsonl`) are one system's.
Written are report.html (no script, nothing fetched), report.md and report.json; the same files give the same bytes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from xser.commands.entry import MISTAKES, USAGE, CommandParser, one_line, run_command
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.page.report import NAME, write_report

PROGRAM = "python -m xser.evaluation.page"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    parser = CommandParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE.json", help="results, tables, comparisons")
    parser.add_argument("--predictions", type=Path, nargs="+", default=[], help="JSON lines, or CSV after such a file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write report.html, .md and .json to")
    parser.add_argument("--title", default="Evaluation")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of intervals and tests")
    options = parser.parse_args(arguments)
    try:
        report = write_report(**vars(options))
    except MISTAKES as error:
        print(f"{PROGRAM}: {one_line(error)}", file=sys.stderr)
        return USAGE
    print(f"{len(report.numbers['files'])} files; written to {options.output / NAME}.html, .md and .json")
    return 0


if __name__ == "__main__":
    run_command(PROGRAM, main)
