"""Bytes of activations that a training step needs, found by tracing it on the meta device, where tensors have no data.

One micro-batch of the longest utterances goes forward and backward; what counts is the most bytes that are alive at
once, beside weights and the gradients of what is trained. Attention counts as a fused kernel's (queries, keys, values
and output are kept), autocast as if all weights were in its dtype, CTC without its alignments, padding as frames.

Shapes: B utterances, S samples, T frames, P tokens, D width of the language model.
"""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from transformers import AttentionInterface, PreTrainedModel

from xser.losses_xser import answer_loss
from xser.modeling_xser import CONTENT, DESCRIPTORS

TRACED_ATTENTION = "xser_traced"
FRAMES_OF_AUX = 2  # of an auxiliary stream, at most, for one of the tower's: prosody is measured every 10 ms


@dataclass(frozen=True)
class BatchShape:
    """A micro-batch.

    Attributes:
        utterances: B.
        samples: S of each.
        prompt_tokens: of each, without placeholders.
        answer_tokens: of each, with the end token.
    """

    utterances: int
    samples: int
    prompt_tokens: int
    answer_tokens: int


class Alive(TorchDispatchMode):
    """Counts the bytes of all storages that are made inside, while they live.

    Attributes:
        peak: the most at once.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.now = self.peak = 0
        self._seen = {_key(tensor) for tensor in (*model.parameters(), *model.buffers())}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._note, output)
        return output

    def _note(self, tensor: torch.Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, storage.nbytes())

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _FusedAttention(torch.autograd.Function):
    """What a fused kernel keeps for its backward."""

    @staticmethod
    def forward(ctx, query, key, value):
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx, gradient):
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])


def _traced_attention(module, query, key, value, attention_mask, **options):
    """(B, heads, P, d) each -> (B, P, heads, d); grouped keys and values are repeated, as they are under a mask."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    return _FusedAttention.apply(query, key, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(TRACED_ATTENTION, _traced_attention)


def activation_bytes(
    model: PreTrainedModel, task: str, shape: BatchShape, dtype: torch.dtype, checkpointing: bool = False
) -> int:
    """The most bytes alive at once in a step of `task`, beside weights and gradients of parameters.

    Args:
        model: on the meta device, `requires_grad` where the stage trains; it is of no use afterwards.
        dtype: that the step computes in.
        checkpointing: whether layers of the backbones are computed again in the backward pass.
    """
    model.to(dtype).train()
    for backbone in (model.model.audio_tower, getattr(model, "language_model", None)):
        if backbone is not None and backbone._supports_sdpa:
            backbone.set_attn_implementation(TRACED_ATTENTION)
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_drop_gradient)
    trace = _trace_xser if hasattr(model, "language_model") else _trace_classifier
    with _autocast_passed_over(), torch.device("meta"), Alive(model) as alive:
        loss = trace(model, task, shape, dtype)
        if loss.requires_grad:
            loss.backward()
    return alive.peak


@contextmanager
def _autocast_passed_over() -> Iterator[None]:
    """Inside, `torch.autocast` does nothing: it knows no meta device, not even to be switched off there."""
    original = torch.autocast
    torch.autocast = lambda *args, **options: nullcontext()
    try:
        yield
    finally:
        torch.autocast = original


def _drop_gradient(parameter: nn.Parameter) -> None:
    parameter.grad = None


def _where_trained(module: nn.Module):
    """No graph is made where nothing is trained."""
    return nullcontext() if any(each.requires_grad for each in module.parameters()) else torch.no_grad()


def _hidden_states(model: PreTrainedModel, shape: BatchShape, dtype: torch.dtype) -> list[torch.Tensor]:
    tower = model.model.audio_tower
    tower.config.apply_spec_augment = False  # it draws by NumPy, and needs no memory to speak of
    with _where_trained(tower):
        waves = torch.empty(shape.utterances, shape.samples, dtype=dtype)
        hidden_states = model.config.tower.encode(tower, waves)
    return [hidden_states[layer] for layer in model.config.used_layers]


def _trace_xser(model: PreTrainedModel, task: str, shape: BatchShape, dtype: torch.dtype) -> torch.Tensor:
    hidden_states = _hidden_states(model, shape, dtype)
    streams = {}
    count, frames = hidden_states[0].shape[:2]
    mask, seed = torch.ones(count, frames, dtype=torch.bool), torch.zeros(count, dtype=torch.long)
    has_descriptors = task == "describe" and model.config.disentangled
    for name in (CONTENT, DESCRIPTORS) if has_descriptors else (CONTENT,):
        stream = getattr(model.model, name)
        with _where_trained(stream):
            streams[name] = stream(hidden_states, mask, torch.zeros(count), seed)
    for name, stream in model.model.aux.items() if has_descriptors else ():
        size = model.config.aux_streams[name]["size"]
        features = torch.zeros(count, FRAMES_OF_AUX * frames, size, dtype=dtype)
        streams[name] = stream(features, torch.ones(features.shape[:2], dtype=torch.bool), seed, None)
    embeds = [stream.embeds for stream in streams.values()]
    if task == "asr" and model.config.asr_descriptors == "zero":
        embeds.append(torch.zeros_like(embeds[0]))
    text = shape.prompt_tokens + shape.answer_tokens
    embeds.append(torch.empty(count, text, embeds[0].shape[-1], dtype=dtype))
    logits = model.language_model(
        inputs_embeds=torch.cat(embeds, 1), use_cache=False, logits_to_keep=shape.answer_tokens + 1
    ).logits
    loss = answer_loss(logits, torch.zeros(logits.shape[:2], dtype=torch.long))
    loss = loss + sum(stream.bottleneck.kl for stream in streams.values())
    return loss + sum(_head_losses(model, task, streams))


def _head_losses(model: PreTrainedModel, task: str, streams: dict) -> Iterable[torch.Tensor]:
    """Of the classifiers on the streams, as large as the real ones."""
    if task == "asr" and model.ctc_head is not None:
        yield model.ctc_head(streams[CONTENT].bottleneck.z).float().log_softmax(-1).mean()
    if task == "describe" and model.level_head is not None:
        yield sum(each.float().mean() for levels in model.level_head(streams).values() for each in levels)
    if task == "describe" and model.emotion_head is not None:
        yield sum(each.float().mean() for each in model.emotion_head(streams).values())


def _trace_classifier(model: PreTrainedModel, task: str, shape: BatchShape, dtype: torch.dtype) -> torch.Tensor:
    hidden_states = _hidden_states(model, shape, dtype)
    frames = model.model.layer_norm(model.model.layer_mix(hidden_states))
    if task == "asr":
        return model.ctc_head(frames).float().log_softmax(-1).mean()
    return model.emotion_logits(frames, torch.ones(frames.shape[:2], dtype=torch.bool)).float().mean()
