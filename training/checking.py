"""Whether the rows of a data set can train a task, found out before the first step, by the processor itself.

What would end a run in its middle is found in one pass over texts and labels: no recording is opened. Texts are
tokenised in batches, each of them once, so a hundred thousand rows take seconds.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from xser.audio_xser import SAMPLE_RATE
from xser.ctc_candidates_xser import ctc_text
from xser.voice_frames_xser import FRAME_SECONDS, PROSODY
from xser.voice_measures_xser import MEASURES

BATCH = 1_000  # texts tokenised at once


class RowChecker:
    """Checks rows of one task, and holds what it has found.

    Args:
        processor: the `XSERProcessor` that will prepare them.
        context: tokens that the language model can hold at once; `None` where it does not say.
        has_ctc: whether texts are aligned to frames in training.
        speeds: at which recordings are played.

    Attributes:
        faults: index of a row → why it cannot train the task.
        without_alignment: why CTC cannot align a text to its frames → number of rows, which train all the same.
        not_said: indices of rows with an emphasised word that is not in their text.
    """

    def __init__(self, processor, context: int | None, has_ctc: bool = False, speeds: Sequence[float] = (1.0,)):
        self.processor, self.context, self.has_ctc, self.speeds = processor, context, has_ctc, tuple(speeds)
        self.faults: dict[int, str] = {}
        self.without_alignment: Counter[str] = Counter()
        self.not_said: list[int] = []
        self._fixed: dict[tuple, int] = {}

    def check_asr(self, rows: Iterable[tuple[int, str, float]]) -> None:
        """Rows of (index, text, seconds)."""
        rows = list(rows)
        ids, faults = self._tokenise(text for _, text, _ in rows)
        for index, text, seconds in rows:
            if text in faults:
                self.faults[index] = faults[text]
            elif fault := self._too_long("asr", seconds, len(ids[text]) + 1):
                self.faults[index] = fault
            elif self.has_ctc:
                units = ids[text] if self.processor.ctc_unit == "token" else ctc_text(text).encode()
                if reason := self._no_alignment(units, seconds):
                    self.without_alignment[reason] += 1

    def check_describe(self, rows: Iterable[tuple[int, object, str | None, float]]) -> None:
        """Rows of (index, target of the processor, text, seconds), whose labels are the schema's."""
        for index, target, text, seconds in rows:
            try:
                answer = len(self.processor.answer_ids(target)) + 1
            except ValueError as error:
                self.faults[index] = str(error)
                continue
            if fault := self._too_long(
                "describe", seconds, answer, tuple(self.processor.schema.check_slots(target.slots))
            ):
                self.faults[index] = fault
            emphasis = getattr(target, "emphasis", None) or ()  # a corpus's own caption has none by itself
            if text and any(word.casefold() not in text.casefold() for word in emphasis):
                self.not_said.append(index)

    def _tokenise(self, texts: Iterable[str]) -> tuple[dict[str, list[int]], dict[str, str]]:
        """text → its ids, and text → why it has none. A batch that fails is halved until the text is found."""
        ids, faults = {}, {}
        every = list(dict.fromkeys(texts))
        pending = [every[start : start + BATCH] for start in range(0, len(every), BATCH)]
        while pending:
            batch = pending.pop()
            try:
                ids.update(zip(batch, self.processor._continuations(batch), strict=True))
            except ValueError as error:
                if len(batch) == 1:
                    faults[batch[0]] = str(error)
                else:
                    pending += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
        return ids, faults

    def _frames(self, seconds: float, speed: float) -> int:
        return self.processor.num_frames(round(seconds / speed * SAMPLE_RATE))

    def _too_long(self, task: str, seconds: float, answer: int, slots: tuple | None = None) -> str | None:
        """Whether prompt and answer are more than the language model can hold, at the slowest speed."""
        if self.context is None:
            return None
        speed = min(self.speeds)
        aux = {PROSODY: math.ceil(seconds / speed / FRAME_SECONDS), MEASURES: 1}
        placeholders = sum(self.processor.num_placeholders(task, self._frames(seconds, speed), aux).values())
        tokens = self._fixed_tokens(task, slots) + placeholders + answer
        if tokens <= self.context:
            return None
        return f"prompt and answer are {tokens} tokens, and the language model holds {self.context} at once"

    def _fixed_tokens(self, task: str, slots: tuple | None) -> int:
        """Tokens of a prompt beside its placeholders."""
        key = (task, slots)
        if key not in self._fixed:
            one = dict.fromkeys(self.processor.aux_streams, 1)
            ids = self.processor.prompt_ids(task, [1], slots and list(slots), [one])["input_ids"]
            self._fixed[key] = ids.shape[1] - sum(self.processor.num_placeholders(task, 1, one).values())
        return self._fixed[key]

    def _no_alignment(self, units: Sequence[int], seconds: float) -> str | None:
        values = np.frombuffer(units, np.uint8) if isinstance(units, bytes) else np.asarray(units)
        needed = len(values) + int((values[1:] == values[:-1]).sum())
        short = [speed for speed in self.speeds if self._frames(seconds, speed) < needed]
        if not short:
            return None
        at = "" if len(short) == len(self.speeds) else f" at speed {min(short):g}"
        return f"text needs more frames than there are{at}"
