"""Groups of weights, by name: what a stage trains, and what its task can train at all.

Every weight of a model is of one group:

    content         content stream with adapter, and the CTC head
    descriptors     descriptor stream, auxiliary streams, and the heads on them, or on the one stream that there is
    lora            LoRA on the language model
    language_model  the language model itself, where the config does not freeze it
    audio_tower     the audio tower, where the config does not freeze it
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from xser.configuration_xser import XSERConfig
from xser.lora_xser import LORA_NAMES
from xser.training.stages import GROUPS, JOINT, Stage

CONTENT = ("model.content.", "ctc_head.")
TOWER, LANGUAGE_MODEL = "model.audio_tower.", "language_model."


def group_of(name: str) -> str:
    """The group of a parameter of `XSERForEmotionDescription`."""
    if name.startswith(TOWER):
        return "audio_tower"
    if name.startswith(LANGUAGE_MODEL):
        return "lora" if name.endswith(LORA_NAMES) else "language_model"
    return "content" if name.startswith(CONTENT) else "descriptors"


def parameters_by_group(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Group → its parameters that can be trained; groups without any are left out."""
    groups = {group: [] for group in GROUPS}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[group_of(name)].append(parameter)
    return {group: parameters for group, parameters in groups.items() if parameters}


def group_sizes(model: nn.Module) -> dict[str, int]:
    """Group → how many numbers of it can be trained; a model on the meta device will do."""
    return {group: sum(map(nn.Parameter.numel, found)) for group, found in parameters_by_group(model).items()}


def reached(task: str, config: XSERConfig) -> tuple[str, ...]:
    """Groups that a task can train: on `describe` steps the content stream of a disentangled model has no gradient."""
    if task == "asr":
        out_of_reach = ("descriptors",)
    else:
        out_of_reach = ("content",) if config.disentangled else ()
    return tuple(group for group in GROUPS if group not in out_of_reach)


def trained_groups(stage: Stage, config: XSERConfig, present: Iterable[str]) -> tuple[str, ...]:
    """Groups that a stage trains, of those that the model has."""
    wanted = reached(stage.task, config) if stage.trains is None else stage.trains
    return tuple(group for group in GROUPS if group in wanted and group in present)


def check_parts(arguments, config: XSERConfig) -> None:
    """`ValueError` where an option of `XSERTrainingArguments` is of a part that the model does not have."""
    if arguments.soft_labels and not config.emotion_weight:
        raise ValueError("soft_labels is true, but emotion_weight is 0: there is no head to train on ratings")
    if arguments.keep_states and not config.freeze_audio_tower:
        raise ValueError("keep_states is true, but freeze_audio_tower is false: what is trained changes its states")
    if arguments.reference_levels and not config.speaker_reference:
        raise ValueError(
            "reference_levels is true, but speaker_reference is false: there is no reference that levels could be "
            "relative to; leave reference_levels out, or set speaker_reference"
        )


def check_groups(
    stages: Sequence[Stage], schedule: str, config: XSERConfig, present: Iterable[str], heads_first: int = 0
) -> None:
    """Refuse stages that train nothing of this model.

    Args:
        present: groups of the model that can be trained.
        heads_first: steps in which the heads alone train the streams.

    Raises:
        ValueError: names the stage and the group.
    """
    present, with_heads = tuple(present), 0
    for stage in stages:
        place = f"stages[{stage.name!r}]"
        within = [group for group in reached(stage.task, config) if group in present]
        for group in stage.trains or ():
            if group not in present:
                raise ValueError(
                    f"{place} trains {group!r}, which this model does not have, or has frozen; there is {within}"
                )
            if group not in within and schedule != JOINT:
                raise ValueError(f"{place} trains {group!r}, which task {stage.task} does not reach; it does {within}")
        if not trained_groups(stage, config, present):
            raise ValueError(f"{place} trains nothing: of this model, task {stage.task} reaches no weight to train")
        group = _group_of_heads(stage, config, heads_first) if heads_first else None
        with_heads += group is not None
        if group is not None and group not in (stage.trains or (group,)):
            raise ValueError(
                f"heads_first is {heads_first}, but {place} trains {list(stage.trains)}: add {group!r}, whose heads "
                "train first, or set heads_first to 0"
            )
    if heads_first and not with_heads:
        raise ValueError(f"heads_first is {heads_first}, but no stage has a head: give ctc_weight, or set it to 0")


def _group_of_heads(stage: Stage, config: XSERConfig, heads_first: int) -> str | None:
    """The group that the heads of a stage's task train; `None` where ASR has none, and is whole from the start."""
    if stage.task == "asr":
        return "content" if config.ctc_weight > 0 else None
    if not any((config.emotion_weight, config.level_weight, config.dimension_weight)):
        raise ValueError(
            f"heads_first is {heads_first}, but emotion_weight, level_weight and dimension_weight are 0: stages"
            f"[{stage.name!r}] has no head to train; give one a weight, or set heads_first to 0"
        )
    return "descriptors"


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, these get no gradient, so that the optimizer passes them over: no step, no momentum, no weight decay."""
    held = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
