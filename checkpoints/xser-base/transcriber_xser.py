"""Words by another recogniser: what `explain(transcriber=…)` takes, as one thing that makes texts of waves.

    transcriber = load_transcriber(model, "openai/whisper-large-v3", {"language": "en"})
    transcribe_each(transcriber, waves, None, check)    # a `Transcription` of each

A transcriber gets a batch at once. Where it fails on that, it gets each recording by itself, so that one costs no
others.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn
from transformers import Pipeline, pipeline

from .audio_xser import SAMPLE_RATE
from .backbone_places_xser import place_of
from .checks_xser import is_list
from .generation_options_xser import check_generation
from .tower_transcriber_xser import TOWER, TowerTranscriber, load_tower_transcriber

TASK = "automatic-speech-recognition"
FORMS = f"{TOWER!r}, the id or folder of a recogniser, a pipeline of task {TASK}, or a function from waves to texts"
BY_MODEL, GIVEN = "model", "given"  # sources of a transcript


class TranscriberError(ValueError):
    """A transcriber fails on a recording."""


@dataclass(frozen=True)
class Transcription:
    """Words of one recording, and whose they are.

    Attributes:
        text: `None` where the model is to write its own, or none is wanted.
        source: `given` by the user, by the `model`, or `transcriber NAME`; `None` where none is wanted.
        error: why there is no text, where a transcriber has failed.
    """

    text: str | None = None
    source: str | None = None
    error: str | None = None


class Transcriber(Protocol):
    """What makes texts of waves.

    Attributes:
        name: in messages and answers.
        reads_states: whether it takes states of the model's own tower.
    """

    name: str
    reads_states: bool

    def with_options(self, options: Mapping) -> "Transcriber":
        """The same with options of `generate`; `ValueError` where they are not right."""

    def transcribe(self, waves: Sequence[np.ndarray], states: torch.Tensor | None = None) -> list[str]:
        """A text of each of the mono waves at 16 kHz; `states` as `record_states` gives them."""


@dataclass(frozen=True)
class FunctionTranscriber:
    """Any function from a list of waves to a list of texts."""

    function: Callable[[list[np.ndarray]], list[str]]
    name: str
    reads_states: bool = False

    def with_options(self, options: Mapping) -> "FunctionTranscriber":
        if options:
            raise ValueError(
                f"transcriber_options are {dict(options)}, but transcriber {self.name} is a function, which takes "
                "waves alone: let it hold its own options"
            )
        return self

    def transcribe(self, waves: Sequence[np.ndarray], states: torch.Tensor | None = None) -> list[str]:
        return self.function([wave.copy() for wave in waves])  # copies: it may write on them


@dataclass(frozen=True)
class PipelineTranscriber:
    """An `automatic-speech-recognition` pipeline of transformers."""

    pipe: Pipeline
    name: str
    options: dict = field(default_factory=dict)
    reads_states: bool = False

    def with_options(self, options: Mapping) -> "PipelineTranscriber":
        if options and not (hasattr(self.pipe.model, "generate") and self.pipe.model.can_generate()):
            raise ValueError(
                f"transcriber_options are {dict(options)}, but transcriber {self.name} is a "
                f"{type(self.pipe.model).__name__}, which does not generate: leave them out"
            )
        return replace(self, options=check_generation(self.name, self.pipe.model, options) if options else {})

    def transcribe(self, waves: Sequence[np.ndarray], states: torch.Tensor | None = None) -> list[str]:
        recordings = [{"raw": wave, "sampling_rate": SAMPLE_RATE} for wave in waves]
        options = {"generate_kwargs": self.options} if self.options else {}
        return [found["text"] for found in self.pipe(recordings, batch_size=len(recordings), **options)]


LOADED = tuple(each.__name__ for each in (FunctionTranscriber, PipelineTranscriber, TowerTranscriber))


def load_transcriber(model, transcriber, options: Mapping | None = None) -> Transcriber:
    """A transcriber of any form, loaded.

    Args:
        model: the `XSERForEmotionDescription` whose answers the words are for: what is loaded goes to its device, in
            its dtype.
        transcriber: `"tower"` for the decoder of the model's own Whisper; the id or folder of a recogniser; a
            pipeline; a function; or what this function has returned before.
        options: of the recogniser's `generate`, such as `language` and `task`.

    Raises:
        ValueError: it is none of these, cannot be loaded, or an option is not right.
    """
    if isinstance(transcriber, str) and transcriber == TOWER:
        loaded = load_tower_transcriber(model)
    elif isinstance(transcriber, (str, os.PathLike)):
        loaded = _load_pipeline(model, os.fspath(transcriber))
    elif isinstance(transcriber, Pipeline):
        if transcriber.task != TASK:
            raise ValueError(f"transcriber is a pipeline of task {transcriber.task!r}; it must be {FORMS}")
        loaded = PipelineTranscriber(transcriber, _name(transcriber.model.name_or_path or type(transcriber.model)))
    elif type(transcriber).__name__ in LOADED:  # by name: a class may have been loaded twice, from a folder too
        return transcriber if options is None else transcriber.with_options(options)
    elif callable(transcriber) and not isinstance(transcriber, (type, nn.Module)):
        loaded = FunctionTranscriber(transcriber, getattr(transcriber, "__name__", type(transcriber).__name__))
    else:
        raise ValueError(f"transcriber is {_shown(transcriber)}; it must be {FORMS}")
    return loaded.with_options(options or {})


def asked_transcriber(transcriber, options: Mapping | None, transcript, load: Callable) -> Transcriber | None:
    """The transcriber of a call, loaded; `None` where none is asked for.

    Args:
        transcriber, options: as of `load_transcriber`.
        transcript: as of `explain`.
        load: (transcriber, options) -> loaded.

    Raises:
        ValueError: one of them contradicts another; or as `load_transcriber`.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"transcriber_options is {options!r}; it must be a dict, such as {{'language': 'en'}}")
    if transcriber is None:
        if options:
            raise ValueError(f"transcriber_options are {dict(options)} without a transcriber: give one, or leave them")
        return None
    if transcript is False:
        raise ValueError(
            f"transcriber is {_shown(transcriber)}, but transcript is False, which wants no words: leave one of them "
            "out"
        )
    return load(transcriber, options)


def transcribe_each(
    transcriber: Transcriber,
    waves: Sequence[np.ndarray],
    states: torch.Tensor | None,
    check: Callable[[str], None],
) -> list[Transcription]:
    """The words of each recording, or why there are none.

    Args:
        states: as `record_states` gives them, one row a recording, where the transcriber reads them.
        check: `ValueError` where an answer cannot hold a text.

    Raises:
        ValueError: the transcriber returns no list, or one of another length.
    """
    try:
        texts = transcriber.transcribe(waves, states)
    except Exception as error:  # whatever a foreign recogniser raises
        if len(waves) == 1:
            return [_failed(transcriber.name, f"failed: {type(error).__name__}: {error}")]
        parts = ((waves[i : i + 1], None if states is None else states[i : i + 1]) for i in range(len(waves)))
        return [each for part in parts for each in transcribe_each(transcriber, *part, check)]
    if not is_list(texts) or len(texts) != len(waves):
        given = f"{len(texts)} entries" if is_list(texts) else _shown(texts)
        raise ValueError(f"transcriber {transcriber.name} gave {given} for {len(waves)} recordings: it must give a "
                         "list with a string for each")  # fmt: skip
    return [_checked(transcriber.name, text, check) for text in texts]


def _checked(name: str, text: object, check: Callable[[str], None]) -> Transcription:
    if not isinstance(text, str):
        return _failed(name, f"gave {_shown(text)}, which is no string")
    try:
        check(text)
    except ValueError as error:
        return _failed(name, f"gave words that cannot be used: {error}")
    return Transcription(text.strip(), f"transcriber {name}")


def _failed(name: str, why: str) -> Transcription:
    return Transcription(source=f"transcriber {name}", error=f"transcriber {name} {why}")


def _load_pipeline(model, id_or_path: str) -> PipelineTranscriber:
    name = _name(id_or_path)
    try:
        loaded = pipeline(TASK, model=place_of(id_or_path), device=model.device, dtype=model.dtype)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"transcriber {name} cannot be loaded from {id_or_path}: {error}") from error
    return PipelineTranscriber(loaded, name)


def _name(source: str | type) -> str:
    """An id as it is, a folder by its name."""
    if isinstance(source, type):
        return source.__name__
    return Path(source).resolve().name if Path(source).is_dir() else source


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


__all__ = [
    "BY_MODEL", "GIVEN", "TranscriberError", "Transcription", "asked_transcriber", "load_transcriber",
    "transcribe_each",
]  # fmt: skip
