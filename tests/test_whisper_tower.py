"""Whisper as an audio tower: its spectrogram, silence up to 30 s or none, the encoder of any checkpoint."""

import os
from pathlib import Path

import pytest
import torch
from conftest import SMALL, TINY_WHISPER, make_wave, save_text_backbone, save_tower
from transformers import (
    AutoFeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from xser import XSERForEmotionDescription, XSERProcessor
from xser.audio_tower_xser import audio_tower
from xser.audio_xser import SAMPLE_RATE, AudioError, load_audio
from xser.configuration_xser import XSERConfig
from xser.log_mel_xser import log_mel
from xser.training.activations import BatchShape, activation_bytes
from xser.training.arguments import ModelArguments
from xser.training.dry_run import model_config, parameters_of

HALF_MINUTE = 30 * SAMPLE_RATE
RECORDINGS = Path(__file__).parent / "data"


def extracted(recordings, num_mel_bins=16) -> torch.Tensor:
    """(B, F, 3000) of `WhisperFeatureExtractor`."""
    extractor = WhisperFeatureExtractor(feature_size=num_mel_bins)
    return extractor(recordings, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features


def batch_of(recordings) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, S) and the mask of what is real."""
    values = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in recordings], batch_first=True)
    lengths = torch.tensor([[len(each)] for each in recordings])
    return values, (torch.arange(values.shape[1]) < lengths).long()


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return WhisperEncoder(WhisperConfig(**TINY_WHISPER)).eval()


@pytest.fixture
def folders(tmp_path, tiny_tokenizer):
    audio, text = save_tower(tmp_path / "audio", "whisper"), save_text_backbone(tmp_path / "text", tiny_tokenizer)
    return str(audio), str(text)


# ---------------------------------------------------------------- the spectrogram


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_the_spectrogram_is_that_of_the_feature_extractor(num_mel_bins):
    recordings = [make_wave(seconds, seed=7) * gain for seconds, gain in ((0.9, 1.0), (2.0301, 1e-3), (1.0, 0.0))]
    values, _ = batch_of(recordings)
    found = log_mel(torch.nn.functional.pad(values, (0, HALF_MINUTE - values.shape[1])), num_mel_bins)
    torch.testing.assert_close(found, extracted(recordings, num_mel_bins), rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_samples", [160, 4_000, 16_160, HALF_MINUTE - 100, HALF_MINUTE])
def test_what_enters_the_first_layer_is_the_originals_without_its_30_s(encoder, num_samples):
    wave = make_wave(30.0, seed=3)[:num_samples]
    if num_samples > 400:
        wave[-200:] += 0.5  # the end is the loudest
    kind = audio_tower(encoder.config)
    with torch.no_grad():
        expected = encoder(extracted([wave]), output_hidden_states=True).hidden_states[0]
        found = kind.encode(encoder, torch.from_numpy(wave).unsqueeze(0))[0]
    assert found.shape[1] == kind.frames.num_frames(num_samples)
    torch.testing.assert_close(found, expected[:, : found.shape[1]], rtol=0, atol=1e-4)


def test_the_loudest_frame_is_that_of_the_clip_not_of_the_batch(encoder):
    quiet, loud = make_wave(0.8, seed=1) * 1e-4, make_wave(1.2, seed=2)
    kind = audio_tower(encoder.config)
    with torch.no_grad():
        together = kind.encode(encoder, *batch_of([quiet, loud]))[0]
        alone = kind.encode(encoder, *batch_of([quiet]))[0]
    torch.testing.assert_close(together[0, : alone.shape[1]], alone[0], rtol=0, atol=1e-5)


def test_the_spectrogram_stays_in_float32_under_autocast():
    waves = torch.from_numpy(make_wave(0.5)).unsqueeze(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_mel(waves, 80)
    assert found.dtype == torch.float32 and torch.equal(found, log_mel(waves, 80))


def test_what_stands_on_padding_is_not_read(encoder):
    values, mask = batch_of([make_wave(0.5), make_wave(0.9)])
    kind = audio_tower(encoder.config)
    with torch.no_grad():
        expected = kind.encode(encoder, values, mask)
        found = kind.encode(encoder, values.masked_fill(mask == 0, 0.7), mask)
    assert all(torch.equal(*each) for each in zip(found, expected, strict=True))


# ---------------------------------------------------------------- with silence up to 30 s, and without


def test_padded_states_are_those_of_the_original(encoder):
    recordings = [make_wave(seconds, seed=4) for seconds in (0.7, 1.6, 1.1)]
    kind = audio_tower(encoder.config, padded=True)
    values, mask = batch_of(recordings)
    with torch.no_grad():
        expected = encoder(extracted(recordings), output_hidden_states=True).hidden_states
        found = kind.encode(encoder, values, mask)
    assert len(found) == len(expected) == 3
    for one, original in zip(found, expected, strict=True):
        assert one.shape[1] == kind.frames.num_frames(values.shape[1]) == 80
        torch.testing.assert_close(one, original[:, :80], rtol=0, atol=1e-4)


def test_a_recording_of_30_s_gives_the_same_states_padded_or_not(encoder):
    waves = torch.from_numpy(make_wave(30.0)).unsqueeze(0)
    with torch.no_grad():
        whole, padded = (audio_tower(encoder.config, is_on).encode(encoder, waves) for is_on in (False, True))
    for one, other in zip(whole, padded, strict=True):
        assert one.shape == (1, 1500, 32) and torch.equal(one, other)


@pytest.mark.parametrize(("padded", "frames"), [(False, 50), (True, 1500)])
def test_layers_read_the_recording_alone_unless_padded(encoder, padded, frames):
    seen = []
    encoder.layers[0].register_forward_hook(lambda module, args, output: seen.append(args[0].shape[1]))
    with torch.no_grad():
        audio_tower(encoder.config, padded).encode(encoder, *batch_of([make_wave(1.0), make_wave(0.5)]))
    assert seen == [frames]


def test_padded_is_saved_and_changes_the_answer(folders, waves, tmp_path):
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(*folders, padded=True, **SMALL)
    found = {}
    for thin in (False, True):
        model.save_pretrained(tmp_path / str(thin), thin=thin)
        loaded = XSERForEmotionDescription.from_pretrained(tmp_path / str(thin)).eval()
        assert loaded.config.padded
        found[thin] = loaded.explain(waves[:1], processor)
    assert found[False] == found[True] == model.explain(waves[:1], processor)
    other = XSERForEmotionDescription.from_pretrained(tmp_path / "False", padded=False).eval()
    assert other.explain(waves[:1], processor)[0]["scores"] != found[False][0]["scores"]


# ---------------------------------------------------------------- waveforms


def test_waveforms_are_handed_on_as_they_are_with_their_loudness(folders, tmp_path):
    _, processor = XSERForEmotionDescription.from_backbones(*folders, **SMALL)
    assert isinstance(processor.feature_extractor, WhisperFeatureExtractor)
    processor.save_pretrained(tmp_path / "saved")
    wave = make_wave(0.6) + 0.1
    for each in (processor, XSERProcessor.from_pretrained(tmp_path / "saved")):
        batch = each((wave, SAMPLE_RATE), task="asr")
        assert torch.equal(batch["input_values"][0], torch.from_numpy(wave))
        assert each.conv_padding == [[200, 40], [1, 1], [1, 1]]
    assert batch["loudness"].item() < 0


# ---------------------------------------------------------------- checkpoints that hold an encoder


@pytest.mark.parametrize("model_class", [WhisperForConditionalGeneration, WhisperModel, WhisperEncoder])
def test_the_encoder_is_taken_from_any_whisper(folders, tmp_path, model_class):
    torch.manual_seed(1)
    source = model_class(WhisperConfig(**TINY_WHISPER))
    source.save_pretrained(tmp_path / "source")
    WhisperFeatureExtractor(feature_size=16).save_pretrained(tmp_path / "source")
    encoder = source if model_class is WhisperEncoder else source.get_encoder()
    model, _ = XSERForEmotionDescription.from_backbones(str(tmp_path / "source"), folders[1], **SMALL)
    tower = model.model.audio_tower.state_dict()
    assert tower.keys() == encoder.state_dict().keys()
    assert all(torch.equal(tensor, encoder.state_dict()[name]) for name, tensor in tower.items())
    assert not [name for name in model.state_dict() if "decoder" in name or "proj_out" in name]


def test_the_tower_of_a_model_is_saved_under_the_names_of_an_encoder(folders, tmp_path):
    model, _ = XSERForEmotionDescription.from_backbones(*folders, **SMALL)
    model.model.audio_tower.save_pretrained(tmp_path / "tower")
    again = WhisperEncoder.from_pretrained(tmp_path / "tower").state_dict()
    for name, tensor in model.model.audio_tower.state_dict().items():
        assert torch.equal(tensor, again[name]), name


def test_an_encoder_that_lacks_weights_is_refused(folders, tmp_path):
    WhisperEncoder(WhisperConfig(**{**TINY_WHISPER, "encoder_layers": 1})).save_pretrained(tmp_path / "short")
    WhisperConfig(**TINY_WHISPER).save_pretrained(tmp_path / "short")
    with pytest.raises(ValueError, match=r"short lacks weights of a WhisperEncoder, .*layers\.1"):
        XSERForEmotionDescription.from_backbones(str(tmp_path / "short"), folders[1], **SMALL)


@pytest.mark.parametrize("layers", [0, 3])
def test_layers_that_an_encoder_does_not_have_are_refused(folders, layers):
    with pytest.raises(ValueError, match=rf"{layers} layers of the audio tower .* are wanted; it has 2"):
        XSERForEmotionDescription.from_backbones(*folders, audio_layers=layers)


# ---------------------------------------------------------------- what is too long


def test_more_than_30_s_is_refused_with_both_lengths(encoder):
    with pytest.raises(ValueError, match=r"480001 samples, 30\.00 s; .* 1500 positions, .* 480000 samples, 30 s, at"):
        audio_tower(encoder.config).encode(encoder, torch.zeros(1, HALF_MINUTE + 1))


def test_the_processor_refuses_it_before(folders):
    _, processor = XSERForEmotionDescription.from_backbones(*folders, **SMALL)
    with pytest.raises(AudioError, match=r"lasts 30\.10 s; the limit \(max_audio_seconds\) is 30 s"):
        processor((make_wave(30.1), SAMPLE_RATE), task="asr")


def test_a_limit_beyond_the_positions_is_refused():
    audio_config = WhisperConfig(**TINY_WHISPER, max_source_positions=100)
    assert XSERConfig(audio_config=audio_config, max_audio_seconds=2).tower.max_samples == 2 * SAMPLE_RATE
    with pytest.raises(ValueError, match=r"max_audio_seconds is 2\.5; it must be at most 2, all that this tower"):
        XSERConfig(audio_config=audio_config, max_audio_seconds=2.5)


# ---------------------------------------------------------------- at full size, from shapes alone


def base_config(text_model: str, notes: list[str], **options) -> XSERConfig:
    arguments = ModelArguments(audio_model="openai/whisper-base", text_model=text_model, **options)
    return model_config(arguments, notes, checkpoint_config=None)


@pytest.mark.parametrize("layers", [None, 4])
def test_whisper_base_has_a_dry_run_from_its_published_shape(folders, layers):
    notes = []
    config = base_config(folders[1], notes, audio_layers=layers)
    assert notes == ["audio_model openai/whisper-base is not at hand: its published shape is taken"]
    with torch.device("meta"):
        model = XSERForEmotionDescription(config)
    width, inner = 512, 2048
    layer = 4 * width**2 + 3 * width + 2 * width * inner + inner + width + 4 * width  # keys have no bias
    convolutions = 3 * width * (80 + width) + 2 * width
    expected = convolutions + 1500 * width + (layers or 6) * layer + 2 * width
    assert parameters_of(model)["audio_tower"] == expected


def test_activations_of_whisper_base_grow_with_the_recording_unless_padded(folders):
    peaks = {}
    for padded in (False, True):
        for seconds in (5, 10):
            config = base_config(folders[1], [], padded=padded)
            with torch.device("meta"):
                model = XSERForEmotionDescription(config)
            shape = BatchShape(2, seconds * SAMPLE_RATE, 8, 4)
            peaks[padded, seconds] = activation_bytes(model, "describe", shape, torch.bfloat16)
    assert peaks[False, 10] / peaks[False, 5] == pytest.approx(2, rel=0.2)
    assert peaks[True, 5] > 2 * peaks[False, 5]


# ---------------------------------------------------------------- the real one


def test_whisper_base_gives_its_own_states_and_true_lengths_near_them():
    folder = os.environ.get("XSER_WHISPER_BASE")
    if not folder or not Path(folder).is_dir():
        pytest.skip("XSER_WHISPER_BASE names no folder of openai/whisper-base")
    encoder = WhisperModel.from_pretrained(folder, dtype=torch.float32).encoder.eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    recordings = [load_audio(path) for path in sorted(RECORDINGS.glob("*.ogg"))]
    features = extractor(recordings, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    values, mask = batch_of(recordings)
    with torch.no_grad():
        expected = encoder(features, output_hidden_states=True).hidden_states
        padded, whole = (audio_tower(encoder.config, is_on).encode(encoder, values, mask) for is_on in (True, False))
    real = audio_tower(encoder.config).frames.mask(mask)
    for one, original in zip(padded, expected, strict=True):
        torch.testing.assert_close(one, original[:, : one.shape[1]], rtol=0, atol=1e-4)
    last, original = whole[-1][real], expected[-1][:, : real.shape[1]][real]
    assert torch.cosine_similarity(last, original, -1).mean() > 0.85
