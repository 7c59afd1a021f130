"""Prompts: what is asked for, with a placeholder for every `frame_stack` frames of each stream that is heard.

Shapes: B batch, L tokens.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from transformers import BatchFeature

from .padding_xser import pad_left

CONTENT_TOKEN = "<|content|>"
DESCRIPTOR_TOKEN = "<|descriptors|>"
AUX_TOKEN = "<|{name}|>"  # of each auxiliary stream
ZERO_TOKEN = "<|zero|>"  # stands for a descriptor token that is set to zero
ASR_REQUEST = "{streams}\nTranscribe the speech."
DESCRIBE_REQUESTS = {  # by the form of the answer
    "tags": "{streams}\nDescribe the voice: {slots}.",
    "caption": "{streams}\nCaption the audio by its content and its voice: {slots}.",
}
CHAT_TEMPLATE = (  # for tokenizers that bring none
    "{% for message in messages %}{{ message['role'] + ':\\n' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\\n' }}{% endif %}"
)
# Variables of well-known chat templates that would otherwise change with the day (Llama) or open a monologue (Qwen).
TEMPLATE_VARIABLES = {"date_string": "26 Jul 2024", "enable_thinking": False}


class PromptsMixin:
    """Prompts of `XSERProcessor`, as text and as ids."""

    def prompt_text(
        self,
        task: str,
        num_frames: int,
        slots: list[str] | None = None,
        aux_frames: Mapping[str, int] | None = None,
    ) -> str:
        """The prompt as text, placeholders expanded for `num_frames`; `slots` are all of the schema's by default.

        Args:
            aux_frames: name → frames of each auxiliary stream, for a description.
        """
        text = self._render(task, slots)
        for token, count in self.num_placeholders(task, num_frames, aux_frames).items():
            text = text.replace(token, token * count)
        return text

    def num_placeholders(
        self, task: str, num_frames: int, aux_frames: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Placeholder → how many of it: `ceil(frames / frame_stack)`, and one more for a stream with a summary."""
        summary, tokens = int(self.summary_tokens), -(-num_frames // self.frame_stack)
        counts = {self.content_token: tokens if self.disentangled else tokens + summary}
        if self._hears_descriptors(task):
            counts[self.descriptor_token] = tokens + summary
            for name, options in self.aux_streams.items():
                frames = (aux_frames or {}).get(name, 0)
                counts[AUX_TOKEN.format(name=name)] = -(-frames // options["frame_stack"]) + summary
        elif task == "asr" and self.asr_descriptors == "zero":
            counts[self.zero_token] = tokens + summary
        return counts

    def prompt_ids(
        self,
        task: str,
        num_frames: Sequence[int],
        slots: list[str] | None = None,
        aux_frames: Sequence[Mapping[str, int]] | None = None,
    ) -> BatchFeature:
        """`input_ids` and `attention_mask` (B, L) of the prompts for B clips, padded on the left.

        Args: those of `prompt_text`, one for each clip but for `slots`.
        """
        aux_frames = [None] * len(num_frames) if aux_frames is None else aux_frames
        rows = zip(num_frames, aux_frames, strict=True)
        prompts = [self._prompt_ids(task, frames, slots, aux) for frames, aux in rows]
        ids, mask = pad_left(prompts, self.tokenizer.pad_token_id)
        return BatchFeature({"input_ids": ids, "attention_mask": mask}, tensor_type="pt")

    def _prompt_ids(
        self,
        task: str,
        num_frames: int,
        slots: list[str] | None = None,
        aux_frames: Mapping[str, int] | None = None,
    ) -> np.ndarray:
        """The ids of `prompt_text`, (L,) int64; each kind of prompt is rendered and tokenised once only."""
        counts = {
            self.tokenizer.convert_tokens_to_ids(token): count
            for token, count in self.num_placeholders(task, num_frames, aux_frames).items()
        }
        key = (task, None if slots is None else tuple(slots))
        ids = self._prompts.get(key)
        if ids is None:
            self._prompts[key] = ids = self._rendered_ids(task, slots)
        return np.repeat(ids, [counts.get(index, 1) for index in ids.tolist()])

    def _rendered_ids(self, task: str, slots: list[str] | None) -> np.ndarray:
        """The ids of a prompt with each placeholder once."""
        ids = np.array(self._tokenize([self._render(task, slots)])[0], dtype=np.int64)
        tokens = self.num_placeholders(task, num_frames=1)
        for token in self.placeholders:
            wanted = int(token in tokens)
            if np.count_nonzero(ids == self.tokenizer.convert_tokens_to_ids(token)) != wanted:
                raise ValueError(f"the chat template must write {token} {wanted} times in a prompt of task {task}")
        return ids

    @property
    def placeholders(self) -> list[str]:
        """All tokens that stand for features."""
        zero = [self.zero_token] if self.asr_descriptors == "zero" else []
        aux = [AUX_TOKEN.format(name=name) for name in self.aux_streams]
        return [self.content_token, self.descriptor_token, *aux, *zero]

    def _hears_descriptors(self, task: str) -> bool:
        return task == "describe" and self.disentangled

    def _render(self, task: str, slots: list[str] | None) -> str:
        """The prompt with each placeholder once."""
        streams = "".join(self.num_placeholders(task, num_frames=1))
        if task == "asr":
            content = ASR_REQUEST.format(streams=streams)
        elif task == "describe":
            slots = self.schema.slots if slots is None else self.schema.check_slots(slots)
            content = DESCRIBE_REQUESTS[self.answer].format(streams=streams, slots=", ".join(slots))
        else:
            raise ValueError(f"task is {task!r}; it must be 'asr' or 'describe'")
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        return self.tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": content}],
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=True,
            **TEMPLATE_VARIABLES,
        )


def chat_template_of(tokenizer) -> str:
    """The tokenizer's chat template; where it has none, a plain one that starts as the tokenizer starts its texts."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        if "default" not in template:
            raise ValueError(f"the tokenizer has chat templates {sorted(template)} but no default: pass chat_template")
        return template["default"]
    if template:
        return template
    starts_with_bos = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    return ("{{ bos_token }}" if starts_with_bos else "") + CHAT_TEMPLATE


__all__ = [
    "AUX_TOKEN",
    "CONTENT_TOKEN",
    "DESCRIPTOR_TOKEN",
    "ZERO_TOKEN",
    "PromptsMixin",
    "chat_template_of",
]
