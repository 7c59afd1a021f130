"""The audio tower inside the model: what padding may not change, and that no pass leaves anything behind in it."""

import threading

import pytest
import torch
from conftest import AUDIO_MODELS, SMALL, save_audio_backbone, save_text_backbone

from xser import XSERForEmotionDescription
from xser.tower_xser import MaskedNormConvLayer, mark_padding, prepare_tower


@pytest.mark.parametrize("kind", AUDIO_MODELS)
def test_group_norm_is_the_original_where_there_is_no_padding(tmp_path, waves, kind):
    tower = AUDIO_MODELS[kind][1].from_pretrained(save_audio_backbone(tmp_path, kind, "group")).eval()
    names = set(tower.state_dict())
    values = torch.from_numpy(waves[0][0]).unsqueeze(0)
    with torch.no_grad():
        original = tower(values).last_hidden_state
        prepare_tower(tower)
        assert isinstance(tower.feature_extractor.conv_layers[0], MaskedNormConvLayer)
        assert set(tower.state_dict()) == names
        torch.testing.assert_close(tower(values).last_hidden_state, original, rtol=1e-4, atol=1e-5)
        marked = mark_padding(tower, torch.nn.functional.pad(values, (0, 900)), torch.ones(1, values.shape[1] + 900))
        assert not marked.isnan().any()


def test_a_tower_with_layer_norm_is_given_plain_waveforms(tmp_path):
    tower = AUDIO_MODELS["hubert"][1].from_pretrained(save_audio_backbone(tmp_path, "hubert", "layer"))
    prepare_tower(tower)
    values = torch.zeros(2, 10)
    assert mark_padding(tower, values, torch.zeros(2, 10)) is values


@pytest.fixture(params=AUDIO_MODELS)
def pair(request, tmp_path, tiny_tokenizer):
    return XSERForEmotionDescription.from_backbones(
        save_audio_backbone(tmp_path / "audio", request.param, "group"),
        save_text_backbone(tmp_path / "text", tiny_tokenizer),
        **SMALL,
    )


def test_two_calls_inside_the_first_layer_at_once_hear_what_they_hear_alone(pair, waves, monkeypatch):
    """Both have entered the convolution before either normalises: what a call leaves on the tower is overwritten."""
    model, processor = pair
    batches = [processor(waves[start : start + 2], task="asr") for start in (0, 5)]
    arguments = [(batch["input_values"], batch["input_values_mask"]) for batch in batches]
    with torch.no_grad():
        alone = [model.model.encode_audio(*each)[0] for each in arguments]
    both_are_in = threading.Barrier(2, timeout=60)
    conv = model.model.audio_tower.feature_extractor.conv_layers[0].conv
    forward = conv.forward
    monkeypatch.setattr(conv, "forward", lambda values: (both_are_in.wait(), forward(values), both_are_in.wait())[1])
    found = [None, None]

    def encode(index: int) -> None:
        with torch.no_grad():
            found[index] = model.model.encode_audio(*arguments[index])[0]

    threads = [threading.Thread(target=encode, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, states in zip(alone, found, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(expected, states, strict=True))


def test_a_pass_leaves_nothing_on_the_modules(pair, waves):
    model, processor = pair

    def run(recordings) -> None:
        model.explain(recordings, processor)
        model(**processor(recordings, task="asr", targets=["we won"] * len(recordings)))

    def held() -> dict[str, dict[str, int]]:
        return {name: {key: id(value) for key, value in vars(each).items()} for name, each in model.named_modules()}

    run(waves[:2])  # transformers puts its hooks in place at the first
    before = held()
    run(waves[5:8])
    assert held() == before


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_pass_computed_again_for_its_gradient_is_the_same(tmp_path, tiny_tokenizer, waves, use_reentrant):
    model, processor = XSERForEmotionDescription.from_backbones(
        save_audio_backbone(tmp_path / "audio", "hubert", "group"),
        save_text_backbone(tmp_path / "text", tiny_tokenizer),
        freeze_audio_tower=False,
        **SMALL,
    )
    batch = processor(waves[:3], task="asr", targets=["we won", "the dog", "never"], noise_seed=[0, 1, 2])
    conv = model.model.audio_tower.feature_extractor.conv_layers[0].conv
    gradients = []
    for again in (False, True):
        model.train()
        model.zero_grad()
        if again:
            model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
        torch.manual_seed(0)  # dropout of the tower
        loss = model(**batch).loss
        if again:
            with torch.no_grad():
                model.model.encode_audio(*(processor(waves[5:])[f"input_values{end}"] for end in ("", "_mask")))
        loss.backward()
        gradients.append(conv.weight.grad.clone())
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
