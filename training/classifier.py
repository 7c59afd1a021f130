"""A tower with a linear classifier and CTC: table 2, systems 1 to 3 of the paper, to compare with.

    h = masked mean over frames of the layer mix  ─► Linear ─► emotion
    the layer mix, each frame                     ─► Linear ─► CTC over the bytes of the transcript

The paper says "with a classifier and CTC" and no more; the mix, the pooling, the bytes and whether the tower is
trained are open. It has XSER's collator, trainer, inputs and predictions: `describe` batches train the emotion, `asr`
batches CTC. No language model is involved, so texts are spelt in bytes.

Shapes: B batch, T frames, L layers of the tower (L+1 with its input), H tower width, U bytes.
"""

import json
from copy import deepcopy
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import AutoFeatureExtractor, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from xser.agreement_xser import matching_processor
from xser.audio_xser import SAMPLE_RATE
from xser.backbone_places_xser import place_of
from xser.backbones_xser import load_tower, load_whole
from xser.bottleneck_xser import LayerMix, compute_dtype
from xser.configuration_xser import XSERConfig
from xser.eval_mode_xser import in_eval_mode
from xser.explain_xser import ANSWER_KEYS
from xser.grammar_xser import EMOTION, EmotionDescription
from xser.losses_xser import BLANK, IGNORE_INDEX, ctc_loss
from xser.modeling_xser import XSERModel, XSEROutput, XSERPreTrainedModel
from xser.processing_xser import XSERProcessor
from xser.transcriber_xser import BY_MODEL

PAD, END = "<|pad|>", "<|end|>"
LONGEST = 2**20  # tokens that no answer reaches: no language model has to hold them


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes and two special tokens: it writes every text, and nothing is fetched."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (PAD, END)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END)


def classifier_config(audio_config, tokenizer: PreTrainedTokenizerFast, **options) -> XSERConfig:
    """One stream, the emotion as the only slot; the language model's config only says how many tokens there are."""
    text_config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=LONGEST,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    fixed = {"disentangled": False, "descriptors": {}, "transcript": False, "emphasis": False, "lora": None}
    return XSERConfig(audio_config=audio_config, text_config=text_config, **fixed, **options)


class TowerMix(XSERModel):
    """The audio tower and a learned mix of its layers; audio goes in as it does into `XSERModel`."""

    def __init__(self, config: XSERConfig, audio_tower: PreTrainedModel | None = None):
        super().__init__(config, audio_tower)
        del self.content, self.descriptors, self.aux  # there are no bottlenecks here
        self.layer_mix = LayerMix(len(config.used_layers))
        self.layer_norm = nn.LayerNorm(config.audio_config.hidden_size)
        self.post_init()

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_values_mask: torch.Tensor | None = None,
        tower_states: torch.Tensor | None = None,
        tower_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveforms (B, S), or states (B, T, L+1, H) encoded before -> frames (B, T, H) and their mask (B, T)."""
        if tower_states is None:
            hidden_states, frame_mask = self.encode_audio(input_values, input_values_mask)
        else:
            hidden_states, frame_mask = tower_states.to(self.dtype).unbind(2), tower_mask.bool()
        mixed = self.layer_mix(hidden_states).to(compute_dtype(self.layer_norm))
        return self.layer_norm(mixed), frame_mask


class XSERClassifier(XSERPreTrainedModel):
    """Emotion and transcript of a recording by two linear heads on a tower.

    `loss` is the cross-entropy of the emotion (`emotion_loss`) plus `ctc_weight` times `ctc_loss`, whichever the batch
    has labels for.
    """

    def __init__(self, config: XSERConfig, audio_tower: PreTrainedModel | None = None):
        super().__init__(config)
        for module in audio_tower.modules() if audio_tower is not None else ():
            module._is_hf_initialized = True
        self.model = TowerMix(config, audio_tower)
        width = config.audio_config.hidden_size
        self.emotion_head = nn.Linear(width, len(config.emotions))
        self.ctc_head = nn.Linear(width, config.num_ctc_units + 1) if config.ctc_weight > 0 else None
        self.post_init()
        self._freeze_tower()

    def _freeze_tower(self):
        self.config.tower.set_trained(self.model.audio_tower, not self.config.freeze_audio_tower)

    def train(self, mode: bool = True):
        super().train(mode)
        if self.config.freeze_audio_tower:  # no dropout and no SpecAugment in a frozen tower
            self.model.audio_tower.eval()
        return self

    def forward(
        self,
        emotion_labels: torch.Tensor | None = None,
        ctc_labels: torch.Tensor | None = None,
        input_values: torch.Tensor | None = None,
        input_values_mask: torch.Tensor | None = None,
        tower_states: torch.Tensor | None = None,
        tower_mask: torch.Tensor | None = None,
        loss_weights: torch.Tensor | None = None,
        **text,
    ) -> XSEROutput:
        """
        Args:
            emotion_labels: (B,) indices, -100 where the emotion is not known.
            ctc_labels: (B, U) bytes, -100 on padding.
            loss_weights: (B,) of the utterances in `emotion_loss`; 1 each by default.
            input_values, input_values_mask, tower_states, tower_mask: as of `XSERModel.forward`.
            text: prompts, answers and all else that only a language model reads.
        """
        frames, frame_mask = self.model(input_values, input_values_mask, tower_states, tower_mask)
        losses, loss = {}, frames.new_zeros((), dtype=torch.float32)
        logits = self.emotion_logits(frames, frame_mask)
        if emotion_labels is not None:
            nats = nn.functional.cross_entropy(
                logits.float(), emotion_labels, ignore_index=IGNORE_INDEX, reduction="none"
            )
            losses["emotion_loss"] = (nats if loss_weights is None else nats * loss_weights).mean()
            loss = loss + losses["emotion_loss"]
        if ctc_labels is not None and self.ctc_head is not None:
            losses["ctc_loss"] = ctc_loss(self.ctc_head(frames), frame_mask, ctc_labels)
            loss = loss + self.config.ctc_weight * losses["ctc_loss"]
        return XSEROutput(loss=loss, logits=logits, **losses)

    def emotion_logits(self, frames: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """(B, T, H), (B, T) -> (B, emotions), from the mean over real frames."""
        real = frame_mask.unsqueeze(-1).to(frames.dtype)
        return self.emotion_head((frames * real).sum(1) / real.sum(1).clamp(min=1))

    @torch.no_grad()
    def answers(self, **features) -> list[tuple[torch.Tensor, str | None]]:
        """Of each recording the probabilities of the emotions, (emotions,), and its transcript by greedy CTC."""
        audio = ("input_values", "input_values_mask", "tower_states", "tower_mask")
        frames, frame_mask = self.model(**{name: features.get(name) for name in audio})
        scores = self.emotion_logits(frames, frame_mask).float().softmax(-1).cpu()
        texts = [None] * len(scores)
        if self.ctc_head is not None:
            best = self.ctc_head(frames).argmax(-1)
            texts = [spelt(row[mask]) for row, mask in zip(best, frame_mask, strict=True)]
        return list(zip(scores, texts, strict=True))

    def explain(
        self, audio, processor, batch_size: int = 8, slots=None, transcript: bool = True, reference=None
    ) -> list[dict]:
        """As `XSERForEmotionDescription.explain`, for the predictions that `eval.py` writes.

        Args:
            slots: what is asked for; the emotion is the only one.
            reference: of speakers; `None`, or `None` for each, for there is no stream that reads one.

        Raises:
            ValueError: a reference is given, or the processor is of another model.
        """
        processor = matching_processor(processor, self.config)
        processor.schema.check_slots([EMOTION] if slots is None else slots)
        if any(each is not None for each in reference or ()):
            raise ValueError("a reference of the speaker is given, but a classifier reads none: leave it out")
        waves = [processor.load(each) for each in audio]
        answers = [{**dict.fromkeys(ANSWER_KEYS), "status": processor.status(wave)} for wave in waves]
        spoken = [index for index, answer in enumerate(answers) if answer["status"] == "ok"]
        twin = in_eval_mode(self)
        for start in range(0, len(spoken), batch_size):
            rows = spoken[start : start + batch_size]
            inputs = processor([(waves[row], SAMPLE_RATE) for row in rows], task="asr").to(self.device)
            for row, (scores, text) in zip(rows, twin.answers(**inputs), strict=True):
                distribution = dict(zip(self.config.emotions, scores.tolist(), strict=True))
                emotion = max(distribution, key=distribution.get)
                sentence = EmotionDescription(emotion=emotion).to_sentence(distribution)
                answers[row] |= {"emotion": emotion, "scores": distribution, "descriptors": {}}
                text = text if transcript else None
                source = None if text is None else BY_MODEL
                answers[row] |= {"transcript": text, "transcript_source": source, "explanation": sentence}
        return answers

    def save_pretrained(self, save_directory, thin: bool = False, **kwargs):
        """As its parent's; whole only, for the tower is most of it and is read with the rest."""
        if thin:
            raise ValueError("thin_checkpoints is true, but a classifier is saved whole: leave it out")
        super().save_pretrained(save_directory, **kwargs)


def spelt(classes: torch.Tensor) -> str:
    """Text of the best class of each frame, (T,): repeats and blanks go, the rest is UTF-8."""
    units = torch.unique_consecutive(classes)
    return bytes((units[units != BLANK] - 1).tolist()).decode("utf-8", errors="replace").strip()


def build_classifier(audio_model: str, audio_layers: int | None = None, load_options: dict | None = None, **options):
    """A new `XSERClassifier` on a pretrained tower, and its processor.

    Args:
        audio_model: folder or Hub id of the HuBERT family, or of a Whisper.
        audio_layers, load_options: as of `XSERForEmotionDescription.from_backbones`.
        options: fields of `XSERConfig`.
    """
    tower, tokenizer = load_tower(audio_model, audio_layers, dict(load_options or {})), byte_tokenizer()
    # a copy: a config sets how its parts attend
    config = classifier_config(deepcopy(tower.config), tokenizer, audio_model_id=str(audio_model), **options)
    processor = XSERProcessor.from_config(
        config, AutoFeatureExtractor.from_pretrained(place_of(audio_model)), tokenizer
    )
    return XSERClassifier(config, tower).eval(), processor


def is_classifier(folder: str | Path) -> bool:
    """Whether a folder holds an `XSERClassifier`, by its config.json."""
    path = Path(folder) / "config.json"
    return path.is_file() and XSERClassifier.__name__ in json.loads(path.read_text("utf-8")).get("architectures", [])


def load_classifier(folder: str | Path, **options) -> XSERClassifier:
    """A saved classifier; `ValueError` where weights are lacking. `options` as of `from_pretrained`."""
    model = load_whole(XSERClassifier, str(folder), **options)
    model._freeze_tower()
    return model.eval()
