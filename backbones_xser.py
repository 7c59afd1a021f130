"""Loading the pretrained models that XSER is built around: whole or not at all, in a dtype that suits the device."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from .audio_tower_xser import audio_tower
from .options_xser import HUB_OPTIONS

SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")  # device maps over all accelerators that there are
# a tower's embedding of masked frames: many checkpoints come without, and a frozen tower never masks
UNUSED = "masked_spec_embed"


def loading_dtype(options: dict) -> torch.dtype | str | dict:
    """`dtype` of `from_pretrained`'s options: the caller's; else float32 on a CPU, and that of the files elsewhere."""
    dtype = options.get("dtype") or options.get("torch_dtype") or "auto"
    is_open = isinstance(dtype, str) and dtype == "auto"
    return torch.float32 if is_open and options.get("quantization_config") is None and _is_on_cpu(options) else dtype


def _is_on_cpu(options: dict) -> bool:
    """Whether all weights go onto a CPU; a pipeline moves them to an accelerator after loading, where there is one."""
    places = options.get("device_map")
    if places is None and "_from_pipeline" in options:
        places = "auto"
    if isinstance(places, str) and places in SPREAD:
        return not torch.accelerator.is_available()
    if places is None:
        places = torch.get_default_device()
    places = places.values() if isinstance(places, dict) else [places]
    return all(isinstance(place, (str, torch.device)) and str(place).startswith(("cpu", "disk")) for place in places)


def load_tower(id_or_path: str, num_layers: int | None, options: dict) -> PreTrainedModel:
    """The audio tower, or its first layers.

    Args:
        options: for `from_pretrained`; `quantization_config` is left out, for the tower is small.

    Raises:
        ValueError: it is of no kind that can be a tower, has fewer layers, or lacks weights.
    """
    options = {key: value for key, value in options.items() if key != "quantization_config"}
    hub_options = {key: options[key] for key in HUB_OPTIONS if key in options}
    config = AutoConfig.from_pretrained(id_or_path, **hub_options)
    kind = audio_tower(config, name=f"the config of the audio tower {id_or_path}")
    if num_layers is not None:
        there = config.num_hidden_layers
        if not 1 <= num_layers <= there:
            raise ValueError(f"{num_layers} layers of the audio tower {id_or_path} are wanted; it has {there}")
        options["num_hidden_layers"] = num_layers
    tower = load_whole(kind.model_class, id_or_path, **kind.load_options, **options)
    tower._weight_conversions = None  # it is saved under the names that it has now
    return tower


def load_language_model(id_or_path: str, options: dict) -> PreTrainedModel:
    """The causal language model.

    Raises:
        ValueError: it lacks weights.
    """
    return load_whole(AutoModelForCausalLM, id_or_path, **options)


def load_whole(auto_class: type, id_or_path: str, **options) -> PreTrainedModel:
    """`auto_class.from_pretrained`, in the dtype of `loading_dtype`.

    Raises:
        ValueError: weights that its config wants are not there, or have another shape: they would be random. Weights
            beyond them, such as those of a head that is not used, are none of an error.
    """
    options["dtype"] = loading_dtype(options)
    options.pop("torch_dtype", None)
    model, info = auto_class.from_pretrained(id_or_path, output_loading_info=True, **options)
    lacking = {key for key in info["missing_keys"] if not key.endswith(UNUSED)}
    lacking |= {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    if lacking:
        raise ValueError(
            f"{id_or_path} lacks weights of a {type(model).__name__}, which would be random: {named(lacking)}; "
            "give a folder or id that holds them all"
        )
    return model


def model_class_of(auto_class: type, config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class of the model that an Auto class makes of a config."""
    with torch.device("meta"):
        return type(auto_class.from_config(config))


def load_from_state(
    config: PreTrainedConfig, model_class: type[PreTrainedModel], state: dict, options: dict
) -> PreTrainedModel:
    """A backbone whose weights are at hand, as `from_pretrained` loads one from its folder."""
    return model_class.from_pretrained(None, config=config, state_dict=state, **options)


def named(keys) -> str:
    """The first of some weights by name, and how many there are."""
    return ", ".join(sorted(keys)[:5]) + (" …" if len(keys) > 5 else "") + f" ({len(keys)} in all)"


__all__ = [
    "load_from_state", "load_language_model", "load_tower", "load_whole", "loading_dtype", "model_class_of", "named",
]  # fmt: skip
