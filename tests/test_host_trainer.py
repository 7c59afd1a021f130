"""The `Trainer` of transformers itself on the model: it trains, and its evaluation has a loss."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from xser import EmotionDescription

TARGETS = {"asr": "we won the game", "describe": EmotionDescription({"pitch": "high"}, ("dog",), "sad")}


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("loss_only", [True, False])
def test_evaluation_of_the_host_librarys_trainer_has_a_loss(tiny_pair, waves, tmp_path, task, loss_only):
    model, processor = tiny_pair
    rows = [{"audio": wave} for wave in waves[:4]]

    def collate(batch: list[dict]) -> dict:
        recordings = [row["audio"] for row in batch]
        return dict(processor(recordings, task=task, targets=[TARGETS[task]] * len(recordings)))

    arguments = TrainingArguments(
        str(tmp_path), per_device_eval_batch_size=2, per_device_train_batch_size=2, max_steps=2, report_to=[],
        remove_unused_columns=False, prediction_loss_only=loss_only, use_cpu=True, save_strategy="no",
    )  # fmt: skip
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=rows, eval_dataset=rows)
    with torch.no_grad():
        expected = sum(float(model(**collate(rows[start : start + 2])).loss) for start in (0, 2)) / 2
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(expected, rel=1e-4)
    if not loss_only:
        predicted = trainer.predict(rows)
        assert predicted.predictions.shape[0] == 4 and predicted.metrics["test_loss"] == metrics["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < metrics["eval_loss"] + 1
