"""Backbones: one that lacks weights is refused wherever it is loaded; exported ones load by the ordinary classes."""

import json
import shutil

import pytest
import torch
from conftest import AUDIO_MODELS, SMALL, TEXT_MODELS, save_audio_backbone, save_text_backbone
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from test_checkpoint import logits, randomise
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    HubertForCTC,
    HubertModel,
    Wav2Vec2ForPreTraining,
)

from xser import XSERForEmotionDescription, XSERProcessor
from xser.backbones_xser import load_whole
from xser.training.export import export_backbones


def without(folder, *parts: str) -> None:
    """Take tensors out of a folder's weights, by parts of their names."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    kept = {name: tensor for name, tensor in weights.items() if not any(part in name for part in parts)}
    assert len(kept) < len(weights)
    save_file(kept, path, metadata={"format": "pt"})


@pytest.fixture
def folders(tmp_path, tiny_backbone_folders):
    """(audio, text) folders that a test may break."""
    return [shutil.copytree(folder, tmp_path / folder.name) for folder in tiny_backbone_folders]


# ---------------------------------------------------------------- weights that are not there


@pytest.mark.parametrize(
    ("which", "lost"), [(0, "layers.1.attention.k_proj"), (1, "layers.0.mlp.up_proj"), (1, "lm_head")]
)
def test_a_backbone_that_lacks_weights_is_refused_and_they_are_named(folders, which, lost):
    without(folders[which], lost)
    with pytest.raises(ValueError, match=rf"{folders[which].name} lacks weights .*would be random: .*{lost}"):
        XSERForEmotionDescription.from_backbones(*map(str, folders))


@pytest.mark.parametrize(("which", "lost"), [(0, "layers.1.attention.k_proj"), (1, "layers.0.mlp.up_proj")])
def test_a_thin_checkpoint_refuses_it_too(folders, tmp_path, which, lost):
    model, _ = XSERForEmotionDescription.from_backbones(*map(str, folders), **SMALL)
    model.save_pretrained(tmp_path / "thin", thin=True)
    without(folders[which], lost)
    with pytest.raises(ValueError, match=rf"lacks weights .*{lost}"):
        XSERForEmotionDescription.from_pretrained(tmp_path / "thin")


def test_layers_beyond_those_of_the_folder_are_refused_by_whatever_loads(folders):
    config = json.loads((folders[0] / "config.json").read_text())
    (folders[0] / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    for load in (lambda: load_whole(HubertModel, folders[0]), lambda: load_whole(AutoModel, folders[0])):
        with pytest.raises(ValueError, match=r"encoder\.layers\.2"):
            load()


def test_pretraining_refuses_a_tower_that_lacks_weights(folders):
    from xser.pretraining.arguments import TowerArguments
    from xser.pretraining.model import start_tower

    without(folders[0], "layers.1.attention.k_proj")
    arguments = TowerArguments.__new__(TowerArguments)
    arguments.tower, arguments.mask_prob, arguments.mask_length = {}, 0.5, 6
    with pytest.raises(ValueError, match=r"lacks weights .*k_proj"):
        start_tower(folders[0], arguments)


def test_weights_of_a_head_that_is_not_used_are_none_of_an_error(tmp_path, folders):
    tower = HubertModel.from_pretrained(folders[0])
    for head in (HubertForCTC, Wav2Vec2ForPreTraining):
        name = "hubert" if head is HubertForCTC else "wav2vec2"
        config = AUDIO_MODELS[name][0].from_pretrained(folders[0]) if name == "hubert" else None
        place = tmp_path / name
        if config is None:
            tower = AUDIO_MODELS[name][1].from_pretrained(save_audio_backbone(place, name))
            config = tower.config
        whole = head(config)
        getattr(whole, name).load_state_dict(tower.state_dict())
        whole.save_pretrained(place)
        AutoFeatureExtractor.from_pretrained(folders[0]).save_pretrained(place)
        model, _ = XSERForEmotionDescription.from_backbones(place, folders[1], **SMALL)
        found = model.model.audio_tower.state_dict()
        assert all(torch.equal(found[key], tensor) for key, tensor in tower.state_dict().items())


def test_a_tower_without_the_embedding_of_masked_frames_is_whole(folders, waves):
    config = json.loads((folders[0] / "config.json").read_text())
    (folders[0] / "config.json").write_text(json.dumps(config | {"mask_time_prob": 0.1}))  # as wav2vec2-base-960h is
    model, processor = XSERForEmotionDescription.from_backbones(*map(str, folders), **SMALL)
    assert hasattr(model.model.audio_tower, "masked_spec_embed")
    assert model.explain(waves[:1], processor)[0]["status"] == "ok"


# ---------------------------------------------------------------- exported ones


def load_exported(folder):
    """(audio, text) as the ordinary classes load them, with no tensor missing nor left over."""
    loaded = []
    for auto_class, name in ((AutoModel, "audio"), (AutoModelForCausalLM, "text")):
        model, info = auto_class.from_pretrained(folder / name, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
        loaded.append(model)
    return loaded


@pytest.mark.parametrize("kind", AUDIO_MODELS)
@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("tied", [False, True])
def test_exported_backbones_are_the_models_own(tmp_path, tiny_tokenizer, kind, norm, tied):
    model, processor = XSERForEmotionDescription.from_backbones(
        save_audio_backbone(tmp_path / "a", kind, norm),
        save_text_backbone(tmp_path / "t", tiny_tokenizer, tie_word_embeddings=tied),
        freeze_audio_tower=False,
        **SMALL,
    )
    randomise(model)
    export_backbones(model, processor, tmp_path / "backbones")
    tower, language_model = load_exported(tmp_path / "backbones")
    assert all(torch.equal(t, tower.state_dict()[n]) for n, t in model.model.audio_tower.state_dict().items())
    own = {n: t for n, t in model.language_model.state_dict().items() if ".lora." not in n}
    assert own.keys() == language_model.state_dict().keys()
    assert all(torch.equal(tensor, language_model.state_dict()[name]) for name, tensor in own.items())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "backbones" / "text")
    assert tokenizer.get_vocab() == tiny_tokenizer.get_vocab()
    assert tokenizer.chat_template == tiny_tokenizer.chat_template
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "backbones" / "audio")
    assert extractor.to_dict() == processor.feature_extractor.to_dict()


@pytest.mark.parametrize("text", TEXT_MODELS)
def test_a_new_model_on_exported_backbones_hears_and_reads_as_the_old_one(tmp_path, tiny_tokenizer, waves, text):
    model, processor = XSERForEmotionDescription.from_backbones(
        save_audio_backbone(tmp_path / "a"), save_text_backbone(tmp_path / "t", tiny_tokenizer, text), **SMALL
    )
    randomise(model).merge_lora()
    export_backbones(model, processor, tmp_path / "backbones")
    new, new_processor = XSERForEmotionDescription.from_backbones(
        *(tmp_path / "backbones" / name for name in ("audio", "text")), **SMALL
    )
    batch = new_processor(waves[:2], task="asr")
    assert torch.equal(batch["input_ids"], processor(waves[:2], task="asr")["input_ids"])
    with torch.no_grad():
        for one, other in zip(
            *(each.model.encode_audio(batch["input_values"], batch["input_values_mask"])[0] for each in (model, new)),
            strict=True,
        ):
            assert torch.equal(one, other)
        ids = batch["input_ids"].clamp(max=len(tiny_tokenizer) - 1)
        assert torch.equal(model.language_model(ids).logits, new.language_model(ids).logits)


def test_export_of_a_checkpoint_that_knows_no_ids_and_has_an_adapter_on_top(tmp_path, tiny_pair, waves):
    model, processor = tiny_pair
    model.config.audio_model_id = model.config.text_model_id = None
    randomise(model).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    model = XSERForEmotionDescription.from_pretrained(tmp_path / "model")
    processor = XSERProcessor.from_pretrained(tmp_path / "model")
    before = logits(model, processor, waves)
    expected = {n: t for n, t in model.language_model.state_dict().items() if ".lora." not in n}
    model.add_adapter(LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False))
    export_backbones(model, processor, tmp_path / "backbones")
    _, language_model = load_exported(tmp_path / "backbones")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in language_model.state_dict().items())
    assert "<|content|>" in processor.tokenizer.get_vocab()
    model.delete_adapter("default")
    assert torch.equal(logits(model, processor, waves), before)


def test_a_second_export_takes_the_place_of_the_first(tmp_path, tiny_pair):
    model, processor = tiny_pair
    for _ in range(2):
        export_backbones(randomise(model), processor, tmp_path / "backbones")
    tower, _ = load_exported(tmp_path / "backbones")
    assert all(torch.equal(t, tower.state_dict()[n]) for n, t in model.model.audio_tower.state_dict().items())
