"""XSERTrainer for a classifier: its answers in evaluation are those of its heads."""

import numpy as np
import torch

from xser.grammar_xser import EmotionDescription
from xser.training.classifier import XSERClassifier
from xser.training.trainer import XSERTrainer


class ClassifierTrainer(XSERTrainer):
    """Trains an `XSERClassifier` on the batches of `XSERTrainer`, and scores it by the same figures."""

    def prediction_step(self, model, inputs: dict[str, dict], prediction_loss_only, ignore_keys=None):
        """Loss, and the heads' answers as ids of text, (B, L) with -100 on padding, compared as generated ones are."""
        [(task, features)] = self._prepare_inputs(inputs).items()
        features = {name: value for name, value in features.items() if not name.startswith("prompt_")}
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, {task: features})
        if prediction_loss_only:
            return loss, None, None
        classifier = self.accelerator.unwrap_model(model)
        with self.accelerator.autocast():
            rows = [self._ids(task, classifier, *answer) for answer in classifier.answers(**features)]
        answers = torch.full((len(rows), max(map(len, rows))), -100)
        for row, ids in zip(answers, rows, strict=True):
            row[: len(ids)] = torch.as_tensor(np.asarray(ids, dtype=np.int64))
        return loss, answers.to(loss.device), features["labels"]

    def _ids(self, task: str, classifier: XSERClassifier, scores: torch.Tensor, text: str | None) -> list[int]:
        processor = self.processing_class
        end = [processor.tokenizer.eos_token_id]
        if task == "asr":
            return [*processor.answer_ids(text), *end] if text else end
        emotion = classifier.config.emotions[int(scores.argmax())]
        return [*processor.answer_ids(EmotionDescription(emotion=emotion)), *end]
