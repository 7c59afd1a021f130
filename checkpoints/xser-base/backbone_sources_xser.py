"""Which weights of a backbone a thin checkpoint takes: those that it was trained on, and further ones by name.

A config's `backbone_sources` has a list for `audio_model_id` and one for `text_model_id`:

    [{"source": "the weights that it was trained on", "sha256": "…"},
     {"source": "the Hub's full-precision weights", "file_sha256": "…"}]

`sha256` is that of `backbone_hash_xser`, `file_sha256` is of the bytes of model.safetensors. The first of a list loads
in silence, another with a warning, and any other weights are refused.
"""

import re
from pathlib import Path

from transformers.utils import cached_file, logging

from .backbone_hash_xser import file_sha256
from .backbone_places_xser import command_for, place_of, searched

logger = logging.get_logger(__name__)
FIELDS = {"audio_model_id": "audio tower", "text_model_id": "language model"}  # field of a config -> what it names
TRAINED_ON = "the weights that it was trained on"
ON_THE_HUB = "the Hub's full-precision weights"
HUB_FILES = {  # Hub id -> sha256 of its model.safetensors: revisions e37978b9… and 12fd25f7…
    "openai/whisper-base": "07cadb9f25677c8d50df603e66a98fbd842cce45047139baeb16e6219a1e807b",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
}
WEIGHTS = "model.safetensors"
HASHES = ("sha256", "file_sha256")
HEX = re.compile(r"[0-9a-f]{64}")


def check_sources(value: dict) -> None:
    """`ValueError` where `backbone_sources` of a config is not as above."""
    for field, sources in value.items():
        if field not in FIELDS:
            raise ValueError(f"XSERConfig.backbone_sources has the key {field!r}; it may hold {list(FIELDS)}")
        if not isinstance(sources, list) or not sources:
            raise ValueError(f"XSERConfig.backbone_sources[{field!r}] is {sources!r}; it must be a list of sources")
        for source in sources:
            hashes = [source.get(name) for name in HASHES if name in source] if isinstance(source, dict) else []
            is_named = len(hashes) == 1 and set(source) - {*HASHES} == {"source"} and isinstance(source["source"], str)
            if not is_named or not HEX.fullmatch(str(hashes[0])):
                raise ValueError(
                    f"XSERConfig.backbone_sources[{field!r}] holds {source!r}; it must have a name (source) and one "
                    f"of {HASHES}, 64 hex digits in lower case"
                )


def sources_of(id_or_path: str, sha256: str, given: list | None) -> list[dict]:
    """What a thin checkpoint records of a backbone.

    Args:
        sha256: of the weights that were loaded.
        given: what the config says of it. Where these weights are among them, it stays as it is.
    """
    given = list(given or [])
    if any(source.get("sha256") == sha256 for source in given):
        return given
    hub_file = HUB_FILES.get(id_or_path)
    is_new = hub_file is not None and all(source.get("file_sha256") != hub_file for source in given)
    if is_new and _file_hash(place_of(id_or_path), {}) != hub_file:  # else these are the Hub's
        given.append({"source": ON_THE_HUB, "file_sha256": hub_file})
    return [{"source": TRAINED_ON, "sha256": sha256}, *given]


def matching(sources: list[dict], id_or_path: str, sha256: str, hub_options: dict) -> dict | None:
    """The first of some sources that loaded weights are; `None` where they are none of them.

    Args:
        id_or_path: where they were loaded from.
        sha256: of them, by `backbone_hash_xser`.
        hub_options: with which they were loaded; their file is looked for in its cache.
    """
    found = None
    for source in sources:
        if source.get("sha256") == sha256:
            return source
        if "file_sha256" in source:
            found = found or _file_hash(place_of(id_or_path), hub_options)
            if source["file_sha256"] == found:
                return source
    return None


def check_loaded(path, config, hashes: dict[str, str], hub_options: dict) -> None:
    """Hold the backbones of a thin checkpoint against what it records; one that records nothing takes any.

    Args:
        path: of the checkpoint, for messages.
        hashes: field of the config -> hash of the weights that were loaded.

    Raises:
        ValueError: weights are none of the recorded ones.
    """
    others = []
    for field, sha256 in hashes.items():
        sources, name = config.backbone_sources[field], getattr(config, field)
        source = matching(sources, name, sha256, hub_options)
        if source is None:
            raise ValueError(_refusal(path, field, name, sha256, sources))
        if source is not sources[0]:
            others.append(f"{FIELDS[field]} {name} has {source['source']}")
    if others:
        logger.warning(
            f"{path}: {' and '.join(others)}, not those that it was trained on: answers may differ a little"
        )


def _refusal(path, field: str, name: str, sha256: str, sources: list[dict]) -> str:
    taken = "; ".join(f"{each['source']}: {key} {each[key]}" for each in sources for key in HASHES if key in each)
    place, is_folder = place_of(name), Path(name).is_dir()
    found = f"in {place}" if Path(place).is_dir() else "on the Hub or in its cache"
    remedy = "put these back there" if is_folder else f"to get these: {command_for(name)}"
    if place != name:
        remedy = f"to get these, remove {place}, then: {command_for(name)} (or have them in a folder that comes first)"
    looked = "" if is_folder else f" It was looked for in: {searched()}."
    return (
        f"the {FIELDS[field]} {name}, found {found}, has weights with sha256 {sha256}, which {path} was not trained "
        f"on. It takes: {taken}.{looked} Remedy: {remedy}"
    )


def _file_hash(place: str, hub_options: dict) -> str | None:
    silent = ("_raise_exceptions_for_missing_entries", "_raise_exceptions_for_connection_errors")
    options = {**hub_options, "local_files_only": True, **dict.fromkeys(silent, False)}
    file = cached_file(place, WEIGHTS, **options)
    return None if file is None else file_sha256(file)


__all__ = ["FIELDS", "HUB_FILES", "check_loaded", "check_sources", "matching", "sources_of"]
