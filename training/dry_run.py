"""What a training would need and do, from its config alone: no weights, no accelerator, no network, nothing written.

    python train.py configs/paper/iemocap.yaml --dry_run
    python train.py configs/paper/iemocap.yaml --dry_run --memory 24GB

It gives the parameters in all and trained in each stage, bytes of weights, gradients, optimizer and activations
(`memory`, `activations`), tokens, and the steps of each stage, which are those that train.py takes. What is not at
hand is replaced by what is published (`known_backbones`, `known_corpora`), and the output says so.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field

import torch
from transformers import PreTrainedModel

from xser.audio_xser import SAMPLE_RATE
from xser.configuration_xser import DEFAULT_LORA, XSERConfig
from xser.modeling_xser import XSERForEmotionDescription
from xser.training.activations import BatchShape, activation_bytes
from xser.training.arguments import (
    CLASSIFIER,
    DataArguments,
    ModelArguments,
    XSERTrainingArguments,
    check_arguments,
    parse_config,
)
from xser.training.classifier import XSERClassifier, byte_tokenizer, classifier_config
from xser.training.data import TaskData, load_task_data
from xser.training.data_sizes import TaskSize, TokenCounter, data_sizes, published_sizes, read_processor
from xser.training.dry_run_text import text_of
from xser.training.groups import check_groups, check_parts, group_of, group_sizes
from xser.training.known_backbones import backbone_config
from xser.training.known_corpora import published_corpus
from xser.training.memory import LoadedAs, optimizer_bytes, parse_bytes, weight_bytes, with_reserve
from xser.training.options import help_text, is_given, split_options
from xser.training.plan import StagePlan, plan_of, settle

ADAMW = ("adamw_torch", "adamw_torch_fused")


@dataclass
class DryRunArguments:
    """Of the command line alone."""

    dry_run: bool = field(
        default=False, metadata=help_text("say what the training would need and do; load, train and write nothing")
    )
    memory: str | None = field(
        default=None, metadata=help_text("of the device, such as 24GB: refuse, with dry_run, what does not fit")
    )

    def __post_init__(self):
        if self.memory is not None:
            if not self.dry_run:
                raise ValueError(f"memory is {self.memory!r}, but dry_run is off: give --dry_run")
            parse_bytes(self.memory)


@dataclass(frozen=True)
class StageMemory:
    """Bytes of one stage, beside the weights and the optimizer's state."""

    gradients: int
    activations: int


@dataclass(frozen=True)
class Report:
    """What a dry run finds.

    Attributes:
        parameters: part of the model → numbers in it.
        stages: as they will run.
        sizes: task → what it trains on.
        weights, averages, optimizer: bytes, in all stages alike.
        memory: name of each stage → its bytes.
        peak: bytes at the most, with the reserve.
        batch_size: utterances of an optimizer step.
        notes: what stands in for something, and what was left out.
    """

    parameters: dict[str, int]
    stages: list[StagePlan]
    sizes: dict[str, TaskSize]
    weights: int
    averages: int
    optimizer: int
    memory: dict[str, StageMemory]
    batch_size: int
    notes: list[str]

    def peak_of(self, stage: str) -> int:
        """Bytes of a stage at the most, with the reserve."""
        own = self.memory[stage]
        return with_reserve(self.weights + self.averages + self.optimizer + own.gradients + own.activations)

    @property
    def peak(self) -> int:
        return max(map(self.peak_of, self.memory))

    def to_dict(self) -> dict:
        return {**asdict(self), "peak": self.peak}


def split_dry_run(argv: Sequence[str]) -> tuple[list[str], DryRunArguments]:
    """The command line of a training, and the options of the dry run that stand in it."""
    return split_options(argv, DryRunArguments)


def dry_run(
    argv: Sequence[str], memory: str | None, checkpoint_config: Callable[[ModelArguments], XSERConfig]
) -> Report:
    """Print what the training of this command line would need and do.

    Args:
        memory: of the device, such as "24GB".
        checkpoint_config: gives the config of a checkpoint to go on from.

    Raises:
        ValueError: the options are not right, a backbone or corpus is unknown and not at hand, or the training does
            not fit into `memory`.
    """
    on_cpu = [*argv, "--use_cpu", "true"]  # a config for an accelerator is refused where there is none
    groups = parse_config(on_cpu)
    check_arguments(*groups)
    report = make_report(*groups, is_on_cpu=is_given(argv, "use_cpu", "true"), checkpoint_config=checkpoint_config)
    print(text_of(report, argv[0]))
    if memory is not None:
        check_memory(report, memory, groups[0], groups[2])
    return report


def make_report(
    model_arguments: ModelArguments,
    data_arguments: DataArguments,
    arguments: XSERTrainingArguments,
    is_on_cpu: bool,
    checkpoint_config: Callable[[ModelArguments], XSERConfig],
) -> Report:
    """Everything that is to be known of a training before it."""
    notes: list[str] = []
    config = model_config(model_arguments, notes, checkpoint_config)
    text_model = None if model_arguments.system == CLASSIFIER else model_arguments.text_model or model_arguments.model
    processor, bytes_a_token = read_processor(config, text_model)
    if bytes_a_token > 1:
        notes.append(f"the tokenizer of {text_model} is not at hand: {bytes_a_token} bytes are taken for a token")
    counter = TokenCounter(processor, bytes_a_token)
    model = meta_model(config, model_arguments)
    check_groups(arguments.stage_list, arguments.schedule, config, group_sizes(model), arguments.heads_first)
    check_parts(arguments, config)
    sizes = task_sizes(data_arguments, arguments, config, counter, notes)
    batch = arguments.per_device_train_batch_size * arguments.world_size * arguments.gradient_accumulation_steps
    draws = {task: size.draws for task, size in sizes.items()}
    stages = plan_of(arguments, config, group_sizes(model), draws, batch)
    trained = {group for stage in stages for group in stage.trains}
    tensors = [p.numel() for name, p in model.named_parameters() if p.requires_grad and group_of(name) in trained]
    if arguments.optim not in ADAMW:
        notes.append(f"optim is {arguments.optim.value}; its state is counted as AdamW's")
    if arguments.world_size > 1 or arguments.fsdp or arguments.deepspeed:
        notes.append("memory is that of one device that holds all weights")
    return Report(
        parameters=parameters_of(model),
        stages=stages,
        sizes=sizes,
        weights=weight_bytes(model, LoadedAs.of(model_arguments.load_options, config, is_on_cpu)),
        averages=4 * sum(group_sizes(model).values()) if arguments.average_weights else 0,
        optimizer=optimizer_bytes(tensors),
        memory={
            stage.name: stage_memory(stage, sizes, config, model_arguments, arguments, is_on_cpu) for stage in stages
        },
        batch_size=batch,
        notes=notes,
    )


def model_config(
    arguments: ModelArguments, notes: list[str], checkpoint_config: Callable[[ModelArguments], XSERConfig]
) -> XSERConfig:
    """The config that the model would have; `notes` say which backbones are published shapes."""
    if arguments.model is not None:
        return checkpoint_config(arguments)
    parts = {}
    for name in ("audio_model", "text_model"):
        if (id_or_path := getattr(arguments, name)) is not None:
            parts[name], is_published = backbone_config(id_or_path, arguments.load_options)
            if is_published:
                notes.append(f"{name} {id_or_path} is not at hand: its published shape is taken")
    if arguments.audio_layers is not None:
        parts["audio_model"].num_hidden_layers = arguments.audio_layers
    if arguments.system == CLASSIFIER:
        return classifier_config(parts["audio_model"], byte_tokenizer(), **arguments.config_options)
    options = dict(arguments.config_options)
    if options.get("freeze_language_model", True):  # as `from_backbones` has it
        options.setdefault("lora", dict(DEFAULT_LORA))
    return XSERConfig(audio_config=parts["audio_model"], text_config=parts["text_model"], **options)


def meta_model(config: XSERConfig, arguments: ModelArguments) -> PreTrainedModel:
    """The model without data in its tensors."""
    model_class = XSERClassifier if arguments.system == CLASSIFIER else XSERForEmotionDescription
    with torch.device("meta"):
        return model_class(deepcopy(config)).to("meta")


def parameters_of(model: PreTrainedModel) -> dict[str, int]:
    """Part → numbers in it, whether they are trained or not; tied ones once."""
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = group_of(name)
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def task_sizes(
    data_arguments: DataArguments,
    arguments: XSERTrainingArguments,
    config: XSERConfig,
    counter: TokenCounter,
    notes: list[str],
) -> dict[str, TaskSize]:
    """Task → what it trains on; `notes` say where a published size stands in."""
    is_own = counter.bytes_a_token == 1
    try:
        data: TaskData = load_task_data(
            data_arguments,
            arguments.tasks,
            config,
            arguments.seed,
            counter.processor if is_own else None,
            arguments.speeds,
        )
    except FileNotFoundError as error:
        corpus = published_corpus(data_arguments.data)
        if corpus is None:
            raise ValueError(f"data is {data_arguments.data!r}, which is not at hand: {error}") from error
        notes.append(f"data {data_arguments.data} is not at hand: {corpus.source} are taken, for every task")
        return published_sizes(corpus, arguments.tasks, config, counter)
    settle(arguments, data, config)
    notes += data.notes
    return data_sizes(data, arguments, counter)


def stage_memory(
    stage: StagePlan,
    sizes: dict[str, TaskSize],
    config: XSERConfig,
    model_arguments: ModelArguments,
    arguments: XSERTrainingArguments,
    is_on_cpu: bool,
) -> StageMemory:
    """Gradients and activations of a stage."""
    model, size = meta_model(config, model_arguments), sizes[stage.task]
    gradients = 0
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and group_of(name) in stage.trains)
        gradients += 4 * parameter.numel() if parameter.requires_grad else 0
    seconds = min(size.longest_seconds, config.max_audio_seconds)
    shape = BatchShape(
        arguments.per_device_train_batch_size,
        round(seconds * SAMPLE_RATE),
        size.longest_text,
        size.longest_answer,
    )
    loaded = LoadedAs.of(model_arguments.load_options, config, is_on_cpu)
    dtype = torch.bfloat16 if arguments.bf16 else torch.float16 if arguments.fp16 else loaded.language_model
    return StageMemory(
        gradients, activation_bytes(model, stage.task, shape, dtype, bool(arguments.activation_checkpointing))
    )


def check_memory(
    report: Report, memory: str, model_arguments: ModelArguments, arguments: XSERTrainingArguments
) -> None:
    """Refuse a training that does not fit.

    Raises:
        ValueError: names the stage, its parts, and what to change.
    """
    available = parse_bytes(memory)
    stage = max(report.memory, key=report.peak_of)
    if report.peak_of(stage) <= available:
        return
    own = report.memory[stage]
    held = {"weights": report.weights, "optimizer": report.optimizer, "averages": report.averages}
    held |= {"gradients": own.gradients, "activations": own.activations}
    parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in held.items() if size)
    changes = []
    if (batch := arguments.per_device_train_batch_size) > 1:
        changes.append(f"lower per_device_train_batch_size ({batch}) and raise gradient_accumulation_steps as much")
    if not arguments.activation_checkpointing:
        changes.append("set activation_checkpointing: true")
    is_quantised = bool((model_arguments.load_options or {}).get("quantization_config"))
    if model_arguments.system != CLASSIFIER and not is_quantised:
        changes.append("load in 4 bits: quantization_config: {load_in_4bit: true} in load_options")
    advice = "; or ".join(changes) or "take smaller backbones"
    raise ValueError(
        f"memory is {memory}, but stage {stage} needs {report.peak_of(stage) / 1e9:.1f} GB at the most "
        f"({parts} GB, and a tenth beside): {advice}"
    )
