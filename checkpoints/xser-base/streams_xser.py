"""The streams that the language model hears: layer mix, bottleneck and adapter of each, and what teaches them.

Content and descriptors listen to the audio tower; an auxiliary stream listens to any features of (B, T, D) by the same
way of bottleneck and adapter, and has a placeholder of its own in description prompts.

Shapes: B batch, T frames, L+1 states of the tower (`used_layers`), H tower width, Z latent size, N tokens of a
stream, D width of the language model or of an auxiliary stream's features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers.activations import ACT2FN

from .bottleneck_xser import BottleneckOutput, LayerMix, VariationalBottleneck, compute_dtype
from .configuration_xser import XSERConfig
from .voice_measures_xser import FARTHEST

LOUDNESS_CENTRE, LOUDNESS_SPAN = -25.0, 10.0  # dBFS: ordinary speech comes out around 0 ± 1
SUMMARY_HEADS = 4  # attentions over the frames of a summary, beside their mean and deviation
MIN_DEVIATION = 1e-4
ENCODER_OPTIONS = (
    *("hidden_size", "latent_size", "encoder_layers", "sigma", "variational"),
    *("context_layers", "dropout", "smoothing"),
)
RECORDING_SIZE = 64  # of what a whole recording is summed up in before it joins the frames


@dataclass
class StreamOutput:
    """One stream, ready for the language model."""

    embeds: torch.Tensor  # (B, N, D)
    mask: torch.Tensor  # (B, N) bool, true on real tokens
    frame_mask: torch.Tensor  # (B, T) bool, true on real frames
    bottleneck: BottleneckOutput
    summary: torch.Tensor | None = None  # (B, (SUMMARY_HEADS + 2) Z), where the stream has one
    distance: torch.Tensor | None = None  # (B,) of the utterance's mean states from the usual ones, in deviations


class XSERAdapter(nn.Module):
    """Stack k frames, then Linear, ReLU, Linear to the language model's width, following LLaMA-Omni as the paper does.

    Args:
        activation: `relu`, or `gelu`.
    """

    def __init__(self, latent_size: int, frame_stack: int, text_hidden_size: int, activation: str):
        super().__init__()
        self.frame_stack = frame_stack
        self.projector = nn.Sequential(
            nn.Linear(latent_size * frame_stack, text_hidden_size),
            ACT2FN[activation],
            nn.Linear(text_hidden_size, text_hidden_size),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:  # (B, T, Z) -> (B, N, D), N = ceil(T / k)
        z = nn.functional.pad(z, (0, 0, 0, -z.shape[1] % self.frame_stack))
        return self.projector(z.unflatten(1, (-1, self.frame_stack)).flatten(2))


class XSERSummary(nn.Module):
    """A whole utterance in one token after its stream's others (our addition).

    Where an emotion lies in the whole of a recording and examples are few, a language model does not learn to gather
    it from the tokens of frames; attentions over `z`, its mean and its deviation over time hold what it needs. They
    are made of `z`, behind the bottleneck.
    """

    def __init__(self, latent_size: int, text_hidden_size: int):
        super().__init__()
        self.attention = nn.Linear(latent_size, SUMMARY_HEADS)
        self.projector = nn.Sequential(
            nn.Linear((SUMMARY_HEADS + 2) * latent_size, text_hidden_size),
            nn.GELU(),
            nn.Linear(text_hidden_size, text_hidden_size),
        )

    def forward(self, z: torch.Tensor, frame_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, Z), (B, T) -> summary (B, (SUMMARY_HEADS + 2) Z) and its token (B, 1, D)."""
        scores = self.attention(z).float().masked_fill(~frame_mask.unsqueeze(-1), -torch.inf)
        attended = (scores.softmax(1).to(z.dtype).transpose(1, 2) @ z).flatten(1)
        real = frame_mask.unsqueeze(-1).to(z.dtype)
        count = real.sum(1)
        mean = (z * real).sum(1) / count
        deviation = (((z - mean.unsqueeze(1)) ** 2 * real).sum(1) / count + MIN_DEVIATION).sqrt()
        summary = torch.cat([attended, mean, deviation], -1)
        return summary, self.projector(summary).unsqueeze(1)


class XSERStream(nn.Module):
    """Bottleneck and adapter of one stream, whatever it listens to.

    Args:
        bottleneck: as in `XSERConfig`.
        has_summary: whether a token of the whole utterance follows those of the frames.
    """

    def __init__(self, config: XSERConfig, input_size: int, bottleneck: dict, frame_stack: int, has_summary: bool):
        super().__init__()
        text_hidden_size, activation = config.text_config.hidden_size, config.adapter_activation
        self.bottleneck = VariationalBottleneck(input_size, **{name: bottleneck[name] for name in ENCODER_OPTIONS})
        self.adapter = XSERAdapter(bottleneck["latent_size"], frame_stack, text_hidden_size, activation)
        self.summary = XSERSummary(bottleneck["latent_size"], text_hidden_size) if has_summary else None

    def squeeze(self, states: torch.Tensor, frame_mask: torch.Tensor, noise_seed: torch.Tensor | None) -> StreamOutput:
        """(B, T, H), (B, T) through the bottleneck, to tokens of the language model."""
        bottleneck = self.bottleneck(states, frame_mask, noise_seed)
        embeds = self.adapter(bottleneck.z)
        lengths = -(-frame_mask.sum(-1) // self.adapter.frame_stack)
        mask = torch.arange(embeds.shape[1], device=embeds.device) < lengths.unsqueeze(-1)
        summary = None
        if self.summary is not None:
            summary, token = self.summary(bottleneck.z, frame_mask)
            embeds, mask = torch.cat([embeds, token], 1), nn.functional.pad(mask, (0, 1), value=True)
        return StreamOutput(embeds, mask, frame_mask, bottleneck, summary)


class XSERRecordingStates(nn.Module):
    """What the tower makes of a whole recording, beside what is usual for its speaker (our addition).

    Means over time move little from mood to mood beside what single frames do. They are told by themselves: mean and
    deviation over time of each layer, in deviations from what is usual from one recording of a speaker to another
    (`usual`: the spread of means, the mean and the spread of deviations, over the speakers of the training data).
    """

    def __init__(self, num_layers: int, hidden_size: int, dropout: float):
        super().__init__()
        self.register_buffer("usual", torch.ones(3, num_layers, hidden_size))
        self.projector = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * num_layers * hidden_size, RECORDING_SIZE),
            nn.GELU(),
            nn.Linear(RECORDING_SIZE, hidden_size),
        )

    def forward(self, mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        """(B, L+1, H) mean and deviation over time of states relative to the speaker -> (B, 1, H)."""
        spread, usual_deviation, deviation_spread = self.usual.float()
        told = torch.cat([mean / spread, (deviation - usual_deviation) / deviation_spread], 1)
        told = told.clamp(-FARTHEST, FARTHEST).flatten(1).to(compute_dtype(self.projector))
        return self.projector(told).unsqueeze(1)


class XSERSpeechStream(XSERStream):
    """A stream on the layers of the audio tower.

    The descriptor stream also hears the loudness that normalisation removed from the waveform, before its encoder,
    so that the bottleneck counts it. The layer norm after the mix is our choice.

    With `speaker_reference` every layer is heard relative to the mean and deviation that are usual for the speaker,
    or, where nobody knows them, for the speakers of the training data (`usual_mean`, `usual_deviation`).
    It is told which of the two it is. With `recording_states` it hears the whole recording in every frame, too, where
    the speaker is known: of a stranger it would tell who speaks.
    """

    def __init__(self, config: XSERConfig, bottleneck: dict, hears_voice: bool):
        num_layers, hidden_size = len(config.used_layers), config.audio_config.hidden_size
        has_summary = config.summary_tokens and hears_voice
        super().__init__(config, hidden_size, bottleneck, config.frame_stack, has_summary)
        self.layer_mix = LayerMix(num_layers)
        self.layer_norm = nn.LayerNorm(hidden_size)
        self.loudness = nn.Linear(1, hidden_size) if hears_voice else None
        self.is_relative = config.speaker_reference and hears_voice
        if self.is_relative:
            self.known = nn.Linear(1, hidden_size, bias=False)
            self.register_buffer("usual_mean", torch.zeros(num_layers, hidden_size))
            self.register_buffer("usual_deviation", torch.ones(num_layers, hidden_size))
        self.recording = None
        if config.recording_states and hears_voice:
            self.recording = XSERRecordingStates(num_layers, hidden_size, bottleneck["dropout"])

    def forward(
        self,
        hidden_states: tuple[torch.Tensor, ...],  # (L+1) x (B, T, H)
        frame_mask: torch.Tensor,  # (B, T)
        loudness: torch.Tensor,  # (B,) dBFS
        noise_seed: torch.Tensor | None,  # (B,)
        reference: torch.Tensor | None = None,  # (B, 2, L+1, H): mean and deviation; NaN where not known
        knows_speaker: torch.Tensor | None = None,  # (B,) 1 where the reference is of the speaker
    ) -> StreamOutput:
        distance = None
        if self.is_relative:
            hidden_states = self._relative(hidden_states, reference)
            mean = _mean_over_time(hidden_states, frame_mask)
            distance = mean.detach().square().mean((1, 2)).sqrt()
        mixed = self.layer_norm(self.layer_mix(hidden_states))
        if self.loudness is not None:
            level = ((loudness.float() - LOUDNESS_CENTRE) / LOUDNESS_SPAN).to(compute_dtype(self.loudness))
            mixed = mixed + self.loudness(level.view(-1, 1, 1))
        if self.is_relative and knows_speaker is not None:
            is_known = knows_speaker.view(-1, 1, 1).to(compute_dtype(self.layer_norm))
            mixed = mixed + self.known(is_known)
            if self.recording is not None:
                mixed = mixed + is_known * self.recording(mean, _deviation_over_time(hidden_states, mean, frame_mask))
        return replace(self.squeeze(mixed, frame_mask, noise_seed), distance=distance)

    def _relative(self, hidden_states: tuple[torch.Tensor, ...], reference: torch.Tensor | None) -> list[torch.Tensor]:
        usual = torch.stack([self.usual_mean, self.usual_deviation]).unsqueeze(0)  # (1, 2, L+1, H)
        if reference is not None:
            if reference.shape[1:] != usual.shape[1:]:
                raise ValueError(
                    f"the reference holds (layers, width) {tuple(reference.shape[2:])}, this model's tower has "
                    f"{tuple(usual.shape[2:])}: make the profile with this model"
                )
            usual = torch.where(reference.isnan(), usual.float(), reference.float())
        means, deviations = usual.to(hidden_states[0].dtype).unbind(1)  # (B or 1, L+1, H)
        return [
            (states - mean.unsqueeze(1)) / deviation.unsqueeze(1)
            for states, mean, deviation in zip(hidden_states, means.unbind(1), deviations.unbind(1), strict=True)
        ]


def _mean_over_time(states: Sequence[torch.Tensor], frame_mask: torch.Tensor) -> torch.Tensor:
    """(L+1) x (B, T, H), (B, T) -> (B, L+1, H) float32 over real frames."""
    real = frame_mask.unsqueeze(-1).float()
    return torch.stack([(each.float() * real).sum(1) for each in states], 1) / real.sum(1).unsqueeze(1)


def _deviation_over_time(states: Sequence[torch.Tensor], mean: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
    """(L+1) x (B, T, H), their means (B, L+1, H), (B, T) -> (B, L+1, H) float32 over real frames."""
    squares = [(each.float() - usual.unsqueeze(1)) ** 2 for each, usual in zip(states, mean.unbind(1), strict=True)]
    return (_mean_over_time(squares, frame_mask) + MIN_DEVIATION**2).sqrt()


class XSERAuxStream(XSERStream):
    """A stream on features that are no states of the audio tower: measurements, a text encoder's, a face's."""

    def __init__(self, config: XSERConfig, options: dict):
        super().__init__(config, options["size"], options, options["frame_stack"], config.summary_tokens)
        self.known = nn.Linear(1, options["size"], bias=False) if config.speaker_reference else None

    def forward(
        self,
        features: torch.Tensor,  # (B, T, D)
        frame_mask: torch.Tensor,  # (B, T)
        noise_seed: torch.Tensor | None,  # (B,)
        knows_speaker: torch.Tensor | None,  # (B,) 1 where the features are relative to the speaker
    ) -> StreamOutput:
        features = features.to(compute_dtype(self.adapter))
        if self.known is not None and knows_speaker is not None:
            features = features + self.known(knows_speaker.view(-1, 1, 1).to(features.dtype))
        return self.squeeze(features, frame_mask.bool(), noise_seed)


class XSERLevelHead(nn.Module):
    """Each descriptor's level from each of `level_streams` by itself (our addition, to teach the streams early on).

    A descriptor has an attention over frames of its own, so that tone may look at the end and pitch at all of it.
    """

    def __init__(self, config: XSERConfig):
        super().__init__()
        streams = config.voice_streams
        sizes = {name: streams[name]["latent_size"] for name in config.level_streams or streams}
        self.attention = nn.ModuleDict(
            {name: nn.Linear(size, len(config.descriptors)) for name, size in sizes.items()}
        )
        self.classifiers = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    nn.Sequential(nn.Linear(size, 64), nn.GELU(), nn.Linear(64, len(levels)))
                    for levels in config.descriptors.values()
                )
                for name, size in sizes.items()
            }
        )

    def forward(self, streams: Mapping[str, StreamOutput]) -> dict[str, list[torch.Tensor]]:
        """Stream → for each of K descriptors, (B, levels) logits."""
        logits = {}
        for name, attention in self.attention.items():
            z, frame_mask = streams[name].bottleneck.z, streams[name].frame_mask
            scores = attention(z).float().masked_fill(~frame_mask.unsqueeze(-1), -torch.inf)
            pooled = (scores.softmax(1).to(z.dtype).transpose(1, 2) @ z).unbind(1)  # K x (B, Z)
            logits[name] = [head(each) for head, each in zip(self.classifiers[name], pooled, strict=True)]
        return logits


class XSEREmotionHead(nn.Module):
    """The emotion from the summary of each stream of the voice, by itself (our addition).

    It teaches every stream to tell emotions without the others. Together they would learn whatever tells the speakers
    of the training data best, and strangers worst.
    """

    def __init__(self, config: XSERConfig):
        super().__init__()
        self.classifiers = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Dropout(config.summary_dropout),
                    nn.Linear((SUMMARY_HEADS + 2) * options["latent_size"], 64),
                    nn.GELU(),
                    nn.Dropout(config.summary_dropout),
                    nn.Linear(64, len(config.emotions)),
                )
                for name, options in config.voice_streams.items()
            }
        )

    def forward(self, streams: Mapping[str, StreamOutput]) -> dict[str, torch.Tensor]:
        """Stream → (B, emotions) logits."""
        return {name: classifier(streams[name].summary) for name, classifier in self.classifiers.items()}


class XSERDimensionHead(nn.Module):
    """Valence, arousal and so on from the summary of each stream of the voice, by itself (our addition)."""

    def __init__(self, config: XSERConfig):
        super().__init__()
        self.regressors = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Dropout(config.summary_dropout),
                    nn.Linear((SUMMARY_HEADS + 2) * options["latent_size"], 64),
                    nn.GELU(),
                    nn.Dropout(config.summary_dropout),
                    nn.Linear(64, len(config.dimensions)),
                )
                for name, options in config.voice_streams.items()
            }
        )

    def forward(self, streams: Mapping[str, StreamOutput]) -> dict[str, torch.Tensor]:
        """Stream → (B, dimensions) float32, from 0 to 1."""
        return {
            name: regressor(streams[name].summary).float().sigmoid() for name, regressor in self.regressors.items()
        }


__all__ = [
    "LOUDNESS_CENTRE",
    "StreamOutput",
    "XSERAuxStream",
    "XSERDimensionHead",
    "XSEREmotionHead",
    "XSERLevelHead",
    "XSERRecordingStates",
    "XSERSpeechStream",
]
