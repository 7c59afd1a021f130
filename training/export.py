"""The two backbones of a trained model as ordinary model folders, to build new models on."""

import copy
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from xser.adapters_xser import own_state
from xser.backbone_places_xser import place_of
from xser.checkpoint_xser import check_fit
from xser.lora_xser import LORA_NAMES
from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import LOADING_OPTIONS, XSERProcessor
from xser.weights_xser import put_in_place


def export_backbones(model: XSERForEmotionDescription, processor: XSERProcessor, folder: Path) -> None:
    """Write `audio/` and `text/`, which the Auto classes load, whole or not at all.

    They are the backbones themselves: LoRA and adapters are no part of them (`merge_lora` makes it one), and the
    tokenizer has no placeholders.

    Raises:
        ValueError: a backbone is not what its config says, or is quantised.
    """
    if getattr(model.language_model, "hf_quantizer", None) is not None:
        raise ValueError("the language model is quantised: load it without quantization_config to export it")
    with put_in_place(folder) as beside:
        _save(model.model.audio_tower, beside / "audio")
        processor.feature_extractor.save_pretrained(beside / "audio")
        _save(model.language_model, beside / "text")
        plain_tokenizer(processor, model.config.text_model_id).save_pretrained(beside / "text")


def _save(backbone: PreTrainedModel, folder: Path) -> None:
    state = {name: tensor for name, tensor in own_state(backbone).items() if not name.endswith(LORA_NAMES)}
    with torch.device("meta"):
        wanted = type(backbone)(copy.deepcopy(backbone.config)).state_dict(keep_vars=True)
    check_fit(f"the {type(backbone).__name__}", state, wanted, "bring its config and its weights together")
    backbone.save_pretrained(folder, state_dict=state)


def plain_tokenizer(processor: XSERProcessor, text_model_id: str | None) -> PreTrainedTokenizerBase:
    """The language model's tokenizer as it was before the placeholders were added.

    Raises:
        ValueError: it is of a kind that cannot be changed, and `text_model_id` does not say where it came from.
    """
    if not hasattr(processor.tokenizer, "backend_tokenizer"):
        if text_model_id is None:
            raise ValueError("the tokenizer cannot be stripped of the placeholders, and text_model_id is null")
        return AutoTokenizer.from_pretrained(place_of(text_model_id))
    tokenizer = copy.deepcopy(processor.tokenizer)
    placeholders = set(processor.placeholders)
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    parts["added_tokens"] = [token for token in parts["added_tokens"] if token["content"] not in placeholders]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(parts))
    for option in LOADING_OPTIONS:
        tokenizer.init_kwargs.pop(option, None)
    return tokenizer
