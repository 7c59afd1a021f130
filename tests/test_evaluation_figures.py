"""Figures in pages come from results files."""

import json
from pathlib import Path

import pytest

import xser
from xser.evaluation import figures

EVALUATION = {
    "command": "python eval.py --model checkpoints/xser-tiny",
    "model": "checkpoints/xser-tiny",
    "corpus": "espeak",
    "split": "test",
    "n": 10,
    "ua": 0.8,
    "ua_interval": [0.7, 0.9],
    "ua_interval_of": "speakers",
    "ua_ceiling": 0.85,
    "ua_bayes": 0.84,
    "wa": 0.81,
    "wer": 0.1,
    "recall": {"sad": 0.8},
    "descriptors": {"pitch": 0.75},
    "n_of": {"emotion": 10, "text": 9, "pitch": 8, "recall": {"sad": 10}},
    "left_out": [{"id": "x", "reason": "y"}],
}
BENCHMARK = {"title": "A measure", "command": "python b.py", "columns": ["a", "b"], "rows": [["1", "2"]]}
EXPLANATION = {"command": "python e.py", "answer": {"emotion": "sad", "scores": {"sad": 0.91239, "angry": 0.08761}}}
PAGE = "above\n<!-- figures: {} -->\nold\n<!-- /figures -->\nbelow\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with results and pages."""
    (tmp_path / "docs" / "results").mkdir(parents=True)
    for name, measured in {"espeak-test": EVALUATION, "speed": BENCHMARK, "explanation": EXPLANATION}.items():
        (tmp_path / "docs" / "results" / f"{name}.json").write_text(json.dumps(measured))
    (tmp_path / "README.md").write_text(PAGE.format("summary") + PAGE.format("example"))
    (tmp_path / "docs" / "results.md").write_text(PAGE.format("part espeak-test\nfigure: words, WER\n"))
    (tmp_path / "docs" / "results" / "README.md").write_text(PAGE.format("index"))
    (tmp_path / "docs" / "results" / "tiny.md").write_text(PAGE.format("file espeak-test explanation"))
    (tmp_path / "docs" / "results" / "others.md").write_text(PAGE.format("rest"))
    (tmp_path / "docs" / "voices.md").write_text("nothing measured here")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    return tmp_path


def test_pages_are_written_from_the_results_and_then_up_to_date(root):
    assert figures.main(["--check"]) == 1
    assert figures.main([]) == 0
    assert figures.main(["--check"]) == 0
    readme, tiny = (root / "README.md").read_text(), (root / "docs" / "results" / "tiny.md").read_text()
    assert readme.startswith("above\n") and readme.endswith("below\n") and "old" not in readme
    assert "| emotion, UA | 0.800 (95% interval 0.700 to 0.900, over speakers) |" in readme
    assert "| utterances | 10 |" in readme and "'sad': 0.912" in readme
    assert "## xser-tiny on espeak, test" in tiny and "| words, WER | 0.100 | 9 |" in tiny
    assert "1 recordings were left out" in tiny and "'sad': 0.912" in tiny
    assert (root / "docs" / "voices.md").read_text() == "nothing measured here"


def test_a_part_has_the_rows_that_are_named_the_command_and_a_link_to_the_whole(root):
    figures.main([])
    results = (root / "docs" / "results.md").read_text()
    assert "| words, WER | 0.100 | 9 |" in results and "emotion" not in results
    assert f"`{EVALUATION['command']}`; all of it: [tiny.md](results/tiny.md)" in results


def test_the_index_names_every_file_with_its_page_and_its_command(root):
    figures.main([])
    index = (root / "docs" / "results" / "README.md").read_text()
    command = f"`{EVALUATION['command']}`"
    for line in (
        f"| [espeak-test.json](espeak-test.json) | [tiny.md](tiny.md) | xser-tiny on espeak, test | {command} |",
        "| [speed.json](speed.json) | [others.md](others.md) | A measure | `python b.py` |",
        "| [explanation.json](explanation.json) | [tiny.md](tiny.md) |",
    ):
        assert line in index


def test_what_no_page_names_stands_with_the_rest(root):
    figures.main([])
    others = (root / "docs" / "results" / "others.md").read_text()
    assert "| 1 | 2 |" in others and "`python b.py`" in others and "espeak" not in others
    (root / "docs" / "results" / "speed.md").write_text(PAGE.format("file speed"))
    figures.main([])
    assert "| 1 | 2 |" not in (root / "docs" / "results" / "others.md").read_text()
    assert "| 1 | 2 |" in (root / "docs" / "results" / "speed.md").read_text()


@pytest.mark.parametrize("readme", ["# No figures\n", PAGE.format("example")])
def test_a_page_may_have_some_of_the_blocks_or_none(root, readme):
    (root / "README.md").write_text(readme)
    figures.main([])
    assert figures.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("part speed\ncolumns: a; c\n", r"part speed: no columns \['c'\]; there are \['a', 'b'\]"),
        ("part speed\na: 1; 7\n", r"part speed: a has no \['7'\]; there are \['1'\]"),
    ],
)
def test_a_column_or_cell_that_is_not_there_is_refused(block, says):
    with pytest.raises(ValueError, match=says):
        figures.fill(PAGE.format(block), {"speed": BENCHMARK})


SYSTEMS = {
    "title": "Systems",
    "command": "xser systems",
    "tables": [
        BENCHMARK | {"title": "Table 1: words"},
        {"title": "Table 2: UA", "columns": ["row"], "rows": [["full"]]},
    ],
    "notes": ["In percent."],
}


def test_a_file_of_several_tables_is_shown_whole_with_its_notes():
    page = figures.fill(PAGE.format("file systems"), {"systems": SYSTEMS})
    for line in ("## Systems", "### Table 1: words", "| 1 | 2 |", "### Table 2: UA", "| full |", "- In percent."):
        assert f"\n{line}\n" in page


def test_a_part_of_several_tables_is_of_the_one_that_is_named():
    page = figures.fill(PAGE.format("part systems\ntable: Table 2\n"), {"systems": SYSTEMS})
    assert "Systems. Table 2: UA:\n\n| row |" in page and "| 1 | 2 |" not in page
    for line in ("", "table: Table\n", "table: Table 3\n"):
        with pytest.raises(ValueError, match=r"part systems: table is .*; it must begin one of .*'Table 1: words'"):
            figures.fill(PAGE.format(f"part systems\n{line}"), {"systems": SYSTEMS})


def test_a_changed_figure_makes_a_page_stale(root):
    figures.main([])
    changed = EVALUATION | {"wa": 0.5}
    (root / "docs" / "results" / "espeak-test.json").write_text(json.dumps(changed))
    assert figures.main(["--check"]) == 1


def test_without_results_a_page_says_so(root):
    for path in (root / "docs" / "results").glob("*.json"):
        path.unlink()
    figures.main([])
    assert (root / "README.md").read_text().count(figures.NOTHING) == 2


def test_strangers_are_told_with_what_they_are_held_against_and_nothing_else():
    columns = ["system", "WER", "reference", "UA, mean of folds", "held against", "difference", "mcnemar"]
    rows = [["SVM", "–", "none", "0.3", "–", "–", "–"], ["XSER", "1.0", "none", "0.5", "SVM", "+0.2", "0.01"]]
    filled = figures.fill(PAGE.format("strangers"), {"nemo-folds": {"columns": columns, "rows": rows}})
    assert "| SVM | 0.3 | – | – |\n| XSER | 0.5 | SVM | +0.2 |\n" in filled
    assert "WER" not in filled and "0.01" not in filled
    assert figures.NOTHING in figures.fill(PAGE.format("strangers"), {})


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match="no figures are called 'other'"):
        figures.fill(PAGE.format("other"), {})


ROOT = Path(xser.__file__).parent


def test_the_results_are_short():
    assert len((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split()) <= 4500


def test_every_results_file_is_shown_whole_on_a_page_and_stands_in_the_index():
    pages, results = figures.read_pages(ROOT), figures.read_results(ROOT / "docs" / "results")
    page_of, rest = figures.whole_files(pages)
    assert set(page_of) <= set(results), "a page names a file that is not there"
    index = pages["docs/results/README.md"]
    for name, measured in results.items():
        page = pages[page_of.get(name, rest)]
        assert f"`{measured['command']}` ({name}.json)" in page, name
        assert f"| [{name}.json]({name}.json) |" in index, name
