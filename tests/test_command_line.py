"""`xser COMMAND`: one door to every command, readable answers, exact exit codes, one line for a mistake."""

import csv
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import soundfile
from conftest import make_wave

import xser
from xser import __main__ as door
from xser.commands import entry
from xser.commands.models import find_model
from xser.commands.recordings import named_recordings
from xser.explain import main as explain

ROOT = Path(xser.__file__).parent
COMMANDS = ["explain", "measure", "check", "prepare", "annotate", "leakage", "train", "pretrain", "evaluate"]
COMMANDS += ["score", "compare", "bias", "protocol", "systems", "backbones", "publish"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny_backbone_folders):
    """The folder of a tiny model, and two recordings beside it."""
    import torch

    torch.manual_seed(0)
    from conftest import SMALL

    folder = tmp_path_factory.mktemp("command-line")
    for part in xser.XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL):
        part.save_pretrained(folder / "model")
    for index in range(2):
        soundfile.write(folder / f"{index}.wav", make_wave(0.6, seed=index), 16_000)
    (folder / "bad.wav").write_bytes(b"no audio at all")
    return folder


def python(*arguments, cwd, env=None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, env=env, timeout=300
    )


# ------------------------------------------------------------------ the door


def test_every_command_has_a_module_whose_main_takes_a_command_line():
    assert list(door.COMMANDS) == COMMANDS
    for name in COMMANDS:
        module = door.COMMANDS[name][0].replace(".", "/")
        source = (ROOT / f"{module}.py").read_text(encoding="utf-8")
        main = re.search(r"^def main\(arg\w*: (list\[str\]|Sequence\[str\]) \| None = None\)", source, re.MULTILINE)
        assert main, name


def test_help_lists_every_command_and_imports_neither_torch_nor_transformers(tmp_path):
    code = "import sys; sys.argv = ['xser', '--help']; from xser.__main__ import main; main()\n"
    code += "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules), 'too much is imported'"
    done = python("-c", f"import sys; sys.argv = ['xser']\n{code}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in COMMANDS)


def test_commands_that_load_models_know_the_auto_classes(tmp_path):
    """A checkpoint of this package loads by them without a question about its code."""
    code = "import sys; sys.argv = ['xser']; from xser import __main__ as door, train\n"
    code += "from transformers.models.auto.configuration_auto import CONFIG_MAPPING\n"
    code += "train.main = lambda argv: print('xser' in CONFIG_MAPPING)\n"
    code += "assert 'xser' not in CONFIG_MAPPING; door.main(['train', 'x.yaml'])"
    done = python("-c", f"import sys; sys.argv = ['xser']\n{code}", cwd=tmp_path)
    assert done.stdout.strip() == "True", done.stderr


def test_an_unknown_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        door.main(["explian"])
    assert ended.value.code == 2 and "'explian' is no command; the nearest is 'explain'" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("train", "pretrain")])
def test_every_command_refuses_an_unknown_option_and_names_the_nearest(name, capsys):
    needed = {"prepare": ["espeak", "--out", "x"], "protocol": ["aggregate", "--output", "x"]}
    needed |= {"systems": ["--output", "x", "--tables"], "backbones": []}
    needed |= {"explain": ["a.wav"], "measure": ["a.wav"], "check": ["a.wav"], "annotate": ["x"]}
    needed |= {"leakage": ["a", "b"], "score": ["a"], "compare": ["a"], "bias": ["a"]}
    needed |= {"evaluate": ["--model", "m", "--output", "o"], "publish": ["--model", "m", "--repo", "a/b"]}
    with pytest.raises(SystemExit) as ended:
        door.main([name, *needed[name], "--wrokers", "3"])
    shown = capsys.readouterr().err
    assert (
        ended.value.code == (1 if name in ("protocol", "systems") else 2)
        and "--wrokers" in shown
        and "Traceback" not in shown
    )


def test_options_are_taken_by_their_whole_names(capsys):
    with pytest.raises(SystemExit) as ended:
        explain(["a.wav", "--refernce", "b.wav"])
    assert (
        ended.value.code == 2 and "--refernce is unknown; the nearest option is --reference" in capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        explain(["a.wav", "--verif"])


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    "error", [ValueError("a\n  b"), FileNotFoundError("a b"), ImportError("a b"), TypeError("a b")]
)
def test_a_mistake_is_one_line_without_a_traceback(error, capsys, monkeypatch):
    def command():
        raise error

    with pytest.raises(SystemExit) as ended:
        entry.run_command("xser any", command)
    assert ended.value.code == 2 and capsys.readouterr().err == "xser any: a b\n"
    monkeypatch.setenv("XSER_TRACEBACK", "1")
    with pytest.raises(type(error)):
        entry.run_command("xser any", command)


def test_a_fault_of_the_package_keeps_its_traceback_and_ctrl_c_has_its_own_code(capsys):
    with pytest.raises(ZeroDivisionError):
        entry.run_command("xser any", lambda: 1 / 0)

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        entry.run_command("xser any", stopped)
    assert ended.value.code == 130
    with pytest.raises(SystemExit) as ended:
        entry.run_command("xser any", lambda: {"ua": 0.5})
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("train.py", ["nowhere.yaml"], "nowhere.yaml"),
        ("pretrain_tower.py", ["nowhere.yaml"], "nowhere.yaml"),
        ("examples/explain.py", ["--audio", "nowhere.wav", "--model", "no/such/model"], "no/such/model"),
        ("examples/demo.py", ["--model", "no/such/model"], "no/such/model"),
        ("eval.py", ["--model", "no/such/model", "--output", "x.json"], "no/such/model"),
        ("push_to_hub.py", ["--model", "no/such/model", "--repo", "a/b", "--dry_run"], "no/such/model"),
    ],
)
def test_every_script_ends_a_mistake_in_one_line(script, arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    lines = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and "Traceback" not in "".join(lines) and said in lines[-1]


# ------------------------------------------------------------------ which model


def test_the_model_is_the_one_given_else_the_environments_else_the_shipped_one(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    monkeypatch.delenv("XSER_MODEL", raising=False)
    found = "xser.commands.models.missing_backbones"
    for name, missing in (("xser-base", []), ("xser-nemo", ["openai/whisper-base"])):
        monkeypatch.setattr(found, lambda config, missing=missing: missing if config.get("thin") else [])
        assert Path(find_model()).samefile(ROOT / "checkpoints" / name)
    monkeypatch.setenv("XSER_MODEL", str(tmp_path / "mine"))
    assert find_model() == str(tmp_path / "mine")
    assert find_model("owner/name") == "owner/name"
    for given, said in (
        (tmp_path, "holds no config.json"),
        ("no/such/model", "is no folder"),
        ("./x", "is no folder"),
    ):
        with pytest.raises(ValueError, match=f"--model {re.escape(str(given))} {said}"):
            find_model(str(given))


def test_a_device_that_is_not_there_is_refused(saved):
    with pytest.raises(ValueError, match=r"--device is 'cuda:7'; this machine has \['cpu'"):
        explain([str(saved / "0.wav"), "--model", str(saved / "model"), "--device", "cuda:7"])


# ------------------------------------------------------------------ which recordings


def test_folders_stand_for_their_recordings_and_a_dash_for_the_lines_of_standard_input(saved, tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.WAV", "deep/a.flac", ".hidden.wav", "notes.txt"):
        (tmp_path / name).touch()
    names = [str(tmp_path / "b.WAV"), str(tmp_path / "deep" / "a.flac")]
    assert named_recordings([str(tmp_path)]) == names
    assert named_recordings(["x.wav", "-"], io.StringIO("a b.wav\n\n  c.wav \n")) == ["x.wav", "a b.wav", "c.wav"]
    assert named_recordings(["-"], io.StringIO("a\nb.wav\0c.wav\0")) == ["a\nb.wav", "c.wav"]
    (tmp_path / "empty").mkdir()
    for given, said in (
        ([str(tmp_path / "empty")], "holds no recording"),
        (["-", "-"], "2 times"),
        (["-"], "no reco"),
    ):
        with pytest.raises(ValueError, match=said):
            named_recordings(given, io.StringIO(""))


# ------------------------------------------------------------------ answers


def test_a_person_reads_the_emotion_every_score_and_each_verdict(saved, capsys):
    assert explain([str(saved / "0.wav"), "--model", str(saved / "model")]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{saved / '0.wav'}\n  Sounds ") and "model: model" in shown.err
    assert len(re.findall(r"^  \w+ +\d+%", shown.out, re.MULTILINE)) == 6
    assert re.search(r"^  pitch +\w+ +[✓✗?] (agree|contradict|can't tell): ", shown.out, re.MULTILINE)


def test_without_verify_no_verdict_is_given(saved, capsys):
    explain([str(saved / "0.wav"), "--model", str(saved / "model"), "--no-verify", "--json"])
    assert "verification" not in json.loads(capsys.readouterr().out)


def test_json_is_an_object_for_one_recording_and_an_array_for_more(saved, capsys):
    model = ["--model", str(saved / "model"), "--json"]
    assert explain([str(saved / "0.wav"), *model]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["file"] == str(saved / "0.wav") and set(one["verification"]) == set(one["descriptors"])
    assert explain([str(saved / "0.wav"), str(saved / "1.wav"), *model]) == 0
    many = json.loads(capsys.readouterr().out)
    assert [answer["file"] for answer in many] == [str(saved / "0.wav"), str(saved / "1.wav")]
    assert many[0]["emotion"] == one["emotion"]
    assert many[0]["scores"] == pytest.approx(one["scores"], abs=1e-5)


def test_a_bad_file_is_named_and_costs_no_other(saved, capsys):
    paths = [str(saved / name) for name in ("0.wav", "bad.wav", "nowhere.wav", "1.wav")]
    assert explain([*paths, "--model", str(saved / "model"), "--jsonl"]) == 1
    shown = capsys.readouterr()
    answers = [json.loads(line) for line in shown.out.splitlines()]
    assert [answer["status"] for answer in answers] == ["ok", "error", "error", "ok"]
    assert [answer["file"] for answer in answers] == paths
    assert f"xser explain: {paths[1]}" in shown.err and f"xser explain: {paths[2]} does not exist" in shown.err


def test_csv_is_a_row_a_recording_and_appears_whole(saved, tmp_path, capsys):
    output = tmp_path / "deep" / "answers.csv"
    paths = [str(saved / name) for name in ("0.wav", "bad.wav")]
    assert explain([*paths, "--model", str(saved / "model"), "--output", str(output)]) == 1
    good, bad = csv.DictReader(output.open(encoding="utf-8"))
    assert good["file"] == paths[0] and good["status"] == "ok" and good["pitch_verdict"]
    assert sum(float(good[f"score_{name}"]) for name in ("angry", "happy", "sad", "neutral", "fearful", "surprised"))
    assert bad["status"] == "error" and paths[1] in bad["error"] and bad["emotion"] == ""
    assert [path.name for path in output.parent.iterdir()] == ["answers.csv"]
    assert capsys.readouterr().out == ""


def test_options_for_one_recording_are_refused_for_more(saved):
    for option in (["--transcript", "no"], ["--picture", "x.png"]):
        with pytest.raises(ValueError, match=f"{option[0]} is for one recording, and 2 are given"):
            explain(["a.wav", "b.wav", "--model", str(saved / "model"), *option])
    with pytest.raises(ValueError, match="is a folder: give a file"):
        explain(["a.wav", "--model", str(saved / "model"), "--output", str(saved)])


def test_the_picture_is_drawn(saved, tmp_path):
    picture = tmp_path / "answer.png"
    explain([str(saved / "0.wav"), "--model", str(saved / "model"), "--picture", str(picture)])
    assert picture.stat().st_size > 10_000


def test_the_users_transcript_is_the_answers(saved, capsys):
    command = [str(saved / "0.wav"), "--model", str(saved / "model"), "--json", "--transcript", "we won the game"]
    assert explain(command) == 0
    assert json.loads(capsys.readouterr().out)["transcript"] == "we won the game"


# ------------------------------------------------------------------ a wheel


@pytest.mark.slow
def test_a_built_wheel_explains_outside_the_checkout(saved, tmp_path):
    wheels, place, source = (tmp_path / name for name in ("wheels", "place", "source"))
    place.mkdir()
    passed_over = shutil.ignore_patterns(".*", "checkpoints", "runs", "data", "demo", "build", "tests", "__pycache__")
    shutil.copytree(ROOT, source, ignore=passed_over)  # building leaves files in the place that is built
    offline = ("--quiet", "--no-deps", "--no-build-isolation")
    built = python("-m", "pip", "wheel", *offline, "--wheel-dir", wheels, source, cwd=place)
    assert built.returncode == 0, built.stderr
    assert python("-m", "venv", "--without-pip", place / "env", cwd=place).returncode == 0
    own = place / "env" / "bin" / "python"
    packages = next((place / "env" / "lib").glob("python*")) / "site-packages"
    assert python("-m", "zipfile", "-e", next(wheels.glob("*.whl")), packages, cwd=place).returncode == 0
    dependencies = next(path for path in map(Path, sys.path) if (path / "transformers").is_dir())
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")

    def explained(*options):
        command = [own, "-m", "xser", "explain", saved / "0.wav", *options]
        return subprocess.run([*map(str, command)], cwd=place, capture_output=True, text=True, timeout=300)

    without = explained()
    assert without.returncode == 2 and without.stdout == ""
    assert without.stderr.startswith("xser explain: no model is found here: give --model FOLDER")
    assert len(without.stderr.splitlines()) == 1
    answer = explained("--model", saved / "model", "--json")
    assert answer.returncode == 0 and json.loads(answer.stdout)["status"] == "ok", answer.stderr
    code = "from xser.training.options import read_yaml; print(read_yaml('configs/finetune.yaml')['model'])\n"
    code += "from xser.training.metrics import metric; print(metric('word_error_rate').name)"
    inside = subprocess.run([str(own), "-c", code], cwd=place, capture_output=True, text=True, timeout=300)
    assert inside.stdout.split() == ["checkpoints/xser-nemo", "word_error_rate"], inside.stderr


def test_the_wheel_holds_every_package():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    files = [Path(name) for name in files] or [path.relative_to(ROOT) for path in ROOT.rglob("*.py")]
    outside = {"tests", "benchmarks", "examples", "checkpoints", ".venv", "build"}
    folders = {path.parent for path in files if path.parts[0] not in outside and "metrics" not in path.parts}
    assert sorted(tools["packages"]) == sorted(".".join(("xser", *folder.parts)) for folder in folders)
