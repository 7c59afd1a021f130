"""A tiny, untrained LLaMA as an ordinary folder: `python -m xser.training.tiny_language_model --out DIR`.

It is what `configs/tiny-pretrain.yaml` starts from.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from xser.commands.entry import CommandParser, run_command
from xser.configuration_xser import DEFAULT_DESCRIPTORS, DEFAULT_EMOTIONS
from xser.grammar_xser import EmotionDescription

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
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


DESCRIBE_PROMPT = "\nDescribe the voice: pitch, volume, speed, tone, transcript, emotion, emphasis."


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
        EmotionDescription(level, ("said",), emotion, "said").to_text()
        for level in levels
        for emotion in DEFAULT_EMOTIONS
    ]
    prompts = ["\nTranscribe the speech.", DESCRIBE_PROMPT]
    return (answers + prompts * 20) * 50


def build(folder: Path, texts: Iterable[str], seed: int = 0) -> LlamaForCausalLM:
    """Write model and tokenizer into `folder`; gives the model."""
    set_seed(seed)
    tokenizer = train_tokenizer(texts)
    model = LlamaForCausalLM(language_model_config(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def main() -> None:
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    from xser.corpora import load_corpus

    model = build(arguments.out, load_corpus("espeak", split="train")["text"], arguments.seed)
    print(json.dumps({"folder": str(arguments.out), "parameters": model.num_parameters()}))


if __name__ == "__main__":
    run_command("python -m xser.training.tiny_language_model", main)
