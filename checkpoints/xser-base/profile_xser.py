"""A speaker's profile: what is usual for a voice, from a few recordings without any label.

The descriptor stream and the measured prosody are then heard relative to it, and `verify` judges by it. A profile is a
small file (`save`, `load`), a matter of a model: another audio tower has other states.

Shapes: L layers of the tower (L+1 with its input), H tower width, T frames.
"""

import json
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .agreement_xser import matching_processor
from .audio_xser import SAMPLE_RATE, audio_name, list_recordings, sampling_rate_of
from .calibration_xser import Calibration, Reference
from .eval_mode_xser import in_eval_mode
from .prosody_xser import measure
from .voice_frames_xser import prosody_frames, usual_of
from .voice_measures_xser import usual_measures, voice_measures

MIN_RECORDINGS = 3
MIN_DEVIATION = 1e-3
FAR_STATES = 0.56  # deviations; how rare that is: benchmarks/reference_warning.py
FAR_PITCH = 14.0  # semitones: more than moods move a voice by
FORMAT = "xser-speaker-profile"
ARRAYS = ("mean", "deviation", "measures")


@dataclass(frozen=True)
class RecordingStates:
    """What a profile takes from one recording."""

    mean: np.ndarray  # (L+1, H) of the tower's states over time
    square: np.ndarray  # (L+1, H) mean of their squares
    pitch: float | None  # median F0, semitones re 1 Hz
    level: float | None  # RMS over speech, dBFS
    measures: np.ndarray  # (M,) of `voice_measures`
    seconds: float

    @classmethod
    def of(cls, states: np.ndarray, frames: np.ndarray, measures: np.ndarray, seconds: float) -> "RecordingStates":
        """From all layers' states, (T, L+1, H), and what was measured, `prosody_frames` and `voice_measures`."""
        mean, square = states.mean(0, dtype=np.float32), np.square(states, dtype=np.float32).mean(0)
        return cls(mean, square, *usual_of(frames), measures, seconds)


@dataclass(frozen=True, eq=False)
class SpeakerProfile:
    """What is usual for a speaker.

    Attributes:
        mean, deviation: (L+1, H) float32, of each layer's states over all frames.
        pitch, level: medians over recordings of F0 in semitones re 1 Hz and RMS over speech in dBFS, if measured.
        measures: (2, M) float32 mean (or median) and deviation over recordings of `voice_measures`, NaN where not
            measured.
        num_recordings, seconds: what it was made of.
        usual: what is usual in the quantities that levels are made of, for `verify`, if enough was measured.
        is_speaker: off where it stands for another voice than the recording's (training alone makes such).
    """

    mean: np.ndarray
    deviation: np.ndarray
    pitch: float | None
    level: float | None
    measures: np.ndarray
    num_recordings: int
    seconds: float
    usual: Reference | None = None
    is_speaker: bool = True

    @classmethod
    def of(
        cls, recordings: Sequence[RecordingStates], usual: Reference | None = None, speaker_std: bool = True
    ) -> "SpeakerProfile":
        """From recordings of one speaker; each counts alike, however long.

        Args:
            speaker_std: as in `XSERConfig`; without it measures are around their median.

        Raises:
            ValueError: there are fewer than three.
        """
        if len(recordings) < MIN_RECORDINGS:
            raise ValueError(
                f"a speaker's reference needs at least {MIN_RECORDINGS} recordings; {len(recordings)} were given"
            )
        mean = np.mean([recording.mean for recording in recordings], 0)
        square = np.mean([recording.square for recording in recordings], 0)
        deviation = np.sqrt(np.maximum(square - mean**2, MIN_DEVIATION**2))
        pitches = [recording.pitch for recording in recordings if recording.pitch is not None]
        levels = [recording.level for recording in recordings if recording.level is not None]
        return cls(
            mean.astype(np.float32),
            deviation.astype(np.float32),
            median(pitches) if pitches else None,
            median(levels) if levels else None,
            usual_measures(np.stack([recording.measures for recording in recordings]), around_median=not speaker_std),
            len(recordings),
            sum(recording.seconds for recording in recordings),
            usual,
        )

    @classmethod
    def of_everyone(cls, speakers: Sequence["SpeakerProfile"]) -> "SpeakerProfile":
        """Of speakers that count alike: what stands in where no reference is given."""
        pitches = [speaker.pitch for speaker in speakers if speaker.pitch is not None]
        levels = [speaker.level for speaker in speakers if speaker.level is not None]
        return cls(
            np.mean([speaker.mean for speaker in speakers], 0),
            np.mean([speaker.deviation for speaker in speakers], 0),
            fmean(pitches) if pitches else None,
            fmean(levels) if levels else None,
            usual_measures(np.stack([speaker.measures.ravel() for speaker in speakers]))[0].reshape(2, -1),
            sum(speaker.num_recordings for speaker in speakers),
            sum(speaker.seconds for speaker in speakers),
        )

    @property
    def states(self) -> np.ndarray:
        """(2, L+1, H) mean and deviation, as the model takes them."""
        return np.stack([self.mean, self.deviation])

    def warning(self, distance: float, pitch: float | None) -> str | None:
        """What to say where a recording is plainly not of this speaker, or `None`.

        Args:
            distance: of the recording's states, `StreamOutput.distance`.
            pitch: of the recording, semitones re 1 Hz.
        """
        if pitch is not None and self.pitch is not None and abs(pitch - self.pitch) > FAR_PITCH:
            return (
                f"the reference may be of another person: its pitch is {2 ** (self.pitch / 12):.0f} Hz, that of the "
                f"recording {2 ** (pitch / 12):.0f} Hz"
            )
        if distance > FAR_STATES:
            return (
                f"the reference may be of another person or another microphone: the recording lies {distance:.2f} "
                f"deviations from it, and {FAR_STATES} is rare for the same voice"
            )
        return None

    def save(self, path: str | os.PathLike) -> None:
        """Write a .safetensors file, beside and then in place."""
        path = Path(path)
        arrays = {name: getattr(self, name) for name in ARRAYS}
        about = {key: value for key, value in asdict(self).items() if key not in ARRAYS}
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            save_file(arrays, beside, {"format": FORMAT, "about": json.dumps(about)})
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "SpeakerProfile":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds no profile.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"speaker profile {path} does not exist")
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ValueError(f"{path} is no speaker profile: save one by SpeakerProfile.save")
                about = json.loads(metadata["about"])
                about["usual"] = Reference(**about["usual"]) if about["usual"] else None
                return cls(**{name: file.get_tensor(name) for name in ARRAYS}, **about)
        except SafetensorError as error:
            raise ValueError(f"{path} is no speaker profile: {error}") from error


@torch.no_grad()
def make_profile(model, processor, recordings: Iterable) -> SpeakerProfile:
    """The profile of a speaker from a few recordings, without any label.

    They should be of the speaker's ordinary voice, or of all their moods: what is usual in them counts as normal.

    Args:
        recordings: three or more, as `load_audio` takes them.

    Raises:
        AudioError: a recording cannot be read.
        ValueError: there are too few; one is silent, too short, or of less than 16 kHz, and named; or the processor is
            another model's.
    """
    processor = matching_processor(processor, model.config)
    waves = [_reference_wave(processor, recording) for recording in list_recordings(recordings)]
    prosodies = [measure(wave) for wave in waves]
    states, model = [], in_eval_mode(model)
    for wave, prosody in zip(waves, prosodies, strict=True):
        inputs = processor([(wave, SAMPLE_RATE)], task="asr").to(model.device)
        heard = model.model.all_states(inputs["input_values"], inputs["input_values_mask"])
        measured = prosody_frames(prosody), voice_measures(prosody, wave)
        states.append(RecordingStates.of(heard.numpy(), *measured, prosody.duration))
    calibration = Calibration.default()
    if processor.calibration is not None:
        calibration = Calibration.from_dict(processor.calibration)
    try:
        usual = calibration.reference_of(prosodies)
    except ValueError:  # too little was measured to judge levels by; the states are known all the same
        usual = None
    return SpeakerProfile.of(states, usual, processor.speaker_std)


def _reference_wave(processor, recording) -> np.ndarray:
    name = audio_name(recording)
    rate = sampling_rate_of(recording)
    wave = processor.load(recording)
    if rate is not None and rate < SAMPLE_RATE:
        raise ValueError(
            f"reference {name} has {rate} Hz, which lacks what a voice has above {rate // 2} Hz: give recordings of "
            f"{SAMPLE_RATE} Hz or more"
        )
    status = processor.status(wave, recording)
    if status != "ok":
        reason = (
            "is silent or holds no speech"
            if status == "no_speech"
            else f"lasts {len(wave) / SAMPLE_RATE:.2f} s, which is too short"
        )
        raise ValueError(f"reference {name} {reason}: give recordings of the speaker that hold speech")
    return wave


__all__ = ["RecordingStates", "SpeakerProfile", "make_profile"]
