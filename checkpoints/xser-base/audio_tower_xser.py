"""The kinds of audio tower, and all that XSER asks of one: waveforms in, every layer's states and a frame mask out.

    kind = audio_tower(config.audio_config)
    kind.frames.num_frames(16_000)             # frames of a second
    kind.encode(tower, input_values, mask)     # (L+1) x (B, T, H)

A kind holds a config and no weights: a tower itself is an ordinary model of transformers.

Shapes: B batch, S samples at 16 kHz, T frames, L layers, H width.
"""

from typing import ClassVar, Protocol

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from .tower_frames_xser import TowerFrames
from .tower_xser import ConvTower
from .whisper_tower_xser import WhisperTower


class AudioTower(Protocol):
    """What a kind of tower must have.

    Attributes:
        model_types: of the configs that are its own.
        own_fields: of its configs, and of no other kind's.
        same_fields: what a checkpoint's tower and the one it is loaded on must agree in.
        model_class: of the tower.
        load_options: for its `from_pretrained`, beside the caller's.
        frames: where its frames are.
        max_samples: the most that it reads at once; `None` for any number.
    """

    model_types: ClassVar[tuple[str, ...]]
    own_fields: ClassVar[tuple[str, ...]]
    same_fields: ClassVar[tuple[str, ...]]
    load_options: ClassVar[dict]
    model_class: type[PreTrainedModel]
    frames: TowerFrames
    max_samples: int | None

    def __init__(self, config: PreTrainedConfig, padded: bool = False):
        """Of a config; `padded` as in `XSERConfig`, `ValueError` where this kind knows no such thing."""

    def extractor(self):
        """A feature extractor for such a tower, where its own is not at hand."""

    def check_extractor(self, extractor) -> None:
        """`ValueError` where a feature extractor makes of a waveform what this kind does not read."""

    def prepare(self, tower: PreTrainedModel) -> None:
        """Make a tower fit for `encode`, in place; names and numbers of its weights stay."""

    def set_trained(self, tower: PreTrainedModel, is_trained: bool) -> None:
        """Let gradients reach what is trained in such a tower, or nothing of it."""

    def encode(
        self, tower: PreTrainedModel, input_values: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Every layer's states, that which enters the first one among them: (B, S) -> (L+1) x (B, T, H).

        Args:
            tower: as `prepare` has left it.
            input_values: (B, S) as the feature extractor gives them.
            mask: (B, S) 1 on real samples, 0 on padding, which stands last; `None` where there is none.

        Raises:
            ValueError: there are more samples than `max_samples`.
        """


KINDS: tuple[type[AudioTower], ...] = (ConvTower, WhisperTower)
MODEL_TYPES = tuple(name for kind in KINDS for name in kind.model_types)


def audio_tower(config: PreTrainedConfig, padded: bool = False, name: str = "XSERConfig.audio_config") -> AudioTower:
    """The kind of tower that a config describes.

    Args:
        name: of the config, in messages.

    Raises:
        ValueError: it is no audio tower's, has a field of another kind, or is not made to be `padded`.
    """
    for kind in KINDS:
        if config.model_type in kind.model_types:
            _refuse_fields(config, kind, name)
            return kind(config, padded)
    raise ValueError(f"{name}.model_type is {config.model_type!r}; it must be one of {MODEL_TYPES}")


def _refuse_fields(config: PreTrainedConfig, kind: type[AudioTower], name: str) -> None:
    for other in KINDS:
        for field in other.own_fields if other is not kind else ():
            if field in vars(config):
                raise ValueError(
                    f"{name} of model_type {config.model_type!r} has {field} {getattr(config, field)!r}, which is "
                    f"a field of {' and '.join(other.model_types)} alone: leave it out, or change the model_type"
                )


__all__ = ["MODEL_TYPES", "AudioTower", "audio_tower"]
