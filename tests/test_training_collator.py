"""Dropping slots is a function of the row's seed, keeps the emotion, and leaves evaluation alone."""

from types import SimpleNamespace

import torch

from xser import EmotionDescription
from xser.grammar_xser import LabelSchema
from xser.measured_slots_xser import LEVELS
from xser.training.collator import XSERCollator, drop_slots
from xser.training.voices import Voices

FULL = EmotionDescription({"pitch": "high", "volume": "loud", "speed": "fast"}, ("dog",), "sad", "the dog")


def drop(description, probability, kept, seed, transcript_dropout=0.0):
    return drop_slots(description, probability, kept, transcript_dropout, seed)[0]


def test_a_third_of_the_slots_is_kept_and_always_emotion_and_transcript():
    dropped = [drop(FULL, 1.0, 1 / 3, seed) for seed in range(3000)]
    assert all(d.emotion == "sad" and d.transcript == "the dog" for d in dropped)
    assert abs(sum(len(description.levels) for description in dropped) / 3000 - 1) < 0.1
    assert abs(sum(description.emphasis is not None for description in dropped) / 3000 - 1 / 3) < 0.05
    assert all(list(d.levels) == [slot for slot in FULL.levels if slot in d.levels] for d in dropped)


def test_emotion_and_transcript_are_left_where_no_slot_is_kept():
    assert all(drop(FULL, 1.0, 0.0, seed) == EmotionDescription({}, None, "sad", "the dog") for seed in range(20))


def test_it_happens_as_often_as_asked_and_depends_on_the_seed_alone():
    dropped = [drop(FULL, 0.5, 1 / 3, seed) for seed in range(2000)]
    assert dropped == [drop(FULL, 0.5, 1 / 3, seed) for seed in range(2000)]
    whole = sum(description == FULL for description in dropped) / 2000
    assert abs(whole - (0.5 + 0.5 / 81)) < 0.05
    assert all(drop(FULL, 0.0, 1 / 3, seed) == FULL for seed in range(20))


def test_a_row_without_emotion_keeps_its_slots():
    description = EmotionDescription({"pitch": "high"}, None, None)
    assert all(drop(description, 1.0, 1 / 3, seed) == description for seed in range(20))


def test_the_transcript_is_left_out_as_often_as_asked_and_the_emphasis_with_it():
    dropped = [drop(FULL, 0.0, 1 / 3, seed, transcript_dropout=0.3) for seed in range(2000)]
    without = [d for d in dropped if d.transcript is None]
    assert abs(len(without) / 2000 - 0.3) < 0.05
    assert all(d == EmotionDescription(FULL.levels, None, "sad") for d in without)
    alone = EmotionDescription(transcript="the dog")  # an answer is never empty
    assert all(drop(alone, 0.0, 1 / 3, seed, transcript_dropout=1.0) == alone for seed in range(20))


def test_a_transcript_is_spared_from_the_loss_of_short_answers_alone():
    assert [drop_slots(FULL, probability, 0.5, 0.0, 7)[1] for probability in (0.0, 1.0)] == [False, True]


def test_the_collator_drops_slots_from_prompt_and_answer_alike(tiny_pair, waves):
    _, processor = tiny_pair
    row = {"id": "a", "task": "describe", "audio": waves[0], "text": "the dog", "emotion": "sad", "noise_seed": 0}
    row["descriptors"] = {"pitch": "high", "volume": "loud", "speed": "fast", "tone": None, "emphasis": []}
    seed = next(seed for seed in range(100) if not drop(FULL, 1.0, 1 / 3, seed).levels)
    short = XSERCollator(processor, slot_dropout=1.0)([{**row, "noise_seed": seed}])["describe"]
    full = XSERCollator(processor)([{**row, "noise_seed": seed}])["describe"]
    assert short["input_ids"].shape[1] < full["input_ids"].shape[1]
    prompt = processor.tokenizer.decode(short["input_ids"][0])
    assert "pitch" not in prompt and 'transcript: "the dog" | emotion: sad' in prompt
    learnt = processor.decode_answer(short["labels"][0][short["labels"][0] >= 0])
    assert "the dog" not in learnt and "emotion: sad" in learnt
    assert torch.equal(short["level_labels"], full["level_labels"])  # the heads learn what is known all the same
    assert (full["level_labels"] >= 0).sum() == 3 and torch.equal(short["emotion_labels"], full["emotion_labels"])


def test_levels_relative_to_the_speaker_are_not_asked_of_a_model_that_does_not_know_who_speaks():
    levels = {"pitch": "high", "volume": "loud", "speed": "fast", "range": "flat", "tone": "rising"}
    schema = LabelSchema(("sad", "happy"), {slot: LEVELS[slot] for slot in levels}, emphasis=False, transcript=False)
    processor, row = SimpleNamespace(schema=schema, speaker_reference=True), {"emotion": "sad", "descriptors": levels}
    collator, without_relative = (
        XSERCollator(processor, voices=Voices()),
        EmotionDescription({"tone": "rising"}, None, "sad"),
    )
    assert XSERCollator(processor).known(row).levels == levels  # in an evaluation, of which there are no voices
    assert collator.known(row, None) == without_relative
    assert collator.known(row, SimpleNamespace(is_speaker=False, usual=None)) == without_relative
    assert collator.known(row, SimpleNamespace(is_speaker=True, usual=None)).levels == levels
    assert collator.known({**row, "emotion": None}, None).levels == levels
