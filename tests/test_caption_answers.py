"""Answers as captions: the same slots, scores and transcripts as in tags, in a sentence."""

import pytest
import torch
from conftest import SMALL

from xser import EmotionDescription, XSERForEmotionDescription, XSERProcessor
from xser.grammar_xser import OwnCaption
from xser.training.metrics import describe_metrics

FULL = EmotionDescription({"pitch": "high", "speed": "fast"}, ("never", "that"), "angry", "you never said that")


@pytest.fixture(scope="module")
def captioner(tiny_backbone_folders):
    torch.manual_seed(0)
    model, processor = XSERForEmotionDescription.from_backbones(
        *map(str, tiny_backbone_folders), **SMALL, answer="caption"
    )
    return model.eval(), processor


def learnt(processor, batch):
    return [processor.decode_answer(row[row >= 0]) for row in batch["labels"]]


def test_every_wording_is_learnt_and_read_back(captioner, waves):
    _, processor = captioner
    batch = processor(waves[:4], targets=[FULL] * 4, wording=[0, 1, 2, 3])
    texts = learnt(processor, batch)
    assert texts == [processor.form.to_text(FULL, wording) for wording in range(4)]
    assert len(set(texts)) == 4
    assert [processor.parse_answer(text) for text in texts] == [FULL] * 4
    assert "Caption the audio by its content and its voice: pitch, speed" in processor.tokenizer.decode(
        batch["input_ids"][0]
    )


def test_scores_are_the_likelihoods_of_each_emotions_wording_at_its_place(captioner, waves):
    """Against the plain way: one full pass for each emotion, teacher-forced."""
    model, processor = captioner
    slots = [slot for slot in model.config.schema.slots if slot != "emphasis"]
    [answer] = model.explain(waves[:1], processor, slots=slots, transcript="we won")
    form, totals = processor.form, {}
    for emotion in model.config.emotions:
        target = EmotionDescription(answer["descriptors"], None, emotion, "we won")
        batch = processor(waves[:1], targets=[target])
        with torch.no_grad():
            logits = model(**batch).logits[0, :-1].log_softmax(-1)
        labels = batch["labels"][0][batch["labels"][0] != -100]
        after = processor.piece_ids(form.literal(slots, len(slots)))
        value = processor.piece_ids(form.value(slots, slots.index("emotion"), emotion))
        end = len(labels) - 1 - len(after) + 1  # of the value with the first token after it
        span = range(end - len(value) - 1, end)
        totals[emotion] = sum(float(logits[i - len(labels), labels[i]]) for i in span)
    expected = torch.tensor(list(totals.values())).softmax(0)
    torch.testing.assert_close(torch.tensor(list(answer["scores"].values())), expected, rtol=1e-3, atol=1e-5)


def test_an_untrained_captioner_answers_every_slot(captioner, waves):
    model, processor = captioner
    for answer in model.explain(waves[:3], processor):
        assert set(answer["descriptors"]) == set(model.config.descriptors)
        assert set(answer["emphasis"]) <= set(answer["transcript"].split())
        assert abs(sum(answer["scores"].values()) - 1) < 1e-6


def test_a_corpus_trains_with_its_own_captions_as_they_are(captioner, waves):
    _, processor = captioner
    own = OwnCaption('An angry man shouts "no".', ("transcript", "emotion"))
    assert learnt(processor, processor(waves[:1], targets=[own]))[0] == own.text
    with pytest.raises(ValueError, match="'colour' is none"):
        processor(waves[:1], targets=[OwnCaption("A red voice.", ("colour",))])


def test_answers_in_tags_take_no_captions(tiny_pair, waves):
    with pytest.raises(ValueError, match="must be of type EmotionDescription"):
        tiny_pair[1](waves[:1], targets=[OwnCaption("A voice.", ("emotion",))])


def test_generated_captions_are_scored_by_what_is_read_back(captioner):
    _, processor = captioner
    other = EmotionDescription(FULL.levels, FULL.emphasis, "sad", FULL.transcript)
    answers = [processor.form.to_text(FULL, 3), processor.form.to_text(other, 5), "nonsense"]
    metrics = describe_metrics(answers, [processor.form.to_text(FULL)] * 3, processor)
    assert metrics["wa"] == pytest.approx(1 / 3) and metrics["pitch_accuracy"] == pytest.approx(2 / 3)
    assert metrics["unparsable"] == 1 and metrics["wer"] == pytest.approx(1 / 3)


def test_the_form_of_the_answer_is_saved(captioner, tmp_path):
    captioner[1].save_pretrained(tmp_path)
    assert XSERProcessor.from_pretrained(tmp_path).form.to_text(FULL) == captioner[1].form.to_text(FULL)


@pytest.mark.parametrize("answer", ["prose", None])
def test_another_form_is_refused(tiny_backbone_folders, answer):
    with pytest.raises(ValueError, match="answer is"):
        XSERForEmotionDescription.from_backbones(*map(str, tiny_backbone_folders), **SMALL, answer=answer)
