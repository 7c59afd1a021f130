"""What a run can be told: three dataclasses, read from a YAML file that the command line overrides."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from transformers import Seq2SeqTrainingArguments

from xser.corpora.labels import emotion_label
from xser.training.balance import BALANCES
from xser.training.options import TRAINER_NUMBERS, check_numbers, help_text, nearest, parse_dicts, parse_options
from xser.training.rates import has_own_rates, rate_of
from xser.training.stages import TASKS, TWO_STAGE, Stage, read_stages

DTYPES = ("float32", "bfloat16", "float16")
RETUNABLE = ("freeze_audio_tower",)  # may differ from the checkpoint's config
RELABELLED = (
    "emotions",
    "descriptors",
    "transcript",
    "emphasis",
    "slot_order",
    "age_cuts",
)  # so may the labels: see training/relabel.py
BOTTLENECKS = ("content_bottleneck", "descriptor_bottleneck")  # so may their beta, which is a weight of the loss
LOAD_OPTIONS = (  # of from_pretrained
    *("dtype", "torch_dtype", "device_map", "max_memory", "quantization_config", "attn_implementation", "token"),
    *("revision", "cache_dir", "local_files_only", "force_download", "trust_remote_code", "offload_folder"),
)
MODEL_SOURCES = ("system", "model", "audio_model", "text_model", "load_options", "audio_layers")
XSER, CLASSIFIER = "xser", "classifier"
SYSTEMS = (XSER, CLASSIFIER)
OF_CLASSIFIERS = (  # all of the config it may have
    *("emotions", "ctc_weight", "padded", "mixed_layers", "freeze_audio_tower", "max_audio_seconds"),
)


@dataclass
class ModelArguments:
    """Where the model comes from. Options left out are those of `XSERConfig`.

    With `model` they are fixed by its config; only `emotions`, `descriptors`, `emphasis`, `freeze_audio_tower` and a
    bottleneck's `beta` may be given then.
    """

    system: str = field(
        default=XSER,
        metadata=help_text("'xser', or 'classifier': a tower with a linear classifier and CTC, without text_model"),
    )
    model: str | None = field(default=None, metadata=help_text("an XSER checkpoint to go on from"))
    audio_model: str | None = field(
        default=None,
        metadata=help_text(
            "HuBERT, wav2vec2, WavLM, data2vec-audio or Whisper to build a new model on: folder or Hub id"
        ),
    )
    text_model: str | None = field(default=None, metadata=help_text("causal language model to build a new model on"))
    load_options: dict | str | None = field(
        default=None, metadata=help_text("for from_pretrained, such as {dtype: bfloat16}; what is trained is float32")
    )
    audio_layers: int | None = field(
        default=None, metadata=help_text("take so many layers of audio_model only, from the first on")
    )
    padded: bool | None = field(
        default=None,
        metadata=help_text("a Whisper tower reads every recording with silence up to 30 s, as stock Whisper"),
    )
    mixed_layers: list[int] | None = field(
        default=None, metadata=help_text("hidden states of the tower that the streams mix; 0 enters the first layer")
    )
    emotions: list[str] | None = field(default=None, metadata=help_text("labels, as adjectives"))
    descriptors: dict | str | None = field(default=None, metadata=help_text("slot → its levels; {} for none"))
    transcript: bool | None = field(default=None, metadata=help_text("whether the answer holds the transcript"))
    emphasis: bool | None = field(default=None, metadata=help_text("whether emphasised words are named"))
    slot_order: list[str] | None = field(
        default=None, metadata=help_text("all slots in the order of the answer; the paper's by default")
    )
    age_cuts: list[float] | None = field(
        default=None, metadata=help_text("years at which the second, third … level of a descriptor age begins")
    )
    answer: str | None = field(default=None, metadata=help_text("'tags', or 'caption', an English sentence"))
    system_prompt: str | None = field(default=None, metadata=help_text("of every prompt"))
    asr_descriptors: str | None = field(
        default=None, metadata=help_text("descriptor tokens in prompts of asr: 'absent', or 'zero', the paper's")
    )
    content_bottleneck: dict | str | None = field(
        default=None,
        metadata=help_text("{latent_size, hidden_size, encoder_layers, sigma, beta, …}; beta weighs nats a frame"),
    )
    descriptor_bottleneck: dict | str | None = field(default=None, metadata=help_text("as content_bottleneck"))
    frame_stack: int | None = field(default=None, metadata=help_text("frames a token of the language model"))
    adapter_activation: str | None = field(default=None, metadata=help_text("'relu', the paper's, or 'gelu'"))
    lora: dict | str | None = field(
        default=None, metadata=help_text("{rank, alpha, dropout, target_modules}; false for none")
    )
    ctc_weight: float | None = field(default=None, metadata=help_text("weight of CTC on the content stream"))
    ctc_unit: str | None = field(default=None, metadata=help_text("what CTC spells in: byte or token"))
    ctc_share: float | None = field(
        default=None,
        metadata=help_text("weight of CTC in the choice of a transcript among its candidates; 0 for none"),
    )
    level_weight: float | None = field(
        default=None, metadata=help_text("weight of classifying levels on each stream of the voice alone")
    )
    level_streams: list[str] | None = field(
        default=None, metadata=help_text("streams of the voice that levels are classified on; all by default")
    )
    level_ensemble: bool | None = field(
        default=None, metadata=help_text("pool the levels of these heads with the language model's in answers")
    )
    aux_streams: dict | str | None = field(
        default=None, metadata=help_text("name → {size, frame_stack, latent_size, …}; prosody (size 5) is measured")
    )
    summary_tokens: bool | None = field(
        default=None, metadata=help_text("a token of the whole utterance for each stream of the voice")
    )
    emotion_weight: float | None = field(
        default=None, metadata=help_text("weight of classifying the emotion on each of these summaries")
    )
    emotion_votes: bool | None = field(
        default=None, metadata=help_text("these classifications have a say in the answer's emotion")
    )
    vote_weights: dict | str | None = field(
        default=None,
        metadata=help_text("{language_model, descriptors, …: exponents of their opinions with a reference}"),
    )
    summary_dropout: float | None = field(default=None, metadata=help_text("of the heads on summaries"))
    dimensions: list[str] | None = field(
        default=None, metadata=help_text("numbers to predict: columns such as valence, arousal, dominance")
    )
    dimension_weight: float | None = field(default=None, metadata=help_text("weight of their squared error"))
    speaker_reference: bool | None = field(
        default=None, metadata=help_text("hear voices relative to a few recordings of the same speaker, where known")
    )
    speaker_std: bool | None = field(
        default=None, metadata=help_text("in standard deviations of that speaker, or of all speakers trained on")
    )
    recording_states: bool | None = field(
        default=None, metadata=help_text("tell the descriptor stream of whole recordings, where the speaker is known")
    )
    disentangled: bool | None = field(default=None, metadata=help_text("two streams, or one for both tasks"))
    freeze_audio_tower: bool | None = field(default=None, metadata=help_text("false only to pretrain backbones"))
    freeze_language_model: bool | None = field(default=None, metadata=help_text("false only to pretrain backbones"))
    max_audio_seconds: float | None = field(default=None, metadata=help_text("longer recordings are refused"))

    def __post_init__(self):
        parse_dicts(self, "load_options", "descriptors", *BOTTLENECKS, "lora", "aux_streams", "vote_weights")
        self.emotions = None if self.emotions is None else [emotion_label(label) for label in self.emotions]
        for slot, levels in (self.descriptors or {}).items():
            if not isinstance(levels, (list, tuple)):
                raise ValueError(
                    f"descriptors[{slot!r}] is {levels!r}; give the list of its levels, such as [low, high]"
                )
        self._check_load_options()
        if self.system not in SYSTEMS:
            raise ValueError(f"system is {self.system!r}; it must be one of {list(SYSTEMS)}")
        if self.system == CLASSIFIER:
            self._check_classifier()
            return
        backbones = {"audio_model": self.audio_model, "text_model": self.text_model}
        if self.model is not None:
            options = {**backbones, "audio_layers": self.audio_layers, **self.config_options}
            given = [name for name, value in options.items() if value is not None]
            given = [name for name in given if name not in (*RETUNABLE, *RELABELLED, *self.betas)]
            if given:
                raise ValueError(
                    f"model is {self.model!r}, whose config is fixed, but {', '.join(given)} was given too: leave out "
                    "model to build a new one, or leave out the others"
                )
        elif missing := [name for name, value in backbones.items() if value is None]:
            raise ValueError(f"{' and '.join(missing)} missing: give audio_model and text_model, or model alone")
        if self.disentangled is False and self.descriptor_bottleneck is not None:
            raise ValueError("descriptor_bottleneck is given, but disentangled is false: there is no such stream")

    def _check_classifier(self) -> None:
        """A classifier is a tower and two heads: what else a model has is refused."""
        if self.audio_model is None:
            raise ValueError("audio_model is missing: a classifier is built on a tower")
        others = {"model": self.model, "text_model": self.text_model, **self.config_options}
        given = [name for name, value in others.items() if value is not None and name not in OF_CLASSIFIERS]
        if given:
            raise ValueError(f"system is {CLASSIFIER!r}, which has no {', '.join(given)}: leave them out, or set null")

    def _check_load_options(self) -> None:
        for key, value in (self.load_options or {}).items():
            if key not in LOAD_OPTIONS:
                close = nearest(key, LOAD_OPTIONS)
                raise ValueError(f"load_options: unknown key {key!r}; the nearest is {close!r}")
            if key in ("dtype", "torch_dtype") and value not in ("auto", *DTYPES):
                raise ValueError(f"load_options[{key!r}] is {value!r}; it must be one of {['auto', *DTYPES]}")

    @property
    def betas(self) -> dict[str, dict]:
        """Bottlenecks of which nothing but `beta` was given."""
        given = {name: getattr(self, name) for name in BOTTLENECKS}
        return {
            name: options for name, options in given.items() if isinstance(options, dict) and set(options) == {"beta"}
        }

    @property
    def labels(self) -> dict:
        """The labels that were given."""
        return {name: value for name, value in self.config_options.items() if name in RELABELLED}

    @property
    def config_options(self) -> dict:
        """Options for `XSERConfig` that were given."""
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in MODEL_SOURCES}
        options = {name: value for name, value in options.items() if value is not None}
        return {name: None if value is False and name == "lora" else value for name, value in options.items()}


@dataclass
class DataArguments:
    """What is trained and evaluated on. Any corpus of `xser.corpora`, or a folder with `metadata.csv`."""

    data: str | None = field(default=None, metadata=help_text("name of a corpus, or a folder"))
    corpus_options: dict | str | None = field(default=None, metadata=help_text("options of load_corpus for data"))
    train_split: str | None = field(
        default=None, metadata=help_text("split to train on; by default 'train', or all of a corpus without splits")
    )
    eval_split: str | None = field(default=None, metadata=help_text("split to evaluate on; none by default"))
    test_speakers: list[str] | None = field(
        default=None, metadata=help_text("hold these speakers out to evaluate on, instead of splits")
    )
    asr_data: str | None = field(default=None, metadata=help_text("another corpus to train asr on, instead of data"))
    asr_corpus_options: dict | str | None = field(
        default=None, metadata=help_text("options of load_corpus for asr_data")
    )
    asr_split: str = field(default="train", metadata=help_text("split of asr_data"))
    train_limit: int | None = field(default=None, metadata=help_text("train on so many utterances, seeded choice"))
    eval_limit: int | None = field(default=None, metadata=help_text("evaluate each task on so many, seeded choice"))
    leave_out_unknown_labels: bool = field(
        default=False, metadata=help_text("leave out, and count, rows with labels that the model does not have")
    )
    leave_out_bad_rows: bool = field(
        default=False,
        metadata=help_text("leave out, and count, rows that no input can be made of: a special token in a text, …"),
    )

    def __post_init__(self):
        parse_dicts(self, "corpus_options", "asr_corpus_options")
        if self.data is None:
            raise ValueError("data is missing: give the name of a corpus, or a folder with metadata.csv")
        for split in ("train_split", "eval_split"):
            if self.test_speakers and getattr(self, split) is not None:
                raise ValueError(f"test_speakers and {split} are both given: hold out by speaker, or by split")
        if self.asr_corpus_options and self.asr_data is None:
            raise ValueError("asr_corpus_options is given without asr_data")
        check_numbers(self, {"at least 1": ("train_limit", "eval_limit")})


NUM_TRAIN_EPOCHS = 3.0  # of TrainingArguments, where it is not given
PROBABILITIES = ("slot_dropout", "slots_kept", "transcript_dropout", "reference_probability", "swap_probability")


@dataclass
class XSERTrainingArguments(Seq2SeqTrainingArguments):
    """`Seq2SeqTrainingArguments`, and the stages that share the steps."""

    schedule: str = field(
        default="alternating",
        metadata=help_text(
            "'alternating': stages take turns; 'two_stage': one after the other; 'one_stage': descriptions alone; "
            "'joint': all at every step, losses summed"
        ),
    )
    stages: dict | str | None = field(
        default=None,
        metadata=help_text(
            "name → {task, trains, learning_rate, lr_scheduler_type, lr_scheduler_kwargs, warmup_ratio or "
            "warmup_steps, epochs or steps, turn_epochs or turn_steps, optional}; {asr: {}, describe: {}} by default"
        ),
    )
    class_balance: str = field(
        default="none",
        metadata=help_text(
            "'weights': a rare emotion's losses weigh more; 'sampling': it is drawn as often as others"
        ),
    )
    slot_dropout: float = field(
        default=0.0, metadata=help_text("probability that a description is asked for some of its slots only")
    )
    slots_kept: float = field(
        default=1 / 3,
        metadata=help_text("probability there of each slot beside emotion and transcript"),
    )
    transcript_dropout: float = field(
        default=0.1, metadata=help_text("probability that a description is asked for without the transcript")
    )
    reference_probability: float = field(
        default=0.5, metadata=help_text("of hearing a voice relative to its speaker, where speaker_reference is on")
    )
    reference_levels: bool = field(
        default=False,
        metadata=help_text("measure levels anew, relative to the recordings of the reference that the model is given"),
    )
    swap_probability: float = field(
        default=0.0,
        metadata=help_text("of hearing a recording as if another speaker had spoken it, without a reference"),
    )
    speeds: list[float] = field(
        default_factory=lambda: [1.0],
        metadata=help_text("at which recordings are played, each as often: other voices of the same emotion"),
    )
    heads_first: int = field(
        default=0,
        metadata=help_text(
            "so many steps first in which the heads alone train the streams, cheaply: CTC the content, if it has one"
        ),
    )
    soft_labels: bool = field(
        default=False,
        metadata=help_text("train the heads of the emotion on the distribution of a row's ratings, where it has any"),
    )
    average_weights: bool = field(
        default=False,
        metadata=help_text(
            "evaluate and save at the end the average of each weight over about the last tenth of its updates"
        ),
    )
    keep_states: bool = field(
        default=False,
        metadata=help_text("let a frozen tower hear every recording once, and keep its states in memory and on disk"),
    )
    fold_lora: bool = field(
        default=False,
        metadata=help_text("add LoRA to the weights before a step, not to the outputs: faster on a CPU, in float32"),
    )
    bucket_batches: int = field(default=32, metadata=help_text("batches that are sorted by duration together"))
    max_minutes: float | None = field(
        default=None, metadata=help_text("stop training after so many minutes; model and evaluation are still written")
    )
    thin_checkpoints: bool = field(
        default=False, metadata=help_text("save what was trained only; backbones are read from where they came from")
    )
    final_dtype: str | None = field(
        default=None, metadata=help_text("save, and evaluate, the final model in this dtype, such as bfloat16")
    )
    export_backbones: bool = field(
        default=False, metadata=help_text("write audio tower and language model as ordinary model folders at the end")
    )
    eval_max_new_tokens: int = field(default=128, metadata=help_text("longest generated answer, in tokens"))
    final_evaluation: bool = field(default=True, metadata=help_text("evaluate the final model"))

    output_dir: str | None = field(default=None, metadata=help_text("the run folder"))
    learning_rate: float = field(default=5e-4, metadata=help_text("of AdamW, at its highest"))
    lr_scheduler_type: str = field(default="cosine", metadata=help_text("schedule of the learning rate"))
    weight_decay: float = field(default=0.01, metadata=help_text("of AdamW"))
    per_device_train_batch_size: int = field(default=16, metadata=help_text("utterances a device and micro-batch"))
    per_device_eval_batch_size: int = field(default=32, metadata=help_text("utterances a device in evaluation"))
    logging_steps: float = field(default=25, metadata=help_text("steps between logs"))
    logging_nan_inf_filter: bool = field(default=False, metadata=help_text("hide losses that are not finite"))
    save_total_limit: int | None = field(default=2, metadata=help_text("checkpoints to keep"))
    report_to: str = field(default="tensorboard", metadata=help_text("where curves go"))
    remove_unused_columns: bool = field(
        default=False, metadata=help_text("must be false: the collator reads all columns")
    )
    predict_with_generate: bool = field(default=True, metadata=help_text("must be true: metrics are of answers"))

    def __post_init__(self):
        parse_dicts(self, "stages", "lr_scheduler_kwargs")
        if self.output_dir is None:
            raise ValueError("output_dir is missing: give the run folder")
        check_numbers(self, TRAINER_NUMBERS)
        if self.ddp_find_unused_parameters is None:  # a step of one task leaves the other's block without gradient
            self.ddp_find_unused_parameters = True
        super().__post_init__()
        self._check_stages()
        self._check()

    def _check_stages(self):
        stages = self.stage_list  # checks each
        with_length = [stage.name for stage in stages if stage.has_length]
        lengths = {"max_steps": self.max_steps > 0, "num_train_epochs": self.num_train_epochs != NUM_TRAIN_EPOCHS}
        for name, is_given in lengths.items():
            if with_length and is_given:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, but stages[{with_length[0]!r}] has a length, and the run is as "
                    "long as its stages: leave one of them out"
                )
        if self.schedule == TWO_STAGE and not with_length and self.max_steps > 0 and len(stages) > 1:
            raise ValueError(
                f"max_steps is {self.max_steps}, but schedule is two_stage, and stages[{stages[0].name!r}] has no "
                "length: give each stage epochs or steps, or num_train_epochs for all in place of max_steps"
            )
        for stage in stages if has_own_rates(stages) else ():
            rate_of(stage, self, num_steps=1000)
        split = "fsdp" if self.fsdp else "deepspeed" if self.deepspeed else None
        for stage in stages:
            if split and stage.trains is not None:
                raise ValueError(
                    f"stages[{stage.name!r}] gives trains, but {split} splits the weights up, and cannot hold some of "
                    "them still: leave one of them"
                )
        if self.class_balance not in BALANCES:
            raise ValueError(f"class_balance is {self.class_balance!r}; it must be one of {list(BALANCES)}")
        if self.class_balance != "none" and "describe" not in self.tasks:
            raise ValueError(f"class_balance is {self.class_balance!r}, but no stage has task describe")

    def _check(self):
        if not self.speeds or not all(0.5 <= speed <= 2 for speed in self.speeds):
            raise ValueError(f"speeds is {self.speeds}; it must hold numbers from 0.5 to 2")
        if self.average_weights and self.load_best_model_at_end:
            raise ValueError("average_weights and load_best_model_at_end are both true: checkpoints hold no averages")
        mixed = [name for name in ("bf16", "fp16", "fsdp", "deepspeed") if getattr(self, name)]
        if self.fold_lora and mixed:
            raise ValueError(f"fold_lora is true, and so is {mixed[0]}: it wants whole weights in float32")
        if self.average_weights and (self.fsdp or self.deepspeed):
            raise ValueError("average_weights is true, but fsdp or deepspeed splits the weights up: leave one of them")
        numbers = {"from 0 to 1": PROBABILITIES, "at least 1": ("eval_max_new_tokens",), "0 or more": ("heads_first",)}
        check_numbers(self, numbers)
        if self.final_dtype not in (None, *DTYPES):
            raise ValueError(f"final_dtype is {self.final_dtype!r}; it must be one of {list(DTYPES)}")
        must_be = {"remove_unused_columns": False, "predict_with_generate": True, "enable_jit_checkpoint": False}
        for name, value in must_be.items():
            if getattr(self, name) is not value:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {value} here")

    @property
    def stage_list(self) -> tuple[Stage, ...]:
        """The stages, in their order."""
        return read_stages(self.schedule, self.stages)

    @property
    def tasks(self) -> list[str]:
        """Tasks that are trained, in the order of `TASKS`."""
        return [task for task in TASKS if task in {stage.task for stage in self.stage_list}]


ARGUMENT_CLASSES = (ModelArguments, DataArguments, XSERTrainingArguments)


def check_arguments(model: ModelArguments, data: DataArguments, training: XSERTrainingArguments) -> None:
    """Refuse what contradicts itself between the three groups.

    Raises:
        ValueError: names the fields and their values.
    """
    if "asr" not in training.tasks:
        names = ", ".join(stage.name for stage in training.stage_list)
        stages = f"schedule is {training.schedule} and its stages are {names}"
        if data.asr_data is not None:
            raise ValueError(f"asr_data is {data.asr_data!r}, but asr is not trained: {stages}")
        if model.ctc_weight:
            raise ValueError(f"ctc_weight is {model.ctc_weight}, but asr, which trains CTC, is not: {stages}")
    if model.system == CLASSIFIER:
        for name in ("export_backbones", "thin_checkpoints", "heads_first", "fold_lora"):
            if value := getattr(training, name):
                raise ValueError(f"{name} is {value}, but system is {CLASSIFIER!r}, which has no such thing")
    if training.export_backbones and False not in (model.freeze_language_model, model.freeze_audio_tower):
        raise ValueError(
            "export_backbones is true, but neither freeze_audio_tower nor freeze_language_model is false: the "
            "backbones would be written as they were read"
        )


def parse_config(argv: Sequence[str]) -> tuple[ModelArguments, DataArguments, XSERTrainingArguments]:
    """Read `CONFIG.yaml [--key value …]` as `parse_options` does, and check that it does not contradict itself.

    Raises:
        ValueError: as `parse_options`, or the options do not go together.
    """
    groups = parse_options(argv, ARGUMENT_CLASSES, "train.py")
    check_arguments(*groups)
    return groups


def resolved_config(*groups: object) -> dict:
    """All values of the dataclasses that are set, in a form that `parse_config` reads back."""
    values = {}
    for group in groups:
        fields = group.to_dict() if hasattr(group, "to_dict") else dataclasses.asdict(group)
        values |= {f.name: fields[f.name] for f in dataclasses.fields(group) if f.init and f.name in fields}
    values = {key: value.value if isinstance(value, Enum) else value for key, value in values.items()}
    if isinstance(values.get("load_options"), dict):
        values["load_options"] = {key: value for key, value in values["load_options"].items() if key != "token"}
    return {key: value for key, value in values.items() if value not in (None, [], "") and not _is_secret(value)}


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and value.startswith("<") and value.endswith(">")  # masked by `to_dict`
