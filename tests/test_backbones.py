"""The tiny backbones are ordinary Hugging Face folders."""

import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForCausalLM, AutoTokenizer

from xser.training.tiny_backbones import build, spectral_filters


def test_tiny_pair_loads_by_the_public_classes(tmp_path):
    audio, text = build(tmp_path, ["the dog is at the door"] * 20)
    tower, language_model = AutoModel.from_pretrained(audio), AutoModelForCausalLM.from_pretrained(text)
    assert AutoFeatureExtractor.from_pretrained(audio).sampling_rate == 16_000
    tokenizer = AutoTokenizer.from_pretrained(text)
    assert language_model.config.vocab_size == len(tokenizer)
    assert torch.equal(tower.feature_extractor.conv_layers[0].conv.weight, spectral_filters())
    text = "lubię czytać ☂"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_levels_and_emotions_are_single_tokens(tmp_path):
    _, text = build(tmp_path, ["the dog is at the door"] * 20)
    tokenizer = AutoTokenizer.from_pretrained(text)
    for label in (" high", " quiet", " rising", " angry", " surprised"):
        assert len(tokenizer(label).input_ids) == 1, label


def test_filters_answer_to_their_own_frequency():
    filters = spectral_filters().squeeze(1)
    spectrum = torch.fft.rfft(filters, n=16_000).abs()  # one bin a hertz
    peaks = spectrum.argmax(-1)
    cosines, sines = peaks[:80], peaks[80:160]
    assert (cosines[1:] >= cosines[:-1]).all() and (cosines - sines).abs().max() <= 40
    torch.testing.assert_close(filters.norm(dim=1), torch.ones(320))
