"""Loading the pretrained models that XSER is built around: whole or not at all, in a dtype that suits the device."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from .audio_tower_xser import audio_tower
from .backbone_hash_xser import UNUSED, weights_sha256
from .backbone_places_xser import must_be_found, place_of
from .options_xser import HUB_OPTIONS

SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")  # device maps over all accelerators that there are
WIDE = (torch.float32, torch.float64)  # hold every number of a file as it is


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
        id_or_path: a folder, or an id on the Hub; see `backbone_places_xser` for where that is looked for.
        options: for `from_pretrained`; `quantization_config` is left out, for the tower is small.

    Raises:
        ValueError: it is of no kind that can be a tower, has fewer layers, or lacks weights.
        OSError: it is found nowhere; the message says where it was looked for, and the command that gets it.
    """
    options = _tower_options(options)
    config = _config_of("audio tower", id_or_path, options)
    kind = audio_tower(config, name=f"the config of the audio tower {id_or_path}")
    if num_layers is not None:
        there = config.num_hidden_layers
        if not 1 <= num_layers <= there:
            raise ValueError(f"{num_layers} layers of the audio tower {id_or_path} are wanted; it has {there}")
        options["num_hidden_layers"] = num_layers
    with must_be_found("audio tower", id_or_path):
        tower = load_whole(kind.model_class, place_of(id_or_path), **kind.load_options, **options)
    tower._weight_conversions = None  # it is saved under the names that it has now
    return tower


def load_language_model(id_or_path: str, options: dict) -> PreTrainedModel:
    """The causal language model.

    Raises:
        ValueError: it lacks weights.
        OSError: it is found nowhere, as in `load_tower`.
    """
    with must_be_found("language model", id_or_path):
        return load_whole(AutoModelForCausalLM, place_of(id_or_path), **options)


def tower_sha256(tower: PreTrainedModel, id_or_path: str, num_layers: int | None, options: dict) -> str:
    """The hash of the weights in the files of a tower, or of its first layers, whatever it is loaded as.

    Args:
        tower: that `load_tower` gave for the same arguments.
    """
    options = _tower_options(options)
    config = _config_of("audio tower", id_or_path, options)
    return _files_sha256(tower, config, options, lambda plain: load_tower(id_or_path, num_layers, plain))


def language_model_sha256(language_model: PreTrainedModel, id_or_path: str, options: dict) -> str:
    """As `tower_sha256`, of a language model that `load_language_model` gave."""
    config = _config_of("language model", id_or_path, options)
    return _files_sha256(language_model, config, options, lambda plain: load_language_model(id_or_path, plain))


def _files_sha256(model: PreTrainedModel, config: PreTrainedConfig, options: dict, load: Callable) -> str:
    """Numbers that were rounded, quantised or left on disk as it was loaded are read once more."""
    dtype, state = loading_dtype(options), model.state_dict()
    are_exact = dtype in (*WIDE, "auto", config.dtype) and options.get("quantization_config") is None
    if not are_exact or any(tensor.device.type == "meta" for tensor in state.values()):
        plain = {key: options[key] for key in HUB_OPTIONS if key in options}
        state = load({**plain, "dtype": config.dtype or torch.float32, "device_map": "cpu"}).state_dict()
    return weights_sha256(state)


def _tower_options(options: dict) -> dict:
    return {key: value for key, value in options.items() if key != "quantization_config"}


def _config_of(what: str, id_or_path: str, options: dict) -> PreTrainedConfig:
    with must_be_found(what, id_or_path):
        hub_options = {key: options[key] for key in HUB_OPTIONS if key in options}
        return AutoConfig.from_pretrained(place_of(id_or_path), **hub_options)


def load_whole(auto_class: type, id_or_path: str, **options) -> PreTrainedModel:
    """`auto_class.from_pretrained`, in the dtype of `loading_dtype`.

    Raises:
        ValueError: weights that its config wants are not there, or have another shape: they would be random. Weights
            beyond them, such as those of a head that is not used, are none of an error. Or a file is cut off.
    """
    options["dtype"] = loading_dtype(options)
    options.pop("torch_dtype", None)
    try:
        with _without_report():
            model, info = auto_class.from_pretrained(id_or_path, output_loading_info=True, **options)
    except SafetensorError as error:
        raise ValueError(f"a file of weights of {id_or_path} is cut off or broken ({error}): get it anew") from error
    lacking = {key for key in info["missing_keys"] if not key.endswith(UNUSED)}
    lacking |= {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    if lacking:
        raise ValueError(
            f"{id_or_path} lacks weights of a {type(model).__name__}, which would be random: {named(lacking)}; "
            "give a folder or id that holds them all"
        )
    return model


@contextmanager
def _without_report() -> Iterator[None]:
    """Without the table of transformers that lists every weight of a decoder or head that is not used."""
    logger = logging.getLogger("transformers.modeling_utils")  # whose level decides more than what is logged
    logger.addFilter(_is_no_report)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()


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
    "language_model_sha256", "load_from_state", "load_language_model", "load_tower", "load_whole", "loading_dtype",
    "model_class_of", "named", "tower_sha256",
]  # fmt: skip
