"""Write every figure into README.md and the pages of docs, from the files in docs/results.

    python -m xser.evaluation.figures [--check]

A page says where: `<!-- figures: NAME -->` … `<!-- /figures -->`. NAME is `summary`, `strangers`, `example`, `index`,
`file` with the names of results files, `part` with one name and the columns and cells that are wanted, or `rest`, for
all files that no page shows; see figure_blocks.py. Any page may have any of them. With `--check` nothing is written,
and the exit status is 1 where a page is out of date.
"""

import re
from pathlib import Path

from xser.commands.entry import CommandParser, run_command
from xser.evaluation.figure_blocks import NOTHING, RENDERERS, WHOLE, Measured
from xser.evaluation.report import read_json

ROOT = Path(__file__).parent.parent
RESULTS = "docs/results"
BLOCK = re.compile(r"(<!-- figures: (\w+)(.*?) ?-->\n).*?(<!-- /figures -->)", re.DOTALL)
REST = "rest"

__all__ = ["NOTHING", "fill", "main", "read_pages", "read_results", "whole_files"]


def fill(page: str, results: dict[str, dict], pages: dict[str, str] | None = None, here: str = "README.md") -> str:
    """The page with all its blocks filled anew.

    Args:
        page: its text.
        results: results files by name.
        pages: all pages by their paths, for links and for what no page shows.
        here: the path of this page.

    Raises:
        ValueError: a block has an unknown name, or names a column or row that is not there.
    """
    measured = Measured(results, *whole_files(pages or {}), here)

    def replace(match: re.Match) -> str:
        if match[2] not in RENDERERS:
            raise ValueError(f"{here}: no figures are called {match[2]!r}; there are {list(RENDERERS)}")
        return f"{match[1]}{RENDERERS[match[2]](measured, match[3])}\n{match[4]}"

    return BLOCK.sub(replace, page)


def read_pages(root: Path) -> dict[str, str]:
    """README.md and the pages of docs that have blocks, by their paths under `root`."""
    paths = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths if path.is_file()}
    return {name: text for name, text in texts.items() if BLOCK.search(text)}


def read_results(folder: Path) -> dict[str, dict]:
    """Results files by name, in the order of their names."""
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def whole_files(pages: dict[str, str]) -> tuple[dict[str, str], str | None]:
    """Which page shows each results file whole (README.md only where no other does), and which shows the rest."""
    page_of, rest = {}, None
    for name, text in sorted(pages.items(), key=lambda page: page[0] == "README.md"):
        for match in BLOCK.finditer(text):
            for file in WHOLE[match[2]](match[3]) if match[2] in WHOLE else ():
                page_of.setdefault(file, name)
            rest = name if match[2] == REST else rest
    return page_of, rest


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is out of date")
    check = parser.parse_args(argv).check
    results, pages, stale = read_results(ROOT / RESULTS), read_pages(ROOT), []
    for name, page in pages.items():
        filled = fill(page, results, pages, name)
        if filled != page:
            stale.append(name)
            if not check:
                (ROOT / name).write_text(filled, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'out of date' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    run_command("python -m xser.evaluation.figures", main)
