"""What is usual for the speakers of a data set, without their labels, and measured prosody, each computed once.

A training draws, for each recording, a profile of its speaker from some of their other recordings, or none, so that
the model learns to do with either. A recording played faster or slower is another voice, and has a profile of its own.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Lock

import numpy as np
import torch
from datasets import Dataset

from xser.audio_xser import SAMPLE_RATE, at_speed, load_audio, loudness_dbfs
from xser.calibration_xser import Calibration, Reference
from xser.corpora.kept import computed_once, computed_together, stamp
from xser.modeling_xser import XSERForEmotionDescription
from xser.processing_xser import XSERProcessor
from xser.profile_xser import MIN_DEVIATION, MIN_RECORDINGS, RecordingStates, SpeakerProfile
from xser.prosody_xser import Prosody, measure
from xser.training.reference_levels import prosody_of, scalars_of
from xser.voice_frames_xser import FRAME_SECONDS, PITCH, PROSODY, VOICED, prosody_frames
from xser.voice_measures_xser import MEASURES, NUM_MEASURES, voice_measures

UNKNOWN_MEASURES = np.full(NUM_MEASURES, np.nan, np.float32)  # where no stream hears them
HEARING = Lock()  # a tower with group norm is told the lengths of what it hears: one recording at a time
BEYOND = 0.3  # of the way from one speaker to another, that a swapped voice may lie outside of it
MIN_SHARE = 0.3  # of everyone's deviation, that a swapped voice has at least
MOST_RECORDINGS = 30  # of a profile that is drawn
# Of what is cached; other numbers where it changes
FRAMES_KIND, MEASURES_KIND, LEVELS_KIND = "prosody-1", "measures-6", "levels-1"


@dataclass
class Voices:
    """Recordings of a data set, as profiles and streams need them.

    Attributes:
        states: (id, speed) → what profiles take from it; empty where the model hears no reference.
        frames: id → (T, 5) of `prosody_frames`.
        measures: (id, speed) → (M,) of `voice_measures`.
        heard: (id, speed) → (T, L+1, H) float16 states of the tower, where training reads them instead of audio.
        loudness: id → dBFS, of these.
        speaker_std: as in `XSERConfig`.
        calibration: of levels that are measured relative to the profile of a recording; `None` where they are not.
        prosodies: (id, speed) → measurements that such levels are made of.
        of_speaker: speaker → ids.
        stamps: id → which recording it stands for.
    """

    states: dict[tuple[str, float], RecordingStates] = field(default_factory=dict)
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    measures: dict[tuple[str, float], np.ndarray] = field(default_factory=dict)
    heard: dict[tuple[str, float], np.ndarray] = field(default_factory=dict)
    loudness: dict[str, float] = field(default_factory=dict)
    speaker_std: bool = True
    calibration: Calibration | None = None
    prosodies: dict[tuple[str, float], Prosody] = field(default_factory=dict)
    of_speaker: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    stamps: dict[str, str] = field(default_factory=dict)

    def hear(
        self,
        model: XSERForEmotionDescription,
        processor: XSERProcessor,
        rows: Dataset,
        speeds: Sequence[float] = (1.0,),
        keep_states: bool = False,
    ) -> "Voices":
        """Measure recordings, and hear them at each speed with the tower, as far as the model needs it; gives itself.

        Args:
            keep_states: fill in `heard` and `loudness`, too.
        """
        is_relative, streams = processor.speaker_reference, {PROSODY, MEASURES} & set(processor.aux_streams)
        if not is_relative and not keep_states and not streams:
            return self
        self.speaker_std = processor.speaker_std
        self._refuse_other_recordings(rows)
        if MEASURES in streams and (is_relative or PROSODY in streams):  # both of one measurement
            kinds = FRAMES_KIND, f"{MEASURES_KIND}-1"
            computed_together(kinds, rows, _frames_and_measures, "measuring voices", in_processes=True)
        if is_relative or PROSODY in streams:
            frames = computed_once(FRAMES_KIND, rows, _measured_frames, "measuring voices", in_processes=True)
            self.frames |= dict(zip(rows["id"], frames, strict=True))
        if keep_states:
            loudness = computed_once("loudness-1", rows, _loudness, "measuring loudness")
            self.loudness |= {identity: float(each[0, 0]) for identity, each in zip(rows["id"], loudness, strict=True)}
        for identity, speaker in zip(rows["id"], rows["speaker"], strict=True):
            if speaker is not None and identity not in self.of_speaker[speaker]:
                self.of_speaker[speaker].append(identity)
        at_speeds = list(dict.fromkeys((1.0, *speeds)))  # what is usual is so at their own speed
        for speed in at_speeds if MEASURES in streams else ():
            kind, function = f"{MEASURES_KIND}-{speed:g}", partial(_measures, speed)
            measures = computed_once(kind, rows, function, f"measuring at speed {speed:g}", in_processes=True)
            self.measures |= {(identity, speed): each[0] for identity, each in zip(rows["id"], measures, strict=True)}
        for speed in at_speeds if is_relative and self.calibration is not None else ():
            self._measure_levels(rows, speed, by_text=processor.schema.transcript)
        heard_at = at_speeds if is_relative else speeds if keep_states else ()
        for speed in heard_at:
            states = self.hear_states(model, processor, rows, speed)
            for identity, each in zip(rows["id"], states, strict=True):
                if is_relative:
                    frames = self.frames_of(identity, speed)
                    measures = self.measures.get((identity, speed), UNKNOWN_MEASURES)
                    seconds = len(frames) * FRAME_SECONDS
                    self.states[identity, speed] = RecordingStates.of(each, frames, measures, seconds)
                if keep_states and speed in speeds:
                    self.heard[identity, speed] = each
        return self

    def _measure_levels(self, rows: Dataset, speed: float, by_text: bool) -> None:
        """Fill in `prosodies`; speaking rates are those of transcripts where answers, too, hold one to verify by."""
        kind, function = f"{LEVELS_KIND}-{speed:g}", partial(_level_scalars, speed)
        scalars = computed_once(kind, rows, function, f"measuring levels at speed {speed:g}", in_processes=True)
        texts = rows["text"] if by_text else [None] * len(rows)
        for identity, each, text, language in zip(rows["id"], scalars, texts, rows["language"], strict=True):
            self.prosodies[identity, speed] = prosody_of(each[0], text, language)

    def _refuse_other_recordings(self, rows: Dataset) -> None:
        """`ValueError` where an id stands for another recording than before."""
        for identity, audio in zip(rows["id"], rows["audio"], strict=True):
            known = stamp(audio)
            if self.stamps.setdefault(identity, known) != known:
                raise ValueError(f"id {identity!r} stands for two recordings: give every one an id of its own")

    @staticmethod
    def hear_states(model, processor, rows: Dataset, speed: float) -> list[np.ndarray]:
        """(T, L+1, H) float16 of each recording: the states that the streams mix, kept on disk."""
        tower, config = model.model.audio_tower, model.config
        function = partial(_states, model, processor, speed)
        normalised = getattr(processor.feature_extractor, "do_normalize", False)
        kind = f"tower-{digest_of(tower)}-{normalised:d}-{speed:g}" + ("-padded" if config.padded else "")
        if config.mixed_layers is not None:
            kind += f"-of-{'-'.join(map(str, config.mixed_layers))}"
        kept = computed_once(kind, rows, function, f"hearing at speed {speed:g}", np.float16)
        return [each.reshape(len(each), len(config.used_layers), -1) for each in kept]

    def frames_of(self, identity: str, speed: float = 1.0) -> np.ndarray:
        """(T, 5) measured prosody of a recording, as it is at a speed: shorter, and higher."""
        frames = self.frames[identity]
        if speed == 1:
            return frames
        count = max(round(len(frames) / speed), 1)
        changed = frames[np.minimum((np.arange(count) * speed).astype(int), len(frames) - 1)].copy()
        changed[changed[:, VOICED] > 0, PITCH] += 12 * np.log2(speed)
        return changed

    def profile(self, ids: Sequence[str], speed: float = 1.0) -> SpeakerProfile:
        """Of some recordings of one speaker."""
        states = [self.states[identity, speed] for identity in ids]
        return SpeakerProfile.of(states, self._statistics(ids, speed), self.speaker_std)

    def _statistics(self, ids: Sequence[str], speed: float) -> Reference | None:
        """Medians that levels are relative to, where they are measured and some of these recordings have them."""
        prosodies = [self.prosodies[identity, speed] for identity in ids if (identity, speed) in self.prosodies]
        if self.calibration is None or not prosodies:
            return None
        try:
            return self.calibration.reference_of(prosodies)
        except ValueError:  # no quantity is measured in three of them: the states are known all the same
            return None

    def draw(
        self, identity: str, speaker: str | None, speed: float, rng: np.random.Generator
    ) -> SpeakerProfile | None:
        """A profile from 3 to 30 other recordings of the same speaker; `None` where there are fewer."""
        others = [other for other in self.of_speaker.get(speaker, ()) if other != identity]
        if len(others) < MIN_RECORDINGS:
            return None
        count = int(rng.integers(MIN_RECORDINGS, min(len(others), MOST_RECORDINGS) + 1))
        return self.profile([others[index] for index in rng.choice(len(others), count, replace=False)], speed)

    def swap(
        self, identity: str, speaker: str | None, speed: float, rng: np.random.Generator
    ) -> SpeakerProfile | None:
        """What makes a recording sound, relative to everyone, as if another voice had spoken it; `None` as in `draw`.

        The other voice lies on the line through two speakers, a little beyond them at most.
        With m and d the mean and deviation of its own speaker (o), the other (c) and everyone (e), a state becomes
        ((x - m_o) d_c / d_o + m_c - m_e) / d_e; without `speaker_std` d_c is d_o. So a model that is given no
        reference meets more voices than there are speakers: their differences are those of the profiles, the emotion
        stays.
        """
        own = self.draw(identity, speaker, speed, rng)
        if own is None:
            return None
        everyone, speakers = self.known
        one, two = (speakers[index] for index in rng.choice(len(speakers), 2))
        share = rng.uniform(-BEYOND, 1 + BEYOND)
        mean = share * one.mean + (1 - share) * two.mean
        deviation = np.maximum(share * one.deviation + (1 - share) * two.deviation, MIN_SHARE * everyone.deviation)
        scale = own.deviation / deviation if self.speaker_std else 1.0
        measures = share * one.measures + (1 - share) * two.measures
        least = np.maximum(MIN_SHARE * everyone.measures[1], MIN_DEVIATION)
        measures_scale = own.measures[1] / np.maximum(measures[1], least) if self.speaker_std else 1.0
        measures_mean = own.measures[0] - (measures[0] - everyone.measures[0]) * measures_scale
        pitches = (own.pitch, one.pitch, two.pitch, everyone.pitch)
        pitch = own.pitch
        if None not in pitches:
            pitch = own.pitch - (share * one.pitch + (1 - share) * two.pitch - everyone.pitch)
        return replace(
            own,
            mean=own.mean - (mean - everyone.mean) * scale,
            deviation=everyone.deviation * scale,  # without `speaker_std` the model takes everyone's
            pitch=pitch,
            measures=np.stack([measures_mean, everyone.measures[1] * measures_scale]),
            is_speaker=False,
        )

    @property
    def has_speakers(self) -> bool:
        """Whether some speaker has the three recordings that a profile takes."""
        return bool(self.profiled)

    @property
    def profiled(self) -> list[list[str]]:
        """Ids of each speaker who has the recordings that a profile takes."""
        return [ids for ids in self.of_speaker.values() if len(ids) >= MIN_RECORDINGS]

    @cached_property
    def known(self) -> tuple[SpeakerProfile, list[SpeakerProfile]]:
        """Everyone, and each speaker who has three recordings or more, at the speed they spoke at."""
        return self.everyone(), [self.profile(ids) for ids in self.profiled]

    def everyone(self) -> SpeakerProfile:
        """What is usual for these speakers, each of whom counts alike.

        Raises:
            ValueError: no speaker has three recordings.
        """
        profiles = [self.profile(ids) for ids in self.profiled]
        if not profiles:
            raise ValueError(
                f"speaker_reference is on, but no speaker of the training data has {MIN_RECORDINGS} recordings: fill "
                "in the column 'speaker', or leave speaker_reference off"
            )
        return SpeakerProfile.of_everyone(profiles)

    def usual_spread(self) -> np.ndarray:
        """(3, L+1, H) of what whole recordings make of the tower's states, relative to their speaker: the spread of
        means over time, and the mean and the spread of deviations. Each speaker counts alike."""
        found = []
        for ids in self.profiled:
            profile, states = self.profile(ids), [self.states[identity, 1.0] for identity in ids]
            scale = profile.deviation if self.speaker_std else self.known[0].deviation
            means = (np.stack([each.mean for each in states]) - profile.mean) / scale
            squares = np.stack([np.maximum(each.square - each.mean**2, 0.0) for each in states])
            deviations = np.sqrt(squares) / scale
            found.append(np.stack([means.std(0), deviations.mean(0), deviations.std(0)]))
        return np.maximum(np.mean(found, 0), MIN_DEVIATION).astype(np.float32)


def _loudness(audio: dict) -> np.ndarray:
    return np.array([[loudness_dbfs(load_audio(audio))]])


def _measures(speed: float, audio: dict) -> np.ndarray:
    wave = at_speed(load_audio(audio), speed)
    return voice_measures(measure(wave), wave)[None]


def _frames_and_measures(audio: dict) -> tuple[np.ndarray, np.ndarray]:
    wave = load_audio(audio)
    measured = measure(wave)
    return prosody_frames(measured), voice_measures(measured, wave)[None]


def _level_scalars(speed: float, audio: dict) -> np.ndarray:
    return scalars_of(measure(at_speed(load_audio(audio), speed)))


def _measured_frames(audio: dict) -> np.ndarray:
    return prosody_frames(measure(load_audio(audio)))


@torch.no_grad()
def _states(model, processor, speed: float, audio: dict) -> np.ndarray:
    """(T, (L+1) H): the states that the streams mix."""
    wave = at_speed(processor.load(audio), speed)
    inputs = processor([(wave, SAMPLE_RATE)], task="asr").to(model.device)
    with HEARING:
        return model.model.all_states(inputs["input_values"], inputs["input_values_mask"]).flatten(1).numpy()


def digest_of(tower: torch.nn.Module) -> str:
    """Stands for a tower: its config and its weights."""
    hashed = hashlib.sha256(tower.config.to_json_string().encode())
    for name, tensor in sorted(tower.state_dict().items()):
        hashed.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    return hashed.hexdigest()[:16]
