"""Options of calls, checked: an unknown name is refused with the nearest, a value with what would be right."""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Set, Sized
from numbers import Integral

# what `from_pretrained` of transformers understands, beside the fields of a config
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder", "proxies")
PLACEMENT_OPTIONS = (
    *("dtype", "torch_dtype", "device_map", "max_memory", "offload_folder", "offload_buffers", "low_cpu_mem_usage"),
    *("quantization_config", "attn_implementation", "experts_implementation", "use_safetensors", "disable_mmap"),
)
LOADING_OPTIONS = (
    *HUB_OPTIONS,
    *PLACEMENT_OPTIONS,
    *("trust_remote_code", "code_revision", "variant", "weights_only", "state_dict", "generation_config"),
    *("ignore_mismatched_sizes", "key_mapping", "gguf_file", "adapter_kwargs", "adapter_name", "tqdm_class"),
    *("distributed_config", "device_mesh", "tp_plan", "tp_size", "fusion_config"),
    *("use_kernels", "allow_all_kernels", "kernel_config", "output_loading_info", "name_or_path"),
)
SAVING_OPTIONS = (
    *("is_main_process", "state_dict", "push_to_hub", "max_shard_size", "variant", "token", "save_peft_format"),
    *("save_original_format", "safe_serialization"),
    *("repo_id", "commit_message", "commit_description", "private", "create_pr", "revision", "tags"),
)
MOST_LISTED = 50  # names in a message
LIKENESS = 0.6  # of a name that is proposed for another
NOT_LISTS = (str, bytes, bytearray, memoryview, Mapping, Set)  # though they have a length and can be walked through
GENDER_SPELLINGS = {"female": ("f", "fem", "woman"), "male": ("m", "masc", "man")}


class UnknownOptionError(TypeError, ValueError):
    """An option that there is not: a `TypeError`, as of Python's own, and a `ValueError`, as all mistakes of users."""


def nearest(name: object, known: Iterable[str], cutoff: float = 0.0) -> str | None:
    """The one of `known` that is spelled most like `name`, in whatever case; `None` where none is."""
    spelled = {each.casefold(): each for each in sorted(known)}
    found = difflib.get_close_matches(str(name).casefold(), spelled, n=1, cutoff=cutoff)
    return spelled[found[0]] if found else None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where one of `known` is spelled like `name`, else nothing."""
    meant = nearest(name, known, LIKENESS)
    return "" if meant is None else f" (did you mean {meant!r}?)"


def refuse_unknown(given: Iterable[str], known: Collection[str], of: str, listed: Iterable[str] | None = None) -> None:
    """Raise `UnknownOptionError` where `given` holds a name that is not `known`; it is named with the nearest.

    Args:
        of: whose options they are, for the message.
        listed: those that the message lists; all that are known by default.
    """
    unknown = [f"{name!r}{did_you_mean(name, known)}" for name in given if name not in known]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        names = sorted(known) if listed is None else list(listed)
        there = ", ".join(names[:MOST_LISTED]) + (", …" if len(names) > MOST_LISTED else "")
        raise UnknownOptionError(f"{of}: unknown option{plural} {', '.join(unknown)}; there are: {there or 'none'}")


def known_options_only(function: Callable) -> Callable:
    """Make `function` refuse keyword arguments that it does not have as `refuse_unknown` does."""
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    where = function.__qualname__.removesuffix(".__call__")

    @functools.wraps(function)
    def checked(*args, **options):
        refuse_unknown(options, known, where, known)
        return function(*args, **options)

    return checked


def check_flag(name: str, value: object) -> bool:
    """`value` where it is True or False; nothing else is taken for one of them."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; it must be True or False")
    return value


def check_batch_size(value: object) -> int:
    """`value` as an int where it is a whole number of at least 1, else `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"batch_size is {value!r}; it must be a whole number, at least 1")
    return int(value)


def known_gender(gender: object, known: Collection[str]) -> str:
    """Which of the `known` genders is meant, in whatever case or usual spelling; `ValueError` with the nearest."""
    spelled = {}
    for name in known:
        spelled |= dict.fromkeys((name.casefold(), *GENDER_SPELLINGS.get(name.casefold(), ())), name)
    if isinstance(gender, str) and gender.strip().casefold() in spelled:
        return spelled[gender.strip().casefold()]
    wanted = f"one of {list(known)}" if known else "left out, for the calibration knows no genders"
    raise ValueError(f"gender is {gender!r}{did_you_mean(gender, known)}; it must be {wanted}")


def is_list(value: object) -> bool:
    """Whether `value` is a list, or a column of a table: many values in an order, and how many is known."""
    return isinstance(value, Sized) and isinstance(value, Iterable) and not isinstance(value, NOT_LISTS)


def one_for_each(name: str, values: Iterable, count: int) -> list:
    """`values` as a list with one for each recording, or `ValueError` with both numbers."""
    values = list(values)
    if len(values) != count:
        raise ValueError(
            f"{name} holds {len(values)} entries for {count} recordings: give one for each, in their order"
        )
    return values


__all__ = [
    "UnknownOptionError",
    "check_batch_size",
    "check_flag",
    "did_you_mean",
    "is_list",
    "known_gender",
    "known_options_only",
    "nearest",
    "one_for_each",
    "refuse_unknown",
]
