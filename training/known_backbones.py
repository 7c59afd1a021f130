"""Configs of backbones, for a dry run: the backbone's own where it is at hand, else the shape that its makers publish.

The shapes are those of the models that the paper names, and of Whisper-base. For these no hub is asked: a copy in the
cache is read, and without one the shape stands in.
"""

from transformers import (
    AutoConfig,
    HubertConfig,
    LlamaConfig,
    PreTrainedConfig,
    Wav2Vec2Config,
    WavLMConfig,
    WhisperConfig,
)

from xser.backbone_places_xser import place_of
from xser.options_xser import HUB_OPTIONS

_LARGE = {  # 24 layers, 1,024 wide, seven convolutions of 512 channels: common to the large towers
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_WHISPER_BASE = {
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_layers": 6,
    "decoder_attention_heads": 8,
    "decoder_ffn_dim": 2048,
}
_LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
PUBLISHED = {
    "facebook/hubert-large-ls960-ft": (HubertConfig, {**_LARGE, **_LAYER_NORM, "conv_bias": True}),
    "microsoft/wavlm-large": (WavLMConfig, {**_LARGE, **_LAYER_NORM, "conv_bias": False}),
    "facebook/wav2vec2-large-960h": (Wav2Vec2Config, _LARGE),
    "openai/whisper-base": (WhisperConfig, _WHISPER_BASE),
    "meta-llama/Llama-3.1-8B-Instruct": (
        LlamaConfig,
        {
            "vocab_size": 128_256,
            "hidden_size": 4096,
            "intermediate_size": 14_336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131_072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500_000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "bos_token_id": 128_000,
            "eos_token_id": 128_009,
            "dtype": "bfloat16",
        },
    ),
}
HUB_ERRORS = (OSError, ValueError)  # of transformers where a folder or id cannot be read


def backbone_config(id_or_path: str, options: dict | None = None) -> tuple[PreTrainedConfig, bool]:
    """The config of a backbone, and whether it is a published shape.

    Args:
        options: of `from_pretrained`; those of the hub are used.

    Raises:
        ValueError: it is not at hand, and not among `PUBLISHED`.
    """
    hub = {key: value for key, value in (options or {}).items() if key in HUB_OPTIONS}
    if id_or_path in PUBLISHED:
        hub["local_files_only"] = True
    try:
        return AutoConfig.from_pretrained(place_of(id_or_path), **hub), False
    except HUB_ERRORS as error:
        if id_or_path not in PUBLISHED:
            raise ValueError(
                f"the config of {id_or_path} cannot be read: give a folder, or one whose shape is kept here: "
                f"{list(PUBLISHED)}. {error}"
            ) from error
    config_class, shape = PUBLISHED[id_or_path]
    return config_class(**shape), True
