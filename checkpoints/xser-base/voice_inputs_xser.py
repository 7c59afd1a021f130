"""What a description hears beside the tower: what is usual for the speaker, and the features of further streams.

Shapes: B batch, T frames and D size of a stream's features, L layers of the tower (L+1 with its input), H its width.
"""

import math

import numpy as np

from .prosody_xser import measure
from .voice_frames_xser import (
    NUM_FEATURES,
    PROSODY,
    USUAL_LEVEL,
    USUAL_PITCH,
    prosody_frames,
    relative_frames,
    usual_of,
)
from .voice_measures_xser import (
    CONTOUR,
    LEVEL,
    MEASURES,
    SIZES,
    relative_measures,
    shrunk_deviation,
    voice_measures,
)

MEASURED = {PROSODY: (NUM_FEATURES,), MEASURES: SIZES}  # streams that the processor fills itself, and their sizes


class VoiceInputsMixin:
    """Profiles and auxiliary features of `XSERProcessor`, whose fields say what the model was made with."""

    def _check_streams(self) -> None:
        """`ValueError` where a stream that is measured has another size than what is measured."""
        for name, sizes in MEASURED.items():
            size = self.aux_streams.get(name, {}).get("size", sizes[-1])
            if size not in sizes:
                wanted = " or ".join(map(str, sizes))
                raise ValueError(f"aux_streams[{name!r}]['size'] is {size}; what is measured for it has {wanted}")

    def _profiles(self, reference, batch_size: int) -> list:
        """A profile or `None` for each recording."""
        profiles = list(reference) if isinstance(reference, (list, tuple)) else [reference] * batch_size
        if len(profiles) != batch_size:
            raise ValueError(f"there are {len(profiles)} references for {batch_size} recordings")
        for profile in profiles:  # by name: the class may have been loaded twice, from the package and a folder
            if profile is not None and type(profile).__name__ != "SpeakerProfile":
                raise ValueError(f"reference holds {profile!r}; it must be a SpeakerProfile (`model.profile`) or None")
        if not self.speaker_reference and any(profile is not None for profile in profiles):
            raise ValueError("this model hears no speaker's reference: its config has speaker_reference false")
        return profiles

    def _usual_pitch(self, profile) -> float:
        """Of the profile; without one, of the training data, else of nobody in particular. Semitones re 1 Hz."""
        return next(value for value in (profile and profile.pitch, self.usual_pitch, USUAL_PITCH) if value is not None)

    def _usual_level(self, profile, own: float | None) -> float:
        """dBFS that counts as usual beside a recording of `own` dBFS.

        Where the speaker is known, a recording is as far from it as it is in the deviations of the speaker, whose
        loudness may vary by three times as much as another's. The level of a voice that nobody knows is that of a
        microphone: its own counts as usual where the model hears references. One that hears none is told every level
        as it is.
        """
        if own is None or not self.speaker_reference:
            return USUAL_LEVEL
        if not _knows_speaker(profile) or profile.level is None:
            return own
        return own - (own - profile.level) / self._level_spread(profile)

    def _level_spread(self, profile) -> float:
        """By how much the speaker's loudness varies from recording to recording, as a multiple of what is usual."""
        if not self.speaker_std or self.usual_measures is None or self.usual_measures[1][LEVEL] is None:
            return 1.0
        own, usual = float(profile.measures[1][LEVEL]), float(self.usual_measures[1][LEVEL])
        ratio = shrunk_deviation(own, usual, profile.num_recordings) / usual if usual > 0 else math.nan
        return ratio if math.isfinite(ratio) else 1.0

    def measured_streams(self, given) -> set[str]:
        """Streams that the processor measures, since their features are not among those `given`."""
        return set(MEASURED) & set(self.aux_streams) - set(given)

    def _aux_features(self, aux, waves: list[np.ndarray], profiles: list) -> dict[str, list[np.ndarray]]:
        """name → (T, D) float32 of each recording, checked; what is measured is relative to what is usual."""
        aux = dict(aux or {})
        unknown = sorted(set(aux) - set(self.aux_streams))
        if unknown:
            raise ValueError(f"aux holds {unknown}; this model's auxiliary streams are {sorted(self.aux_streams)}")
        missing = self.measured_streams(aux)
        if missing and all(wave is not None for wave in waves):
            prosodies = [measure(wave) for wave in waves]
            if PROSODY in missing:
                aux[PROSODY] = [prosody_frames(prosody) for prosody in prosodies]
            if MEASURES in missing:
                size = self.aux_streams[MEASURES]["size"]
                heard = waves if size > SIZES[0] else [None] * len(waves)
                rows = [voice_measures(prosody, wave) for prosody, wave in zip(prosodies, heard, strict=True)]
                aux[MEASURES] = [row[None, :size] for row in rows]
        features = {}
        for name, options in self.aux_streams.items():
            rows = aux.get(name)
            if rows is None or len(rows) != len(waves):
                given = 0 if rows is None else len(rows)
                raise ValueError(f"aux[{name!r}] holds features of {given} recordings; there are {len(waves)}")
            rows = [np.asarray(row, dtype=np.float32) for row in rows]
            for row in rows:
                is_finite = name == MEASURES or np.isfinite(row).all()  # of measures NaN stands for what is not known
                if row.ndim != 2 or row.shape[1] != options["size"] or not len(row) or not is_finite:
                    wanted = f"(frames, {options['size']}), at least one frame, all finite"
                    raise ValueError(f"aux[{name!r}] holds features of shape {row.shape}; they must be {wanted}")
            if name == PROSODY:
                rows = [
                    relative_frames(row, self._usual_pitch(profile), self._usual_level(profile, usual_of(row)[1]))
                    for row, profile in zip(rows, profiles, strict=True)
                ]
            if name == MEASURES:
                rows = [self._relative_measures(row, profile) for row, profile in zip(rows, profiles, strict=True)]
            features[name] = rows
        return features

    def _relative_measures(self, rows: np.ndarray, profile) -> np.ndarray:
        """(T, M), each the first M of `voice_measures`, in deviations from what is usual; one row as a rule."""
        size = rows.shape[1]
        usual = np.full((2, size), np.nan) if self.usual_measures is None else np.array(self.usual_measures, float)
        own, count = (None, 0) if profile is None else (profile.measures, profile.num_recordings)
        if own is not None and own.shape[1] < size:
            raise ValueError(
                f"the speaker's profile knows {own.shape[1]} measures, and this model hears {size}: make it anew with "
                "this model"
            )
        own = None if own is None else own[:, :size].copy()
        if own is not None and not self.speaker_std:
            count = 0  # recordings whose standard deviation counts
            own[:, CONTOUR] = np.nan  # a tone is a movement within the recording, whoever speaks
        is_known = _knows_speaker(profile) or not self.speaker_reference
        return np.stack([relative_measures(row, usual[:, :size], own, count, is_known) for row in rows])

    def _voice(self, profiles: list, loudness: list[float]) -> dict[str, np.ndarray]:
        """`loudness` (B,) relative to what is usual; with profiles `reference` (B, 2, L+1, H) and `knows_speaker`.

        It is usual where nobody knows what is usual for the speaker.
        """
        usual = [self._usual_level(profile, own) for profile, own in zip(profiles, loudness, strict=True)]
        relative = [own - level + USUAL_LEVEL for own, level in zip(loudness, usual, strict=True)]
        data = {"loudness": np.array(relative, dtype=np.float32)}
        if any(profile is not None for profile in profiles):
            shape = next(profile.states.shape for profile in profiles if profile is not None)
            states = [np.full(shape, np.nan) if profile is None else profile.states for profile in profiles]
            data["reference"] = np.stack(states).astype(np.float32)
            if not self.speaker_std:
                data["reference"][:, 1] = np.nan
            data["knows_speaker"] = np.array([_knows_speaker(profile) for profile in profiles], dtype=np.float32)
        return data


def _knows_speaker(profile) -> bool:
    return profile is not None and profile.is_speaker


__all__ = ["VoiceInputsMixin"]
