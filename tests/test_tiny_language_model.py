"""The tiny language model is an ordinary Hugging Face folder."""

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from xser.training.tiny_language_model import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language-model")
    build(folder, ["the dog is at the door"] * 20)
    return folder


def test_it_loads_by_the_public_classes(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == len(tokenizer)
    text = "lubię czytać ☂"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_levels_and_emotions_are_single_tokens(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for label in (" high", " quiet", " rising", " angry", " surprised"):
        assert len(tokenizer(label).input_ids) == 1, label
