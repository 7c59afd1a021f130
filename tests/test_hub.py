"""A saved model in a Python that cannot see this package, with no network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import make_wave

from xser.audio_xser import SAMPLE_RATE
from xser.configuration_xser import XSERConfig

ROOT = Path(__file__).resolve().parents[1]
SHIPPED_CHECKPOINT = ROOT / "checkpoints" / "xser-tiny"
PREAMBLE = f"""
import importlib.abc, json, sys

class Blind(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "xser" or name.startswith("xser."):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blind())
sys.path[:] = [entry for entry in sys.path if entry not in ("", {str(ROOT)!r})]
try:
    import xser
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can be seen")
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor, pipeline

folder, recording = sys.argv[1:]
"""


def run_blind(code: str, folder: Path, recording: Path, tmp_path: Path) -> subprocess.CompletedProcess:
    """Run `code` after the preamble; `folder` and `recording` are names in it."""
    home = tmp_path / "home"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHON", "XDG_"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "HF_MODULES_CACHE": str(home / "modules")}
    environment |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + code, str(folder), str(recording)],
        cwd=elsewhere,
        env=environment,
        stdin=subprocess.DEVNULL,  # nobody answers "do you trust this code?"
        capture_output=True,
        text=True,
        timeout=300,
    )


def printed(result: subprocess.CompletedProcess) -> dict:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.strip().splitlines()[-1])


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "speech.wav"
    soundfile.write(path, make_wave(0.8, seed=3), SAMPLE_RATE, subtype="FLOAT")
    return path


@pytest.fixture
def saved(tiny_pair, tmp_path):
    """(model, processor, folder they are saved in)."""
    model, processor = tiny_pair
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor, folder


LOAD_EVERYTHING = """
trust = {"trust_remote_code": True}
config = AutoConfig.from_pretrained(folder, **trust)
processor = AutoProcessor.from_pretrained(folder, **trust)
model = AutoModel.from_pretrained(folder, dtype=torch.float32, **trust)
multimodal = AutoModelForMultimodalLM.from_pretrained(folder, dtype=torch.float32, **trust)
explain = pipeline("audio-emotion-explain", folder, dtype=torch.float32, device="cpu", **trust)
batch = processor(recording)
with torch.no_grad():
    logits = [m(**batch).logits[0, -1].tolist() for m in (model, multimodal)]
print(json.dumps({
    "classes": [type(x).__name__ for x in (config, processor, model, multimodal, explain)],
    "modules": [type(x).__module__.partition(".")[0] for x in (config, processor, model, multimodal, explain)],
    "orders": [list(config.descriptors), list(processor.descriptors)],
    "input_ids": batch["input_ids"][0].tolist(),
    "logits": logits,
    "one": explain(recording),
    "many": explain([recording, "missing.wav", recording]),
    "streamed": list(explain(source for source in [recording])),
}))
"""


def test_auto_classes_and_pipeline_work_where_the_package_cannot_be_seen(saved, recording, tmp_path):
    model, processor, folder = saved
    found = printed(run_blind(LOAD_EVERYTHING, folder, recording, tmp_path))
    name = "XSERForEmotionDescription"
    assert found["classes"] == ["XSERConfig", "XSERProcessor", name, name, "XSERPipeline"]
    assert set(found["modules"]) == {"transformers_modules"}
    batch = processor(recording)
    assert found["input_ids"] == batch["input_ids"][0].tolist()
    with torch.no_grad():
        logits = model(**batch).logits[0, -1]
    for loaded in found["logits"]:
        np.testing.assert_allclose(loaded, logits, atol=1e-5)
    (expected,) = model.explain([recording], processor)
    assert found["one"].keys() == expected.keys()
    assert found["one"]["scores"] == pytest.approx(expected["scores"], abs=1e-5)
    for key in ("status", "emotion", "descriptors", "emphasis", "transcript"):
        assert found["one"][key] == expected[key]
    assert [answer["status"] for answer in found["many"]] == ["ok", "error", "ok"]
    assert found["streamed"] == [found["one"]]


def test_a_checkpoint_in_bfloat16_answers_the_same_alone_and_in_a_batch_by_default(tiny_pair, recording, tmp_path):
    model, processor = tiny_pair
    model.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    processor.save_pretrained(tmp_path / "half")
    code = """
explain = pipeline("audio-emotion-explain", folder, device="cpu", trust_remote_code=True)
import soundfile
wave, rate = soundfile.read(recording, dtype="float32")
sources = [recording] + [(wave[: 4_000 + 1_000 * i], rate) for i in range(7)]
chosen = pipeline("audio-emotion-explain", folder, device="cpu", dtype=torch.bfloat16, trust_remote_code=True)
print(json.dumps({
    "module": type(explain.model).__module__.partition(".")[0],
    "dtypes": sorted({str(t.dtype) for t in explain.model.state_dict().values()}),
    "chosen": sorted({str(t.dtype) for t in chosen.model.state_dict().values()}),
    "alone": explain(recording),
    "among": explain(sources, batch_size=8)[0],
}))
"""
    found = printed(run_blind(code, tmp_path / "half", recording, tmp_path))
    assert found["module"] == "transformers_modules"
    assert (found["dtypes"], found["chosen"]) == (["torch.float32"], ["torch.bfloat16"])
    assert found["alone"].pop("scores") == pytest.approx(found["among"].pop("scores"), abs=1e-4)
    assert {**found["alone"], "explanation": None} == {**found["among"], "explanation": None}


def test_order_of_the_slots_survives_in_the_config(saved):
    model, processor, folder = saved
    assert XSERConfig.from_pretrained(folder).schema == model.config.schema
    assert XSERConfig.from_pretrained(folder).schema.slots == processor.schema.slots


def test_code_is_not_run_without_trust(saved, recording, tmp_path):
    _, _, folder = saved
    code = """
refusals = []
for call in (
    lambda: AutoConfig.from_pretrained(folder),
    lambda: AutoProcessor.from_pretrained(folder),
    lambda: AutoModel.from_pretrained(folder),
    lambda: AutoModelForMultimodalLM.from_pretrained(folder),
    lambda: pipeline("audio-emotion-explain", folder),
):
    try:
        call()
    except ValueError as error:
        refusals.append(str(error))
print()  # after the question that was asked
print(json.dumps(refusals))
"""
    refusals = printed(run_blind(code, folder, recording, tmp_path))
    assert ["trust_remote_code=True" in refusal for refusal in refusals] == [True] * 5
    assert not list((tmp_path / "home" / "modules").rglob("*_xser.py"))


def test_saved_folder_holds_what_it_needs_and_nothing_of_the_machine(saved, tmp_path):
    _, _, folder = saved
    shipped = {path.name for path in ROOT.glob("*_xser.py")}
    assert {path.name for path in folder.glob("*.py")} == shipped
    assert (folder / "chat_template.jinja").is_file()
    assert not (folder / "preprocessor_config.json").exists()
    for name in ("processor_config.json", "tokenizer_config.json", "generation_config.json"):
        assert str(tmp_path) not in (folder / name).read_text()
    assert "local_files_only" not in (folder / "tokenizer_config.json").read_text()


def test_model_loaded_from_a_folder_can_be_saved_again(saved, recording, tmp_path):
    _, _, folder = saved
    code = """
explain = pipeline("audio-emotion-explain", folder, dtype=torch.float32, device="cpu", trust_remote_code=True)
explain.save_pretrained(folder + "-again")
print(json.dumps(explain(recording)))
"""
    first = printed(run_blind(code, folder, recording, tmp_path))
    again = folder.with_name(folder.name + "-again")
    shutil.rmtree(folder)
    assert {path.name for path in again.glob("*.py")} == {path.name for path in ROOT.glob("*_xser.py")}
    assert printed(run_blind(code, again, recording, tmp_path)) == first


def test_registered_package_needs_no_trust_for_the_auto_classes(saved, recording, tmp_path):
    _, _, folder = saved
    code = """
import json, sys
import xser, transformers
folder, recording = sys.argv[1:]
loaded = [getattr(transformers, name).from_pretrained(folder)
          for name in ("AutoConfig", "AutoProcessor", "AutoModel", "AutoModelForMultimodalLM")]
explain = transformers.pipeline("audio-emotion-explain", folder, device="cpu", trust_remote_code=True)
mixed = transformers.pipeline("audio-emotion-explain", loaded[2], processor=loaded[1], device="cpu")
print(json.dumps({
    "modules": [type(x).__module__ for x in loaded],
    "status": [p([recording, "missing.wav"])[i]["status"] for p in (explain, mixed) for i in (0, 1)],
}))
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(folder), str(recording)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    found = printed(result)
    assert all(module.startswith("xser.") for module in found["modules"])
    assert found["status"] == ["ok", "error", "ok", "error"]


@pytest.mark.skipif(not SHIPPED_CHECKPOINT.is_dir(), reason="checkpoints/xser-tiny is not there")
def test_shipped_checkpoint_works_from_a_copy_elsewhere(recording, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(SHIPPED_CHECKPOINT, copy)
    found = printed(run_blind(LOAD_EVERYTHING, copy, recording, tmp_path))
    assert found["one"]["status"] == "ok"
    assert sum(found["one"]["scores"].values()) == pytest.approx(1)
    assert found["orders"][0] == found["orders"][1]
