"""XSER: a frozen audio tower hears, two information bottlenecks pull words and voice apart, LLaMA with LoRA answers.

The prompt decides what the model hears: it holds placeholders of a stream, and that stream's features are scattered
there. A transcription prompt holds content placeholders; a description prompt holds content and descriptors.
Paper: "Towards LLM-Empowered Fine-Grained Speech Descriptors for Explainable Emotion Recognition", arXiv 2505.23236.

Shapes: B batch, S samples, T frames, H tower width, Z latent size, N tokens of a stream, P prompt and answer tokens,
D width of the language model, V vocabulary.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import AutoModelForCausalLM, Cache, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .bottleneck_xser import GaussianLinear, LayerMix
from .checkpoint_xser import XSERCheckpointMixin
from .configuration_xser import XSERConfig
from .encoded_xser import EncodedAudio, encode
from .explain_xser import explain
from .lora_xser import LORA_NAMES, add_lora
from .losses_xser import IGNORE_INDEX, answer_loss, ctc_loss, dimension_loss, emotion_loss, level_loss
from .options_xser import refuse_unknown
from .profile_xser import SpeakerProfile, make_profile
from .streams_xser import (
    StreamOutput,
    XSERAuxStream,
    XSERDimensionHead,
    XSEREmotionHead,
    XSERLevelHead,
    XSERSpeechStream,
)

if TYPE_CHECKING:  # named here so that the pipeline travels with every saved model
    from .pipeline_xser import XSERPipeline  # noqa: F401

CONTENT, DESCRIPTORS = "content", "descriptors"
AUX_INPUT = "aux_"  # before the name of an auxiliary stream's features, and of their mask (`…_mask`)
HEAD_LABELS = ("ctc_labels", "level_labels", "emotion_labels", "soft_emotion_labels", "dimension_labels")
LANGUAGE_MODEL_OPTIONS = ("past_key_values", "use_cache", "cache_position", "logits_to_keep")
# what PEFT's wrappers hand to every language model, and the values at which it says nothing
EMPTY = {
    "inputs_embeds": (None,),
    "output_attentions": (None, False),
    "output_hidden_states": (None, False),
    "return_dict": (None, True),
}


@dataclass
class XSEROutput(ModelOutput):
    """`loss = lm_loss + beta_c * content_kl + beta_d * descriptor_kl + ctc_weight * ctc_loss + level_weight *
    level_loss + emotion_weight * emotion_loss + dimension_weight * dimension_loss`, and beta times the KL of every
    auxiliary stream; a KL joins the sum only where its stream is trained, and a term that did not occur is `None`."""

    loss: torch.FloatTensor | None = None
    lm_loss: torch.FloatTensor | None = None  # nats a token, mean an utterance first
    content_kl: torch.FloatTensor | None = None  # nats a frame
    descriptor_kl: torch.FloatTensor | None = None  # nats a frame
    ctc_loss: torch.FloatTensor | None = None  # nats a unit (byte or token)
    level_loss: torch.FloatTensor | None = None  # nats a descriptor
    aux_kl: torch.FloatTensor | None = None  # nats a frame, summed over auxiliary streams
    emotion_loss: torch.FloatTensor | None = None  # nats
    dimension_loss: torch.FloatTensor | None = None  # squared error
    logits: torch.FloatTensor | None = None  # (B, P, V), with labels only from the token before the first answer on
    past_key_values: Cache | None = None


class XSERPreTrainedModel(PreTrainedModel):
    config_class = XSERConfig
    base_model_prefix = "model"
    main_input_name = "input_values"
    input_modalities = ("audio", "text")
    accepts_loss_kwargs = False  # losses are means an utterance: the trainer divides by its accumulation steps
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=module.in_features**-0.5)
            if isinstance(module, GaussianLinear):
                init.copy_(module.bias, module.initial_bias())
            elif module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):  # of a bottleneck: the tower and the language model come initialised
            init.normal_(module.weight, std=(module.in_channels * module.kernel_size[0]) ** -0.5)
            init.zeros_(module.bias)
        elif isinstance(module, LayerMix):
            init.zeros_(module.scores)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)


class XSERModel(XSERPreTrainedModel):
    """What is heard: the audio tower and the two streams on top of it."""

    def __init__(self, config: XSERConfig, audio_tower: PreTrainedModel | None = None):
        super().__init__(config)
        model_class = config.tower.model_class
        if audio_tower is not None and not isinstance(audio_tower, model_class):
            raise ValueError(f"audio_tower is a {type(audio_tower).__name__}; it must be a {model_class.__name__}")
        self.audio_tower = audio_tower or model_class._from_config(config.audio_config)
        config.tower.prepare(self.audio_tower)
        self.content = XSERSpeechStream(config, config.content_bottleneck, hears_voice=not config.disentangled)
        self.descriptors = None
        if config.disentangled:
            self.descriptors = XSERSpeechStream(config, config.descriptor_bottleneck, hears_voice=True)
        self.aux = nn.ModuleDict(
            {name: XSERAuxStream(config, options) for name, options in config.aux_streams.items()}
        )
        self.post_init()

    @property
    def aux_inputs(self) -> list[str]:
        """Names of the auxiliary streams' inputs."""
        return [f"{AUX_INPUT}{name}{end}" for name in self.config.aux_streams for end in ("", "_mask")]

    def encode_audio(self, input_values: torch.Tensor, input_values_mask: torch.Tensor):
        """The hidden states that the streams mix, (L+1) x (B, T, H), and the mask of real frames, (B, T)."""
        tower, is_trained = self.config.tower, any(weight.requires_grad for weight in self.audio_tower.parameters())
        with nullcontext() if is_trained else torch.no_grad():
            hidden_states = tower.encode(self.audio_tower, input_values, input_values_mask)
        return [hidden_states[layer] for layer in self.config.used_layers], tower.frames.mask(input_values_mask)

    @torch.no_grad()
    def all_states(self, input_values: torch.Tensor, input_values_mask: torch.Tensor) -> torch.Tensor:
        """Those states of one recording, (T, L+1, H) float32 on the CPU, without padding."""
        hidden_states, frame_mask = self.encode_audio(input_values, input_values_mask)
        return torch.stack(hidden_states, 2)[0, : int(frame_mask.sum())].float().cpu()

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_values_mask: torch.Tensor | None = None,
        loudness: torch.Tensor | None = None,
        streams: tuple[str, ...] = (CONTENT, DESCRIPTORS),
        noise_seed: torch.Tensor | None = None,
        content_gradient: bool = True,
        reference: torch.Tensor | None = None,
        knows_speaker: torch.Tensor | None = None,
        tower_states: torch.Tensor | None = None,
        tower_mask: torch.Tensor | None = None,
        **aux: torch.Tensor,
    ) -> dict[str, StreamOutput]:
        """Hear with the given streams.

        Args:
            input_values: (B, S) waveforms at 16 kHz, normalised as the tower wants them, zero on padding.
            input_values_mask: (B, S) 1 on real samples.
            loudness: (B,) dBFS of the waveform before normalisation.
            streams: which streams to compute; the others cost nothing.
            noise_seed: (B,) int64 seeds of the bottlenecks' noise.
            content_gradient: off where descriptors are learned, so that emotion cannot rewrite content.
            reference: (B, 2, L+1, H) mean and deviation of each layer that are usual for the speaker, NaN where nobody
                knows them; only with `speaker_reference`.
            knows_speaker: (B,) 1 where the reference is of the one who speaks.
            tower_states, tower_mask: (B, T, L+1, H) and (B, T) in place of `input_values`, where the tower is frozen
                and has heard the recordings before.
            aux: `aux_NAME` (B, T, D) and `aux_NAME_mask` (B, T) of each auxiliary stream; heard beside `DESCRIPTORS`.

        Raises:
            ValueError: the features of an auxiliary stream are missing, or of another size.
        """
        refuse_unknown(aux, self.aux_inputs, "XSERModel")
        if tower_states is None:
            hidden_states, frame_mask = self.encode_audio(input_values, input_values_mask)
        else:
            hidden_states, frame_mask = tower_states.to(self.dtype).unbind(2), tower_mask.bool()
        outputs = {}
        for index, name in enumerate(streams):
            seed = None if noise_seed is None else noise_seed + index  # a noise of its own for each stream
            with torch.no_grad() if name == CONTENT and not content_gradient else nullcontext():
                outputs[name] = getattr(self, name)(
                    hidden_states, frame_mask, loudness, seed, reference, knows_speaker
                )
        for index, (name, stream) in enumerate(self.aux.items() if DESCRIPTORS in streams else ()):
            seed = None if noise_seed is None else noise_seed + len(streams) + index
            features, mask = (aux.get(f"{AUX_INPUT}{name}{end}") for end in ("", "_mask"))
            size = self.config.aux_streams[name]["size"]
            if features is None or mask is None or features.shape[-1] != size:
                given = "none were given" if features is None or mask is None else f"they have {features.shape[-1]}"
                raise ValueError(f"stream {name!r} hears {AUX_INPUT}{name}, features of size {size}: {given}")
            outputs[name] = stream(features, mask, seed, knows_speaker)
        return outputs


class XSERForEmotionDescription(XSERCheckpointMixin, XSERPreTrainedModel, GenerationMixin):
    """Speech in; transcript, or descriptors and emotion, out as text."""

    def __init__(
        self,
        config: XSERConfig,
        audio_tower: PreTrainedModel | None = None,
        language_model: PreTrainedModel | None = None,
    ):
        """Build from the config, or around pretrained backbones that are given."""
        super().__init__(config)
        for backbone in (audio_tower, language_model):
            for module in backbone.modules() if backbone is not None else ():
                module._is_hf_initialized = True
        self.model = XSERModel(config, audio_tower)
        self.language_model = language_model or AutoModelForCausalLM.from_config(config.text_config)
        if config.lora is not None:
            add_lora(self.language_model, config.lora)
        self.ctc_head = None
        if config.ctc_weight > 0:
            self.ctc_head = nn.Linear(config.content_bottleneck["latent_size"], config.num_ctc_units + 1)
        self.level_head = XSERLevelHead(config) if config.level_weight > 0 else None
        self.emotion_head = XSEREmotionHead(config) if config.emotion_weight > 0 else None
        self.dimension_head = XSERDimensionHead(config) if config.dimensions else None
        self.post_init()
        self._freeze_backbones()

    # ------------------------------------------------------------------ what is trained

    def _freeze_backbones(self):
        """Freeze what the config freezes. Done after loading too: flags set while building do not survive it."""
        self.config.tower.set_trained(self.model.audio_tower, not self.config.freeze_audio_tower)
        for name, parameter in self.language_model.named_parameters():
            parameter.requires_grad_(name.endswith(LORA_NAMES) or not self.config.freeze_language_model)

    def train(self, mode: bool = True):
        super().train(mode)
        if self.config.freeze_audio_tower:  # no dropout and no SpecAugment in a frozen tower
            self.model.audio_tower.eval()
        return self

    def get_input_embeddings(self):
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value):
        self.language_model.set_input_embeddings(value)

    # ------------------------------------------------------------------ hearing into the prompt

    def hear(self, input_ids: torch.Tensor, heads_only: bool = False, **audio) -> dict[str, StreamOutput]:
        """The streams that the prompt holds placeholders for (`audio`: the inputs of `XSERModel.forward`).

        Args:
            heads_only: without content, which no head of a description listens to.
        """
        has_descriptors = bool((input_ids == self.config.descriptor_token_id).any()) and self.config.disentangled
        streams = (CONTENT, DESCRIPTORS) if has_descriptors else (CONTENT,)
        if has_descriptors and heads_only:
            streams = (DESCRIPTORS,)
        return self.model(streams=streams, content_gradient=not has_descriptors, **audio)

    def embed_prompt(self, input_ids: torch.Tensor, streams: Mapping[str, StreamOutput]) -> torch.Tensor:
        """Token embeddings with each stream's features at its placeholders, (B, P) -> (B, P, D).

        Raises:
            ValueError: an utterance has another number of placeholders than its stream has tokens.
        """
        places = {CONTENT: input_ids == self.config.content_token_id}
        if self.config.disentangled:
            places[DESCRIPTORS] = input_ids == self.config.descriptor_token_id
        places |= {name: input_ids == index for name, index in self.config.aux_token_ids.items()}
        is_zero = torch.zeros_like(input_ids, dtype=torch.bool)
        if self.config.zero_token_id is not None:
            is_zero = input_ids == self.config.zero_token_id
        # placeholder ids may lie beyond the vocabulary: they are replaced before the lookup
        is_placeholder = torch.stack([is_zero, *places.values()]).any(0)
        inputs_embeds = self.get_input_embeddings()(input_ids.masked_fill(is_placeholder, 0))
        inputs_embeds = inputs_embeds.masked_fill(is_zero.unsqueeze(-1), 0.0)
        for name, place in places.items():
            if not place.any():
                continue
            if name not in streams:
                raise ValueError(f"the prompt holds placeholders for the {name} stream, but no audio was given")
            wanted, given = place.sum(-1).tolist(), streams[name].mask.sum(-1).tolist()
            if wanted != given:
                row = next(i for i, (a, b) in enumerate(zip(wanted, given, strict=True)) if a != b)
                raise ValueError(
                    f"utterance {row} has {wanted[row]} {name} placeholders for {given[row]} {name} tokens: "
                    "make prompts with this model's own processor"
                )
            source = streams[name].embeds[streams[name].mask].to(inputs_embeds.dtype)
            inputs_embeds = inputs_embeds.masked_scatter(place.unsqueeze(-1), source)
        return inputs_embeds

    # ------------------------------------------------------------------ forward

    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        input_values: torch.Tensor | None = None,
        input_values_mask: torch.Tensor | None = None,
        loudness: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        noise_seed: torch.LongTensor | None = None,
        reference: torch.Tensor | None = None,
        knows_speaker: torch.Tensor | None = None,
        tower_states: torch.Tensor | None = None,
        tower_mask: torch.Tensor | None = None,
        heads_only: bool = False,
        loss_weights: torch.Tensor | None = None,
        **kwargs,
    ) -> XSEROutput:
        """One pass over prompts (and answers, in training).

        Args:
            input_ids: (B, P) prompt and answer, with placeholders.
            attention_mask: (B, P) 0 on padding, which may stand on either side.
            input_values, input_values_mask, loudness, noise_seed, reference, knows_speaker, tower_states, tower_mask,
                and `aux_…` among `kwargs`: see `XSERModel.forward`.
            labels: (B, P) the answer's tokens, -100 elsewhere.
            heads_only: leave the language model out, for the loss of the heads on the streams alone.
            loss_weights: (B,) of the utterances in `lm_loss` and `emotion_loss`; 1 each by default.
            kwargs: `ctc_labels` (B, U), the transcript in `config.ctc_unit`s, -100 on padding; `level_labels` (B, K),
                index of each descriptor's level, and `emotion_labels` (B,), -100 where it is not known;
                `soft_emotion_labels` and `dimension_labels` as `losses_xser` takes them; and options of the language
                model. (Labels stand here since transformers' `Trainer` has a loss to evaluate only
                where every argument with `label` in its name is given.)

        Raises:
            ValueError: an option is unknown.
        """
        for name, empty in EMPTY.items():
            if any(kwargs.get(name, self) is value for value in empty):
                del kwargs[name]
        known = {*FORWARD_INPUTS, *HEAD_LABELS, *self.model.aux_inputs, *LANGUAGE_MODEL_OPTIONS}
        refuse_unknown(kwargs, known, f"{type(self).__name__}.forward")
        head_labels = {name: kwargs.pop(name, None) for name in HEAD_LABELS}
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        streams, aux = {}, _take_aux(kwargs)
        if input_values is not None or tower_states is not None:
            streams = self.hear(
                input_ids,
                heads_only,
                input_values=input_values,
                input_values_mask=input_values_mask,
                loudness=loudness,
                noise_seed=noise_seed,
                reference=reference,
                knows_speaker=knows_speaker,
                tower_states=tower_states,
                tower_mask=tower_mask,
                **aux,
            )
        if heads_only:
            return XSEROutput(**self._losses(None, None, streams, loss_weights, **head_labels))
        if labels is not None:  # logits are needed from the token before the first answer token on
            first = int((labels != IGNORE_INDEX).any(0).long().argmax())
            kwargs["logits_to_keep"] = labels.shape[1] - max(first - 1, 0)
            labels = labels[:, -kwargs["logits_to_keep"] :]
        outputs = self.language_model(
            inputs_embeds=self.embed_prompt(input_ids, streams),
            attention_mask=attention_mask,
            position_ids=prompt_positions(attention_mask),
            **kwargs,
        )
        losses = {}
        if labels is not None:
            losses = self._losses(outputs.logits, labels, streams, loss_weights, **head_labels)
        return XSEROutput(logits=outputs.logits, past_key_values=outputs.past_key_values, **losses)

    def _losses(
        self, logits, labels, streams, loss_weights, ctc_labels, level_labels, emotion_labels, **rated
    ) -> dict[str, torch.Tensor]:
        """Every term of the loss, and their documented sum."""
        losses, loss = {}, 0.0
        if logits is not None:
            losses["lm_loss"] = loss = answer_loss(logits, labels, loss_weights)
        if CONTENT in streams:
            losses["content_kl"] = streams[CONTENT].bottleneck.kl
            if losses["content_kl"].requires_grad:  # on description steps it is logged, not trained
                loss = loss + self.config.content_bottleneck["beta"] * losses["content_kl"]
        if DESCRIPTORS in streams:
            losses["descriptor_kl"] = streams[DESCRIPTORS].bottleneck.kl
            loss = loss + self.config.descriptor_bottleneck["beta"] * losses["descriptor_kl"]
        if self.ctc_head is not None and ctc_labels is not None and CONTENT in streams:
            content = streams[CONTENT]
            losses["ctc_loss"] = ctc_loss(self.ctc_head(content.bottleneck.z), content.frame_mask, ctc_labels)
            loss = loss + self.config.ctc_weight * losses["ctc_loss"]
        if self.level_head is not None and level_labels is not None and DESCRIPTORS in streams:
            each = [level_loss(levels, level_labels) for levels in self.level_head(streams).values()]
            losses["level_loss"] = torch.stack(each).mean()
            loss = loss + self.config.level_weight * losses["level_loss"]
        aux = {name: streams[name] for name in self.model.aux if name in streams}
        if aux:
            losses["aux_kl"] = sum(stream.bottleneck.kl for stream in aux.values())
            options = self.config.aux_streams
            loss = loss + sum(options[name]["beta"] * stream.bottleneck.kl for name, stream in aux.items())
        has_voice = self.config.voice_streams.keys() <= streams.keys()
        if self.emotion_head is not None and emotion_labels is not None and has_voice:
            logits = self.emotion_head(streams).values()
            soft = rated["soft_emotion_labels"]
            losses["emotion_loss"] = emotion_loss([*logits], emotion_labels, loss_weights, soft)
            loss = loss + self.config.emotion_weight * losses["emotion_loss"]
        if self.dimension_head is not None and rated["dimension_labels"] is not None and has_voice:
            predicted = [*self.dimension_head(streams).values()]
            losses["dimension_loss"] = dimension_loss(predicted, rated["dimension_labels"])
            loss = loss + self.config.dimension_weight * losses["dimension_loss"]
        return {"loss": loss, **losses}

    # ------------------------------------------------------------------ answering

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        input_values: torch.Tensor | None = None,
        input_values_mask: torch.Tensor | None = None,
        loudness: torch.Tensor | None = None,
        reference: torch.Tensor | None = None,
        knows_speaker: torch.Tensor | None = None,
        generation_config=None,
        **kwargs,
    ) -> torch.LongTensor:
        """Answer left-padded prompts; the audio is encoded once, then the language model decodes with its cache.

        Args: as `forward`; `kwargs` go to the language model's `generate`.

        Returns:
            (B, new tokens): the answer alone, without the prompt.

        Raises:
            ValueError: an option is unknown.
        """
        refuse_unknown(kwargs, {*GENERATION_OPTIONS, *self.model.aux_inputs}, f"{type(self).__name__}.generate")
        streams = self.hear(
            input_ids,
            input_values=input_values,
            input_values_mask=input_values_mask,
            loudness=loudness,
            reference=reference,
            knows_speaker=knows_speaker,
            **_take_aux(kwargs),
        )
        return self.language_model.generate(
            inputs_embeds=self.embed_prompt(input_ids, streams),
            attention_mask=torch.ones_like(input_ids) if attention_mask is None else attention_mask,
            generation_config=generation_config or self.generation_config,
            **kwargs,
        )

    def votes(self, streams: Mapping[str, StreamOutput]) -> dict[str, torch.Tensor]:
        """Stream → (B, emotions) log-probabilities of the streams that have a say in the answer's emotion."""
        if not self.config.emotion_votes or not self.config.voice_streams.keys() <= streams.keys():
            return {}
        return {name: logits.float().log_softmax(-1) for name, logits in self.emotion_head(streams).items()}

    def level_ensemble(self, streams: Mapping[str, StreamOutput]) -> dict[str, list[torch.Tensor]]:
        """Descriptor → (B, levels) log-probabilities of each head that is pooled with the language model there."""
        if not self.config.level_ensemble or DESCRIPTORS not in streams:
            return {}
        each = zip(*self.level_head(streams).values(), strict=True)  # of a descriptor, the logits of each stream
        log_probs = [[logits.float().log_softmax(-1) for logits in of_streams] for of_streams in each]
        return dict(zip(self.config.descriptors, log_probs, strict=True))

    def profile(self, recordings, processor) -> SpeakerProfile:
        """What is usual for a speaker, from three or more unlabelled recordings; see `profile_xser`."""
        return make_profile(self, processor, recordings)

    def encode(self, audio, processor, **options) -> list[EncodedAudio]:
        """Recordings encoded and measured once, for any number of calls of `explain`; see `encoded_xser`."""
        return encode(self, processor, audio, **options)

    def explain(self, audio, processor, **options) -> list[dict]:
        """Emotion, scores, descriptors, emphasis, transcript and explanation of recordings; see `explain_xser`."""
        return explain(self, processor, audio, **options)


FORWARD_INPUTS = {*signature(XSERForEmotionDescription.forward).parameters} - {"self", "kwargs"}
GENERATION_OPTIONS = {
    *signature(XSERForEmotionDescription.generate).parameters,
    *signature(GenerationMixin.generate).parameters,
    *(name for name in vars(GenerationConfig()) if not name.startswith("_")),
} - {"self", "kwargs"}


def _take_aux(options: dict) -> dict[str, torch.Tensor]:
    """The inputs of auxiliary streams, which are taken out of `options`."""
    return {name: options.pop(name) for name in list(options) if name.startswith(AUX_INPUT)}


def prompt_positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """Positions that count real tokens only, (B, P)."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


XSERConfig.register_for_auto_class()
XSERForEmotionDescription.register_for_auto_class("AutoModelForMultimodalLM")

__all__ = ["XSERForEmotionDescription", "XSERModel", "XSEROutput", "XSERPreTrainedModel"]
