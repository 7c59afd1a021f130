"""Which model is used where none is named: xser-base where its backbones are here, else the embedded one."""

import json
import shutil

import pytest

from xser.commands import models
from xser.commands.at_hand import missing_backbones
from xser.commands.models import about, choose_model
from xser.explain import main as explain

AUDIO, TEXT = "openai/whisper-base", "HuggingFaceTB/SmolLM2-135M-Instruct"
THIN = {"thin": True, "audio_model_id": AUDIO, "text_model_id": TEXT, "trained_on": ["nemo", "ravdess"]}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with both shipped models; no backbones, and no package beside them."""
    for name, config in (("xser-base", THIN), ("xser-nemo", {})):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "__file__", str(tmp_path / "elsewhere" / "commands" / "models.py"))
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    for name in ("XSER_BACKBONES", "XSER_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def put_backbones(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text("{}")


def test_xser_base_is_used_where_both_backbones_are_found(place, monkeypatch):
    put_backbones(place / "cache" / "backbones", "whisper-base", "smollm2-135m-instruct")
    chosen = choose_model()
    assert chosen.model == str(place / "checkpoints" / "xser-base") and chosen.note is None
    assert str(chosen) == f"xser-base (trained on nemo, ravdess; on {AUDIO} and {TEXT})"


def test_the_embedded_model_is_used_where_one_is_missing_and_the_line_says_why(place, monkeypatch):
    put_backbones(place / "mine", "whisper-base")
    monkeypatch.setenv("XSER_BACKBONES", str(place / "mine"))
    chosen = choose_model()
    assert chosen.model == str(place / "checkpoints" / "xser-nemo")
    assert str(chosen) == (
        "xser-nemo (trained on six actors who speak Polish; CC BY-NC-SA 4.0); "
        f"xser-base is not used: {TEXT} not found, get them by xser backbones"
    )


def test_the_hubs_cache_counts_and_half_a_model_in_it_does_not(place, monkeypatch):
    cached = {(AUDIO, "config.json"), (AUDIO, "model.safetensors"), (TEXT, "config.json")}
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda name, file: file if (name, file) in cached else None
    )
    assert missing_backbones(THIN) == [TEXT]
    cached.add((TEXT, "model.safetensors.index.json"))
    assert missing_backbones(THIN) == [] and missing_backbones({**THIN, "thin": False, "audio_model_id": None}) == []


def test_without_any_shipped_model_but_one_without_its_backbones_the_error_says_so(place):
    shutil.rmtree(place / "checkpoints" / "xser-nemo")
    with pytest.raises(
        ValueError, match=rf"no model is found here: .*{AUDIO} and .* not found, get them by xser back"
    ):
        choose_model()
    shutil.rmtree(place / "checkpoints")
    with pytest.raises(ValueError, match=r"no model is found here: give --model FOLDER.*XSER's repository$"):
        choose_model()


def test_a_model_that_is_named_is_used_whatever_is_here(place, monkeypatch):
    assert choose_model(str(place / "checkpoints" / "xser-base")).note is None
    monkeypatch.setenv("XSER_MODEL", str(place / "checkpoints" / "xser-base"))
    assert choose_model().model == str(place / "checkpoints" / "xser-base")
    assert about("someone/model") == "someone/model"


def test_a_variable_that_names_no_folder_is_a_mistake_and_not_passed_over(place, monkeypatch):
    monkeypatch.setenv("XSER_BACKBONES", str(place / "nowhere"))
    with pytest.raises(ValueError, match=r"XSER_BACKBONES is '.*nowhere', which is no folder"):
        choose_model()


def test_a_config_that_is_no_json_is_named(place):
    (place / "checkpoints" / "xser-base" / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"xser-base/config\.json is no JSON"):
        choose_model()


def test_explain_says_on_standard_error_which_model_it_is(tmp_path, tiny_pair, monkeypatch, capsys):
    import soundfile
    from conftest import make_wave

    model, processor = tiny_pair
    model.config.trained_on = ["made up voices"]
    for part in (model, processor):
        part.save_pretrained(tmp_path / "checkpoints" / "xser-base")
    soundfile.write(tmp_path / "a.wav", make_wave(0.6), 16_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "__file__", str(tmp_path / "elsewhere" / "commands" / "models.py"))
    monkeypatch.delenv("XSER_MODEL", raising=False)
    assert explain(["a.wav", "--json"]) == 0
    shown = capsys.readouterr()
    assert "model: xser-base (trained on made up voices)\n" in shown.err and json.loads(shown.out)["status"] == "ok"
