"""Recordings encoded once answer as recordings that are given do, however often, and are not encoded again."""

import numpy as np
import pytest
import torch
from conftest import SMALL, make_wave
from test_voices import STREAMS

from xser.audio_xser import SAMPLE_RATE
from xser.encoded_xser import EncodedAudio
from xser.modeling_xser import XSERForEmotionDescription

HEADS = {"summary_tokens": True, "emotion_weight": 1.0, "emotion_votes": True}


@pytest.fixture(scope="module")
def pair(tiny_backbone_folders):
    """A model with all that is measured and predicted beside the words; not to be changed."""
    torch.manual_seed(0)
    options = {"speaker_reference": True, "aux_streams": STREAMS, **HEADS}
    return XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL, **options)


@pytest.fixture(scope="module")
def audio():
    """Recordings of different lengths, one of them silent and one too short."""
    waves = [make_wave(0.4 + 0.3 * index, seed=index) for index in range(5)]
    return [(wave, SAMPLE_RATE) for wave in (*waves, np.zeros(SAMPLE_RATE, np.float32), waves[0][:500])]


@pytest.fixture
def encoded_once(pair, audio, monkeypatch):
    """The recordings encoded; the tower cannot encode any more."""
    model, processor = pair
    recordings = model.encode(audio, processor, batch_size=3)
    monkeypatch.setattr(type(model.model), "encode_audio", None)
    return recordings


def test_answers_are_those_of_the_recordings_in_any_batch_and_order(pair, audio, request):
    model, processor = pair
    profile = model.profile(audio[:4], processor)
    options = [{}, {"reference": profile, "verify": True}, {"transcript": False, "slots": ["pitch", "emotion"]}]
    expected = [model.explain(audio, processor, batch_size=3, **each) for each in options]
    recordings = request.getfixturevalue("encoded_once")
    for each, answers in zip(options, expected, strict=True):
        assert model.explain(recordings, processor, batch_size=3, **each) == answers
        backwards = model.explain(recordings[::-1], processor, batch_size=2, **each)[::-1]
        for one, other in zip(answers, backwards, strict=True):
            assert (one["status"], one["emotion"]) == (other["status"], other["emotion"])
            assert one["scores"] == (None if one["scores"] is None else pytest.approx(other["scores"], abs=1e-5))
    assert [answer["status"] for answer in expected[0]] == ["ok"] * 5 + ["no_speech", "too_short"]


def test_encoded_recordings_stand_beside_others(pair, audio):
    model, processor = pair
    some = model.encode(audio[1:3], processor)
    mixed = model.explain([audio[0], *some, audio[3]], processor)
    for one, other in zip(mixed, model.explain(audio[:4], processor), strict=True):
        assert one["emotion"] == other["emotion"] and one["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_states_are_the_recordings_own_without_padding(pair, audio, encoded_once):
    processor = pair[1]
    for recording, (wave, _) in zip(encoded_once[:5], audio, strict=False):
        assert isinstance(recording, EncodedAudio) and recording.states.dtype == np.float32
        assert recording.states.shape[0] == processor.num_frames(len(wave))
        np.testing.assert_array_equal(recording.wave, wave)
    assert [each.states for each in encoded_once[5:]] == [None, None]
    assert repr(encoded_once[0]).endswith("status='ok')"), "messages show no arrays"


def test_nothing_is_measured_that_nobody_asks_for(tiny_pair, audio, monkeypatch):
    model, processor = tiny_pair
    recordings = model.encode(audio[:2], processor)
    monkeypatch.setattr("xser.encoded_xser.measure", None)
    assert [answer["status"] for answer in model.explain(recordings, processor)] == ["ok", "ok"]


def test_what_is_measured_is_measured_once_for_all_answers(pair, audio, encoded_once, monkeypatch):
    model, processor = pair
    model.explain(encoded_once[:2], processor)
    for module in ("encoded_xser", "voice_inputs_xser", "verification_xser"):
        monkeypatch.setattr(f"xser.{module}.measure", None)
    answers = model.explain(encoded_once[:2], processor, verify=True)
    assert all(answer["verification"] for answer in answers)


def test_recordings_of_another_tower_are_refused_by_name(pair, tiny_backbone_folders, audio):
    model, processor = pair
    other, other_processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, mixed_layers=[0]
    )
    recordings, layers = other.encode(audio[:1], other_processor), len(model.config.used_layers)
    with pytest.raises(ValueError, match=rf"encoded to \(layers, width\) \(1, \d+\), .* has \({layers}, \d+\): encod"):
        model.explain(recordings, processor)


def test_one_recording_that_is_no_list_is_refused(pair, audio):
    model, processor = pair
    with pytest.raises(ValueError, match="one recording or none: give a list of recordings"):
        model.encode("a.wav", processor)
    with pytest.raises(ValueError, match="batch_size"):
        model.encode(audio, processor, batch_size=0)
