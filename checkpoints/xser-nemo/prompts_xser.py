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
ASR_REQUEST = "{streams}\nTranscribe the speech."
DESCRIBE_REQUEST = "{streams}\n{transcript}Describe the voice: {slots}."
TRANSCRIPT_LINE = "Transcript:{transcript}\n"
TRANSCRIPT_PLACE = "\ue000"  # where the words go in a prompt that is rendered once for all recordings
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
        transcript: str | None = None,
    ) -> str:
        """The prompt as text, placeholders expanded for `num_frames`; `slots` are all of the schema's by default.

        Args:
            aux_frames: name → frames of each auxiliary stream, for a description.
            transcript: the words said, for a description; without, its prompt has no line of them.
        """
        text = self._render(task, slots, transcript is not None)
        for token, count in self.num_placeholders(task, num_frames, aux_frames).items():
            text = text.replace(token, token * count)
        return text if transcript is None else text.replace(TRANSCRIPT_PLACE, self._transcript_piece(transcript))

    def num_placeholders(
        self, task: str, num_frames: int, aux_frames: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Placeholder → how many of it: `ceil(frames / frame_stack)`, and one more for a stream with a summary."""
        counts = {self.content_token: -(-num_frames // self.frame_stack)}
        if self._hears_descriptors(task):
            summary = int(self.summary_tokens)
            counts[self.descriptor_token] = counts[self.content_token] + summary
            for name, options in self.aux_streams.items():
                frames = (aux_frames or {}).get(name, 0)
                counts[AUX_TOKEN.format(name=name)] = -(-frames // options["frame_stack"]) + summary
        return counts

    def prompt_ids(
        self,
        task: str,
        num_frames: Sequence[int],
        slots: list[str] | None = None,
        aux_frames: Sequence[Mapping[str, int]] | None = None,
        transcripts: Sequence[str | None] | None = None,
    ) -> BatchFeature:
        """`input_ids` and `attention_mask` (B, L) of the prompts for B clips, padded on the left.

        Args: those of `prompt_text`, one for each clip but for `slots`.
        """
        aux_frames = [None] * len(num_frames) if aux_frames is None else aux_frames
        transcripts = [None] * len(num_frames) if transcripts is None else transcripts
        rows = zip(num_frames, aux_frames, transcripts, strict=True)
        prompts = [self._prompt_ids(task, frames, slots, aux, words) for frames, aux, words in rows]
        ids, mask = pad_left(prompts, self.tokenizer.pad_token_id)
        return BatchFeature({"input_ids": ids, "attention_mask": mask}, tensor_type="pt")

    def _prompt_ids(
        self,
        task: str,
        num_frames: int,
        slots: list[str] | None = None,
        aux_frames: Mapping[str, int] | None = None,
        transcript: str | None = None,
    ) -> np.ndarray:
        """The ids of `prompt_text`, (L,) int64; each kind of prompt is rendered and tokenised once only.

        A transcript, and what follows it, are tokenised as pieces of their own, as those of answers are.
        """
        counts = {
            self.tokenizer.convert_tokens_to_ids(token): count
            for token, count in self.num_placeholders(task, num_frames, aux_frames).items()
        }
        key = (task, None if slots is None else tuple(slots), transcript is not None)
        parts = self._prompts.get(key)
        if parts is None:
            self._prompts[key] = parts = self._prompt_parts(task, slots, transcript is not None)
        head, *tail = parts
        ids = np.repeat(head, [counts.get(index, 1) for index in head.tolist()])
        if tail:
            words = np.array(self._continuations([self._transcript_piece(transcript)])[0], dtype=np.int64)
            ids = np.concatenate([ids, words, *tail])
        return ids

    def _prompt_parts(self, task: str, slots: list[str] | None, has_transcript: bool) -> list[np.ndarray]:
        """The ids of a prompt with each placeholder once; in two parts where a transcript stands between them."""
        head, place, tail = self._render(task, slots, has_transcript).partition(TRANSCRIPT_PLACE)
        parts = [np.array(self._tokenize([head])[0], dtype=np.int64)]
        if place:
            parts.append(np.array(self._continuations([tail], allow_special=True)[0], dtype=np.int64))
        tokens = self.num_placeholders(task, num_frames=1)
        for index in (self.content_token_id, self.descriptor_token_id, *self.aux_token_ids.values()):
            token = self.tokenizer.convert_ids_to_tokens(index)
            wanted = int(token in tokens)
            found = [np.count_nonzero(part == index) for part in parts]
            if found[0] != wanted or any(found[1:]):  # all stand before the transcript
                raise ValueError(f"the chat template must write {token} {wanted} times in a prompt of task {task}")
        return parts

    def _transcript_piece(self, transcript: str) -> str:
        """A transcript after its colon, in one line; what would spell a token of ours is spelled apart."""
        for token in self._special_tokens:
            transcript = transcript.replace(token, " ".join(token))
        return "".join(f" {word}" for word in transcript.split())

    def _hears_descriptors(self, task: str) -> bool:
        return task == "describe" and self.disentangled

    def _render(self, task: str, slots: list[str] | None, has_transcript: bool = False) -> str:
        """The prompt with each placeholder once, and `TRANSCRIPT_PLACE` where a transcript goes."""
        streams = "".join(self.num_placeholders(task, num_frames=1))
        if task == "asr" and has_transcript:
            raise ValueError("a prompt of task asr holds no transcript: it asks for one")
        if task == "asr":
            content = ASR_REQUEST.format(streams=streams)
        elif task == "describe":
            slots = self.schema.slots if slots is None else self.schema.check_slots(slots)
            line = TRANSCRIPT_LINE.format(transcript=TRANSCRIPT_PLACE) if has_transcript else ""
            content = DESCRIBE_REQUEST.format(streams=streams, transcript=line, slots=", ".join(slots))
        else:
            raise ValueError(f"task is {task!r}; it must be 'asr' or 'describe'")
        return self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
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
    "PromptsMixin",
    "chat_template_of",
]
