"""A tiny, untrained HuBERT and LLaMA as ordinary folders: `python -m xser.training.tiny_backbones --out DIR`.

They are what `configs/tiny-pretrain.yaml` starts from. The tower's first convolution begins as windowed cosines and
sines, half of them short (25 ms, mel-spaced: what was said), half long (64 ms, log-spaced below 1.5 kHz: the harmonics
of a voice); it is trained like every other weight.
"""

import argparse
import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    HubertConfig,
    HubertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
    set_seed,
)

from xser.configuration_xser import DEFAULT_DESCRIPTORS, DEFAULT_EMOTIONS
from xser.grammar_xser import EmotionDescription

SAMPLE_RATE = 16_000
KERNEL, STRIDE = 1024, 160
SHORT_WINDOW = 400
NUM_FREQUENCIES = 80  # of each kind; a cosine and a sine each
PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tower_config() -> HubertConfig:
    """33 frames a second, 2.0 M parameters."""
    return HubertConfig(
        vocab_size=32,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        conv_dim=(4 * NUM_FREQUENCIES, 192),
        conv_kernel=(KERNEL, 3),
        conv_stride=(STRIDE, 3),
        conv_bias=True,
        feat_extract_norm="layer",
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=16,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,
    )


def language_model_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """1.3 M parameters."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def spectral_filters() -> torch.Tensor:
    """(4 F, 1, K) windowed cosines and sines of unit norm."""
    mel = torch.linspace(_mel(100.0), _mel(7600.0), NUM_FREQUENCIES)
    short_frequencies = 700 * (10 ** (mel / 2595) - 1)
    long_frequencies = torch.logspace(math.log10(60), math.log10(1500), NUM_FREQUENCIES)
    short_window = _centred(torch.hann_window(SHORT_WINDOW), KERNEL)
    long_window = torch.hann_window(KERNEL)
    time = (torch.arange(KERNEL) - KERNEL / 2) / SAMPLE_RATE
    filters = []
    for window, frequencies in ((short_window, short_frequencies), (long_window, long_frequencies)):
        phase = 2 * math.pi * frequencies.unsqueeze(1) * time
        filters += [window * phase.cos(), window * phase.sin()]
    stacked = torch.cat(filters)
    return (stacked / stacked.norm(dim=1, keepdim=True)).unsqueeze(1)


def _centred(window: torch.Tensor, size: int) -> torch.Tensor:
    """Centre a window in `size` samples."""
    left = (size - len(window)) // 2
    return torch.nn.functional.pad(window, (left, size - len(window) - left))


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 1024) -> PreTrainedTokenizerFast:
    """A byte-level BPE, which can write any language, trained on transcripts and on the answers' words.

    At most `vocab_size` tokens: enough that every word of the espeak corpus becomes one, as common words are in a
    large model's vocabulary.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, END, USER, ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *_example_answers()], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, additional_special_tokens=[USER, ASSISTANT]
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _example_answers() -> list[str]:
    """Every level and emotion often enough to become a token of its own."""
    levels = [{slot: level} for slot, options in DEFAULT_DESCRIPTORS.items() for level in options]
    answers = [
        EmotionDescription(level, ("said",), emotion).to_text() for level in levels for emotion in DEFAULT_EMOTIONS
    ]
    prompts = ["\nTranscribe the speech.", "\nDescribe the voice: pitch, volume, speed, tone, emphasis, emotion."]
    return (answers + prompts * 20) * 50


def build(directory: Path, texts: Iterable[str], seed: int = 0) -> tuple[Path, Path]:
    """Write `audio/` and `text/` below `directory` and return both."""
    set_seed(seed)
    audio, text = Path(directory) / "audio", Path(directory) / "text"
    tower = HubertModel(tower_config())
    with torch.no_grad():
        tower.feature_extractor.conv_layers[0].conv.weight.copy_(spectral_filters())
        tower.feature_extractor.conv_layers[0].conv.bias.zero_()
    tower.save_pretrained(audio)
    Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE, do_normalize=True, return_attention_mask=True).save_pretrained(
        audio
    )
    tokenizer = train_tokenizer(texts)
    LlamaForCausalLM(language_model_config(tokenizer)).save_pretrained(text)
    tokenizer.save_pretrained(text)
    return audio, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write audio/ and text/ into")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    from xser.corpora import load_corpus

    texts = load_corpus("espeak", split="train")["text"]
    audio, text = build(arguments.out, texts, arguments.seed)
    sizes = {
        "audio": sum(p.numel() for p in HubertModel.from_pretrained(audio).parameters()),
        "text": sum(p.numel() for p in LlamaForCausalLM.from_pretrained(text).parameters()),
    }
    print(json.dumps({"folder": str(arguments.out), "parameters": sizes}))


if __name__ == "__main__":
    main()
