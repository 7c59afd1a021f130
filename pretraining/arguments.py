"""What pretraining a tower can be told: three dataclasses, read from a YAML file that the command line overrides."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from transformers import HubertConfig, TrainingArguments

from xser.pretraining.augment import AUGMENTATIONS
from xser.pretraining.items import (
    CLUSTERS,
    MFCC,
    NEW,
    OBJECTIVES,
    PREVIOUS,
    TEACHER,
    Iteration,
    Source,
    check_layers,
    check_number,
    from_mapping,
    iteration_item,
    source_item,
)
from xser.pretraining.screening import Rules
from xser.training.options import TRAINER_NUMBERS, check_numbers, help_text, parse_dicts, parse_options

HEADS = ("cosine", "linear")
FILTERS = ("random", "spectral")
MIN_SPECTRAL_KERNEL = 400  # samples, 25 ms: below, a window holds no period of a voice
OURS = ("apply_spec_augment", "mask_time_prob", "mask_time_length")  # of HubertConfig, set from mask_prob, mask_length


@dataclass
class TowerArguments:
    """The tower and its objective."""

    tower: dict | str | None = field(
        default=None, metadata=help_text("options of HubertConfig for new weights; HuBERT-base by default")
    )
    filters: str = field(
        default="random",
        metadata=help_text("how a new first convolution starts: 'random', or 'spectral': windowed cosines and sines"),
    )
    do_normalize: bool = field(default=True, metadata=help_text("recordings to zero mean and unit variance"))
    mask_prob: float = field(
        default=0.5, metadata=help_text("share of the frames that is masked, overlaps counted twice")
    )
    mask_length: int = field(default=6, metadata=help_text("frames masked in a row"))
    head: str = field(
        default="cosine", metadata=help_text("of the prediction: 'cosine', as in the paper, or 'linear'")
    )
    iterations: list[str] | None = field(
        default=None,
        metadata=help_text(
            "one {targets: {from, layer}, objective, clusters, start, max_steps, max_minutes, learning_rate} each; "
            "one with the teacher's targets by default, or with those of mfcc without a teacher"
        ),
    )
    teacher: str | None = field(
        default=None, metadata=help_text("folder or Hub id of a pretrained audio tower to learn from")
    )
    teacher_layers: list[int] | None = field(
        default=None, metadata=help_text("its layers to learn from, 0 being what enters the first; each has a head")
    )
    objective: str = field(
        default=CLUSTERS,
        metadata=help_text(
            "'clusters': masked prediction, as HuBERT; 'regression' on states, as DistilHuBERT; 'masked_regression'"
        ),
    )
    init_from: str | None = field(
        default=None, metadata=help_text("folder of a HubertModel whose weights the first iteration starts from")
    )
    cache_states: bool = field(
        default=True, metadata=help_text("keep the teacher's states on disk; else they are computed when needed")
    )
    fit_frames: int = field(default=200_000, metadata=help_text("frames that k-means and scales are fitted on"))
    augment: dict | str | None = field(
        default=None, metadata=help_text(f"probability of each of {', '.join(AUGMENTATIONS)}; none by default")
    )

    def __post_init__(self):
        parse_dicts(self, "tower", "augment")
        self.tower, self.augment = self.tower or {}, self.augment or {}
        default = {} if self.teacher is None else {"targets": TEACHER}
        self.iterations = [iteration_item(item) for item in self.iterations or [default]]
        known = HubertConfig().to_dict()
        for key in self.tower:
            if key in OURS:
                raise ValueError(f"tower gives {key}: it follows from mask_prob and mask_length, give those")
            if key not in known:
                nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0)
                raise ValueError(f"tower: unknown key {key!r}; the nearest of HubertConfig is {nearest[0]!r}")
        for key, value in self.augment.items():
            if key not in AUGMENTATIONS:
                raise ValueError(f"augment: unknown key {key!r}; there are {list(AUGMENTATIONS)}")
            if not 0 <= check_number(value, f"augment[{key!r}]") <= 1:
                raise ValueError(f"augment[{key!r}] is {value}; a probability is from 0 to 1")
        for name, options in (("head", HEADS), ("filters", FILTERS), ("objective", OBJECTIVES)):
            if getattr(self, name) not in options:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {list(options)}")
        if not 0 < self.mask_prob <= 1 or self.mask_length < 1:
            raise ValueError(f"mask_prob {self.mask_prob}, mask_length {self.mask_length}: give 0 to 1, and 1 or more")
        self._check_teacher()
        self._check_iterations()
        if self.filters == "spectral":
            self._check_spectral()

    def _check_teacher(self) -> None:
        has_its_targets = any(item.get("targets") == TEACHER for item in self.iterations)
        if self.teacher is None:
            if self.teacher_layers is not None:
                raise ValueError(
                    f"teacher_layers is {self.teacher_layers}, but teacher is missing: give its folder or id"
                )
            if has_its_targets:
                raise ValueError("iterations: targets are from the teacher, and none is given: give its folder or id")
            return
        if not self.teacher or self.teacher in (MFCC, PREVIOUS, NEW, TEACHER):
            raise ValueError(f"teacher is {self.teacher!r}; give the folder or id of a pretrained audio tower")
        if self.teacher_layers is None:
            raise ValueError(f"teacher is {self.teacher}, but teacher_layers is missing: give its layers, such as 2 3")
        check_layers(self.teacher_layers, "teacher_layers")
        if not has_its_targets:
            raise ValueError(
                f"teacher is {self.teacher}, but no iteration learns from it: give one {{targets: {{from: teacher}}}}"
            )

    def _check_iterations(self) -> None:
        first = from_mapping(Iteration, self.iterations[0], "iterations").start
        if self.init_from is not None and first != NEW:
            raise ValueError(f"init_from is {self.init_from}, but the first iteration starts from {first}: give one")
        for number, iteration in enumerate(self.steps, start=1):
            if iteration.targets == MFCC and iteration.objective != CLUSTERS:
                raise ValueError(
                    f"objective is {iteration.objective!r}, but iteration {number} has targets from mfcc: regression "
                    "is on the states of a tower, give teacher and teacher_layers"
                )
            if iteration.clusters > self.fit_frames:
                raise ValueError(f"fit_frames is {self.fit_frames}, fewer than the {iteration.clusters} clusters")
            if number == 1 and PREVIOUS in (iteration.targets, iteration.start):
                raise ValueError("iterations: the first one names 'previous', and nothing is before it: give a folder")

    def _check_spectral(self) -> None:
        config = self.new_config
        channels, kernel = config.conv_dim[0], config.conv_kernel[0]
        if channels % 2 or kernel < MIN_SPECTRAL_KERNEL:
            raise ValueError(
                f"filters is 'spectral', but the first convolution has {channels} channels of {kernel} samples: it "
                f"wants an even number of channels, and at least {MIN_SPECTRAL_KERNEL} samples"
            )

    @property
    def steps(self) -> list[Iteration]:
        """The iterations, in order, with what the run says of all of them."""
        steps = [self._step(from_mapping(Iteration, item, "iterations")) for item in self.iterations]
        if self.init_from is not None:
            steps[0] = replace(steps[0], start=self.init_from)
        return steps

    def _step(self, iteration: Iteration) -> Iteration:
        iteration = replace(iteration, objective=iteration.objective or self.objective)
        if iteration.targets != TEACHER:
            return iteration
        layers, is_cached = tuple(self.teacher_layers), self.cache_states
        return replace(iteration, targets=self.teacher, layer=layers, cache_states=is_cached)

    @property
    def new_config(self) -> HubertConfig:
        """Config of a tower of new weights."""
        masks = {"apply_spec_augment": True, "mask_time_prob": self.mask_prob, "mask_time_length": self.mask_length}
        return HubertConfig(**{**self.tower, **masks})


@dataclass
class TowerDataArguments:
    """What is heard."""

    data: list[str] | None = field(
        default=None,
        metadata=help_text(
            "items, each a corpus, a folder of audio files, or {corpus or folder, split, weight, limit, speeds, "
            "leave_out_speakers, options}"
        ),
    )
    held_out: float = field(default=0.02, metadata=help_text("share of each source's recordings to evaluate on"))
    min_seconds: float = field(default=0.5, metadata=help_text("shorter recordings are left out"))
    max_seconds: float = field(default=15.0, metadata=help_text("longer recordings are cut into equal pieces"))
    max_clipped: float = field(
        default=0.005, metadata=help_text("pieces with more of their samples clipped are left out")
    )
    keep_telephone: bool = field(default=False, metadata=help_text("keep recordings of 8 kHz telephone band"))
    cache_dir: str | None = field(
        default=None, metadata=help_text("of pieces and targets; $XSER_CACHE or ~/.cache/xser")
    )

    def __post_init__(self):
        if not self.data:
            raise ValueError("data is missing: give the name of a corpus, or a folder of audio files")
        self.data = [source_item(item) for item in self.data]
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"data names {sorted({name for name in names if names.count(name) > 1})} more than once")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}; it must be from 0 to below 1")
        if not self.min_seconds > 0 or self.max_seconds < 2 * self.min_seconds:
            raise ValueError(
                f"max_seconds is {self.max_seconds} and min_seconds is {self.min_seconds}: give above 0, and at least "
                "twice as much for max_seconds"
            )

    @property
    def sources(self) -> list[Source]:
        """The items of `data`."""
        return [from_mapping(Source, item, "data") for item in self.data]

    @property
    def rules(self) -> Rules:
        """Which recordings are left out."""
        return Rules(self.min_seconds, self.max_seconds, self.max_clipped, self.keep_telephone)


@dataclass
class TowerTrainingArguments(TrainingArguments):
    """`TrainingArguments`, with the defaults of pretraining."""

    max_minutes: float | None = field(
        default=None, metadata=help_text("end the whole call after so many minutes; the tower is still written")
    )
    bucket_batches: int = field(default=32, metadata=help_text("batches that are sorted by duration together"))
    bf16: bool | None = field(
        default=None, metadata=help_text("bfloat16 autocast; by default where the hardware is faster in it")
    )

    output_dir: str | None = field(default=None, metadata=help_text("the run folder"))
    max_steps: int = field(default=10_000, metadata=help_text("optimizer steps of an iteration"))
    learning_rate: float = field(default=1e-3, metadata=help_text("of AdamW, at its highest"))
    lr_scheduler_type: str = field(default="cosine", metadata=help_text("schedule of the learning rate"))
    warmup_steps: float = field(default=100, metadata=help_text("steps in which it rises"))
    weight_decay: float = field(default=0.01, metadata=help_text("of AdamW"))
    adam_beta2: float = field(default=0.98, metadata=help_text("as in the paper"))
    per_device_train_batch_size: int = field(default=32, metadata=help_text("pieces a device and micro-batch"))
    per_device_eval_batch_size: int = field(default=32, metadata=help_text("pieces a device in evaluation"))
    logging_steps: float = field(default=25, metadata=help_text("steps between logs"))
    logging_nan_inf_filter: bool = field(default=False, metadata=help_text("hide losses that are not finite"))
    save_total_limit: int | None = field(default=2, metadata=help_text("checkpoints to keep"))
    report_to: str = field(default="tensorboard", metadata=help_text("where curves go"))
    remove_unused_columns: bool = field(default=False, metadata=help_text("must be false: rows are pieces"))

    def __post_init__(self):
        if self.output_dir is None:
            raise ValueError("output_dir is missing: give the run folder")
        check_numbers(self, {**TRAINER_NUMBERS, "-1 for none, or at least 1": ()})
        check_numbers(self, {"at least 1": ("max_steps",)})
        if self.remove_unused_columns:
            raise ValueError("remove_unused_columns is True; it must be False here")
        if self.bf16 is None:
            self.bf16 = not self.fp16 and bf16_is_faster(self.use_cpu)
        super().__post_init__()


def bf16_is_faster(use_cpu: bool) -> bool:
    """Whether matrices multiply faster in bfloat16: a GPU that has it, or a CPU with AMX."""
    if torch.cuda.is_available() and not use_cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


TOWER_ARGUMENT_CLASSES = (TowerArguments, TowerDataArguments, TowerTrainingArguments)


def parse_tower_config(argv: Sequence[str]) -> tuple[TowerArguments, TowerDataArguments, TowerTrainingArguments]:
    """Read `CONFIG.yaml [--key value …]` as `xser.training.options.parse_options` does."""
    return parse_options(argv, TOWER_ARGUMENT_CLASSES, "pretrain_tower.py")
