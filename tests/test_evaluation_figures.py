"""Figures in pages come from results files."""

import json

import pytest

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
    (tmp_path / "docs" / "results.md").write_text(PAGE.format("all"))
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    return tmp_path


def test_pages_are_written_from_the_results_and_then_up_to_date(root):
    assert figures.main(["--check"]) == 1
    assert figures.main([]) == 0
    assert figures.main(["--check"]) == 0
    readme, results = (root / "README.md").read_text(), (root / "docs" / "results.md").read_text()
    assert readme.startswith("above\n") and readme.endswith("below\n") and "old" not in readme
    assert "| emotion, UA | 0.800 (95% interval 0.700 to 0.900, over speakers) |" in readme
    assert "| utterances | 10 |" in readme and "'sad': 0.912" in readme
    assert "## xser-tiny on espeak, test" in results and "| words, WER | 0.100 | 9 |" in results
    assert "1 recordings were left out" in results and "| 1 | 2 |" in results and "`python b.py`" in results


def test_a_changed_figure_makes_a_page_stale(root):
    figures.main([])
    changed = EVALUATION | {"wa": 0.5}
    (root / "docs" / "results" / "espeak-test.json").write_text(json.dumps(changed))
    assert figures.main(["--check"]) == 1


def test_without_results_a_page_says_so(root):
    for path in (root / "docs" / "results").iterdir():
        path.unlink()
    figures.main([])
    assert (root / "README.md").read_text().count(figures.NOTHING) == 2


def test_strangers_are_told_with_what_they_are_held_against_and_nothing_else():
    columns = ["system", "WER", "reference", "UA, mean of folds", "held against", "difference", "mcnemar"]
    rows = [["SVM", "–", "none", "0.3", "–", "–", "–"], ["XSER", "1.0", "none", "0.5", "SVM", "+0.2", "0.01"]]
    filled = figures.fill(PAGE.format("strangers"), {"nemo-folds": {"columns": columns, "rows": rows}})
    assert "| SVM | none | 0.3 | – | – |\n| XSER | none | 0.5 | SVM | +0.2 |\n" in filled
    assert "WER" not in filled and "0.01" not in filled
    assert figures.NOTHING in figures.fill(PAGE.format("strangers"), {})


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match="no figures are called 'other'"):
        figures.fill(PAGE.format("other"), {})
