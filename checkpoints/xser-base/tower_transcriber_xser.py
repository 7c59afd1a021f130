"""A Whisper tower's own decoder as a transcriber, loaded from where the tower came from.

The decoder is made for states of 30 s: those of a recording's true length, which XSER's streams read, make it repeat
itself (`benchmarks/decoder_silence.py`). So a tower that is `padded` shares its states; of others the weights alone
are shared, and recordings are encoded a second time.

Shapes: B batch, S samples, T frames of 30 s, H width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from .backbone_places_xser import place_of
from .backbones_xser import load_whole
from .generation_options_xser import check_generation
from .log_mel_xser import log_mel

TOWER = "tower"


@dataclass(frozen=True)
class TowerTranscriber:
    """See `Transcriber`."""

    whisper: WhisperForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    num_samples: int  # that the encoder reads: 30 s
    reads_states: bool  # whether the tower's are at hand as the decoder wants them
    options: dict = field(default_factory=dict)
    name: str = TOWER

    def with_options(self, options: Mapping) -> "TowerTranscriber":
        return replace(self, options=check_generation(self.name, self.whisper, options))

    @torch.no_grad()
    def transcribe(self, waves: Sequence[np.ndarray], states: torch.Tensor | None = None) -> list[str]:
        if states is None:  # once: `generate` would encode for the language, and again for the words
            states = self.whisper.model.encoder(self._features(waves)).last_hidden_state
        ids = self.whisper.generate(encoder_outputs=BaseModelOutput(last_hidden_state=states), **self.options)
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)

    def _features(self, waves: Sequence[np.ndarray]) -> torch.Tensor:
        """(B, F, 2 T) of waves with silence up to 30 s."""
        padded = np.stack([np.pad(wave, (0, self.num_samples - len(wave))) for wave in waves])
        padded = torch.from_numpy(padded).to(self.whisper.device)
        return log_mel(padded, self.whisper.config.num_mel_bins).to(self.whisper.dtype)


def load_tower_transcriber(model) -> TowerTranscriber:
    """The decoder of `model`'s tower, on its device and in its dtype.

    Raises:
        ValueError: the tower is no Whisper, nobody knows where it came from, or its decoder is not there.
    """
    config, tower = model.config, model.model.audio_tower
    kind = config.audio_config.model_type
    if kind != "whisper":
        raise ValueError(
            f"transcriber is {TOWER!r}, but the audio tower is a {kind}, which has no decoder: give the id of a "
            "recogniser, or a model whose tower is a Whisper"
        )
    source = tower.name_or_path  # the folder that it was read from, wherever its id lies
    if not (source and Path(source).is_dir()):
        source = place_of(config.audio_model_id) if config.audio_model_id else source
    if not source:
        raise ValueError(
            f"transcriber is {TOWER!r}, but nothing says where the tower came from (audio_model_id is null): give "
            "the id or folder of a Whisper as transcriber"
        )
    try:
        whisper = load_whole(WhisperForConditionalGeneration, source, dtype=tower.dtype).to(tower.device)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"transcriber is {TOWER!r}, but {source}, where the tower came from, has no decoder: {error}"
        ) from error
    is_shared = config.freeze_audio_tower and _are_equal(tower, whisper.model.encoder)
    if is_shared:  # held once; the decoder asks for it where states are not at hand
        whisper.model.encoder = tower
    return TowerTranscriber(whisper.eval(), tokenizer, config.tower.max_samples, is_shared and config.padded)


def record_states(model) -> list[torch.Tensor]:
    """A list that holds, after each pass of `model`'s tower, its last states, (B, T, H) before they are cut.

    Args:
        model: a twin for one call, since it keeps the hook.
    """
    states = []
    model.model.audio_tower.layer_norm.register_forward_hook(lambda module, args, output: states.append(output))
    return states


def _are_equal(tower: nn.Module, encoder: nn.Module) -> bool:
    """Whether the tower is the whole encoder of its checkpoint, untrained."""
    own, other = tower.state_dict(), encoder.state_dict()
    return own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)


__all__ = ["TOWER", "TowerTranscriber", "load_tower_transcriber", "record_states"]
