"""A thin checkpoint takes the backbones that it was trained on, by hash, wherever they lie; others are refused."""

import json
import logging
import shutil

import pytest
import torch
from conftest import SMALL, save_text_backbone, save_tower
from safetensors.torch import load_file, save_file
from test_checkpoint import logits, randomise
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from xser import XSERForEmotionDescription, XSERProcessor
from xser.backbone_hash_xser import file_sha256, weights_sha256
from xser.backbone_places_xser import default_root, place_of
from xser.backbone_sources_xser import HUB_FILES, ON_THE_HUB, TRAINED_ON, sources_of
from xser.configuration_xser import XSERConfig

AUDIO, TEXT = "openai/whisper-base", "HuggingFaceTB/SmolLM2-135M-Instruct"
FIELDS = ("audio_model_id", "text_model_id")
SHORT = {**SMALL, "max_audio_seconds": 10.0}


@pytest.fixture
def root(tmp_path, tiny_tokenizer, monkeypatch):
    """A folder of tiny backbones under the names that the ids stand for, which XSER_BACKBONES names."""
    folder = tmp_path / "backbones"
    save_tower(folder / "whisper-base", "whisper")
    save_text_backbone(folder / "smollm2-135m-instruct", tiny_tokenizer)
    monkeypatch.setenv("XSER_BACKBONES", str(folder))
    monkeypatch.setenv("XSER_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def thin(root, tmp_path):
    """(folder of a thin checkpoint around the ids, its model and processor)."""
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(AUDIO, TEXT, **SHORT)
    randomise(model).save_pretrained(tmp_path / "thin", thin=True)
    processor.save_pretrained(tmp_path / "thin")
    return tmp_path / "thin", model, processor


def config_of(folder) -> dict:
    return json.loads((folder / "config.json").read_text())


def change_config(folder, **fields) -> None:
    (folder / "config.json").write_text(json.dumps(config_of(folder) | fields))


def change_a_weight(folder, part: str) -> None:
    """The last bit that a float32 has of one number."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in sorted(weights) if part in name)
    bits = weights[name].float().contiguous().view(torch.int32)
    bits.view(-1)[0] ^= 1
    save_file({**weights, name: bits.view(torch.float32)}, path, metadata={"format": "pt"})


# ---------------------------------------------------------------- the hash


def test_the_hash_is_of_names_shapes_and_numbers_whatever_the_dtype_order_and_layout():
    torch.manual_seed(0)
    state = {"b": torch.randn(3, 4).bfloat16(), "a": torch.arange(5), "c": torch.randn(2).half()}
    expected = weights_sha256(state)
    assert expected == weights_sha256({name: state[name] for name in ("a", "c", "b")})
    assert expected == weights_sha256({**state, "b": state["b"].float(), "c": state["c"].double()})
    assert expected == weights_sha256({**state, "b": state["b"].T.contiguous().T})  # another order in memory
    assert expected == weights_sha256({**state, "tower.masked_spec_embed": torch.randn(4)})  # random where it is new
    others = [
        {**state, "b": state["b"].reshape(4, 3)},
        {"d": state["b"], "a": state["a"], "c": state["c"]},
        {**state, "a": state["a"].int()},
        {**state, "b": state["b"].float() * (1 + 2**-23)},
        {**state, "e": torch.zeros(0)},
    ]
    assert len({expected, *map(weights_sha256, others)}) == 1 + len(others)


def test_the_hash_is_what_its_page_says_it_is():
    import hashlib

    state = {"w": torch.tensor([[1.0, -2.0]], dtype=torch.float16)}
    numbers = hashlib.sha256(bytes.fromhex("0000803f" + "000000c0")).hexdigest()
    assert weights_sha256(state) == hashlib.sha256(f"w float32 (1, 2) {numbers}\n".encode()).hexdigest()


def test_shards_dtypes_and_tied_weights_do_not_change_the_hash(tmp_path, tiny_tokenizer):
    folder = save_text_backbone(tmp_path / "one", tiny_tokenizer, tie_word_embeddings=True)
    model = LlamaForCausalLM.from_pretrained(folder).bfloat16()
    expected = weights_sha256(model.state_dict())
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    for dtype in (torch.float32, torch.bfloat16):
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "shards", dtype=dtype)
        assert weights_sha256(again.state_dict()) == expected


# ---------------------------------------------------------------- what is recorded


def test_a_thin_save_records_ids_and_hashes_and_no_folder_of_this_machine(thin, root):
    folder, model, _ = thin
    config = config_of(folder)
    assert [config[field] for field in FIELDS] == [AUDIO, TEXT]
    tower = WhisperEncoder.from_pretrained(root / "whisper-base", key_mapping={r"^(model\.)?encoder\.": ""})
    language_model = AutoModelForCausalLM.from_pretrained(root / "smollm2-135m-instruct")
    for field, name, backbone in zip(FIELDS, (AUDIO, TEXT), (tower, language_model), strict=True):
        first, second = config["backbone_sources"][field]
        assert first == {"source": TRAINED_ON, "sha256": weights_sha256(backbone.state_dict())}
        assert second == {"source": ON_THE_HUB, "file_sha256": HUB_FILES[name]}
    assert str(root) not in (folder / "config.json").read_text()
    assert model.config.backbone_sources is None and model.config.thin is False  # the save leaves the model as it was


def test_what_is_recorded_stays_when_a_thin_checkpoint_is_saved_again(thin, tmp_path):
    folder, _, _ = thin
    XSERForEmotionDescription.from_pretrained(folder).save_pretrained(tmp_path / "again", thin=True)
    assert config_of(tmp_path / "again")["backbone_sources"] == config_of(folder)["backbone_sources"]


def test_a_thin_save_of_a_full_checkpoint_reads_the_backbones_for_their_hashes(thin, tmp_path, root):
    folder, model, _ = thin
    model.save_pretrained(tmp_path / "full")
    full = XSERForEmotionDescription.from_pretrained(tmp_path / "full")
    full.save_pretrained(tmp_path / "again", thin=True)
    assert config_of(tmp_path / "again")["backbone_sources"] == config_of(folder)["backbone_sources"]
    full = XSERForEmotionDescription.from_pretrained(tmp_path / "full")
    torch.manual_seed(5)
    LlamaForCausalLM(full.config.text_config).save_pretrained(root / "smollm2-135m-instruct")
    with pytest.raises(ValueError, match=rf"weights at text_model_id {TEXT} are not those of this model"):
        full.save_pretrained(tmp_path / "other", thin=True)
    assert not (tmp_path / "other").exists()


def test_a_backbone_that_is_trained_is_held_and_not_recorded(root, tmp_path):
    model, _ = XSERForEmotionDescription.from_backbones(AUDIO, TEXT, freeze_language_model=False, **SHORT)
    model.save_pretrained(tmp_path / "thin", thin=True)
    assert set(config_of(tmp_path / "thin")["backbone_sources"]) == {"audio_model_id"}
    change_a_weight(root / "smollm2-135m-instruct", "up_proj")
    again = XSERForEmotionDescription.from_pretrained(tmp_path / "thin")
    for name, tensor in model.language_model.state_dict().items():
        assert torch.equal(again.language_model.state_dict()[name], tensor)


def test_further_sources_may_be_named_and_come_after_what_was_loaded(root, tmp_path):
    mine = {"source": "my copy", "sha256": "0" * 64}
    model, _ = XSERForEmotionDescription.from_backbones(AUDIO, TEXT, backbone_sources={FIELDS[1]: [mine]}, **SHORT)
    model.save_pretrained(tmp_path / "thin", thin=True)
    names = [source["source"] for source in config_of(tmp_path / "thin")["backbone_sources"][FIELDS[1]]]
    assert names == [TRAINED_ON, "my copy", ON_THE_HUB]
    model.config.backbone_sources = {FIELDS[0]: [mine]}
    model.save_pretrained(tmp_path / "more", thin=True)
    names = [source["source"] for source in config_of(tmp_path / "more")["backbone_sources"][FIELDS[0]]]
    assert names == [TRAINED_ON, ON_THE_HUB, "my copy"]


def test_weights_that_are_the_hubs_have_no_twin_there(root, monkeypatch):
    assert [source["source"] for source in sources_of(AUDIO, "1" * 64, None)] == [TRAINED_ON, ON_THE_HUB]
    found = file_sha256(root / "whisper-base" / "model.safetensors")
    monkeypatch.setitem(HUB_FILES, AUDIO, found)
    assert [source["source"] for source in sources_of(AUDIO, "1" * 64, None)] == [TRAINED_ON]


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"model": []}, "has the key 'model'"),
        ({"text_model_id": []}, "must be a list of sources"),
        ({"text_model_id": [{"source": "x", "sha256": "12"}]}, "64 hex digits"),
        ({"text_model_id": [{"source": "x", "sha256": "0" * 64, "file_sha256": "0" * 64}]}, "one of"),
        ({"text_model_id": [{"sha256": "0" * 64}]}, "must have a name"),
    ],
)
def test_sources_of_another_form_are_refused(sources, said):
    with pytest.raises(ValueError, match=f"backbone_sources.*{said}"):
        XSERConfig(backbone_sources=sources)


# ---------------------------------------------------------------- what is loaded


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_the_weights_that_it_was_trained_on_load_in_silence_and_answer_the_same(thin, waves, caplog, dtype):
    folder, model, processor = thin
    with caplog.at_level(logging.WARNING):
        again = XSERForEmotionDescription.from_pretrained(folder, dtype=dtype)
    assert not caplog.records
    if dtype is None:
        assert torch.equal(logits(again, processor, waves), logits(model, processor, waves))


@pytest.mark.parametrize("field", FIELDS)
def test_other_weights_are_refused_with_what_was_found_where_and_the_command(thin, root, field):
    folder, _, _ = thin
    name = "whisper-base" if field == "audio_model_id" else "smollm2-135m-instruct"
    change_a_weight(root / name, "encoder.layers.0.fc1" if field == "audio_model_id" else "up_proj")
    wanted = config_of(folder)["backbone_sources"][field][0]["sha256"]
    with pytest.raises(ValueError, match=rf"{name}, has weights with sha256 \w{{64}}, which .*thin was not") as raised:
        XSERForEmotionDescription.from_pretrained(folder)
    message = str(raised.value)
    assert wanted in message and "XSER_BACKBONES" in message and "xser backbones" in message


@pytest.mark.parametrize("key", ["sha256", "file_sha256"])
def test_a_second_source_loads_with_one_line_of_warning(thin, root, key, caplog):
    folder, _, processor = thin
    places = (root / "whisper-base", root / "smollm2-135m-instruct")
    sources = config_of(folder)["backbone_sources"]
    for field, place, part in zip(FIELDS, places, ("encoder.layers.0.fc1", "up_proj"), strict=True):
        change_a_weight(place, part)
        found = file_sha256(place / "model.safetensors")
        if key == "sha256":
            with pytest.raises(ValueError, match=r"has weights with sha256 \w+") as raised:
                XSERForEmotionDescription.from_pretrained(folder)
            found = str(raised.value).split("has weights with sha256 ")[1][:64]
        sources[field].append({"source": "a twin of full precision", key: found})
        change_config(folder, backbone_sources=sources)
    with caplog.at_level(logging.WARNING):
        model = XSERForEmotionDescription.from_pretrained(folder)
    said = [record.getMessage() for record in caplog.records if "trained on" in record.getMessage()]
    assert len(said) == 1 and "\n" not in said[0] and said[0].count("has a twin of full precision") == 2
    assert model.explain([(torch.zeros(16_000).numpy(), 16_000)], processor)[0]["status"] == "no_speech"


def test_a_thin_checkpoint_of_before_without_hashes_takes_what_lies_at_its_ids(thin, root, waves):
    folder, model, processor = thin
    change_config(folder, backbone_sources=None)
    again = XSERForEmotionDescription.from_pretrained(folder)
    assert torch.equal(logits(again, processor, waves), logits(model, processor, waves))
    change_a_weight(root / "smollm2-135m-instruct", "up_proj")
    XSERForEmotionDescription.from_pretrained(folder)


def test_quantised_or_rounded_loading_is_held_against_the_files(thin, root):
    folder, _, _ = thin
    change_a_weight(root / "smollm2-135m-instruct", "up_proj")
    with pytest.raises(ValueError, match="has weights with sha256"):  # the bit that differs is rounded away
        XSERForEmotionDescription.from_pretrained(folder, dtype=torch.float16)


def test_the_first_layers_of_a_tower_have_a_hash_of_their_own(root, tmp_path):
    model, _ = XSERForEmotionDescription.from_backbones(AUDIO, TEXT, audio_layers=1, **SHORT)
    model.save_pretrained(tmp_path / "thin", thin=True)
    XSERForEmotionDescription.from_pretrained(tmp_path / "thin")
    change_a_weight(root / "whisper-base", "decoder")  # which no tower has
    change_a_weight(root / "whisper-base", "encoder.layers.1.fc1")  # nor has this one
    XSERForEmotionDescription.from_pretrained(tmp_path / "thin")
    change_a_weight(root / "whisper-base", "encoder.layers.0.fc1")
    with pytest.raises(ValueError, match=f"audio tower {AUDIO}"):
        XSERForEmotionDescription.from_pretrained(tmp_path / "thin")


# ---------------------------------------------------------------- where they are looked for


def test_an_id_is_looked_for_in_the_given_folder_then_in_the_cache_then_on_the_hub(root, tmp_path, monkeypatch):
    assert place_of(AUDIO) == str(root / "whisper-base")
    assert place_of("someone/whisper-base") == "someone/whisper-base"  # another's of the same name
    shutil.copytree(root / "whisper-base", root / "someone" / "whisper-base")
    assert place_of("someone/whisper-base") == str(root / "someone" / "whisper-base")
    assert place_of(root / "whisper-base") == str(root / "whisper-base")
    monkeypatch.delenv("XSER_BACKBONES")
    assert place_of(AUDIO) == AUDIO and default_root() == tmp_path / "cache" / "backbones"
    shutil.copytree(root / "whisper-base", default_root() / "whisper-base")
    assert place_of(AUDIO) == str(default_root() / "whisper-base")


def test_backbones_that_are_missing_are_named_with_where_and_how(thin, root, tmp_path, monkeypatch):
    folder, _, _ = thin
    monkeypatch.setenv("XSER_BACKBONES", str(tmp_path / "thin"))
    for load in (
        lambda: XSERForEmotionDescription.from_pretrained(folder),
        lambda: XSERForEmotionDescription.from_backbones(AUDIO, TEXT, **SHORT),
    ):
        with pytest.raises(OSError, match=f"the audio tower {AUDIO} is not found") as raised:
            load()
        for part in (f"XSER_BACKBONES ({tmp_path / 'thin'})", str(default_root()), "the Hub", "xser backbones"):
            assert part in str(raised.value)
    with pytest.raises(OSError, match=r"language model someone/other is not found.*hf download someone/other"):
        others = {"audio_model_id": str(root / "whisper-base"), "text_model_id": "someone/other"}
        XSERForEmotionDescription.from_pretrained(folder, **others)


def test_a_variable_that_names_no_folder_is_refused(thin, tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_BACKBONES", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"XSER_BACKBONES is '.*nowhere', which is no folder: .*whisper-base"):
        XSERForEmotionDescription.from_pretrained(thin[0])


def test_a_backbone_whose_file_is_cut_off_is_refused_by_name(thin, root):
    path = root / "smollm2-135m-instruct" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"smollm2-135m-instruct is cut off or broken"):
        XSERForEmotionDescription.from_pretrained(thin[0])


def test_a_hubert_at_the_id_of_a_whisper_is_refused(thin, root):
    shutil.rmtree(root / "whisper-base")
    save_tower(root / "whisper-base", "hubert")
    with pytest.raises(ValueError, match=r"has model_type hubert, the checkpoint .* was made with whisper"):
        XSERForEmotionDescription.from_pretrained(thin[0])


# ---------------------------------------------------------------- half the size


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_a_thin_save_in_half_precision_is_half_the_size_and_loads_as_it_was_written(thin, tmp_path, dtype):
    folder, model, _ = thin
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path / "half", thin=True, dtype=dtype)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    written = load_file(tmp_path / "half" / "model.safetensors")
    wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    assert {tensor.dtype for tensor in written.values() if tensor.is_floating_point()} == {wanted}
    again = XSERForEmotionDescription.from_pretrained(tmp_path / "half")
    assert again.dtype == torch.float32
    assert all(torch.equal(again.state_dict()[name], before[name].to(wanted).float()) for name in written)
    XSERProcessor.from_pretrained(folder)
    again.save_pretrained(tmp_path / "twice", thin=True, dtype=dtype)
    twice = load_file(tmp_path / "twice" / "model.safetensors")
    assert all(torch.equal(twice[name], tensor) for name, tensor in written.items())


def test_a_dtype_that_cannot_be_is_refused(thin, tmp_path):
    _, model, _ = thin
    for options, said in (
        ({"thin": False, "dtype": "bfloat16"}, "thin is false"),
        ({"thin": True, "dtype": "int8"}, "one of reals"),
        ({"thin": True, "dtype": "half precision"}, "one of reals"),
    ):
        with pytest.raises(ValueError, match=said):
            model.save_pretrained(tmp_path / "new", **options)
    with torch.no_grad():
        model.ctc_head.bias[0] = 1e6
    with pytest.raises(ValueError, match=r"float16 does not hold ctc_head\.bias, which has numbers up to 1e\+06"):
        model.save_pretrained(tmp_path / "new", thin=True, dtype="float16")
    assert not (tmp_path / "new").exists()
