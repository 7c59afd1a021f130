"""Rows → model inputs, through the processor."""

from dataclasses import dataclass

import numpy as np
import torch

from xser.grammar_xser import EmotionDescription

TASKS = ("asr", "describe")


@dataclass
class XSERCollator:
    """Makes one micro-batch of rows: `{task: model inputs}`, one task as a rule, all in the joint schedule.

    Args:
        processor: the `XSERProcessor`.
        slot_dropout: probability that a description is asked for only some of its known slots, drawn by the row's
            noise seed. It teaches the model to answer any selection, and short answers weigh the emotion more.
        slots_kept: probability that a slot beside the emotion is kept there.
        return_prompts: add `prompt_input_ids` and `prompt_attention_mask`, without any answer, for generation.

    Rows are those of `TaskDataset`. Which rows can be used for a task is decided before (`xser.training.data`).
    """

    processor: object
    slot_dropout: float = 0.0
    slots_kept: float = 1 / 3
    return_prompts: bool = False

    def target(self, row: dict) -> object:
        """What the model is to answer: the transcript, or the description of the row's known labels."""
        if row["task"] == "asr":
            return row["text"]
        description = self.processor.schema.describe(row["emotion"], row["descriptors"])
        return drop_slots(description, self.slot_dropout, self.slots_kept, row["noise_seed"])

    def __call__(self, rows: list[dict]) -> dict[str, dict[str, torch.Tensor]]:
        tasks = dict.fromkeys(row["task"] for row in rows)
        return {task: self.collate([row for row in rows if row["task"] == task]) for task in tasks}

    def collate(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Inputs for rows of one task."""
        batch = self.processor(
            [row["audio"] for row in rows],
            task=rows[0]["task"],
            targets=[self.target(row) for row in rows],
            return_prompts=self.return_prompts,
            noise_seed=[row["noise_seed"] for row in rows],
        )
        return dict(batch)


def drop_slots(description: EmotionDescription, probability: float, kept: float, seed: int) -> EmotionDescription:
    """With some probability, only a share of the slots beside the emotion; a function of `seed`, and never empty."""
    rng = np.random.default_rng(seed)
    if description.emotion is None or rng.random() >= probability:
        return description
    levels = {slot: level for slot, level in description.levels.items() if rng.random() < kept}
    return EmotionDescription(levels, description.emphasis if rng.random() < kept else None, description.emotion)
