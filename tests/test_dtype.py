"""In which dtype a checkpoint loads: float32 on a CPU, whoever loads it, unless the caller says otherwise."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import make_wave
from transformers import AutoModel, AutoModelForMultimodalLM, pipeline

import xser
from xser import XSERForEmotionDescription
from xser.backbones_xser import loading_dtype

SHIPPED = [Path(xser.__file__).parent / "checkpoints" / name for name in ("xser-tiny", "xser-nemo")]
TASK = "audio-emotion-explain"


@pytest.fixture(params=[False, True], ids=["full", "thin"])
def half(request, tmp_path, tiny_pair):
    """A checkpoint in bfloat16, with its processor; a thin one's backbones are in bfloat16, too."""
    model, processor = tiny_pair
    for name in ("audio", "text"):
        folder = Path(getattr(model.config, f"{name}_model_id"))
        shutil.copytree(folder, tmp_path / name)
        backbone = {"audio": AutoModel, "text": xser.checkpoint_xser.AutoModelForCausalLM}[name].from_pretrained(
            folder
        )
        backbone.to(torch.bfloat16).save_pretrained(tmp_path / name)
        setattr(model.config, f"{name}_model_id", str(tmp_path / name))
    model.to(torch.bfloat16).save_pretrained(tmp_path / "half", thin=request.param)
    processor.save_pretrained(tmp_path / "half")
    return tmp_path / "half"


def dtypes(model) -> set:
    return {tensor.dtype for tensor in model.state_dict().values()}


@pytest.mark.parametrize("options", [{}, {"dtype": "auto"}, {"dtype": None}, {"device_map": "cpu"}])
@pytest.mark.parametrize("loader", [XSERForEmotionDescription, AutoModel, AutoModelForMultimodalLM])
def test_all_of_it_is_float32_on_a_cpu(half, loader, options):
    model = loader.from_pretrained(half, **options)
    assert dtypes(model) == {torch.float32} and model.config.dtype == torch.float32


@pytest.mark.parametrize(
    "options", [{"dtype": torch.bfloat16}, {"dtype": "bfloat16"}, {"torch_dtype": torch.bfloat16}]
)
def test_the_caller_is_obeyed(half, options, waves):
    model = XSERForEmotionDescription.from_pretrained(half, **options)
    assert dtypes(model) == {torch.bfloat16}
    [answer] = model.explain(waves[:1], xser.XSERProcessor.from_pretrained(half))
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("options", "dtype"), [({}, torch.float32), ({"dtype": torch.bfloat16}, torch.bfloat16)])
def test_the_pipeline_does_the_same(half, options, dtype):
    explain = pipeline(TASK, str(half), trust_remote_code=True, device="cpu", **options)
    assert dtypes(explain.model) == {dtype}


def test_a_model_that_is_given_to_the_pipeline_stays_as_it_is(half):
    model = XSERForEmotionDescription.from_pretrained(half, dtype=torch.bfloat16)
    processor = xser.XSERProcessor.from_pretrained(half)
    assert dtypes(pipeline(TASK, model, processor=processor, device="cpu").model) == {torch.bfloat16}


def test_from_backbones_loads_backbones_in_float32(half):
    places = [str(half.parent / name) for name in ("audio", "text")]
    assert dtypes(XSERForEmotionDescription.from_backbones(*places)[0]) == {torch.float32}
    model, _ = XSERForEmotionDescription.from_backbones(*places, load_options={"dtype": torch.bfloat16})
    assert model.model.audio_tower.dtype == model.language_model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "has_accelerator", "dtype"),
    [
        ({}, True, torch.float32),  # loaded onto the CPU, wherever it goes from there
        ({"device_map": "cuda"}, True, "auto"),
        ({"device_map": {"": 0}}, True, "auto"),
        ({"device_map": torch.device("cuda", 0)}, True, "auto"),
        ({"device_map": {"model": "cpu", "language_model": "cuda:0"}}, True, "auto"),
        ({"device_map": {"model": "cpu", "language_model": "disk"}}, True, torch.float32),
        ({"device_map": "auto"}, True, "auto"),
        ({"device_map": "auto"}, False, torch.float32),
        ({"_from_pipeline": TASK, "dtype": "auto"}, True, "auto"),  # the pipeline settles it
        ({"_from_pipeline": TASK, "dtype": "auto"}, False, torch.float32),
        ({"device_map": "cuda", "dtype": torch.float16}, True, torch.float16),
        ({"quantization_config": {"load_in_4bit": True}}, False, "auto"),
    ],
)
def test_elsewhere_it_is_the_dtype_of_the_files(monkeypatch, options, has_accelerator, dtype):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: has_accelerator)
    assert loading_dtype(options) == dtype


def test_a_pipeline_on_the_cpu_of_a_machine_with_an_accelerator_computes_in_float32(half, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert dtypes(pipeline(TASK, str(half), trust_remote_code=True, device="cpu").model) == {torch.float32}
    explicit = pipeline(TASK, str(half), trust_remote_code=True, device="cpu", dtype=torch.bfloat16)
    assert dtypes(explicit.model) == {torch.bfloat16}


def test_what_is_saved_has_the_dtype_that_the_model_has(half, tmp_path):
    XSERForEmotionDescription.from_pretrained(half).save_pretrained(tmp_path / "again")
    again = XSERForEmotionDescription.from_pretrained(tmp_path / "again", dtype=torch.bfloat16)
    first = XSERForEmotionDescription.from_pretrained(half, dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(tensor, first[name]) for name, tensor in again.state_dict().items())


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_one_clip_alone_and_among_eight_give_the_same_answer_by_default(folder):
    explain = pipeline(TASK, str(folder), trust_remote_code=True, device="cpu")
    waves = [(make_wave(0.5 + 0.2 * i, seed=i), 16_000) for i in range(8)]
    for wave, among in zip(waves[:3], explain(waves, batch_size=8), strict=False):
        alone = explain(wave)
        assert alone["scores"] == pytest.approx(among["scores"], abs=1e-4)
        assert {k: v for k, v in alone.items() if k not in ("scores", "votes", "explanation")} == {
            k: v for k, v in among.items() if k not in ("scores", "votes", "explanation")
        }
