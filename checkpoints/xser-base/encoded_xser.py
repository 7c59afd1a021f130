"""A recording as the frozen parts of a model make it: encoded and measured once, for any number of answers.

    recordings = model.encode(["a.wav", "b.wav"], processor)
    model.explain(recordings, processor)
    model.explain(recordings, processor, reference=["a1.wav", "a2.wav", "a3.wav"])

Shapes: S samples, T frames, L layers of the tower (L+1 with its input; `used_layers`), H its width, M measures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from .agreement_xser import matching_processor
from .audio_xser import SAMPLE_RATE, audio_name, loudness_dbfs
from .checks_xser import check_batch_size
from .eval_mode_xser import in_eval_mode
from .prosody_xser import Prosody, measure
from .references_xser import several
from .voice_frames_xser import PROSODY, prosody_frames
from .voice_measures_xser import SIZES, voice_measures


@dataclass(frozen=True, eq=False)
class EncodedAudio:
    """One recording; what is measured of it is measured when it is first asked for.

    Attributes:
        name: what messages call it.
        wave: (S,) float32 at 16 kHz.
        status: `ok`, `no_speech` or `too_short`.
        states: (T, L+1, H) float32, the hidden states that the streams mix; `None` until it is encoded, and where the
            status is not `ok`.
        last_state: (T', H) the tower's last state before it is cut to the recording's length, where it was asked for.
    """

    name: str
    wave: np.ndarray = field(repr=False)
    status: str
    states: np.ndarray | None = field(default=None, repr=False)
    last_state: torch.Tensor | None = field(default=None, repr=False)

    @cached_property
    def loudness(self) -> float:
        """dBFS of the wave."""
        return loudness_dbfs(self.wave)

    @cached_property
    def prosody(self) -> Prosody:
        return measure(self.wave)

    @cached_property
    def frames(self) -> np.ndarray:
        """(T, 5) of `prosody_frames`."""
        return prosody_frames(self.prosody)

    @cached_property
    def measures(self) -> np.ndarray:
        """(M,) of `voice_measures`."""
        return voice_measures(self.prosody, self.wave)

    @cached_property
    def first_measures(self) -> np.ndarray:
        """(M,) of `voice_measures`, of which the first alone are measured, which cost far less."""
        return voice_measures(self.prosody, None)

    def features(self, stream: str, size: int) -> np.ndarray:
        """(T, D) of a stream that the processor measures, of `size` D."""
        if stream == PROSODY:
            return self.frames
        row = self.measures if size > SIZES[0] else self.first_measures
        return row[None, :size]


def listed(audio) -> list:
    """The recordings of a list, as they are given; `ValueError` where there is none."""
    sources = several(audio)
    if sources is None:
        raise ValueError(f"audio is {type(audio).__name__}, one recording or none: give a list of recordings")
    return sources


def name_of(source) -> str:
    """What messages call a recording."""
    return source.name if is_encoded(source) else audio_name(source)


def load(processor, source) -> EncodedAudio:
    """A recording with its status, not encoded yet; one that is encoded already stays as it is.

    Raises:
        AudioError: it cannot be read, or is longer than the model's limit; it is named.
    """
    if is_encoded(source):
        return source
    wave = processor.load(source)
    return EncodedAudio(audio_name(source), wave, processor.status(wave, source))


def is_encoded(source) -> bool:
    # by name: a class may have been loaded twice, from the package and from a model's folder
    return type(source).__name__ == EncodedAudio.__name__


@torch.no_grad()
def encode(model, processor, audio: Sequence, batch_size: int = 8) -> list[EncodedAudio]:
    """Encode recordings, for `explain` to answer from; see `EncodedAudio`.

    Args:
        audio: a list of recordings in any form that `audio_xser.load_audio` takes.
        processor: the model's.
        batch_size: recordings a pass; it does not change what comes out.

    Raises:
        AudioError: as `explain`.
        ValueError: `audio` is no list, `batch_size` is below 1, or the processor is of another model.
    """
    processor, evaluated = matching_processor(processor, model.config), in_eval_mode(model)
    batch_size, recordings = check_batch_size(batch_size), [load(processor, source) for source in listed(audio)]
    spoken = [index for index, each in enumerate(recordings) if each.status == "ok"]
    for start in range(0, len(spoken), batch_size):
        rows = spoken[start : start + batch_size]
        for index, encoded in zip(rows, with_states(evaluated, processor, [recordings[i] for i in rows]), strict=True):
            recordings[index] = encoded
    return recordings


def with_states(model, processor, recordings: Sequence[EncodedAudio], last_states: list | None = None) -> list:
    """A batch of recordings, each with the tower's states; those that have them are not encoded again.

    Args:
        last_states: a list to which a hook adds the tower's last states of each pass (`record_states`); `None` where
            nobody wants them.

    Raises:
        ValueError: one was encoded by a tower of another shape.
    """
    shape = (len(model.config.used_layers), model.config.audio_config.hidden_size)
    for each in recordings:
        if each.states is not None and each.states.shape[1:] != shape:
            raise ValueError(
                f"{each.name} was encoded to (layers, width) {each.states.shape[1:]}, and this model's tower has "
                f"{shape}: encode it with this model"
            )
    recordings = list(recordings)
    missing = [index for index, each in enumerate(recordings) if each.states is None]
    if not missing:
        return recordings
    inputs = processor([(recordings[index].wave, SAMPLE_RATE) for index in missing], task="asr").to(model.device)
    hidden_states, frame_mask = model.model.encode_audio(inputs["input_values"], inputs["input_values_mask"])
    states = torch.stack(hidden_states, 2).float().cpu().numpy()
    last = [None] * len(missing) if last_states is None else last_states.pop()
    for row, (index, length) in enumerate(zip(missing, frame_mask.sum(-1).tolist(), strict=True)):
        recordings[index] = replace(recordings[index], states=states[row, :length], last_state=last[row])
    return recordings


__all__ = ["EncodedAudio", "encode", "listed", "load", "name_of", "with_states"]
