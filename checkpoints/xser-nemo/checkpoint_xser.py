"""Building XSER around pretrained backbones, and full and thin checkpoints of it.

A full checkpoint holds everything. A thin one holds what was trained and the ids of the backbones, which are read from
where they came from; the answers are the same.
"""

from copy import deepcopy

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import cached_file

from .configuration_xser import DEFAULT_LORA, XSERConfig
from .processing_xser import XSERProcessor

LORA_KEY = ".lora_"
WEIGHTS_FILE = "model.safetensors"
AUTO_MAP = {
    "AutoConfig": "configuration_xser.XSERConfig",
    "AutoModel": "modeling_xser.XSERForEmotionDescription",
    "AutoModelForMultimodalLM": "modeling_xser.XSERForEmotionDescription",
    "AutoProcessor": "processing_xser.XSERProcessor",
}
CUSTOM_PIPELINES = {
    "audio-emotion-explain": {
        "impl": "pipeline_xser.XSERPipeline",
        "pt": ["AutoModelForMultimodalLM"],
        "type": "multimodal",
    }
}
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
BACKBONE_OPTIONS = ("dtype", "device_map", "quantization_config", "attn_implementation", "token", "local_files_only")


class XSERCheckpointMixin:
    """`from_backbones`, `from_pretrained` and `save_pretrained` of `XSERForEmotionDescription`."""

    @classmethod
    def from_backbones(
        cls,
        audio_id_or_path: str,
        text_id_or_path: str,
        emotions: list[str] | None = None,
        load_options: dict | None = None,
        audio_layers: int | None = None,
        **config_options,
    ) -> tuple:
        """A new model, and its processor, around two pretrained backbones.

        Args:
            audio_id_or_path, text_id_or_path: folder or Hub id of a HuBERT-family model and of a causal LM.
            emotions: the labels; any further field of `XSERConfig` may follow by name. LoRA is on by default.
            load_options: for both backbones' `from_pretrained`, such as `dtype`, `device_map`, `quantization_config`.
            audio_layers: take so many of the tower's layers, from the first on: smaller and faster, where the upper
                ones are not worth their cost.

        Raises:
            ValueError: the tower has fewer layers; an option is not a field of `XSERConfig`, or has a value that is
                not allowed.
        """
        unknown = sorted(set(config_options) - set(XSERConfig.__annotations__))
        if unknown:
            raise ValueError(f"unknown options {unknown}: XSERConfig has {sorted(XSERConfig.__annotations__)}")
        options = {"dtype": "auto", **(load_options or {})}
        audio_tower = _load_tower(audio_id_or_path, audio_layers, _without_quantization(options))
        language_model = AutoModelForCausalLM.from_pretrained(text_id_or_path, **options)
        if config_options.get("freeze_language_model", True):
            config_options.setdefault("lora", dict(DEFAULT_LORA))
        config = XSERConfig(
            audio_config=deepcopy(audio_tower.config),  # copies: a config sets its sub-configs' attention
            text_config=deepcopy(language_model.config),
            audio_model_id=str(audio_id_or_path),
            text_model_id=str(text_id_or_path),
            emotions=emotions,
            **config_options,
        )
        processor = XSERProcessor.from_config(
            config,
            AutoFeatureExtractor.from_pretrained(audio_id_or_path),
            AutoTokenizer.from_pretrained(text_id_or_path),
        )
        model = cls(config, audio_tower, language_model)
        model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
        model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
        return model.eval(), processor

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, config=None, output_loading_info=False, **kwargs):
        """Load a full or a thin checkpoint.

        Raises:
            ValueError: the checkpoint lacks weights (they would be random otherwise), or has others.
        """
        hub_options = {key: kwargs[key] for key in HUB_OPTIONS if key in kwargs}
        if config is None:
            config = XSERConfig.from_pretrained(pretrained_model_name_or_path, **hub_options)
        if config.thin:
            model = cls._from_thin(pretrained_model_name_or_path, config, hub_options, kwargs)
            info = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}
        else:
            model, info = super().from_pretrained(
                pretrained_model_name_or_path, *args, config=config, output_loading_info=True, **kwargs
            )
            _check_keys(pretrained_model_name_or_path, info["missing_keys"], info["unexpected_keys"])
        model._freeze_backbones()
        return (model, info) if output_loading_info else model

    @classmethod
    def _from_thin(cls, path, config, hub_options: dict, options: dict):
        """What was trained from `path`, the backbones from where they came from."""
        options = {"dtype": "auto", **{key: options[key] for key in BACKBONE_OPTIONS if key in options}}
        wanted = config.audio_config
        tower = _load_tower(config.audio_model_id, wanted.num_hidden_layers, _without_quantization(options))
        for name in ("hidden_size", "conv_kernel", "conv_stride"):
            if _plain(getattr(tower.config, name)) != _plain(getattr(wanted, name)):
                raise ValueError(
                    f"the audio tower {config.audio_model_id} has {name} {getattr(tower.config, name)}, the "
                    f"checkpoint {path} was made with {getattr(wanted, name)}: it needs the tower it was trained on"
                )
        model = cls(config, tower, AutoModelForCausalLM.from_pretrained(config.text_model_id, **options))
        trained = model._trained_state()
        loaded = load_file(cached_file(str(path), WEIGHTS_FILE, **hub_options))
        _check_keys(path, set(trained) - set(loaded), set(loaded) - set(trained))
        for name, tensor in trained.items():
            if tensor.shape != loaded[name].shape:
                raise ValueError(
                    f"{path}: {name} has shape {tuple(loaded[name].shape)}, the config wants {tuple(tensor.shape)}"
                )
        model.load_state_dict(loaded, strict=False)
        return model.eval()

    def _trained_state(self) -> dict[str, torch.Tensor]:
        """Every tensor but the backbones' own: streams, heads, LoRA, and a backbone that was not frozen."""
        frozen = ["model.audio_tower."] if self.config.freeze_audio_tower else []
        frozen += ["language_model."] if self.config.freeze_language_model else []
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if LORA_KEY in name or not name.startswith(tuple(frozen))
        }

    def save_pretrained(self, save_directory, thin: bool = False, **kwargs):
        """Save weights, config and the code that loads them.

        Args:
            thin: save what was trained only; the backbones are then read from the config's ids.
        """
        self.config.auto_map = dict(AUTO_MAP)
        self.config.custom_pipelines = {task: dict(spec) for task, spec in CUSTOM_PIPELINES.items()}
        was_thin, self.config.thin = self.config.thin, thin
        try:
            if thin:
                self.config._check_values()
                kwargs["state_dict"] = kwargs.get("state_dict") or self._trained_state()
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self.config.thin = was_thin


def _load_tower(id_or_path: str, num_layers: int | None, options: dict):
    """The audio tower, or its first layers.

    Raises:
        ValueError: it has fewer.
    """
    if num_layers is not None:
        there = AutoConfig.from_pretrained(
            id_or_path, **{key: options[key] for key in HUB_OPTIONS if key in options}
        ).num_hidden_layers
        if not 1 <= num_layers <= there:
            raise ValueError(f"{num_layers} layers of the audio tower {id_or_path} are wanted; it has {there}")
        options = {**options, "num_hidden_layers": num_layers}
    return AutoModel.from_pretrained(id_or_path, **options)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, (list, tuple)) else value


def _without_quantization(options: dict) -> dict:
    """The tower is small beside the language model, which alone is quantised."""
    return {key: value for key, value in options.items() if key != "quantization_config"}


def _check_keys(path, missing, unexpected) -> None:
    for kind, keys in (("lacks weights", missing), ("holds weights that its config has no place for", unexpected)):
        if keys:
            names = ", ".join(sorted(keys)[:5]) + (" …" if len(keys) > 5 else "")
            raise ValueError(f"checkpoint {path} {kind}: {names} ({len(keys)} in all); save it anew from its model")
