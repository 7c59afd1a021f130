"""The demo, the example and the benchmarks run from end to end, on a tiny untrained model and a few utterances."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import soundfile
from conftest import make_wave

import xser
from xser.training.arguments import parse_config

pytest.importorskip("espeakng_loader")
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")  # an untrained model writes any character
ROOT = Path(xser.__file__).parent


def run(script: str, monkeypatch, *arguments, **constants) -> None:
    """Run a script's `main` with `arguments`, some of its constants and functions replaced."""
    path = ROOT / script
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in constants.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    module.main()


@pytest.fixture
def saved(tiny_pair, tmp_path, monkeypatch):
    """The folder of a tiny model; the corpus is kept beside it."""
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "model")
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "model"


@pytest.mark.slow
def test_the_demo_explains_first_then_evaluates_and_fine_tunes(saved, tmp_path, monkeypatch, capsys):
    soundfile.write(tmp_path / "mine.wav", make_wave(0.8), 16_000)
    monkeypatch.setenv("XSER_MODEL", str(saved))
    small = {"NUM_TEST": 6, "NUM_UNSEEN": 6, "fine_tune": lambda model, out: model}
    out = tmp_path / "demo"
    run("examples/demo.py", monkeypatch, "--model", saved, "--out", out, "--audio", tmp_path / "mine.wav", **small)
    shown = capsys.readouterr().out
    assert (out / "mine.png").stat().st_size > 10_000
    parts = ["1/3  An explanation", "mine.wav", "mine.png", "2/3  Evaluation on 6", "3/3", "unseen, before", "minutes"]
    assert [part for part in parts if part not in shown] == []
    assert sorted(parts, key=shown.index) == parts
    run("examples/demo.py", monkeypatch, "--model", saved, "--out", out, **small)
    shown = capsys.readouterr().out
    assert shown.index("labels: emotion ") < shown.index("2/3") and (out / "explanation.png").is_file()


def test_the_demo_refuses_a_recording_that_is_not_there_before_it_evaluates(saved, monkeypatch, capsys):
    monkeypatch.setenv("XSER_MODEL", str(saved))
    with pytest.raises(ValueError, match=r"nowhere\.wav does not exist"):
        run("examples/demo.py", monkeypatch, "--model", saved, "--audio", "nowhere.wav")
    assert "2/3" not in capsys.readouterr().out


def test_the_fine_tuning_of_the_demo_is_a_config_that_parses():
    model, data, training = parse_config(
        [str(ROOT / "configs" / "demo-finetune.yaml"), "--model", "elsewhere", "--output_dir", "out"]
    )
    assert model.model == "elsewhere" and training.output_dir == "out"
    assert data.data == "espeak" and data.train_split == "adapt" and training.max_minutes < 2


def test_the_example_explains_and_draws_and_writes(saved, tmp_path, monkeypatch, capsys):
    output, picture = tmp_path / "answer.json", tmp_path / "picture.png"
    run("examples/explain.py", monkeypatch, "--model", saved, "--output", output, "--picture", picture)
    written = json.loads(output.read_text())
    assert written["truth"]["emotion"] and written["answer"]["emotion"] in written["answer"]["scores"]
    assert written["command"].startswith("python examples/explain.py") and picture.stat().st_size > 10_000
    assert json.dumps(written["answer"]["transcript"], ensure_ascii=False) in capsys.readouterr().out


@pytest.mark.slow
def test_batch_invariance_is_measured(saved, tmp_path, monkeypatch):
    output = tmp_path / "measured.json"
    run("benchmarks/batch_invariance.py", monkeypatch, "--model", saved, "--batches", 1, "--output", output)
    rows = json.loads(output.read_text())["rows"]
    assert len(rows) == 3 and all(float(difference) <= 1e-4 for _, _, difference, _ in rows)


def test_the_cost_of_the_forward_pass_is_measured(saved, tmp_path, monkeypatch):
    output = tmp_path / "measured.json"
    options = ("--batch_size", 2, "--repeats", 3)
    run("benchmarks/forward_cost.py", monkeypatch, "--model", saved, "--output", output, *options)
    rows = json.loads(output.read_text())["rows"]
    assert [row[0] for row in rows] == ["asr", "describe"] and all(float(row[-1]) > 0 for row in rows)
