"""push_to_hub.py: what would go up, and what must not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

import xser
from xser.push_to_hub import PublishArguments, PublishError, assemble, check_repo, load_as_stranger, replace_folder

ROOT = Path(xser.__file__).parent
EVALUATION = {
    "command": "python eval.py --model model --corpus espeak --output results.json",
    "corpus": "espeak",
    "split": "test",
    "n": 4,
    "left_out": [],
    "ua": 0.81234,
    "ua_interval": [0.7, 0.9],
    "ua_interval_of": "speakers",
    "ua_ceiling": 0.84,
    "ua_bayes": 0.83,
    "wa": 0.8,
    "wer": 0.125,
    "recall": {"angry": 1.0, "sad": 0.62468},
    "descriptors": {"pitch": 0.75},
    "n_of": {"emotion": 4, "text": 4, "pitch": 4, "recall": {"angry": 2, "sad": 2}},
}


@pytest.fixture
def saved(tiny_pair, tmp_path):
    """A folder of a tiny model, as training leaves it."""
    folder = tmp_path / "model"
    for part in tiny_pair:
        part.save_pretrained(folder)
    (folder / "training_args.bin").write_bytes(b"state of the trainer")
    return folder


def publish(saved, out, **options):
    out.mkdir()
    assemble(PublishArguments(model=str(saved), repo="someone/xser-test", **options), out)
    return out


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


def test_a_folder_that_does_not_load_is_refused_with_the_reason(saved, tmp_path):
    out = publish(saved, tmp_path / "out")
    (out / "bottleneck_xser.py").unlink()
    with pytest.raises(PublishError, match=r"(?s)does not load by its public names.*bottleneck_xser"):
        load_as_stranger(out)


def test_the_card_is_filled_from_the_evaluation(saved, tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps(EVALUATION))
    stages = [{"data": "espeak, train", "command": "python train.py configs/tiny.yaml", "seed": 7}]
    (saved / "training.yaml").write_text(yaml.safe_dump(stages))
    card = (publish(saved, tmp_path / "out", evaluation=[str(results)]) / "README.md").read_text()
    _, metadata, body = card.split("---\n", 2)
    metadata = yaml.safe_load(metadata)
    assert metadata["license"] == "apache-2.0" and metadata["library_name"] == "transformers"
    assert metadata["pipeline_tag"] == "audio-classification" and "base_model" not in metadata
    (result,) = metadata["model-index"][0]["results"]
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


@pytest.mark.parametrize("repo", ["xser", "a/b/c", "someone/xser 1", "", "/x"])
def test_a_repo_that_is_no_user_and_name_is_refused(repo):
    with pytest.raises(PublishError, match="USER/NAME"):
        check_repo(repo)


def test_a_repo_with_a_dot_is_refused():
    with pytest.raises(PublishError, match="a name with a dot"):
        check_repo("someone/xser-1.0")


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
    with pytest.raises(PublishError, match="is thin and its backbones are folders"):
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
def test_a_dry_run_loads_the_model_as_a_stranger_and_prints_what_would_go_up(saved, tmp_path):
    command = [sys.executable, str(ROOT / "push_to_hub.py"), "--model", str(saved), "--repo", "someone/xser-test"]
    done = subprocess.run([*command, "--dry_run"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = "AutoConfig: XSERConfig, AutoModel: XSERForEmotionDescription, "
    loaded += "AutoModelForMultimodalLM: XSERForEmotionDescription, AutoProcessor: XSERProcessor"
    for line in (loaded, "the pipeline says", "model.safetensors", "modeling_xser.py", "README.md", "dry run"):
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
