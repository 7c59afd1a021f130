"""What holds of an audio tower of every kind: frames, padding, checkpoints, gradients, and what is refused."""

import json

import pytest
import torch
from conftest import SMALL, TOWERS, make_wave, save_text_backbone, save_tower
from test_hub import printed, run_blind
from transformers import AutoConfig, AutoModel, HubertConfig, WhisperConfig, WhisperFeatureExtractor, WhisperModel

from xser import XSERForEmotionDescription, XSERProcessor
from xser.audio_tower_xser import MODEL_TYPES, audio_tower
from xser.audio_xser import SAMPLE_RATE
from xser.configuration_xser import XSERConfig
from xser.tower_frames_xser import TowerFrames
from xser.training.activations import BatchShape, activation_bytes
from xser.training.classifier import build_classifier

LENGTHS = (3_000, 16_000, 16_159, 16_160, 16_319, 16_320, 23_456)  # samples


@pytest.fixture(params=TOWERS)
def kind(request):
    return request.param


@pytest.fixture
def folders(tmp_path, tiny_tokenizer, kind):
    """(audio, text) folders of a tower of the kind and a tiny language model."""
    return str(save_tower(tmp_path / "audio", kind)), str(save_text_backbone(tmp_path / "text", tiny_tokenizer))


@pytest.fixture
def pair(folders):
    torch.manual_seed(0)
    return XSERForEmotionDescription.from_backbones(*folders, **SMALL)


def states_of(model, processor, recordings):
    """(L+1) x (B, T, H) and (B, T)."""
    batch = processor(recordings, task="asr")
    with torch.no_grad():
        return model.model.encode_audio(batch["input_values"], batch["input_values_mask"])


def logits(model, processor, recordings):
    with torch.no_grad():
        return model(**processor(recordings, task="describe")).logits


def test_every_kind_is_known():
    assert set(MODEL_TYPES) == set(TOWERS)


# ---------------------------------------------------------------- frames


def test_the_processor_counts_the_frames_that_the_tower_makes(pair):
    model, processor = pair
    recordings = [(make_wave(1.5)[:length], SAMPLE_RATE) for length in LENGTHS]
    hidden_states, mask = states_of(model, processor, recordings)
    assert len(hidden_states) == model.config.audio_config.num_hidden_layers + 1
    assert {each.shape for each in hidden_states} == {(len(LENGTHS), mask.shape[1], 32)}
    assert mask.sum(-1).tolist() == [processor.num_frames(length) for length in LENGTHS]
    assert (mask.long().diff(dim=1) <= 0).all()  # real frames come first


def test_frames_of_whisper_are_20_ms_apart_and_centred_from_the_start_on():
    frames = audio_tower(WhisperConfig()).frames
    assert (frames.hop, frames.field, frames.first_centre) == (320, 400 + 4 * 160, -0.5)
    assert [frames.num_frames(count) for count in (159, 160, 320, 479, 480, 16_000)] == [0, 1, 1, 1, 2, 50]
    assert frames.num_frames(torch.tensor([159, 480_000])).tolist() == [0, 1500]


def test_frames_of_hubert_see_25_ms_from_the_first_sample_on():
    frames = audio_tower(HubertConfig()).frames
    assert (frames.hop, frames.field, frames.first_centre) == (320, 400, 199.5)
    assert [frames.num_frames(count) for count in (0, 399, 400, 720)] == [0, 0, 1, 2]


def test_padding_before_and_after_a_convolution_counts_where_it_stands():
    frames = TowerFrames([4, 3], [2, 2], [[3, 0], [1, 1]])
    values = torch.nn.functional.pad(torch.zeros(1, 1, 21), (3, 0))
    for kernel, padding in ((4, 0), (3, 1)):
        values = torch.nn.functional.conv1d(values, torch.ones(1, 1, kernel), stride=2, padding=padding)
    assert frames.num_frames(21) == values.shape[-1]
    assert frames.first_centre == (0 + 3) / 2 - 3 + 0  # the second convolution is centred on the first one's frame


# ---------------------------------------------------------------- states


@pytest.mark.parametrize("kind", [kind for kind in TOWERS if kind != "whisper"])
def test_states_of_a_clip_are_those_of_the_original(pair, folders, waves):
    """Whisper's original has silence after the clip: see test_whisper_tower.py."""
    model, processor = pair
    original = AutoModel.from_pretrained(folders[0]).eval()
    values = processor(waves[3], task="asr")["input_values"]
    with torch.no_grad():
        expected = original(values, output_hidden_states=True).hidden_states
    found, _ = states_of(model, processor, waves[3:4])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_states_of_a_clip_alone_are_those_of_the_clip_in_a_batch(pair, waves):
    model, processor = pair
    together, mask = states_of(model, processor, waves)
    for index, wave in enumerate(waves):
        alone, own_mask = states_of(model, processor, [wave])
        assert own_mask.all() and own_mask.shape[1] == mask[index].sum()
        for one, among in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], among[index, mask[index]], rtol=1e-4, atol=2e-5)


def test_a_clip_alone_and_in_a_batch_answers_the_same(pair, waves):
    model, processor = pair
    together = model.explain(waves[:4], processor, batch_size=4)
    for wave, among in zip(waves[:4], together, strict=True):
        [alone] = model.explain([wave], processor)
        assert alone["scores"] == pytest.approx(among["scores"], abs=1e-4)
        for key in ("emotion", "descriptors", "emphasis", "transcript"):
            assert alone[key] == among[key], key


def test_a_pass_leaves_nothing_on_the_modules(pair, waves):
    model, processor = pair

    def held() -> dict[str, dict[str, int]]:
        return {name: {key: id(value) for key, value in vars(each).items()} for name, each in model.named_modules()}

    states_of(model, processor, waves[:2])  # transformers puts its hooks in place at the first
    before = held()
    states_of(model, processor, waves[5:8])
    assert held() == before


def test_states_in_bfloat16_are_close_to_those_in_float32(folders, waves):
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model, processor = XSERForEmotionDescription.from_backbones(*folders, load_options={"dtype": dtype}, **SMALL)
        states, mask = states_of(model, processor, waves[:2])
        assert {each.dtype for each in states} == {dtype}
        found.append(torch.stack(states)[:, mask].float())
    error = (found[0] - found[1]).norm() / found[0].norm()
    assert 0 < error < 0.02


# ---------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("thin", [False, True])
def test_a_checkpoint_answers_as_what_was_saved(pair, tmp_path, waves, thin):
    model, processor = pair
    expected = logits(model, processor, waves[:2])
    for place in (tmp_path / "first", tmp_path / "second"):
        model.save_pretrained(place, thin=thin)
        processor.save_pretrained(place)
        model = XSERForEmotionDescription.from_pretrained(place).eval()
        processor = XSERProcessor.from_pretrained(place)
        assert torch.equal(logits(model, processor, waves[:2]), expected)


def test_the_first_layers_of_a_tower_give_the_states_that_they_give_in_the_whole(pair, folders, kind, tmp_path, waves):
    whole, processor = pair
    part, _ = XSERForEmotionDescription.from_backbones(*folders, audio_layers=1, **SMALL)
    [first, second, _], _ = states_of(whole, processor, waves[:1])
    if kind == "whisper":  # its norm follows the last layer that is there
        second = whole.model.audio_tower.layer_norm(second)
    found, _ = states_of(part, processor, waves[:1])
    assert part.config.audio_config.num_hidden_layers == 1
    assert len(found) == 2 and torch.equal(found[0], first) and torch.equal(found[1], second)
    part.save_pretrained(tmp_path / "thin", thin=True)
    again = XSERForEmotionDescription.from_pretrained(tmp_path / "thin").eval()
    assert torch.equal(logits(again, processor, waves[:1]), logits(part, processor, waves[:1]))


def test_a_tower_of_another_kind_is_refused_under_a_thin_checkpoint(pair, kind, tmp_path):
    model, _ = pair
    other = "hubert" if kind == "whisper" else "whisper"
    model.save_pretrained(tmp_path / "thin", thin=True)
    path = tmp_path / "thin" / "config.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"audio_model_id": str(save_tower(tmp_path / "other", other))}))
    with pytest.raises(ValueError, match=f"other has model_type {other}, the checkpoint .*thin was made with {kind}"):
        XSERForEmotionDescription.from_pretrained(tmp_path / "thin")


LOAD = """
trust = {"trust_remote_code": True}
processor = AutoProcessor.from_pretrained(folder, **trust)
model = AutoModel.from_pretrained(folder, dtype=torch.float32, **trust)
with torch.no_grad():
    print(json.dumps(model(**processor(recording)).logits[0, -1].tolist()))
"""


@pytest.mark.parametrize("kind", ["data2vec-audio", "whisper"])
def test_a_checkpoint_loads_where_the_package_cannot_be_seen(pair, tmp_path, kind):
    import soundfile

    model, processor = pair
    soundfile.write(tmp_path / "speech.wav", make_wave(0.8), SAMPLE_RATE, subtype="FLOAT")
    for part in pair:
        part.save_pretrained(tmp_path / "saved")
    found = printed(run_blind(LOAD, tmp_path / "saved", tmp_path / "speech.wav", tmp_path))
    expected = logits(model, processor, [tmp_path / "speech.wav"])[0, -1]
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_tower_that_is_not_frozen_is_trained(folders, kind, waves, checkpointing):
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(*folders, freeze_audio_tower=False, **SMALL)
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()(**processor(waves[:2], task="asr", targets=["we won", "the dog"])).loss.backward()
    untrained = {
        name
        for name, weight in model.model.audio_tower.named_parameters()
        if weight.grad is None or not weight.grad.any()
    }
    fixed = {"whisper": {"embed_positions.weight"}}.get(kind, {"masked_spec_embed"})
    assert untrained <= fixed | {name for name in untrained if name.endswith("k_proj.bias")}  # softmax cancels these
    assert kind != "whisper" or "embed_positions.weight" in untrained


def test_a_frozen_tower_is_given_no_gradient(pair, waves):
    model, processor = pair
    model.train()(**processor(waves[:2], task="asr", targets=["we won", "the dog"])).loss.backward()
    assert all(weight.grad is None for weight in model.model.audio_tower.parameters())
    assert not any(module.training for module in model.model.audio_tower.modules())


def test_a_step_is_traced_without_data(folders, kind):
    text = AutoConfig.from_pretrained(folders[1])
    peaks = []
    for seconds in (2, 4):
        audio = AutoConfig.from_pretrained(folders[0])
        with torch.device("meta"):
            model = XSERForEmotionDescription(XSERConfig(audio_config=audio, text_config=text, **SMALL))
        shape = BatchShape(2, seconds * SAMPLE_RATE, 8, 4)
        peaks.append(activation_bytes(model, "describe", shape, torch.bfloat16))
    assert 1.3 < peaks[1] / peaks[0] < 2.2


def test_a_classifier_stands_on_a_tower_of_every_kind(folders, waves):
    model, processor = build_classifier(folders[0], emotions=["happy", "sad"], ctc_weight=1.0, voice_activity=False)
    batch = processor(waves[:2], task="asr", targets=["we won", "the dog"])
    model.train()(**batch).loss.backward()
    assert model.ctc_head.weight.grad.any()
    assert set(model.eval().explain(waves[:1], processor)[0]["scores"]) == {"happy", "sad"}


# ---------------------------------------------------------------- what is refused


def test_a_model_of_text_is_refused_as_a_tower(tmp_path, tiny_tokenizer):
    text = str(save_text_backbone(tmp_path / "text", tiny_tokenizer))
    with pytest.raises(ValueError, match=r"audio tower .*text\.model_type is 'llama'; it must be one of \('hubert'"):
        XSERForEmotionDescription.from_backbones(text, text, **SMALL)


def test_the_processor_of_another_kind_is_refused(folders, pair, kind, tmp_path, waves):
    model, _ = pair
    other = "hubert" if kind == "whisper" else "whisper"
    _, processor = XSERForEmotionDescription.from_backbones(
        str(save_tower(tmp_path / "other", other)), folders[1], **SMALL
    )
    with pytest.raises(ValueError, match=r"the processor's conv_kernel is \[.*\], the model's \["):
        model.explain(waves[:1], processor)


def test_a_feature_extractor_of_another_kind_is_refused(tiny_tokenizer):
    normalising = audio_tower(HubertConfig()).extractor()
    with pytest.raises(ValueError, match="Wav2Vec2FeatureExtractor with do_normalize true; Whisper"):
        XSERProcessor.from_config(XSERConfig(audio_config=WhisperConfig()), normalising, tiny_tokenizer)
    with pytest.raises(ValueError, match=r"WhisperFeatureExtractor, which does not say .*do_normalize"):
        XSERProcessor.from_config(XSERConfig(), WhisperFeatureExtractor(), tiny_tokenizer)


def test_a_tower_that_is_not_what_the_config_says_is_refused(pair, kind):
    model, _ = pair
    if kind == "whisper":
        given, wanted = WhisperModel(model.config.audio_config), "WhisperEncoder"
    else:
        given, wanted = WhisperModel(WhisperConfig(encoder_layers=1, decoder_layers=1)), "Model"
    with pytest.raises(ValueError, match=f"audio_tower is a WhisperModel; it must be a .*{wanted}"):
        XSERForEmotionDescription(model.config, audio_tower=given)
