"""Answers: one pass, the transcript within quotes, scores that are likelihoods of whole labels; they always parse."""

import numpy as np
import pytest
import torch
from conftest import SMALL

from xser import EmotionDescription, XSERForEmotionDescription
from xser.audio_xser import AudioError


def test_scores_are_the_likelihoods_of_the_labels_with_their_end(tiny_pair, waves):
    """Against the plain way: one full pass for each label, teacher-forced."""
    model, processor = tiny_pair
    slots = [slot for slot in model.config.schema.slots if slot != "emphasis"]
    answers = model.explain(waves[:3], processor, slots=slots, transcript=["never said that", "we won", "no"])
    for answer, wave in zip(answers, waves[:3], strict=True):
        totals = {}
        for emotion in model.config.emotions:
            target = EmotionDescription(answer["descriptors"], None, emotion, answer["transcript"])
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
        own = tuple(answer["emphasis"]), answer["emotion"], answer["transcript"]
        description = EmotionDescription(answer["descriptors"], *own)
        assert EmotionDescription.from_text(description.to_text(), model.config.schema) == description
        assert set(answer["emphasis"]) <= set(answer["transcript"].split())


def test_only_the_slots_asked_for_are_answered(tiny_pair, waves):
    model, processor = tiny_pair
    [answer] = model.explain(waves[:1], processor, slots=["speed", "pitch"], transcript=False)
    assert list(answer["descriptors"]) == ["pitch", "speed"]
    assert answer["emotion"] is answer["scores"] is answer["emphasis"] is answer["transcript"] is None
    with pytest.raises(ValueError, match="'colour'"):
        model.explain(waves[:1], processor, slots=["colour"])


def count_calls(model, monkeypatch):
    """Passes of the language model from now on."""
    calls, plain = [], type(model.language_model).forward

    def counted(self, *args, **kwargs):
        calls.append(1)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(type(model.language_model), "forward", counted)
    return calls


def test_a_transcript_that_is_not_asked_for_costs_nothing(tiny_pair, waves, monkeypatch):
    model, processor = tiny_pair
    calls = count_calls(model, monkeypatch)
    model.explain(waves[:2], processor, slots=["pitch", "emotion"], transcript=False)
    assert len(calls) == 3  # the prompt, and each slot
    with pytest.raises(ValueError, match="asks for the transcript, but transcript is False"):
        model.explain(waves[:1], processor, slots=["transcript", "emotion"], transcript=False)


def test_a_given_transcript_is_forced_into_the_answer_and_read_in_one_pass(tiny_pair, waves, monkeypatch):
    model, processor = tiny_pair
    calls = count_calls(model, monkeypatch)
    texts = ['he said "no" \\ twice', None]
    slots = ["emotion", "emphasis"]
    answers = model.explain(waves[:2], processor, slots=slots, transcript=texts)
    assert answers[0]["transcript"] == texts[0]
    assert set(answers[0]["emphasis"]) <= set(texts[0].split())
    calls.clear()
    [alone] = model.explain(waves[:1], processor, slots=["emotion"], transcript=texts[0])
    assert len(calls) == 3  # the prompt, the transcript, the emotion
    together = model.explain(waves[:2], processor, slots=["emotion"], transcript=texts)
    assert together[0]["scores"] == pytest.approx(alone["scores"], abs=1e-5)
    [own] = model.explain(waves[1:2], processor, slots=["emotion"])
    assert together[1]["transcript"] == own["transcript"]
    assert together[1]["scores"] == pytest.approx(own["scores"], abs=1e-5)


def test_the_transcript_is_greedy_under_the_rule_of_texts(tiny_pair, waves):
    """Against the plain way: a full pass for every token."""
    model, processor = tiny_pair
    [answer] = model.explain(waves[:1], processor, slots=["transcript"])
    rule, closing = processor.text_rule, processor.piece_ids('"')[0]
    inputs = processor(waves[:1], slots=["transcript"])
    head = processor.piece_ids("transcript:") + processor.piece_ids(' "')
    ids, state, audio = [], 0, {name: inputs[name] for name in inputs if name not in ("input_ids", "attention_mask")}
    for _ in range(int(8 + 40 * len(waves[0][0]) / 16_000)):
        row = torch.cat([inputs["input_ids"], torch.tensor([[*head, *ids]])], 1)
        with torch.no_grad():
            logits = model(input_ids=row, attention_mask=torch.ones_like(row), **audio).logits[0, -1]
        allowed = torch.zeros_like(logits, dtype=torch.bool)
        allowed[: rule.allowed.shape[1]] = torch.from_numpy(rule.allowed[state, : len(logits)])
        allowed[closing] |= state == 0
        token = int(logits.masked_fill(~allowed, -torch.inf).argmax())
        if token == closing and state == 0:
            break
        ids.append(token)
        state = int(rule.opens_escape[state, token])
    assert answer["transcript"] == processor.decode_text(ids)


def test_nothing_but_text_stands_between_the_quotes(tiny_pair):
    _, processor = tiny_pair
    rule, tokenizer = processor.text_rule, processor.tokenizer
    texts = {tokenizer.decode([index]): index for index in range(len(tokenizer))}
    assert not rule.allowed[:, processor.content_token_id].any()
    assert not rule.allowed[:, tokenizer.eos_token_id].any()
    assert rule.allowed[:, texts['"']].tolist() == [False, True]  # bare, it ends the text; escaped, it is part of it
    assert rule.allowed[:, texts["a"]].tolist() == [True, False]  # a backslash stands before a quote or another
    assert rule.opens_escape[:, texts["\\"]].tolist() == [True, False]
    assert not rule.allowed[:, texts["\n"]].any()


def test_a_model_whose_answer_has_no_transcript_transcribes_by_the_prompt_of_asr(tiny_backbone_folders, waves):
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, transcript=False, emphasis=False
    )
    model.eval()
    answers = model.explain(waves[:2], processor)
    inputs = processor(waves[:2], task="asr")
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=300, pad_token_id=processor.tokenizer.pad_token_id)
    limits = [int(8 + 40 * len(wave) / 16_000) for wave, _ in waves[:2]]
    assert [a["transcript"] for a in answers] == [
        processor.decode_answer(row[:limit]) for row, limit in zip(ids, limits, strict=True)
    ]
    assert model.explain(waves[:1], processor, transcript=False)[0]["transcript"] is None


def test_slots_are_answered_in_the_order_of_the_config(tiny_backbone_folders, waves):
    order = ["emotion", "transcript", "emphasis", "tone", "speed", "volume", "pitch"]
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, slot_order=order
    )
    assert "Describe the voice: emotion, transcript" in processor.prompt_text("describe", 4)
    [answer] = model.explain(waves[:1], processor)
    assert list(answer["descriptors"]) == ["tone", "speed", "volume", "pitch"]
    batch = processor(waves[:1], targets=[EmotionDescription({"pitch": "low"}, None, "sad", "no")])
    text = processor.decode_answer(batch["labels"][0][batch["labels"][0] >= 0])
    assert text == 'emotion: sad | transcript: "no" | pitch: low'


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
