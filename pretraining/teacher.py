"""A pretrained tower that targets are from: of any kind that XSER knows, by its folder or its id on the Hub."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoConfig, AutoFeatureExtractor, PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from xser.audio_tower_xser import AudioTower, audio_tower
from xser.audio_xser import SAMPLE_RATE
from xser.backbone_places_xser import place_of
from xser.backbones_xser import load_tower
from xser.pretraining.frames import FrameGrid
from xser.weights_xser import weight_files

READ_ERRORS = (OSError, ValueError)  # of transformers where a folder or id cannot be read
TORCH_WEIGHTS = "pytorch_model.bin"  # of checkpoints from before safetensors
NO_SETTINGS = ("_name_or_path", "transformers_version")  # of a config, that change no state


@dataclass(frozen=True)
class Teacher:
    """What is known of a tower before its weights are read.

    Args:
        id_or_path: folder or id, as it was given; see `backbone_places_xser` for where an id is looked for.
        config: of the tower, or of the model that holds it.
        kind: what it has in common with its family.
        do_normalize: whether it reads recordings of zero mean and unit variance.
    """

    id_or_path: str
    config: PreTrainedConfig
    kind: AudioTower
    do_normalize: bool

    @classmethod
    def read(cls, id_or_path: str | Path) -> "Teacher":
        """Config and feature extractor of a folder or id.

        Raises:
            ValueError: one of them cannot be read, it is no audio tower, or one of another sampling rate.
        """
        folder = Path(id_or_path).expanduser()
        place = str(folder if folder.is_dir() else id_or_path)
        config = _read(AutoConfig, place)
        kind = audio_tower(config, name=f"the config of the teacher {id_or_path}")
        extractor = _read(AutoFeatureExtractor, place)
        if extractor.sampling_rate != SAMPLE_RATE:
            raise ValueError(
                f"the teacher {id_or_path} reads {extractor.sampling_rate} samples a second, by its feature "
                f"extractor; it must be {SAMPLE_RATE}"
            )
        kind.check_extractor(extractor)
        return cls(place, config, kind, bool(getattr(extractor, "do_normalize", False)))

    @property
    def name(self) -> str:
        """Its id, or the name of its folder: never where that lies."""
        return tower_name(self.id_or_path)

    def check(self, layers: Sequence[int], grid: FrameGrid, shortest: int, longest: int) -> None:
        """Whether it can teach a tower of this grid by these layers, over pieces of so many samples.

        Raises:
            ValueError: it has no such layer, its frame rate does not fit, or pieces are too short or too long for it.
        """
        there = self.config.num_hidden_layers
        for layer in layers:
            if layer > there:
                raise ValueError(f"targets are from layer {layer} of {self.id_or_path}, which has layers 0 to {there}")
        frames, limit = self.kind.frames, self.kind.max_samples
        grid.check_aligns(frames, self.id_or_path)
        if min(frames.num_frames(shortest), grid.num_frames(shortest)) < 1:
            raise ValueError(
                f"targets are from {self.id_or_path}, but it, or the tower in training, has no frame in the shortest "
                f"pieces, of {shortest / SAMPLE_RATE:g} s: raise min_seconds"
            )
        if limit is not None and longest > limit:
            raise ValueError(
                f"targets are from {self.id_or_path}, which reads {limit / SAMPLE_RATE:g} s at most, but pieces last "
                f"up to {longest / SAMPLE_RATE:g} s (max_seconds, over the slowest of speeds): lower max_seconds"
            )

    def load(self, highest: int, device: torch.device) -> PreTrainedModel:
        """The tower in float32, without the layers above the one after `highest`.

        That one is loaded, too, where there is one: in some families what leaves a tower is normalised, so the states
        that leave the last layer of a shortened tower are not those of the whole one.

        Raises:
            ValueError: it lacks weights.
        """
        num_layers = min(max(highest, 0) + 1, self.config.num_hidden_layers)
        tower = load_tower(self.id_or_path, num_layers, {"dtype": torch.float32}).eval().requires_grad_(False)
        self.kind.prepare(tower)
        return tower.to(device)

    @cached_property
    def weights(self) -> dict[str, str]:
        """File → sha256 of what holds its weights.

        Raises:
            ValueError: it holds none.
        """
        return {Path(file).name: _sha256(file) for file in self._files()}

    def _files(self) -> list[str]:
        try:
            return weight_files(place_of(self.id_or_path), None, {})
        except ValueError:
            old = cached_file(place_of(self.id_or_path), TORCH_WEIGHTS, _raise_exceptions_for_missing_entries=False)
            if old is None:
                raise
            return [old]

    def stamp(self) -> list:
        """JSON-able; other weights, options or input, another stamp. Where it lies makes no difference."""
        settings = {key: value for key, value in self.config.to_diff_dict().items() if key not in NO_SETTINGS}
        return [self.weights, settings, self.do_normalize]


def tower_name(id_or_path: str | Path) -> str:
    """What a record calls a tower: the name of its folder, or its id."""
    folder = Path(id_or_path).expanduser()
    return folder.resolve().name if folder.is_dir() or folder.is_absolute() else str(id_or_path)


def _read(auto_class: type, place: str):
    """`from_pretrained`, its errors in one line."""
    try:
        return auto_class.from_pretrained(place_of(place), trust_remote_code=False)
    except READ_ERRORS as error:
        raise ValueError(
            f"the teacher {place} cannot be read: give a folder, or an id of the Hub, with config.json and "
            f"preprocessor_config.json of a pretrained audio tower ({str(error).splitlines()[0]})"
        ) from error


def _sha256(file: str) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
