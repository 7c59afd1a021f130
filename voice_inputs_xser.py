"""What a description hears beside the tower: what is usual for the speaker, and the features of further streams.

Shapes: B batch, T frames and D size of a stream's features, L layers of the tower (L+1 with its input), H its width.
"""

import numpy as np

from .prosody_xser import measure
from .voice_frames_xser import NUM_FEATURES, PROSODY, USUAL_LEVEL, USUAL_PITCH, prosody_frames, relative_frames


class VoiceInputsMixin:
    """Profiles and auxiliary features of `XSERProcessor`, whose fields say what the model was made with."""

    def _check_streams(self) -> None:
        """`ValueError` where the stream that is measured has another size than what is measured."""
        size = self.aux_streams.get(PROSODY, {}).get("size", NUM_FEATURES)
        if size != NUM_FEATURES:
            raise ValueError(f"aux_streams[{PROSODY!r}]['size'] is {size}; measured prosody has {NUM_FEATURES}")

    def _profiles(self, reference, batch_size: int) -> list:
        """A profile or `None` for each recording."""
        profiles = list(reference) if isinstance(reference, (list, tuple)) else [reference] * batch_size
        if len(profiles) != batch_size:
            raise ValueError(f"there are {len(profiles)} references for {batch_size} recordings")
        if not self.speaker_reference and any(profile is not None for profile in profiles):
            raise ValueError("this model hears no speaker's reference: its config has speaker_reference false")
        return profiles

    def _usual(self, profile) -> tuple[float, float]:
        """Pitch and level of the profile, else of the training data, else of nobody in particular."""
        known = [(self.usual_pitch, self.usual_level), (USUAL_PITCH, USUAL_LEVEL)]
        if profile is not None:
            known.insert(0, (profile.pitch, profile.level))
        pitch, level = (next(value for value in values if value is not None) for values in zip(*known, strict=True))
        return pitch, level

    def _aux_features(self, aux, waves: list[np.ndarray], profiles: list) -> dict[str, list[np.ndarray]]:
        """name → (T, D) float32 of each recording, checked; `prosody` relative to what is usual."""
        aux = dict(aux or {})
        unknown = sorted(set(aux) - set(self.aux_streams))
        if unknown:
            raise ValueError(f"aux holds {unknown}; this model's auxiliary streams are {sorted(self.aux_streams)}")
        features = {}
        for name, options in self.aux_streams.items():
            rows = aux.get(name)
            if rows is None and name == PROSODY and all(wave is not None for wave in waves):
                rows = [prosody_frames(measure(wave)) for wave in waves]
            if rows is None or len(rows) != len(waves):
                given = 0 if rows is None else len(rows)
                raise ValueError(f"aux[{name!r}] holds features of {given} recordings; there are {len(waves)}")
            rows = [np.asarray(row, dtype=np.float32) for row in rows]
            for row in rows:
                if row.ndim != 2 or row.shape[1] != options["size"] or not len(row) or not np.isfinite(row).all():
                    wanted = f"(frames, {options['size']}), at least one frame, all finite"
                    raise ValueError(f"aux[{name!r}] holds features of shape {row.shape}; they must be {wanted}")
            if name == PROSODY:
                rows = [relative_frames(row, *self._usual(p)) for row, p in zip(rows, profiles, strict=True)]
            features[name] = rows
        return features

    def _voice(self, profiles: list, loudness: list[float]) -> dict[str, np.ndarray]:
        """`loudness` (B,) relative to what is usual; with profiles `reference` (B, 2, L+1, H) and `knows_speaker`."""
        levels = [self._usual(profile)[1] for profile in profiles]
        relative = [each - level + USUAL_LEVEL for each, level in zip(loudness, levels, strict=True)]
        data = {"loudness": np.array(relative, dtype=np.float32)}
        if any(profile is not None for profile in profiles):
            shape = next(profile.states.shape for profile in profiles if profile is not None)
            states = [np.full(shape, np.nan) if profile is None else profile.states for profile in profiles]
            data["reference"] = np.stack(states).astype(np.float32)
            known = [profile is not None and profile.is_speaker for profile in profiles]
            data["knows_speaker"] = np.array(known, dtype=np.float32)
        return data


__all__ = ["VoiceInputsMixin"]
