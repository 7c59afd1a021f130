"""Options by name: an unknown one is refused, with the nearest that there is."""

import difflib
from collections.abc import Collection, Iterable

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
    *("save_original_format", "safe_serialization", "save_function"),
    *("repo_id", "commit_message", "commit_description", "private", "create_pr", "revision", "tags"),
)
MOST_LISTED = 50  # names in a message


class UnknownOptionError(TypeError, ValueError):
    """An option that there is not: a `TypeError`, as of Python's own, and a `ValueError`, as all mistakes of users."""


def nearest(name: object, names: Iterable[str], cutoff: float = 0.0) -> str | None:
    """The one of `names` that looks most like `name`; `None` where none does."""
    return next(iter(difflib.get_close_matches(str(name), sorted(names), n=1, cutoff=cutoff)), None)


def refuse_unknown(given: Iterable[str], known: Collection[str], of: str) -> None:
    """Raise `UnknownOptionError` where `given` holds a name that is not among `known`.

    Args:
        of: whose options they are, for the message.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        meant = ", ".join(repr(nearest(name, known)) for name in unknown)
        listed = f". It has {sorted(known)}" if len(known) <= MOST_LISTED else ""
        raise UnknownOptionError(f"unknown options {unknown} of {of}: the nearest is {meant}{listed}")


__all__ = ["UnknownOptionError", "nearest", "refuse_unknown"]
