"""Scores are likelihoods of whole labels, and answers always parse."""

import numpy as np
import pytest
import torch

from xser import EmotionDescription
from xser.audio_xser import AudioError


def test_scores_are_the_likelihoods_of_the_labels_with_their_end(tiny_pair, waves):
    """Against the plain way: one full pass for each label, teacher-forced."""
    model, processor = tiny_pair
    for answer, wave in zip(model.explain(waves[:3], processor), waves[:3], strict=True):
        totals = {}
        for emotion in model.config.emotions:
            target = EmotionDescription(answer["descriptors"], tuple(answer["emphasis"]), emotion)
            batch = processor([wave], task="describe", targets=[target])
            with torch.no_grad():
                logits = model(**batch).logits[:, :-1].log_softmax(-1)
            labels = batch["labels"][0][batch["labels"][0] != -100]
            count = 1 + len(processor.piece_ids(f" {emotion}"))  # the label and the end of the answer
            totals[emotion] = sum(float(logits[0, -i, labels[-i]]) for i in range(1, count + 1))
        expected = torch.tensor(list(totals.values())).softmax(0)
        torch.testing.assert_close(torch.tensor(list(answer["scores"].values())), expected, rtol=1e-3, atol=1e-5)


def test_scores_are_a_distribution_over_the_emotions_of_the_config(tiny_pair, waves):
    model, processor = tiny_pair
    for answer in model.explain(waves, processor):
        assert list(answer["scores"]) == model.config.emotions
        assert abs(sum(answer["scores"].values()) - 1) < 1e-6
        assert answer["emotion"] == max(answer["scores"], key=answer["scores"].get)


def test_answers_always_parse_even_from_an_untrained_model(tiny_pair, waves):
    model, processor = tiny_pair
    for answer in model.explain(waves, processor):
        description = EmotionDescription(answer["descriptors"], tuple(answer["emphasis"]), answer["emotion"])
        assert EmotionDescription.from_text(description.to_text(), model.config.schema) == description
        assert set(answer["emphasis"]) <= set(answer["transcript"].split())


def test_only_the_slots_asked_for_are_answered(tiny_pair, waves):
    model, processor = tiny_pair
    [answer] = model.explain(waves[:1], processor, slots=["speed", "pitch"], transcript=False)
    assert list(answer["descriptors"]) == ["pitch", "speed"]
    assert answer["emotion"] is answer["scores"] is answer["emphasis"] is answer["transcript"] is None
    with pytest.raises(ValueError, match="'colour'"):
        model.explain(waves[:1], processor, slots=["colour"])


def test_silence_and_very_short_sounds_have_a_status_and_no_emotion(tiny_pair, waves):
    model, processor = tiny_pair
    recordings = [(np.zeros(16_000, np.float32), 16_000), waves[0], (waves[0][0][:160], 16_000)]
    answers = model.explain(recordings, processor)
    assert [answer["status"] for answer in answers] == ["no_speech", "ok", "too_short"]
    assert answers[0]["emotion"] is None and answers[2]["scores"] is None
    assert answers[1] == model.explain([waves[0]], processor)[0]


def test_nothing_to_say_is_no_error(tiny_pair):
    model, processor = tiny_pair
    assert model.explain([], processor) == []


def test_a_recording_beyond_the_limit_is_refused_by_name(tiny_pair, tmp_path):
    import soundfile

    model, processor = tiny_pair
    path = tmp_path / "long.wav"
    soundfile.write(path, np.full(31 * 16_000, 0.1, np.float32), 16_000)
    with pytest.raises(AudioError, match=r"long\.wav.*31.*30"):
        model.explain([path], processor)


def test_explain_leaves_the_model_in_its_mode(tiny_pair, waves):
    model, processor = tiny_pair
    model.train()
    model.explain(waves[:1], processor)
    assert model.training
