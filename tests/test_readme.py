"""README.md is true: its code and its commands run, its links lead somewhere, its figures are those measured."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import soundfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import xser
from xser.__main__ import main as xser_command
from xser.audio_xser import load_audio
from xser.corpora import load_corpus
from xser.evaluation import figures
from xser.evaluation.report import without_folders, without_place
from xser.training.arguments import parse_config

ROOT = Path(xser.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [shlex.split(line, comments=True) for block in blocks("bash") for line in block.splitlines() if line]
CODE = "\n".join(block for block in blocks("python") if "import" in block)
RECORDINGS = sorted((ROOT / "tests" / "data").glob("*.ogg"))
MOST_WORDS = 1_000
SMALL_RUN = ["--max_steps", "2", "--heads_first", "1", "--use_cpu", "true", "--bf16", "false"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the checkpoints, the configs, and recordings of the names that README.md uses."""
    for name in ("checkpoints", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    names = ["recording", "new", "anna1", "anna2", "anna3", *(f"recordings/{index}" for index in range(2))]
    for index, name in enumerate(names):
        wave = load_audio(RECORDINGS[index % len(RECORDINGS)])
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", wave, 16_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write_table(folder: Path, rows: int) -> None:
    """README's table with more rows of its kind, and their recordings."""
    header, *given = blocks("csv")[0].strip().splitlines()
    (folder / "clips").mkdir(parents=True)
    lines = [header]
    for index in range(rows):
        cells = given[index % len(given)].split(",")
        cells[0], cells[-1] = f"clips/{index:03}.wav", f"{cells[-1]}{index % 4 // 2}"
        soundfile.write(folder / cells[0], load_audio(RECORDINGS[index % len(RECORDINGS)]), 16_000)
        lines.append(",".join(cells))
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def test_the_code_runs(project, capsys):
    names = {}
    exec(compile(CODE, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert names["answer"]["status"] == "ok" and names["answer"]["explanation"] in printed
    assert str(names["answer"]["verification"]["pitch"]) in printed


@pytest.mark.slow
def test_the_commands_run_one_after_the_other(project, tiny_backbone_folders):
    """Every line of the bash blocks, in README's order: at tiny size where it builds a model, with few steps."""
    audio, text = map(str, tiny_backbone_folders)
    write_table(project / "my_recordings", rows=12)
    done = []
    for command in COMMANDS:
        name, *arguments = command
        if name == "make":
            assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif name == "source":
            assert arguments == [".venv/bin/activate"]  # what `make install` makes
        elif name == "accelerate":  # two processes are tested with train.py; here, that the options are right
            assert arguments[:4] == ["launch", "--num_processes", "2", "train.py"]
            parse_config([*arguments[4:], "--use_cpu", "true", "--bf16", "false"])
        else:
            assert name == "xser"
            if arguments[0] == "train":
                arguments += SMALL_RUN
                if "--text_model" in arguments:
                    arguments[arguments.index("--text_model") + 1] = text
                    arguments = [*arguments[:-2], "--bf16", "false", "--heads_first", "0", "--audio_model", audio]
                    arguments += ["--load_options", "{}"]
            if arguments[0] == "compare":
                write_baseline(project / "mine.jsonl", project / "baseline.csv")
            with pytest.raises(SystemExit) as ended:
                xser_command(arguments)
            assert ended.value.code == 0, command
            done.append(arguments[0])
    assert set(done) == {"explain", "train", "evaluate", "compare", "publish"}
    assert json.loads((project / "runs/two-emotions/final/config.json").read_text())["emotions"] == ["happy", "sad"]
    assert "CC BY-NC-SA 4.0" in (project / "runs/mine/final/NOTICE").read_text(encoding="utf-8")
    assert "parent:" in (project / "runs/mine/final/training.yaml").read_text(encoding="utf-8")
    publish = ["publish", "--model", "runs/mine/final", "--repo", "USER/NAME", "--dry_run"]
    with pytest.raises(SystemExit) as ended:  # the terms of nEMO follow through fine-tuning
        xser_command([*publish, "--license", "apache-2.0"])
    assert ended.value.code == 2
    answers = (project / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert len(answers) == 3 and answers[0].startswith("file,status,emotion,")


def write_baseline(predictions: Path, path: Path) -> None:
    """A CSV of another system that predicts one emotion always."""
    ids = [json.loads(line)["id"] for line in predictions.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(["id,emotion", *(f"{name},happy" for name in ids)]) + "\n", encoding="utf-8")


def test_the_readme_is_short():
    assert len(README.split()) <= MOST_WORDS


def test_the_table_of_recordings_loads(tmp_path):
    write_table(tmp_path / "my_recordings", rows=2)
    first, second = load_corpus(tmp_path / "my_recordings", cache_dir=tmp_path / "cache")
    assert first["emotion"] == "happy" and first["text"] == "we won the game" and first["speaker"] == "anna0"
    assert second["descriptors"]["pitch"] is None and second["descriptors"]["volume"] == "quiet"


PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links or page != "README.md"
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_every_path_of_the_layout_is_there():
    layout = README.split("## Layout")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", layout, re.MULTILINE)
    paths = [path for cell in first_cells for path in re.findall(r"`(.*?)`", cell)]
    assert len(paths) > 10
    assert [path for path in paths if not list(ROOT.glob(path))] == []


def test_every_figure_is_the_one_measured():
    assert figures.main(["--check"]) == 0, "run: make figures"


def test_the_citation_of_the_card_is_that_of_the_readme():
    card = (ROOT / "model_card" / "template.md.jinja").read_text(encoding="utf-8")
    assert blocks("bibtex")[0] in card


def test_every_dependency_is_pinned_within_its_range():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    assert pins["torch"] == pins["torchaudio"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert "make test" in script.read_text() and script.stat().st_mode & 0o111
    assert ["make", "test"] in COMMANDS


def test_no_published_result_tells_where_files_lay_on_a_machine():
    for path in sorted((ROOT / "docs" / "results").glob("*.json")):
        measured = json.loads(path.read_text(encoding="utf-8"))
        assert without_folders(measured["command"]) == measured["command"], path.name
        for key in ("model", "corpus", "predictions"):
            assert without_place(measured.get(key)) == measured.get(key), f"{path.name}: {key}"
