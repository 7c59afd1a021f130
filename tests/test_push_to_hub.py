"""push_to_hub.py: what would go up, and what must not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from publishing_folder import EVALUATION, metadata, publish, save, write_evaluation
from safetensors.torch import load_file

import xser
from xser import push_to_hub
from xser.publishing.assemble import replace_folder
from xser.publishing.isolation import load_in_isolation
from xser.publishing.problems import PublishError
from xser.publishing.reload import check_answer
from xser.push_to_hub import PublishArguments, parse

ROOT = Path(xser.__file__).parent
TOKEN = "hf_" + "AbCdEfGh" * 4


@pytest.fixture
def saved(tiny_pair, tmp_path):
    """A folder of a tiny model, as training leaves it."""
    return save(tiny_pair, tmp_path / "model")


def test_the_folder_holds_the_weights_the_code_and_the_card_and_nothing_else(saved, tmp_path):
    out = publish(saved, tmp_path / "out")
    names = {path.name for path in out.iterdir()}
    code = {path.name for path in ROOT.glob("*_xser.py")}
    assert len(code) > 5 and code <= names
    assert names - code <= {
        *("config.json", "generation_config.json", "model.safetensors", "processor_config.json", "README.md"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    }
    assert (out / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
    config = json.loads((out / "config.json").read_text())
    assert config["auto_map"]["AutoModelForMultimodalLM"] == "modeling_xser.XSERForEmotionDescription"
    assert config["custom_pipelines"]["audio-emotion-explain"]["impl"] == "pipeline_xser.XSERPipeline"
    assert config["audio_model_id"] is None and config["text_model_id"] is None
    for path in (saved, saved.parent.parent):  # nothing of where things lay on this machine
        assert str(path) not in (out / "config.json").read_text()
    assert json.loads((out / "processor_config.json").read_text())["auto_map"]


@pytest.mark.slow
def test_a_folder_that_does_not_load_is_refused_with_the_reason(saved, tmp_path):
    out = publish(saved, tmp_path / "out")
    (out / "bottleneck_xser.py").unlink()
    with pytest.raises(PublishError, match=r"(?s)does not load by its public names.*bottleneck_xser"):
        load_in_isolation(out)


def test_the_card_is_filled_from_the_evaluation(saved, tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps(EVALUATION))
    stages = [{"data": "espeak, train", "command": "python train.py configs/tiny.yaml", "seed": 7}]
    (saved / "training.yaml").write_text(yaml.safe_dump(stages))
    card = (publish(saved, tmp_path / "out", evaluation=[str(results)]) / "README.md").read_text()
    body, data = card.split("---\n", 2)[2], metadata(tmp_path / "out")
    assert data["license"] == "apache-2.0" and data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "audio-classification" and "base_model" not in data
    (result,) = data["model-index"][0]["results"]
    assert result["dataset"] == {"type": "espeak", "name": "espeak", "split": "test"}
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert values == {"UA": 0.8123, "WA": 0.8, "WER": 0.125, "accuracy of pitch": 0.75}
    assert 'model="someone/xser-test"' in body and EVALUATION["command"] in body
    assert "| pitch, accuracy | 0.750 | 4 |" in body and "configs/tiny.yaml`, seed 7" in body
    assert "synthetic speech alone" in body
    count = sum(tensor.numel() for tensor in load_file(saved / "model.safetensors").values())
    assert f"| parameters | {count:,} |" in body


def test_a_notice_of_whose_data_it_was_travels_with_the_model_and_stands_in_the_card(saved, tmp_path):
    (saved / "NOTICE").write_text("Trained on the recordings of Somebody, CC BY-NC-SA 4.0.\n")
    out = publish(saved, tmp_path / "out", license="cc-by-nc-sa-4.0")
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-nc-sa-4.0\n")
    assert "## Licence and attribution\n\nTrained on the recordings of Somebody, CC BY-NC-SA 4.0.\n" in card
    assert (out / "NOTICE").read_text() == (saved / "NOTICE").read_text()


def test_a_card_without_an_evaluation_claims_nothing(saved, tmp_path):
    card = (publish(saved, tmp_path / "out") / "README.md").read_text()
    assert "model-index" not in card and "## Figures" not in card and "## How it was trained" not in card


@pytest.mark.parametrize("name", ["model.safetensors", "processor_config.json", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(saved, tmp_path, name):
    (saved / name).unlink()
    with pytest.raises(PublishError, match=f"lacks {name}"):
        publish(saved, tmp_path / "out")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "head.pt", "weights.pkl"])
def test_weights_other_than_safetensors_are_refused(saved, tmp_path, name):
    (saved / name).write_bytes(b"")
    with pytest.raises(PublishError, match=f"{name} is not safetensors"):
        publish(saved, tmp_path / "out")


def test_a_thin_model_around_folders_is_refused(tiny_pair, tmp_path):
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "thin", **({"thin": True} if part is tiny_pair[0] else {}))
    with pytest.raises(
        PublishError, match=r"(?s)audio_model_id.*the model is thin and its backbones are folders.*text_model_id"
    ):
        publish(tmp_path / "thin", tmp_path / "out")


@pytest.mark.parametrize("content", ["{}", "[{data: x}]"])
def test_a_training_yaml_of_another_form_is_refused(saved, tmp_path, content):
    (saved / "training.yaml").write_text(content)
    with pytest.raises(PublishError, match=r"training\.yaml must be a list of stages"):
        publish(saved, tmp_path / "out")


def test_an_evaluation_of_another_form_is_refused(saved, tmp_path):
    (tmp_path / "other.json").write_text('{"n": 1}')
    with pytest.raises(PublishError, match=r"other\.json lacks command, corpus"):
        publish(saved, tmp_path / "out", evaluation=[str(tmp_path / "other.json")])


@pytest.mark.slow
def test_a_dry_run_loads_the_model_and_prints_what_would_go_up(saved, tmp_path):
    (saved / "notes.txt").write_text("stays at home")
    options = ["--model", str(saved), "--repo", "someone/xser-test", "--license", "mit", "--dry_run"]
    command = [sys.executable, str(ROOT / "push_to_hub.py"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = "AutoConfig: XSERConfig, AutoModel: XSERForEmotionDescription, "
    loaded += "AutoModelForMultimodalLM: XSERForEmotionDescription, AutoProcessor: XSERProcessor"
    for line in (
        loaded,
        "the pipeline says",
        "model.safetensors",
        "modeling_xser.py",
        "README.md",
        "dry run",
        "not uploaded: notes.txt",
    ):
        assert line in done.stdout


def test_the_assembled_folder_may_be_kept_in_place_of_a_model_but_of_nothing_else(saved, tmp_path):
    out = publish(saved, tmp_path / "out")
    target = tmp_path / "kept"
    replace_folder(out, target)
    (target / "stale.txt").write_text("of the model before")
    replace_folder(out, target)
    assert {path.name for path in target.iterdir()} == {path.name for path in out.iterdir()}
    (tmp_path / "letters").mkdir()
    with pytest.raises(PublishError, match="letters is there already and holds no model"):
        replace_folder(out, tmp_path / "letters")


def test_a_thin_model_without_backbones_is_refused(tiny_pair, tmp_path):
    folder = save(tiny_pair, tmp_path / "thin")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"thin": True, "text_model_id": None}))
    with pytest.raises(PublishError, match=r"text_model_id is None: .*lacks a backbone.*thin=False"):
        publish(folder, tmp_path / "out")


def test_a_full_model_is_published_wherever_its_backbones_lay(tiny_pair, tmp_path, monkeypatch):
    folder = save(tiny_pair, tmp_path / "full")
    config = json.loads((folder / "config.json").read_text())
    ids = {"audio_model_id": "runs/backbones", "text_model_id": "Qwen/Qwen2.5-0.5B-Instruct"}
    (folder / "config.json").write_text(json.dumps(config | ids))
    out = publish(folder, tmp_path / "out")
    published = json.loads((out / "config.json").read_text())
    assert published["audio_model_id"] is None and published["text_model_id"] == "Qwen/Qwen2.5-0.5B-Instruct"
    assert metadata(out)["base_model"] == ["Qwen/Qwen2.5-0.5B-Instruct"]


class Hub:
    """What `HfApi` is asked for, and what it answers."""

    def __init__(self, error=None):
        self.asked, self.error = [], error

    def create_repo(self, repo, **options):
        self.asked.append((repo, options))
        if self.error:
            raise self.error

    def upload_folder(self, repo_id, folder_path, **options):
        self.asked.append(sorted(path.name for path in Path(folder_path).iterdir()))
        return type("Commit", (), {"commit_url": f"https://hub/{repo_id}"})


@pytest.fixture
def online(monkeypatch):
    """A login, a Hub that records, and no second process."""
    hub = Hub()
    monkeypatch.setattr(push_to_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(push_to_hub, "get_token", lambda: TOKEN)
    loaded = {"classes": {}, "answer": {"explanation": "Sounds sad."}}
    monkeypatch.setattr(push_to_hub, "load_in_isolation", lambda folder: loaded)
    return hub


def arguments(saved, **options):
    return PublishArguments(model=str(saved), repo="someone/xser-test", license="mit", **options)


def test_an_upload_takes_the_assembled_folder_and_says_where_it_is(saved, online, capsys):
    push_to_hub.publish(arguments(saved, private=True))
    assert online.asked[0] == ("someone/xser-test", {"private": True, "exist_ok": True})
    assert {"model.safetensors", "README.md", "modeling_xser.py"} <= set(online.asked[1])
    printed = capsys.readouterr().out
    assert "uploaded: https://hub/someone/xser-test" in printed and TOKEN not in printed


@pytest.mark.parametrize("error", [OSError(f"401 for Bearer {TOKEN}\nmore"), ValueError(f"bad {TOKEN}")])
def test_what_the_hub_refuses_is_a_line_without_the_token(saved, online, error):
    online.error = error
    with pytest.raises(PublishError, match="someone/xser-test was not uploaded: ") as caught:
        push_to_hub.publish(arguments(saved))
    assert TOKEN not in str(caught.value) and "\n" not in str(caught.value)


def test_without_a_login_nothing_is_begun(saved, online, monkeypatch):
    monkeypatch.setattr(push_to_hub, "get_token", lambda: None)
    with pytest.raises(PublishError, match="there is no login: run `hf auth login`, set HF_TOKEN"):
        push_to_hub.publish(arguments(saved))
    push_to_hub.publish(arguments(saved, dry_run=True))
    assert online.asked == []


@pytest.mark.parametrize("options", [["--token", TOKEN], [f"--hub_token={TOKEN}"]])
def test_a_token_on_the_command_line_is_refused_and_not_shown(options):
    with pytest.raises(PublishError, match="no token is taken here: log in by `hf auth login`") as caught:
        parse(["--model", "m", "--repo", "a/b", *options])
    assert TOKEN not in str(caught.value)


def test_an_unknown_option_is_refused_with_the_nearest():
    with pytest.raises(PublishError, match="unknown option --licence: did you mean --license"):
        parse(["--model", "m", "--repo", "a/b", "--licence", "mit"])


def test_the_process_that_loads_the_model_gets_no_token(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os; print(json.dumps({'tokens': [v for k, v in os.environ.items() if 'hf_' in v]}))"
    )
    monkeypatch.setattr("xser.publishing.reload.__file__", str(script))
    assert load_in_isolation(tmp_path) == {"tokens": []}
    script.write_text(f"raise RuntimeError('{TOKEN}')")
    with pytest.raises(PublishError, match="does not load") as caught:
        load_in_isolation(tmp_path)
    assert TOKEN not in str(caught.value)


def test_scores_that_are_no_numbers_are_refused():
    check_answer({"status": "ok", "scores": {"sad": 0.25, "angry": 0.75}})
    check_answer({"status": "no_speech", "scores": None})
    for scores in ({"sad": float("nan"), "angry": 0.75}, {"sad": 0.5, "angry": 0.4}):
        with pytest.raises(RuntimeError, match="not to 1"):
            check_answer({"status": "ok", "scores": scores})


@pytest.mark.slow
def test_a_mistake_ends_in_one_line(tmp_path):
    command = [sys.executable, str(ROOT / "push_to_hub.py"), "--model", str(tmp_path / "none"), "--repo", "a/b"]
    done = subprocess.run([*command, "--dry_run"], capture_output=True, text=True)
    assert done.returncode == 2 and "none" in done.stderr and len(done.stderr.splitlines()) == 1


def test_all_that_is_wrong_is_said_at_once(saved, tmp_path):
    (saved / "head.pt").write_bytes(b"")
    (saved / "NOTICE").write_text("Of nEMO, CC BY-NC-SA 4.0, from /home/ann/nemo\n")
    evaluation = write_evaluation(tmp_path / "r.json", ua=float("nan"), corpus=None)
    with pytest.raises(PublishError, match=r"^6 things stand in the way:\n") as caught:
        publish(saved, tmp_path / "out", license="apache-2.0", repo="someone/a.b", evaluation=[evaluation])
    for part in (
        "--repo is 'someone/a.b'",
        "head.pt",
        "--license is 'apache-2.0'",
        "NOTICE, line 1 is '/home/ann/nemo'",
        "r.json: ua is nan",
        "corpus is None",
    ):
        assert part in str(caught.value)
