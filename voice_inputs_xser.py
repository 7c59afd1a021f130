"""What a description hears beside the tower: what is usual for the speaker, and the features of further streams.

Shapes: B batch, T frames and D size of a stream's features, L layers of the tower (L+1 with its input), H its width.
"""

import numpy as np

from .prosody_xser import measure
from .voice_frames_xser import NUM_FEATURES, PROSODY, USUAL_LEVEL, USUAL_PITCH, prosody_frames, relative_frames
from .voice_measures_xser import MEASURES, NUM_MEASURES, relative_measures, voice_measures

MEASURED = {PROSODY: NUM_FEATURES, MEASURES: NUM_MEASURES}  # streams that the processor fills itself, and their sizes


class VoiceInputsMixin:
    """Profiles and auxiliary features of `XSERProcessor`, whose fields say what the model was made with."""

    def _check_streams(self) -> None:
        """`ValueError` where a stream that is measured has another size than what is measured."""
        for name, wanted in MEASURED.items():
            size = self.aux_streams.get(name, {}).get("size", wanted)
            if size != wanted:
                raise ValueError(f"aux_streams[{name!r}]['size'] is {size}; what is measured for it has {wanted}")

    def _profiles(self, reference, batch_size: int) -> list:
        """A profile or `None` for each recording."""
        profiles = list(reference) if isinstance(reference, (list, tuple)) else [reference] * batch_size
        if len(profiles) != batch_size:
            raise ValueError(f"there are {len(profiles)} references for {batch_size} recordings")
        if not self.speaker_reference and any(profile is not None for profile in profiles):
            raise ValueError("this model hears no speaker's reference: its config has speaker_reference false")
        return profiles

    def _usual(self, profile) -> tuple[float, float | None]:
        """Pitch and level of the profile; without one, pitch of the training data, else of nobody in particular.

        The level of a voice that nobody knows is that of a microphone: `None` where the model hears references. One
        that hears none is told every level as it is.
        """
        pitch = next(
            value for value in (profile and profile.pitch, self.usual_pitch, USUAL_PITCH) if value is not None
        )
        if not self.speaker_reference:
            return pitch, USUAL_LEVEL
        return pitch, profile.level if _knows_speaker(profile) else None

    def _aux_features(self, aux, waves: list[np.ndarray], profiles: list) -> dict[str, list[np.ndarray]]:
        """name → (T, D) float32 of each recording, checked; what is measured is relative to what is usual."""
        aux = dict(aux or {})
        unknown = sorted(set(aux) - set(self.aux_streams))
        if unknown:
            raise ValueError(f"aux holds {unknown}; this model's auxiliary streams are {sorted(self.aux_streams)}")
        missing = set(MEASURED) & set(self.aux_streams) - set(aux)
        if missing and all(wave is not None for wave in waves):
            prosodies = [measure(wave) for wave in waves]
            if PROSODY in missing:
                aux[PROSODY] = [prosody_frames(prosody) for prosody in prosodies]
            if MEASURES in missing:
                aux[MEASURES] = [voice_measures(prosody)[None] for prosody in prosodies]
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
                rows = [relative_frames(row, *self._usual(p)) for row, p in zip(rows, profiles, strict=True)]
            if name == MEASURES:
                rows = [self._relative_measures(row, profile) for row, profile in zip(rows, profiles, strict=True)]
            features[name] = rows
        return features

    def _relative_measures(self, rows: np.ndarray, profile) -> np.ndarray:
        """(T, M), each of `voice_measures`, in deviations from what is usual; one row as a rule."""
        usual = np.array([[np.nan] * NUM_MEASURES] * 2 if self.usual_measures is None else self.usual_measures, float)
        own, count = (None, 0) if profile is None else (profile.measures, profile.num_recordings)
        is_known = _knows_speaker(profile) or not self.speaker_reference
        return np.stack([relative_measures(row, usual, own, count, is_known) for row in rows])

    def _voice(self, profiles: list, loudness: list[float]) -> dict[str, np.ndarray]:
        """`loudness` (B,) relative to what is usual; with profiles `reference` (B, 2, L+1, H) and `knows_speaker`.

        It is usual where nobody knows what is usual for the speaker.
        """
        levels = [self._usual(profile)[1] for profile in profiles]
        relative = [
            USUAL_LEVEL if level is None else each - level + USUAL_LEVEL
            for each, level in zip(loudness, levels, strict=True)
        ]
        data = {"loudness": np.array(relative, dtype=np.float32)}
        if any(profile is not None for profile in profiles):
            shape = next(profile.states.shape for profile in profiles if profile is not None)
            states = [np.full(shape, np.nan) if profile is None else profile.states for profile in profiles]
            data["reference"] = np.stack(states).astype(np.float32)
            data["knows_speaker"] = np.array([_knows_speaker(profile) for profile in profiles], dtype=np.float32)
        return data


def _knows_speaker(profile) -> bool:
    return profile is not None and profile.is_speaker


__all__ = ["VoiceInputsMixin"]
