"""Whether the backbones of a thin checkpoint are on this machine; nothing is fetched, and no model is loaded."""

from pathlib import Path

from xser.backbone_places_xser import place_of

FIELDS = ("audio_model_id", "text_model_id")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def missing_backbones(config: dict) -> list[str]:
    """Ids of the backbones that a checkpoint needs and that are neither in a folder nor in the Hub's cache.

    Args:
        config: its config.json. A full checkpoint needs none.

    Raises:
        ValueError: XSER_BACKBONES is no folder.
    """
    ids = [config.get(field) for field in FIELDS] if config.get("thin") else []
    return [str(name) for name in ids if not _is_at_hand(str(name))]


def _is_at_hand(name: str) -> bool:
    return Path(place_of(name)).is_dir() or (name.count("/") == 1 and _is_cached(name))


def _is_cached(hub_id: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = [try_to_load_from_cache(hub_id, file) for file in ("config.json", *WEIGHTS)]
    except HFValidationError:
        return False
    return isinstance(found[0], str) and any(isinstance(path, str) for path in found[1:])


__all__ = ["FIELDS", "missing_backbones"]
