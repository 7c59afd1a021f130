"""README.md is true: its code runs, its commands parse, its links lead somewhere, its figures are those measured."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import soundfile
from conftest import make_wave
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from transformers import HfArgumentParser

import xser
from xser.corpora import load_corpus
from xser.eval import EvalArguments
from xser.evaluation import figures
from xser.evaluation.report import told, without_folders
from xser.push_to_hub import PublishArguments
from xser.training.arguments import parse_config

ROOT = Path(xser.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHIPPED = ROOT / "checkpoints" / "xser-tiny"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [shlex.split(line, comments=True) for block in blocks("bash") for line in block.splitlines() if line]
EXPLAINING = "\n".join(block for block in blocks("python") if "explain(" in block)  # one goes on from the other
CODE = [EXPLAINING, *(block for block in blocks("python") if "import" in block and block not in EXPLAINING)]


@pytest.fixture
def project(tiny_pair, tmp_path, monkeypatch):
    """A folder with a checkpoint, the shipped one where it is there, and a recording, as the working directory."""
    folder = tmp_path / "checkpoints" / "xser-tiny"
    if SHIPPED.is_dir():
        folder.parent.mkdir()
        folder.symlink_to(SHIPPED)
    else:
        for part in tiny_pair:
            part.save_pretrained(folder)
    for name in ("recording", "other1", "other2", "other3"):
        soundfile.write(tmp_path / f"{name}.wav", make_wave(1.0), 16_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", CODE)
def test_the_code_runs(code, project, tiny_backbone_folders, capsys):
    audio, text = tiny_backbone_folders
    code = code.replace("facebook/hubert-base-ls960", str(audio)).replace("Qwen/Qwen2.5-0.5B-Instruct", str(text))
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    if "answer" in names:
        printed = capsys.readouterr().out
        assert names["answer"]["status"] == "ok" and names["answer"]["explanation"] in printed
        assert str(names["answer"]["verification"]["pitch"]) in printed
    else:
        assert names["model"].config.emotions == ["angry", "happy", "sad", "neutral"]


def test_there_is_code_and_there_are_commands():
    assert len(CODE) == 2 and len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_parse(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    if command[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert command[1] in targets
        return
    script = next(index for index, word in enumerate(command) if word.endswith(".py"))
    name, arguments = command[script], command[script + 1 :]
    assert command[:script] in (["python"], ["accelerate", "launch", "--num_processes", "2"])
    assert (ROOT / name).is_file()
    if name == "train.py":
        parse_config([*arguments, "--use_cpu", "true"])  # bf16 is refused where there is no GPU
    elif name == "eval.py":
        HfArgumentParser(EvalArguments).parse_args_into_dataclasses(arguments)
    elif name == "push_to_hub.py":
        HfArgumentParser(PublishArguments).parse_args_into_dataclasses(arguments)
    else:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in arguments if word.startswith("--"))


def test_the_table_of_recordings_loads(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in ("001", "002"):
        soundfile.write(tmp_path / "clips" / f"{name}.wav", make_wave(0.5), 16_000)
    (tmp_path / "metadata.csv").write_text(blocks("csv")[0])
    first, second = load_corpus(tmp_path, cache_dir=tmp_path / "cache")
    assert first["emotion"] == "happy" and first["text"] == "we won the game" and first["speaker"] == "anna"
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
            assert told(measured.get(key)) == measured.get(key), f"{path.name}: {key}"
