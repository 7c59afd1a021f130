"""Tiny random backbones, made once a session; nothing is fetched."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
import torch
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioModel,
    HubertConfig,
    HubertModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from xser.modeling_xser import XSERForEmotionDescription
from xser.training.tiny_language_model import train_tokenizer

SENTENCES = [
    "the dog is at the door",
    "you never said that to me",
    "they came home late last night",
    "we won the game",
]
TINY_AUDIO = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (5, 16, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.0,
}
TINY_WHISPER = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 48,
    "num_mel_bins": 16,
    "vocab_size": 60,
    "init_std": 0.2,  # so that layers do something
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
TINY_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
AUDIO_MODELS = {
    "hubert": (HubertConfig, HubertModel),
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "wavlm": (WavLMConfig, WavLMModel),
}
TOWERS = (*AUDIO_MODELS, "data2vec-audio", "whisper")
TEXT_MODELS = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}
SMALL = {
    "content_bottleneck": {"latent_size": 8, "hidden_size": 16},
    "descriptor_bottleneck": {"latent_size": 4, "hidden_size": 16},
    "ctc_weight": 0.3,
    "level_weight": 0.5,
    "voice_activity": False,  # `make_wave` is no speech
}


def save_audio_backbone(directory, kind="hubert", norm="group"):
    """A tiny random tower, with its feature extractor, as an ordinary folder; `norm` is that of its convolutions."""
    torch.manual_seed(0)
    config_class, model_class = AUDIO_MODELS[kind]
    config = config_class(**TINY_AUDIO, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer")
    model_class(config).save_pretrained(directory)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=norm == "layer").save_pretrained(directory)
    return directory


def save_tower(directory, kind):
    """A tiny random tower of any kind, as its makers would save it: Whisper with its decoder."""
    if kind in AUDIO_MODELS:
        return save_audio_backbone(directory, kind)
    torch.manual_seed(0)
    if kind == "whisper":
        WhisperForConditionalGeneration(WhisperConfig(**TINY_WHISPER)).save_pretrained(directory)
        WhisperFeatureExtractor(feature_size=TINY_WHISPER["num_mel_bins"]).save_pretrained(directory)
    else:
        options = {**TINY_AUDIO, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}
        Data2VecAudioModel(Data2VecAudioConfig(**options)).save_pretrained(directory)
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(directory)
    return directory


def save_text_backbone(directory, tokenizer, kind="llama", **options):
    """A tiny random language model, with its tokenizer, as an ordinary folder; `options` are its config's."""
    torch.manual_seed(0)
    config_class, model_class = TEXT_MODELS[kind]
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model_class(config_class(vocab_size=len(tokenizer), **TINY_TEXT, **ids, **options)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(SENTENCES * 30, vocab_size=400).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_tokenizer(tiny_tokenizer_folder):
    """A fresh tokenizer: byte-level BPE with a chat template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_tokenizer_folder)


@pytest.fixture(scope="session")
def tiny_backbone_folders(tmp_path_factory, tiny_tokenizer_folder):
    """(audio, text) folders of a tiny random pair."""
    from transformers import AutoTokenizer

    root = tmp_path_factory.mktemp("backbones")
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer_folder)
    return save_audio_backbone(root / "audio"), save_text_backbone(root / "text", tokenizer)


@pytest.fixture
def tiny_pair(tiny_backbone_folders):
    """A fresh (model, processor) around the tiny pair, in eval mode."""
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL)


def make_wave(seconds: float, seed: int = 0) -> np.ndarray:
    """(S,) float32 harmonic tone with a wandering pitch and some noise, at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    pitch = 120 + 60 * rng.random() + 20 * np.sin(2 * np.pi * (1 + rng.random()) * time)
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    wave = sum(np.sin(k * phase) / k for k in range(1, 6)) * (0.05 + 0.1 * rng.random())
    return (wave + 0.002 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="session")
def waves():
    """Eight recordings of different lengths, (array, rate) each."""
    return [(make_wave(0.4 + 0.23 * i, seed=i), 16_000) for i in range(8)]
