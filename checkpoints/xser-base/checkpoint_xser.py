"""Building XSER around pretrained backbones, and full and thin checkpoints of it.

A full checkpoint holds everything. A thin one holds what was trained and the ids of the backbones, which are read from
where they came from and held against the hashes that it records; the answers are the same. What a checkpoint holds is
checked when it is saved: every tensor that the config wants, and none beside.
"""

from contextlib import suppress
from copy import deepcopy
from os import PathLike
from pathlib import Path

import torch
from transformers import AutoFeatureExtractor, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from .adapters_xser import own_state, save_adapters
from .backbone_hash_xser import weights_sha256
from .backbone_places_xser import must_be_found, place_of
from .backbone_sources_xser import check_loaded, sources_of
from .backbones_xser import (
    language_model_sha256,
    load_from_state,
    load_language_model,
    load_tower,
    loading_dtype,
    model_class_of,
    named,
    tower_sha256,
)
from .configuration_xser import DEFAULT_LORA, FIELDS, XSERConfig
from .lora_xser import LORA_NAMES, OLD_NAMES, merge_lora
from .options_xser import HUB_OPTIONS, LOADING_OPTIONS, PLACEMENT_OPTIONS, SAVING_OPTIONS, refuse_unknown
from .processing_xser import XSERProcessor
from .weights_xser import has_old_names, have_changed, in_dtype, put_in_place, read_weights, samples, weight_files

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
TOWER, LANGUAGE_MODEL = "model.audio_tower.", "language_model."
PREFIXES = {"audio_model_id": TOWER, "text_model_id": LANGUAGE_MODEL}
# of `from_pretrained`, for a checkpoint whose backbones are loaded by themselves
BACKBONE_OPTIONS = (*PLACEMENT_OPTIONS, "_from_pipeline", "token", "local_files_only", "cache_dir", "proxies")
OTHER_OPTIONS = (*HUB_OPTIONS, "variant", "trust_remote_code", "code_revision", "adapter_kwargs", "name_or_path")


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
            audio_id_or_path, text_id_or_path: folder or Hub id of a model of the HuBERT family or a Whisper, of which
                the encoder alone is loaded, and of a causal LM. An id is looked for on disk first (XSER_BACKBONES).
            emotions: the labels; any further field of `XSERConfig` may follow by name. LoRA is on by default.
            load_options: for both backbones' `from_pretrained`, such as `dtype` (float32 on a CPU, elsewhere that of
                the files), `device_map`, or `quantization_config`, which is the language model's alone.
            audio_layers: take so many of the tower's layers, from the first on: smaller and faster, where the upper
                ones are not worth their cost.

        Raises:
            ValueError: the tower has fewer layers; a backbone lacks weights; an option is not a field of `XSERConfig`,
                or has a value that is not allowed.
            OSError: a backbone is found nowhere.
        """
        refuse_unknown(config_options, FIELDS, "XSERConfig")
        options = dict(load_options or {})
        audio_tower = load_tower(audio_id_or_path, audio_layers, options)
        language_model = load_language_model(text_id_or_path, options)
        if config_options.get("freeze_language_model", True):
            config_options.setdefault("lora", dict(DEFAULT_LORA))
        text_config = deepcopy(language_model.config)  # copies: a config sets its sub-configs' attention
        if hasattr(text_config, "quantization_config"):  # how it is loaded this time, not what it is
            del text_config.quantization_config
        audio_config = deepcopy(audio_tower.config)
        audio_config.name_or_path, text_config.name_or_path = str(audio_id_or_path), str(text_id_or_path)
        config = XSERConfig(
            audio_config=audio_config,
            text_config=text_config,
            audio_model_id=str(audio_id_or_path),
            text_model_id=str(text_id_or_path),
            emotions=emotions,
            **config_options,
        )
        with must_be_found("audio tower", audio_id_or_path):
            extractor = AutoFeatureExtractor.from_pretrained(place_of(audio_id_or_path))
        with must_be_found("language model", text_id_or_path):
            tokenizer = AutoTokenizer.from_pretrained(place_of(text_id_or_path))
        processor = XSERProcessor.from_config(config, extractor, tokenizer)
        known_sources = _by_id(config, _sources(config, _hashes(config, audio_tower, language_model, options)))
        model = cls(config, audio_tower, language_model)
        model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
        model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
        model._remember_backbones()
        model.known_sources = known_sources
        return model.eval(), processor

    # ------------------------------------------------------------------ loading

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, config=None, output_loading_info=False, **kwargs):
        """Load a full or a thin checkpoint.

        Args:
            kwargs: as those of transformers. Without `dtype`, or with "auto", weights are float32 on a CPU, and in the
                files' own dtype elsewhere. `quantization_config` is for the language model alone. Fields of the config
                may be given anew by name.

        Raises:
            ValueError: the checkpoint lacks weights (they would be random otherwise), or has others; an option is
                unknown; a backbone of a thin checkpoint has other weights than it records.
            OSError: such a backbone is found nowhere.
        """
        path, name = pretrained_model_name_or_path, f"{cls.__name__}.from_pretrained"
        names = [key for key in kwargs if not key.startswith("_")]
        refuse_unknown(names, {*LOADING_OPTIONS, *FIELDS} - {"thin"}, name)
        fields = {key: kwargs.pop(key) for key in FIELDS if key in kwargs}
        if config is not None and fields:
            raise ValueError(f"{name} was given a config, and {sorted(fields)} beside it: set them in the config")
        hub_options = {key: kwargs[key] for key in HUB_OPTIONS if key in kwargs}
        if config is None or isinstance(config, (str, PathLike)):
            config = XSERConfig.from_pretrained(config or path, **hub_options, **fields)
        kwargs["dtype"] = loading_dtype(kwargs)
        kwargs.pop("torch_dtype", None)
        if config.thin or kwargs.get("quantization_config") is not None:
            model = cls._from_parts(path, config, hub_options, kwargs)
            info = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}
        else:
            files = [] if path is None else weight_files(path, kwargs.get("variant"), hub_options)
            if is_old := has_old_names(files):
                kwargs["key_mapping"] = {**OLD_NAMES, **(kwargs.get("key_mapping") or {})}
            model, info = super().from_pretrained(path, *args, config=config, output_loading_info=True, **kwargs)
            if is_old:
                model._weight_conversions = None  # what is saved has the names of today
            mismatched = {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
            _check_keys(path, set(info["missing_keys"]) | mismatched, info["unexpected_keys"])
        is_open = "_from_pipeline" in kwargs and kwargs.get("quantization_config") is None
        model.dtype_is_open = is_open and kwargs["dtype"] == "auto"  # the pipeline knows the device, and so the dtype
        model._freeze_backbones()
        model._remember_backbones()
        return (model, info) if output_loading_info else model

    @classmethod
    def _from_parts(cls, path, config, hub_options: dict, options: dict):
        """Backbones by themselves, so that quantisation reaches the language model alone; the rest from `path`."""
        given = [key for key, value in options.items() if value and not key.startswith("_")]
        what = "a thin checkpoint" if config.thin else "a checkpoint with quantization_config"
        refuse_unknown(given, {*BACKBONE_OPTIONS, *OTHER_OPTIONS}, f"from_pretrained of {what}")
        loaded = read_weights(weight_files(path, options.get("variant"), hub_options))
        options = {key: options[key] for key in BACKBONE_OPTIONS if key in options}
        if config.thin:
            tower = load_tower(config.audio_model_id, config.audio_config.num_hidden_layers, options)
            _check_tower(path, config, tower)
            language_model = load_language_model(config.text_model_id, options)
            recorded = [field for field in _frozen_fields(config) if field in (config.backbone_sources or {})]
            hashes = _hashes(config, tower, language_model, options, recorded)
            check_loaded(path, config, hashes, {key: options[key] for key in HUB_OPTIONS if key in options})
        else:
            if options["dtype"] == "auto":  # that of the whole, not that which a part once had
                options["dtype"] = config.dtype or "auto"
            check_fit(f"checkpoint {path}", loaded, _wanted(cls, config), "save it anew from its model")
            parts = [_take(loaded, prefix) for prefix in (TOWER, LANGUAGE_MODEL)]
            tower_options = {key: value for key, value in options.items() if key != "quantization_config"}
            tower = load_from_state(config.audio_config, config.tower.model_class, parts[0], tower_options)
            text_class = model_class_of(AutoModelForCausalLM, config.text_config)
            language_model = load_from_state(config.text_config, text_class, parts[1], options)
        model = cls(config, tower, language_model)
        if config.thin:
            model.known_sources = _by_id(config, deepcopy(config.backbone_sources or {}))
        own = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if model._is_read(name)}
        held = {id(own[name]) for name in loaded if name in own}  # tied tensors are held once
        _check_keys(path, {name for name in own if id(own[name]) not in held}, set(loaded) - set(own))
        dtype = options["dtype"] if isinstance(options["dtype"], torch.dtype) else None
        for name, tensor in loaded.items():
            if own[name].shape != tensor.shape:
                raise ValueError(
                    f"{path}: {name} has shape {tuple(tensor.shape)}, the config wants {tuple(own[name].shape)}"
                )
            is_real = tensor.is_floating_point()
            own[name].data = tensor.to(language_model.device, dtype if is_real else None, copy=True)
        model.config.dtype = model.dtype
        with suppress(OSError):  # a checkpoint may come without
            model.generation_config = GenerationConfig.from_pretrained(path, **hub_options)
        return model.eval()

    def _is_read(self, name: str) -> bool:
        """Whether a tensor is read from the checkpoint itself, not with a backbone."""
        if self.config.thin:
            return self._is_trained(name)
        return name.endswith(LORA_NAMES) or not name.startswith((TOWER, LANGUAGE_MODEL))

    def _is_trained(self, name: str) -> bool:
        """Whether a tensor is part of a thin checkpoint: streams, heads, LoRA, and a backbone that was not frozen."""
        frozen = [TOWER] if self.config.freeze_audio_tower else []
        frozen += [LANGUAGE_MODEL] if self.config.freeze_language_model else []
        return name.endswith(LORA_NAMES) or not name.startswith(tuple(frozen))

    # ------------------------------------------------------------------ saving

    def save_pretrained(self, save_directory, thin: bool = False, dtype: torch.dtype | str | None = None, **kwargs):
        """Save weights, config and the code that loads them; in the dtype that the weights have, unless one is given.

        Files are written beside and moved to their place when they are whole. Adapters of PEFT that lie on the model
        are no part of it: each goes to `adapters/NAME`, from where `load_adapter` takes it.

        Args:
            thin: save what was trained only; the backbones are then read from the config's ids, and held against the
                hashes that are recorded here (`XSERConfig.backbone_sources`).
            dtype: of the file of a thin save, such as "bfloat16", which halves it; the model keeps its own.
            kwargs: as those of transformers.

        Raises:
            ValueError: the model is not what its config says, is quantised (unless `thin`), or has adapters merged;
                `dtype` is given for a full save, or holds not every number.
            OSError: a thin save has to read a backbone to know its hash, and does not find it.
        """
        refuse_unknown(kwargs, SAVING_OPTIONS, f"{type(self).__name__}.save_pretrained")
        if Path(save_directory).is_file():
            raise ValueError(f"{save_directory} is a file; give a folder to save to")
        if not thin and getattr(self.language_model, "hf_quantizer", None) is not None:
            raise ValueError(
                "the language model is quantised, and a full checkpoint would hold its packed weights: save with "
                "thin=True, or load the model without quantization_config and save that"
            )
        if dtype is not None and not thin:
            raise ValueError(
                f"dtype is {dtype}, but thin is false: a full save has the dtype of the model, model.to(…)"
            )
        config, has_adapters = self.config, getattr(self, "_hf_peft_config_loaded", False)
        config.auto_map = dict(AUTO_MAP)
        config.custom_pipelines = {task: dict(spec) for task, spec in CUSTOM_PIPELINES.items()}
        state, was = own_state(self, kwargs.pop("state_dict", None)), (config.thin, config.backbone_sources)
        self._forget_ids(state, thin)
        whole, wanted = state, _wanted(type(self), config)
        if thin:
            state, wanted = ({name: each[name] for name in each if self._is_trained(name)} for each in (state, wanted))
        check_fit("the model", state, wanted, "bring config and model together (LoRA is merged by merge_lora)")
        if dtype is not None:
            state = in_dtype(state, dtype)
        if kwargs.get("push_to_hub"):
            kwargs.setdefault("repo_id", Path(save_directory).name)
        try:
            config.thin = thin
            if thin:
                config._check_values()
                config.backbone_sources = self._backbone_sources(whole) or None
            self._hf_peft_config_loaded = False  # else transformers would save the adapters in place of the model
            with put_in_place(save_directory) as beside:
                super().save_pretrained(beside, state_dict=state, **kwargs)
                if kwargs.get("is_main_process", True):
                    save_adapters(self, beside)
        finally:
            (config.thin, config.backbone_sources), self._hf_peft_config_loaded = was, has_adapters

    def _remember_backbones(self):
        """Note what the frozen backbones are, which lie at the config's ids."""
        frozen = {name: tensor for name, tensor in own_state(self).items() if not self._is_trained(name)}
        self.backbone_samples = {
            field: samples({name: tensor for name, tensor in frozen.items() if name.startswith(prefix)})
            for field, prefix in PREFIXES.items()
        }

    def _forget_ids(self, state: dict, thin: bool):
        """Drop the ids of backbones whose weights are no longer those at it; a thin save, which needs them, fails."""
        for field, before in getattr(self, "backbone_samples", {}).items():
            place = getattr(self.config, field)
            if place is None or not have_changed(before, state):
                continue
            if thin:
                raise ValueError(
                    f"frozen weights are no longer those of {field} {place} (was an adapter merged into them?), and a "
                    "thin checkpoint would not hold them: save in full"
                )
            self._forget(field)

    def _forget(self, field: str):
        setattr(self.config, field, None)
        known = {key: sources for key, sources in (self.config.backbone_sources or {}).items() if key != field}
        self.config.backbone_sources = known or None

    def _backbone_sources(self, state: dict) -> dict[str, list[dict]]:
        """What a thin save records; a backbone that came from elsewhere than its id is read from there for it.

        Raises:
            ValueError: what lies there is not what the model holds.
            OSError: nothing lies there.
        """
        config, known, fields = self.config, getattr(self, "known_sources", {}), _frozen_fields(self.config)
        for field in [field for field in fields if (field, getattr(config, field)) not in known]:
            plain = {"dtype": torch.float32, "device_map": "cpu"}
            if field == "audio_model_id":
                backbone = load_tower(config.audio_model_id, config.audio_config.num_hidden_layers, plain)
            else:
                backbone = load_language_model(config.text_model_id, plain)
            prefix = PREFIXES[field]
            there = {f"{prefix}{name}": tensor for name, tensor in backbone.state_dict().items()}
            if have_changed(samples({name: state[name] for name in there if name in state}), there):
                raise ValueError(
                    f"the weights at {field} {getattr(config, field)} are not those of this model, and a thin "
                    "checkpoint would not hold them: save in full"
                )
            known = {**known, **_by_id(config, _sources(config, {field: weights_sha256(backbone.state_dict())}))}
        self.known_sources = known
        recorded = {field: known[field, getattr(config, field)] for field in fields}
        given = config.backbone_sources or {}  # which the user may have added to
        return {
            field: [*sources, *(source for source in given.get(field, ()) if source not in sources)]
            for field, sources in recorded.items()
        }

    def merge_lora(self):
        """Add LoRA to the language model's weights for good, in place; the answers are the same but for rounding.

        The config then has no LoRA and no `text_model_id`, for the language model is no longer the one of that id: it
        is saved in full.

        Raises:
            ValueError: there is no LoRA, or the language model is quantised.
        """
        if self.config.lora is None:
            raise ValueError("XSERConfig.lora is null: this model has no LoRA to merge")
        merge_lora(self.language_model)
        self.config.lora = None
        self._forget("text_model_id")
        self._freeze_backbones()
        return self


def _take(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of a backbone, without the prefix, taken out of `state`."""
    names = [name for name in state if name.startswith(prefix) and not name.endswith(LORA_NAMES)]
    return {name.removeprefix(prefix): state.pop(name) for name in names}


def _frozen_fields(config: XSERConfig) -> list[str]:
    """Where the ids stand of the backbones that a thin checkpoint does not hold."""
    frozen = {"audio_model_id": config.freeze_audio_tower, "text_model_id": config.freeze_language_model}
    return [field for field, is_frozen in frozen.items() if is_frozen]


def _hashes(config: XSERConfig, tower, language_model, options: dict, fields: list[str] | None = None) -> dict:
    """Field -> hash of the backbone that was loaded from its id, before LoRA is on it; the frozen ones by default."""
    hashes = {}
    for field in _frozen_fields(config) if fields is None else fields:
        if field == "audio_model_id":
            layers = config.audio_config.num_hidden_layers
            hashes[field] = tower_sha256(tower, config.audio_model_id, layers, options)
        else:
            hashes[field] = language_model_sha256(language_model, config.text_model_id, options)
    return hashes


def _sources(config: XSERConfig, hashes: dict[str, str]) -> dict[str, list[dict]]:
    given = config.backbone_sources or {}
    return {field: sources_of(getattr(config, field), sha256, given.get(field)) for field, sha256 in hashes.items()}


def _by_id(config: XSERConfig, sources: dict[str, list[dict]]) -> dict[tuple[str, str], list[dict]]:
    """Sources by field and id: who sets another id in the config means another place."""
    return {(field, getattr(config, field)): each for field, each in sources.items()}


def _wanted(model_class: type, config: XSERConfig) -> dict[str, torch.Tensor]:
    """Every tensor of a model that its config describes, without numbers."""
    with torch.device("meta"):
        return model_class(deepcopy(config)).state_dict(keep_vars=True)


def check_fit(what: str, state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], remedy: str) -> None:
    """Refuse tensors that are missing, too many, or of other shapes than the config wants."""
    held = {id(wanted[name]) for name in state if name in wanted}
    lacking = [name for name, tensor in wanted.items() if name not in state and id(tensor) not in held]
    beyond = [name for name in state if name not in wanted]
    others = [name for name in state if name in wanted and state[name].shape != wanted[name].shape]
    shapes = [f"{name} is {tuple(state[name].shape)} and not {tuple(wanted[name].shape)}" for name in others]
    for kind, names in (
        ("lacks weights that its config wants", lacking),
        ("holds weights that its config has no place for", beyond),
        ("holds weights of other shapes than its config wants", shapes),
    ):
        if names:
            raise ValueError(f"{what} {kind}: {named(names)}; {remedy}")


def _check_tower(path, config: XSERConfig, tower) -> None:
    wanted = config.audio_config
    for name in ("model_type", *config.tower.same_fields):
        found = getattr(tower.config, name)
        if _plain(found) != _plain(getattr(wanted, name)):
            raise ValueError(
                f"the audio tower {config.audio_model_id} has {name} {found}, the "
                f"checkpoint {path} was made with {getattr(wanted, name)}: it needs the tower it was trained on"
            )


def _plain(value: object) -> object:
    return list(value) if isinstance(value, (list, tuple)) else value


def _check_keys(path, missing, unexpected) -> None:
    for kind, keys in (("lacks weights", missing), ("holds weights that its config has no place for", unexpected)):
        if keys:
            raise ValueError(f"checkpoint {path} {kind}: {named(keys)}; save it anew from its model")


__all__ = ["AUTO_MAP", "CUSTOM_PIPELINES", "XSERCheckpointMixin", "check_fit"]
