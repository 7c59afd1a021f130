"""XSERConfig: two backbones, two bottlenecks, their adapters, LoRA, and the labels the model knows."""

import json
import re

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .audio_tower_xser import AudioTower, audio_tower
from .backbone_sources_xser import check_sources
from .grammar_xser import LabelSchema
from .log_mel_xser import SAMPLE_RATE
from .options_xser import LOADING_OPTIONS, UnknownOptionError, nearest, refuse_unknown

DEFAULT_EMOTIONS = ["angry", "happy", "sad", "neutral", "fearful", "surprised"]
DEFAULT_DESCRIPTORS = {
    "pitch": ["low", "normal", "high"],
    "volume": ["quiet", "normal", "loud"],
    "speed": ["slow", "normal", "fast"],
    "tone": ["falling", "flat", "rising"],
}
DEFAULT_LORA = {"rank": 8, "alpha": 16, "dropout": 0.0, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
BOTTLENECK_DEFAULTS = {
    "latent_size": 128,
    "hidden_size": 512,
    "encoder_layers": 2,  # stated in the paper, as are sigma and beta
    "sigma": "softplus",
    "beta": 1e-2,
    "variational": True,
    "context_layers": 0,
    "dropout": 0.0,
    "smoothing": 1,
}
AUX_DEFAULTS = {**BOTTLENECK_DEFAULTS, "size": 1, "frame_stack": 4, "latent_size": 16, "hidden_size": 64}
AUX_NAME = re.compile(r"[a-z][a-z0-9_]*")
LANGUAGE_MODEL = "language_model"  # among those whose votes are weighed
RESERVED = ("content", "descriptors", LANGUAGE_MODEL)  # names that no auxiliary stream may have
CTC_UNITS = ("byte", "token")
SIGMAS = ("softplus", "exp")
ACTIVATIONS = ("relu", "gelu")
ANSWERS = ("tags", "caption")
ASR_DESCRIPTORS = ("absent", "zero")
# what configs that were saved before these fields existed stand for
LAYERS_OF_BEFORE = {"encoder_layers": 1, "sigma": "exp"}
# what transformers writes into a config or takes out of its options, beside the fields of `PreTrainedConfig`
HOST_FIELDS = (
    *("model_type", "auto_map", "custom_pipelines", "torch_dtype", "num_labels", "name_or_path", "output_attentions"),
    *("attn_implementation", "experts_implementation", "use_cache", "tie_word_embeddings", "transformers_weights"),
)
LIKENESS = 0.75  # from which on an unknown field of a file is taken for one of ours misspelt


class XSERConfig(PreTrainedConfig):
    r"""Configuration of XSER (arXiv 2505.23236).

    Args:
        audio_config (`PreTrainedConfig` or `dict`): HuBERT, or its relatives wav2vec2, WavLM and data2vec-audio, or
            Whisper, of which the encoder is taken.
        padded (`bool`): a Whisper tower reads every recording with silence up to 30 s, as it does by itself; off, for
            as long as it is. Frames of that silence are not handed on.
        mixed_layers (`list[int]`, *optional*): the hidden states of the tower that the streams mix, upwards: 0 is what
            enters the first layer. All by default.
        text_config (`PreTrainedConfig` or `dict`): any causal language model; LLaMA by default.
        audio_model_id, text_model_id (`str`, *optional*): where the backbones came from; a thin checkpoint reads
            them from there.
        content_bottleneck, descriptor_bottleneck (`dict`): `latent_size` (Z), `hidden_size` of the encoder,
            `encoder_layers` (pairs of Linear and GELU; the paper's 2), `sigma` (`softplus`, the paper's, or `exp` of
            half a log-variance), `beta` (weight of the KL in nats a frame against the cross-entropy in nats a token;
            the paper's best is 1e-2, but how it reduces the KL is not known), `variational` (off: `z` is the mean,
            and there is no KL); and ours: `context_layers` (convolutions over five frames in the encoder), `dropout`
            (before it) and `smoothing` (frames that are averaged in it, an odd number; 1 for none).
        frame_stack (`int`): frames that make one token for the language model; the paper follows LLaMA-Omni's 5, which
            makes 10 tokens a second of HuBERT's 50 frames.
        adapter_activation (`str`): `relu`, the paper's, or `gelu`, between the two layers of an adapter.
        lora (`dict`, *optional*): `rank`, `alpha`, `dropout`, `target_modules`; `None` for no LoRA.
        emotions (`list[str]`), descriptors (`dict[str, list[str]]`), transcript, emphasis (`bool`): the label schema,
            and so the slots of an answer. An empty `descriptors` with `emphasis=False` leaves transcript and emotion.
        slot_order (`list[str]`, *optional*): all slots in the order of the answer; the paper's by default:
            descriptors, transcript, emotion, emphasis.
        age_cuts (`list`, *optional*): years at which the second, third … level of a descriptor `age` begins, for data
            that hold ages in years.
        answer (`str`): `tags`, or `caption`, one or two English sentences as in the paper (`captions_xser`).
        system_prompt (`str`, *optional*): of every prompt.
        asr_descriptors (`str`): whether prompts of ASR hold the descriptor tokens as zeros (`zero`, the paper's), or
            not at all (`absent`).
        disentangled (`bool`): two streams; off, one stream serves both tasks.
        freeze_audio_tower, freeze_language_model (`bool`): off only to pretrain backbones.
        ctc_weight (`float`): weight of a CTC loss on the content stream; 0 for no CTC head.
        ctc_unit (`str`): what CTC spells the transcript in: `byte` (256 of UTF-8, which fit every language) or
            `token` of the language model, which makes frames speak its own units; for small vocabularies.
        ctc_share (`float`): weight of CTC, against the rest for the language model, in the choice of a transcript
            among CTC's candidates (`ctc_candidates_xser`); 0: the language model writes transcripts by itself.
        level_weight (`float`): weight of a classification of each descriptor's level on each of `level_streams`,
            which teaches that stream what to encode long before the language model reads it; 0 for no such head.
        level_streams (`list[str]`, *optional*): these streams of the voice (`descriptors` and auxiliary ones); all of
            them by default. Where `measures` hold the levels, the tower's stream is left to the emotion.
        level_ensemble (`bool`): each descriptor's level in an answer is by log-linear pooling of the language model
            and of the heads on `level_streams`, with equal weights.
        aux_streams (`dict`): name → further features that description prompts hold, each with a bottleneck of its own:
            `size` (D of its (B, T, D) features), `frame_stack`, and the fields of a bottleneck. `prosody` is measured
            by the processor; any other is handed to it.
        summary_tokens (`bool`): a token of the whole utterance after those of the descriptor stream, and of every
            auxiliary one; after those of the one stream where `disentangled` is false.
        emotion_weight (`float`): weight of a classification of the emotion on each of these summaries by itself; 0
            for no such head.
        emotion_votes (`bool`): these classifications have a say in the answer: its emotion's scores are the
            geometric mean of the language model's and of theirs.
        vote_weights (`dict`, *optional*): exponents of the opinions where a reference is given: of `language_model`,
            `descriptors` and every auxiliary stream. Without one, and elsewhere, all count alike.
        summary_dropout (`float`): of the heads on summaries.
        dimensions (`list[str]`), dimension_weight (`float`): names of numbers from 0 to 1, such as valence and
            arousal, that a regression on each of these summaries predicts, and the weight of its squared error.
        speaker_reference (`bool`): the descriptor stream hears each layer relative to what is usual for the speaker,
            where a reference is given, and to what is usual in the training data elsewhere.
        speaker_std (`bool`): features relative to a speaker are divided by that speaker's standard deviations; else by
            those of the training data's speakers, which a few recordings of one speaker cannot estimate as well, and
            measures, but for the contour, are relative to the speaker's median, as levels are.
        recording_states (`bool`): in every frame the descriptor stream also hears mean and deviation of each layer
            over the whole recording, beside what is usual for the speaker; only with `speaker_reference`, and only
            where a reference is given.
        content_token_id, descriptor_token_id (`int`): placeholders, which may lie beyond the vocabulary.
        zero_token_id (`int`, *optional*): placeholder of zeros, where `asr_descriptors` is `zero`.
        aux_token_ids (`dict`): name → placeholder of each auxiliary stream.
        min_audio_seconds, max_audio_seconds (`float`): shorter is `too_short`, longer is refused.
        silence_dbfs (`float`): a recording whose RMS lies below is `no_speech`.
        voice_activity (`bool`): a recording in which `activity_xser` finds no speech is `no_speech` too; off, every
            sound is taken for speech.
        thin (`bool`): the checkpoint holds what was trained, the backbones are read from their ids.
        backbone_sources (`dict`, *optional*): which weights of these backbones it takes (`backbone_sources_xser`); a
            thin save records those that it was trained on.
        trained_on (`list[str]`, *optional*): names of the corpora that the model itself, without its backbones, was
            trained on.

    Raises:
        ValueError: a value that is not allowed, named with what is.
    """

    model_type = "xser"
    keys_to_ignore_at_inference = [
        *("past_key_values", "lm_loss", "content_kl", "descriptor_kl", "ctc_loss", "level_loss"),
        *("aux_kl", "emotion_loss", "dimension_loss"),
    ]
    sub_configs_defaults = {
        "audio_config": SubConfigSpec(config_class=AutoConfig, model_type="hubert"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    padded: bool = False
    mixed_layers: list | None = None
    audio_model_id: str | None = None
    text_model_id: str | None = None
    content_bottleneck: dict | None = None
    descriptor_bottleneck: dict | None = None
    frame_stack: int = 5
    adapter_activation: str = "relu"
    lora: dict | None = None
    emotions: list | None = None
    descriptors: dict | None = None
    transcript: bool = True
    emphasis: bool = True
    slot_order: list | None = None
    age_cuts: list | None = None
    answer: str = "tags"
    system_prompt: str | None = None
    asr_descriptors: str = "absent"
    disentangled: bool = True
    freeze_audio_tower: bool = True
    freeze_language_model: bool = True
    ctc_weight: float | int = 0.0
    ctc_unit: str = "byte"
    ctc_share: float | int = 0.0
    level_weight: float | int = 0.0
    level_streams: list | None = None
    level_ensemble: bool = False
    aux_streams: dict | None = None
    summary_tokens: bool = False
    emotion_weight: float | int = 0.0
    emotion_votes: bool = False
    vote_weights: dict | None = None
    summary_dropout: float | int = 0.0
    dimensions: list | None = None
    dimension_weight: float | int = 0.0
    speaker_reference: bool = False
    speaker_std: bool = True
    recording_states: bool = False
    content_token_id: int | None = None
    descriptor_token_id: int | None = None
    zero_token_id: int | None = None
    aux_token_ids: dict | None = None
    min_audio_seconds: float | int = 0.1
    max_audio_seconds: float | int = 30.0
    silence_dbfs: float | int = -60.0
    voice_activity: bool = True
    thin: bool = False
    backbone_sources: dict | None = None
    trained_on: list | None = None

    def __post_init__(self, **kwargs):
        self._check_names(kwargs)
        if self.emotions is None:
            self.emotions = list(DEFAULT_EMOTIONS)
        if self.descriptors is None:
            self.descriptors = {slot: list(levels) for slot, levels in DEFAULT_DESCRIPTORS.items()}
        self.content_bottleneck = _with_defaults("content_bottleneck", self.content_bottleneck, BOTTLENECK_DEFAULTS)
        self.descriptor_bottleneck = _with_defaults(
            "descriptor_bottleneck", self.descriptor_bottleneck, BOTTLENECK_DEFAULTS
        )
        self.aux_streams = {
            name: _with_defaults(f"aux_streams[{name!r}]", options, AUX_DEFAULTS)
            for name, options in (self.aux_streams or {}).items()
        }
        self.aux_token_ids = self.aux_token_ids or {}
        self.dimensions = [] if self.dimensions is None else self.dimensions
        if self.lora is not None:
            self.lora = _with_defaults("lora", self.lora, DEFAULT_LORA)
        super().__post_init__(**kwargs)
        self._check_values()

    def _check_names(self, others: dict) -> None:
        """Refuse fields that there are not; of a file, whose transformers may know more, those that look like ours."""
        names = [name for name in others if not name.startswith("_") and name not in HOST_FIELDS]
        if self.transformers_version is None:
            refuse_unknown(names, FIELDS, "XSERConfig")
        for name in names:
            if meant := nearest(name, FIELDS, LIKENESS):
                raise UnknownOptionError(f"unknown options [{name!r}] of XSERConfig: the nearest is {meant!r}")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """As its parent's; fields of the file may be given anew by name.

        Raises:
            ValueError: an option is neither a field nor one of loading, or a value is not allowed.
        """
        if "_from_auto" not in kwargs and not kwargs.get("return_unused_kwargs"):
            known = {*FIELDS, *HOST_FIELDS, *LOADING_OPTIONS, "return_unused_kwargs"}
            names = [name for name in kwargs if not name.startswith("_")]
            refuse_unknown(names, known, "XSERConfig.from_pretrained")
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As its parent's, but fields given anew are checked as those of the file are."""
        given = {name: kwargs.pop(name) for name in FIELDS if name in kwargs}
        return super().from_dict({**of_before(config_dict), **given}, **kwargs)

    def _check_values(self):
        """Refuse values that are of a wrong type, out of range, or contradict each other."""
        for name, allowed in XSERConfig.__annotations__.items():
            if not isinstance(getattr(self, name), allowed):
                _require(False, name, getattr(self, name), f"of type {allowed}")
        _ = self.schema  # checks the labels
        choices = {"answer": ANSWERS, "asr_descriptors": ASR_DESCRIPTORS, "adapter_activation": ACTIVATIONS}
        for name, allowed in {**choices, "ctc_unit": CTC_UNITS}.items():
            _require(getattr(self, name) in allowed, name, getattr(self, name), f"one of {allowed}")
        needs = "absent where disentangled is false: there is no descriptor stream"
        _require(self.disentangled or self.asr_descriptors == "absent", "asr_descriptors", self.asr_descriptors, needs)
        for name in ("content_bottleneck", "descriptor_bottleneck"):
            bottleneck = getattr(self, name)
            for key in ("latent_size", "hidden_size"):
                _require(bottleneck[key] >= 1, f"{name}[{key!r}]", bottleneck[key], "at least 1")
            _check_bottleneck(name, bottleneck)
        self._check_voice_streams()
        longest = self.tower.max_samples  # checks audio_config, too
        if longest is not None:
            needs = f"at most {longest / SAMPLE_RATE:g}, all that this tower has positions for"
            fits = self.max_audio_seconds * SAMPLE_RATE <= longest
            _require(fits, "max_audio_seconds", self.max_audio_seconds, needs)
        needs = f"different numbers from 0 to {self.num_states - 1}, upwards"
        _require(_are_layers(self.used_layers, self.num_states), "mixed_layers", self.mixed_layers, needs)
        if self.lora is not None:
            _require(self.lora["rank"] >= 1, "lora['rank']", self.lora["rank"], "at least 1, or lora null for none")
            _require(0 <= self.lora["dropout"] < 1, "lora['dropout']", self.lora["dropout"], "in [0, 1)")
            _require(bool(self.lora["target_modules"]), "lora['target_modules']", self.lora["target_modules"], "names")
            _require(
                self.freeze_language_model,
                "freeze_language_model",
                False,
                "true where lora is given: one or the other",
            )
        _require(self.frame_stack >= 1, "frame_stack", self.frame_stack, "at least 1")
        _require(self.ctc_weight >= 0, "ctc_weight", self.ctc_weight, "0 or more")
        _require(0 <= self.ctc_share < 1, "ctc_share", self.ctc_share, "in [0, 1)")
        needs = "0 where ctc_weight is 0: there is no CTC head"
        _require(self.ctc_weight > 0 or not self.ctc_share, "ctc_share", self.ctc_share, needs)
        _require(self.level_weight >= 0, "level_weight", self.level_weight, "0 or more")
        if self.level_weight > 0:
            needs = "0 where disentangled is false or descriptors is empty: it classifies them on their own stream"
            _require(self.disentangled and bool(self.descriptors), "level_weight", self.level_weight, needs)
        if self.level_streams is not None:
            names, known = list(self.level_streams), list(self.voice_streams)
            are_streams = bool(names) and len(set(names)) == len(names) and set(names) <= set(known)
            _require(are_streams, "level_streams", names, f"some of {known}, each once")
            _require(self.level_weight > 0, "level_streams", names, "left out where level_weight is 0")
        needs = "false where level_weight is 0: there are no heads to pool"
        _require(self.level_weight > 0 or not self.level_ensemble, "level_ensemble", True, needs)
        _require(
            0 < self.min_audio_seconds < self.max_audio_seconds,
            "min_audio_seconds, max_audio_seconds",
            (self.min_audio_seconds, self.max_audio_seconds),
            "positive, the first below the second",
        )
        _require(self.silence_dbfs < 0, "silence_dbfs", self.silence_dbfs, "below 0 (full scale)")
        if self.content_token_id is not None:
            _require(
                self.content_token_id != self.descriptor_token_id,
                "content_token_id, descriptor_token_id",
                self.content_token_id,
                "two different ids",
            )
        check_sources(self.backbone_sources or {})
        are_names = all(isinstance(name, str) and name for name in self.trained_on or ())
        _require(are_names, "trained_on", self.trained_on, "names of corpora")
        if self.thin:
            _require(
                bool(self.audio_model_id and self.text_model_id),
                "audio_model_id, text_model_id",
                (self.audio_model_id, self.text_model_id),
                "the backbones' ids where thin is true",
            )

    def _check_voice_streams(self):
        """What stands beside the descriptor stream needs one."""
        for name, options in self.aux_streams.items():
            _require(AUX_NAME.fullmatch(name) is not None, "aux_streams", name, "an identifier in lower case")
            _require(name not in RESERVED, "aux_streams", name, f"none of {RESERVED}")
            _require(not name.endswith("_mask"), "aux_streams", name, "no name that ends as those of masks do")
            for key in ("size", "frame_stack", "latent_size", "hidden_size"):
                _require(options[key] >= 1, f"aux_streams[{name!r}][{key!r}]", options[key], "at least 1")
            _check_bottleneck(f"aux_streams[{name!r}]", options)
        _require(self.emotion_weight >= 0, "emotion_weight", self.emotion_weight, "0 or more")
        _require(0 <= self.summary_dropout < 1, "summary_dropout", self.summary_dropout, "in [0, 1)")
        if self.emotion_weight > 0:
            _require(self.summary_tokens, "emotion_weight", self.emotion_weight, "0 where summary_tokens is false")
        self._check_dimensions()
        if self.emotion_votes:
            _require(self.emotion_weight > 0, "emotion_votes", True, "false where emotion_weight is 0: nothing votes")
        if self.vote_weights is not None:
            voters = [LANGUAGE_MODEL, "descriptors", *self.aux_streams]
            weights = self.vote_weights.values()
            is_right = sorted(self.vote_weights) == sorted(voters) and all(
                isinstance(weight, (int, float)) and not isinstance(weight, bool) and weight >= 0 for weight in weights
            )
            needs = f"a number of 0 or more for each of {voters}, not all of them 0"
            _require(is_right and any(weights), "vote_weights", self.vote_weights, needs)
            needs = "left out where emotion_votes or speaker_reference is false: it weighs votes of known speakers"
            _require(self.emotion_votes and self.speaker_reference, "vote_weights", self.vote_weights, needs)
        needs = "false where speaker_reference is false: it is told beside what is usual for the speaker"
        _require(self.speaker_reference or not self.recording_states, "recording_states", True, needs)
        if not self.disentangled:
            for name in ("aux_streams", "speaker_reference"):
                value = getattr(self, name)
                _require(not value, name, value, "left out where disentangled is false: it needs a descriptor stream")

    def _check_dimensions(self):
        """Dimensions and their weight come together, on summaries."""
        names, weight = self.dimensions, self.dimension_weight
        are_names = all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)
        _require(are_names, "dimensions", names, "different names, such as valence and arousal")
        _require(weight >= 0, "dimension_weight", weight, "0 or more")
        _require(bool(names) or weight == 0, "dimension_weight", weight, "0 where dimensions are not given")
        _require(not names or weight > 0, "dimension_weight", weight, "above 0 where dimensions are given")
        _require(self.summary_tokens or not names, "dimension_weight", weight, "0 where summary_tokens is false")

    def to_json_string(self, use_diff: bool = True) -> str:
        """As its parent's, but unsorted: the order of the descriptors is that of the answer."""
        fields = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(self._encode_special_floats(fields), indent=2) + "\n"

    @property
    def tower(self) -> AudioTower:
        """The kind of the audio tower: how it is loaded, where its frames are, how it reads a waveform."""
        return audio_tower(self.audio_config, self.padded)

    @property
    def num_states(self) -> int:
        """Hidden states of the tower, what enters its first layer among them."""
        return self.audio_config.num_hidden_layers + 1

    @property
    def used_layers(self) -> list[int]:
        """Which of them the streams mix."""
        return list(range(self.num_states)) if self.mixed_layers is None else self.mixed_layers

    @property
    def num_ctc_units(self) -> int:
        """Classes of CTC, without the blank."""
        return 256 if self.ctc_unit == "byte" else self.text_config.vocab_size

    @property
    def voice_streams(self) -> dict[str, dict]:
        """Name → bottleneck of each stream that a description takes the voice from; the one of the tower is first."""
        if not self.disentangled:
            return {"content": self.content_bottleneck}
        return {"descriptors": self.descriptor_bottleneck, **self.aux_streams}

    @property
    def schema(self) -> LabelSchema:
        """The labels as a value."""
        labels = self.emotions, self.descriptors, self.emphasis
        return LabelSchema(*labels, self.transcript, self.slot_order, self.age_cuts)


FIELDS = tuple(XSERConfig.__annotations__)


def of_before(saved: dict) -> dict:
    """A saved config, or a processor's, with what one stands for that was saved before answers held a transcript.

    Raises:
        ValueError: its answers cannot be given any more.
    """
    if "transcript_in_prompt" not in saved:
        return saved
    if gone := [name for name in ("transcript_in_prompt", "emphasis") if saved[name]]:
        raise ValueError(
            f"this model was saved by an older version, and its {' and '.join(gone)} cannot be answered any more: "
            "emphasis is chosen among the words of a transcript in the same answer. Train the model again"
        )
    saved = {name: value for name, value in saved.items() if name != "transcript_in_prompt"} | {"transcript": False}
    if "content_bottleneck" not in saved:
        return saved
    aux = {name: {**LAYERS_OF_BEFORE, **options} for name, options in saved["aux_streams"].items()}
    both = ("content_bottleneck", "descriptor_bottleneck")
    layers = {name: {**LAYERS_OF_BEFORE, **saved[name]} for name in both}
    return {**saved, **layers, "aux_streams": aux, "adapter_activation": "gelu"}


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"XSERConfig.{name} is {value!r}; it must be {allowed}")


def _are_layers(layers: list, count: int) -> bool:
    are_whole = all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers)
    return bool(layers) and are_whole and layers == sorted(set(layers)) and layers[0] >= 0 and layers[-1] < count


def _check_bottleneck(name: str, options: dict) -> None:
    _require(options["encoder_layers"] >= 1, f"{name}['encoder_layers']", options["encoder_layers"], "at least 1")
    _require(options["sigma"] in SIGMAS, f"{name}['sigma']", options["sigma"], f"one of {SIGMAS}")
    _require(options["beta"] >= 0, f"{name}['beta']", options["beta"], "0 or more")
    _require(options["context_layers"] >= 0, f"{name}['context_layers']", options["context_layers"], "0 or more")
    _require(0 <= options["dropout"] < 1, f"{name}['dropout']", options["dropout"], "in [0, 1)")
    is_odd = options["smoothing"] >= 1 and options["smoothing"] % 2 == 1
    _require(is_odd, f"{name}['smoothing']", options["smoothing"], "an odd number of frames, 1 for none")


def _with_defaults(name: str, given: dict | None, defaults: dict) -> dict:
    """`given` over `defaults`, each of the defaults' type; unknown keys and other types are refused."""
    given = given or {}
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        meant = ", ".join(repr(nearest(key, defaults)) for key in unknown)
        raise UnknownOptionError(
            f"XSERConfig.{name} has unknown keys {unknown}: the nearest is {meant}; it may hold {sorted(defaults)}"
        )
    merged = {**defaults, **given}
    for key, default in defaults.items():
        wanted = (int, float) if isinstance(default, float) else (type(default),)
        is_flag = isinstance(merged[key], bool)
        if key == "target_modules" and not isinstance(merged[key], str):
            merged[key] = list(merged[key])
        elif not isinstance(merged[key], wanted) or is_flag is not isinstance(default, bool):
            raise ValueError(f"XSERConfig.{name}[{key!r}] is {merged[key]!r}; it must be of type {wanted[0].__name__}")
    return merged


__all__ = ["XSERConfig"]
