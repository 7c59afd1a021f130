"""XSERConfig holds everything about the model, and refuses what cannot be."""

import json

import pytest
from transformers import HubertConfig, MistralConfig, Qwen2Config, WavLMConfig

from xser import XSERConfig


def test_defaults_are_hubert_and_llama():
    config = XSERConfig()
    assert (config.audio_config.model_type, config.text_config.model_type) == ("hubert", "llama")
    assert config.schema.slots == ["pitch", "volume", "speed", "tone", "transcript", "emotion", "emphasis"]


@pytest.mark.parametrize("text_config", [MistralConfig(), Qwen2Config()])
def test_round_trip_through_json_keeps_everything(tmp_path, text_config):
    config = XSERConfig(
        audio_config=WavLMConfig(hidden_size=24),
        text_config=text_config,
        content_bottleneck={"latent_size": 7},
        lora={"rank": 3},
        emotions=["happy", "bored"],
        descriptors={"gender": ["female", "male"]},
        emphasis=False,
        ctc_weight=0.5,
        ctc_unit="token",
    )
    config.save_pretrained(tmp_path)
    loaded = XSERConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert loaded.audio_config.hidden_size == 24
    assert loaded.content_bottleneck["latent_size"] == 7
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "xser"


def test_configs_do_not_share_defaults():
    first, second = XSERConfig(), XSERConfig()
    first.emotions.append("bored")
    first.descriptors["pitch"].append("middle")
    first.content_bottleneck["beta"] = 9
    assert second.to_dict() == XSERConfig().to_dict()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"frame_stack": 0}, "frame_stack is 0; it must be at least 1"),
        ({"frame_stack": "four"}, "frame_stack is 'four'"),
        ({"emotions": ["sad"]}, "emotions is .*at least 2"),
        ({"emotions": ["sad", "sad"]}, "emotions is .*different"),
        ({"emotions": ["sad", "so | so"]}, "'so | so' cannot stand in an answer"),
        ({"descriptors": {"emotion": ["a", "b"]}}, "'emotion'"),
        ({"content_bottleneck": {"beta": -1}}, r"content_bottleneck\['beta'\] is -1"),
        ({"content_bottleneck": {"betta": 1}}, r"unknown keys \['betta'\]"),
        ({"descriptor_bottleneck": {"latent_size": 2.5}}, r"descriptor_bottleneck\['latent_size'\] is 2.5"),
        ({"lora": {"rank": 0}}, r"lora\['rank'\] is 0"),
        ({"lora": {}, "freeze_language_model": False}, "freeze_language_model is False"),
        ({"thin": True}, "audio_model_id, text_model_id"),
        ({"audio_config": {"model_type": "llama"}}, "audio_config.model_type is 'llama'; .*'hubert'.*'whisper'"),
        (
            {"audio_config": {"model_type": "whisper", "conv_kernel": [10]}},
            r"'whisper' has conv_kernel \[10\], which is a field of hubert",
        ),
        (
            {"audio_config": {"model_type": "hubert", "num_mel_bins": 80}},
            "'hubert' has num_mel_bins 80, which is a field of whisper",
        ),
        ({"padded": True}, "padded is True; it must be false with a tower of type 'hubert'.*Whisper"),
        (
            {"audio_config": {"model_type": "whisper"}, "max_audio_seconds": 31},
            "max_audio_seconds is 31; it must be at most 30",
        ),
        ({"min_audio_seconds": 5, "max_audio_seconds": 2}, "min_audio_seconds, max_audio_seconds"),
        ({"content_token_id": 7, "descriptor_token_id": 7}, "two different ids"),
        ({"silence_dbfs": 3}, "silence_dbfs is 3"),
        ({"ctc_weight": -0.1}, "ctc_weight is -0.1"),
        ({"ctc_unit": "word"}, "ctc_unit is 'word'; it must be one of .*'byte', 'token'"),
        (
            {"level_weight": 1.0, "disentangled": False},
            "level_weight is 1.0; it must be 0 where disentangled is false",
        ),
        ({"level_weight": 1.0, "descriptors": {}}, "level_weight is 1.0"),
        (
            {"level_weight": 1.0, "level_streams": ["face"]},
            r"level_streams is \['face'\].*'descriptors'\], each once",
        ),
        ({"level_weight": 1.0, "level_streams": []}, r"level_streams is \[\]"),
        ({"level_weight": 1.0, "level_streams": ["descriptors"] * 2}, "each once"),
        ({"level_streams": ["descriptors"]}, "level_streams is .*; it must be left out where level_weight is 0"),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(options, named):
    with pytest.raises(ValueError, match=named):
        XSERConfig(**options)


def test_backbone_configs_may_be_given_as_objects():
    config = XSERConfig(audio_config=HubertConfig(hidden_size=16, num_attention_heads=2))
    assert config.audio_config.hidden_size == 16


def test_order_of_the_slots_survives_saving(tmp_path):
    config = XSERConfig(descriptors={"volume": ["quiet", "loud"], "pitch": ["low", "high"], "age": ["young", "old"]})
    config.save_pretrained(tmp_path)
    assert XSERConfig.from_pretrained(tmp_path).schema.slots == config.schema.slots


def saved_before(folder, **options) -> dict:
    """A config as an older version saved it, whose answers held no transcript."""
    XSERConfig(transcript=False, emphasis=False).save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    for name in ("transcript", "slot_order", "age_cuts", "answer", "adapter_activation", "asr_descriptors"):
        del saved[name]
    for name in ("content_bottleneck", "descriptor_bottleneck"):
        saved[name] = {key: value for key, value in saved[name].items() if key not in ("encoder_layers", "sigma")}
    saved |= {"transcript_in_prompt": False, **options}
    (folder / "config.json").write_text(json.dumps(saved))
    return saved


def test_a_config_of_before_stands_for_the_layers_and_slots_of_its_time(tmp_path):
    saved_before(tmp_path)
    config = XSERConfig.from_pretrained(tmp_path)
    assert config.schema.slots == ["pitch", "volume", "speed", "tone", "emotion"]
    for bottleneck in (config.content_bottleneck, config.descriptor_bottleneck):
        assert (bottleneck["encoder_layers"], bottleneck["sigma"]) == (1, "exp")
    assert config.adapter_activation == "gelu"
    config.save_pretrained(tmp_path)
    assert XSERConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


@pytest.mark.parametrize("options", [{"transcript_in_prompt": True}, {"emphasis": True}])
def test_a_config_of_before_that_cannot_be_answered_any_more_is_refused(tmp_path, options):
    saved_before(tmp_path, **options)
    with pytest.raises(ValueError, match=f"its {next(iter(options))} cannot be answered any more.* Train the model"):
        XSERConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"answer": "prose"}, r"answer is 'prose'; it must be one of \('tags', 'caption'\)"),
        ({"asr_descriptors": "none"}, "asr_descriptors is 'none'"),
        ({"asr_descriptors": "zero", "disentangled": False}, "absent where disentangled is false"),
        ({"adapter_activation": "tanh"}, "adapter_activation is 'tanh'"),
        ({"content_bottleneck": {"encoder_layers": 0}}, "encoder_layers"),
        ({"descriptor_bottleneck": {"sigma": "square"}}, "sigma"),
        ({"slot_order": ["emotion"]}, "slot_order is"),
        ({"transcript": False}, "emphasis is chosen among the words of the transcript"),
    ],
)
def test_forms_and_layers_that_there_are_not_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        XSERConfig(**options)


def test_a_config_that_is_saved_says_every_field():
    assert {"transcript", "slot_order", "answer", "asr_descriptors"} <= set(XSERConfig().to_diff_dict())
