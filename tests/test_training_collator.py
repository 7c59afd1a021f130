"""Dropping slots is a function of the row's seed, keeps the emotion, and leaves evaluation alone."""

import torch

from xser import EmotionDescription
from xser.training.collator import XSERCollator, drop_slots

FULL = EmotionDescription({"pitch": "high", "volume": "loud", "speed": "fast"}, ("dog",), "sad")


def test_a_third_of_the_slots_is_kept_and_always_the_emotion():
    dropped = [drop_slots(FULL, 1.0, 1 / 3, seed) for seed in range(3000)]
    assert all(description.emotion == "sad" for description in dropped)
    assert abs(sum(len(description.levels) for description in dropped) / 3000 - 1) < 0.1
    assert abs(sum(description.emphasis is not None for description in dropped) / 3000 - 1 / 3) < 0.05
    assert all(list(d.levels) == [slot for slot in FULL.levels if slot in d.levels] for d in dropped)


def test_the_emotion_alone_is_left_where_no_slot_is_kept():
    assert all(drop_slots(FULL, 1.0, 0.0, seed) == EmotionDescription({}, None, "sad") for seed in range(20))


def test_it_happens_as_often_as_asked_and_depends_on_the_seed_alone():
    dropped = [drop_slots(FULL, 0.5, 1 / 3, seed) for seed in range(2000)]
    assert dropped == [drop_slots(FULL, 0.5, 1 / 3, seed) for seed in range(2000)]
    whole = sum(description == FULL for description in dropped) / 2000
    assert abs(whole - (0.5 + 0.5 / 81)) < 0.05
    assert all(drop_slots(FULL, 0.0, 1 / 3, seed) == FULL for seed in range(20))


def test_a_row_without_emotion_keeps_its_slots():
    description = EmotionDescription({"pitch": "high"}, None, None)
    assert all(drop_slots(description, 1.0, 1 / 3, seed) == description for seed in range(20))


def test_the_collator_drops_slots_from_prompt_and_answer_alike(tiny_pair, waves):
    _, processor = tiny_pair
    row = {"id": "a", "task": "describe", "audio": waves[0], "text": None, "emotion": "sad", "noise_seed": 0}
    row["descriptors"] = {"pitch": "high", "volume": "loud", "speed": "fast", "tone": None, "emphasis": []}
    seed = next(seed for seed in range(100) if not drop_slots(FULL, 1.0, 1 / 3, seed).levels)
    short = XSERCollator(processor, slot_dropout=1.0)([{**row, "noise_seed": seed}])["describe"]
    full = XSERCollator(processor)([{**row, "noise_seed": seed}])["describe"]
    assert short["input_ids"].shape[1] < full["input_ids"].shape[1]
    prompt = processor.tokenizer.decode(short["input_ids"][0])
    assert "pitch" not in prompt and "emotion: sad" in prompt
    assert torch.equal(short["level_labels"], full["level_labels"])  # the heads learn what is known all the same
    assert (full["level_labels"] >= 0).sum() == 3 and torch.equal(short["emotion_labels"], full["emotion_labels"])
