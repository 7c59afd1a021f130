"""Measured prosody as frames for a stream of its own: what pitch, loudness and voicing do over time.

Shapes: T frames of 40 ms.
"""

import numpy as np

from .prosody_xser import Prosody

PROSODY = "prosody"  # the auxiliary stream that the processor measures
NUM_FEATURES = 5
STACK = 4  # frames of a `Prosody` that make one of these
FRAME_SECONDS = 0.04
VOICED, PITCH, STRENGTH, LEVEL, SPEECH = range(NUM_FEATURES)
USUAL_PITCH, USUAL_LEVEL = 90.0, -25.0  # semitones re 1 Hz (181 Hz), dBFS: of nobody in particular
PITCH_SPAN, LEVEL_SPAN = 4.0, 10.0  # semitones, dB: what a voice moves by comes out around 0 ± 1


def prosody_frames(prosody: Prosody) -> np.ndarray:
    """(T, 5) float32: share of voiced frames, their mean pitch in semitones re 1 Hz (0 where there is none), mean
    periodicity, mean level in dBFS, share of speech frames. At least one frame, of silence where there is nothing."""
    count = max(-(-len(prosody.f0) // STACK), 1)
    missing = count * STACK - len(prosody.f0)
    voiced = ~np.isnan(prosody.f0)
    semitones = 12 * np.log2(np.where(voiced, prosody.f0, 1.0))  # 0 where unvoiced
    columns = (voiced, semitones, prosody.strength, prosody.level, prosody.speech)
    frames = np.stack([column.astype(np.float32) for column in columns], 1)
    if not len(frames):
        frames, missing = np.array([[0, 0, 0, 2 * USUAL_LEVEL, 0]], np.float32), missing - 1
    frames = np.pad(frames, ((0, missing), (0, 0)), mode="edge").reshape(count, STACK, NUM_FEATURES)
    share = frames[..., VOICED].mean(1)
    means = frames.mean(1)
    means[:, PITCH] = frames[..., PITCH].sum(1) / np.maximum(frames[..., VOICED].sum(1), 1)
    means[:, VOICED] = share
    return means


def usual_of(frames: np.ndarray) -> tuple[float | None, float | None]:
    """Median pitch in semitones re 1 Hz, and level over speech in dBFS, of one recording, where they can be told."""
    voiced, speech = frames[:, VOICED] > 0, frames[:, SPEECH] > 0
    pitch = float(np.median(frames[voiced, PITCH])) if voiced.any() else None
    level = 10 * float(np.log10(np.mean(10 ** (frames[speech, LEVEL] / 10)))) if speech.any() else None
    return pitch, level


def relative_frames(frames: np.ndarray, pitch: float, level: float) -> np.ndarray:
    """The same relative to what is usual for the speaker, scaled to about ± 1.

    Args:
        frames: (T, 5) of `prosody_frames`.
        pitch: median F0 in semitones re 1 Hz.
        level: RMS over speech in dBFS.
    """
    relative = frames.copy()
    is_voiced = frames[:, VOICED] > 0
    from_usual = (frames[:, PITCH] - pitch) / PITCH_SPAN
    relative[:, PITCH] = np.where(is_voiced, from_usual, 0.0)
    relative[:, LEVEL] = (frames[:, LEVEL] - level) / LEVEL_SPAN
    return relative


__all__ = [
    "FRAME_SECONDS",
    "NUM_FEATURES",
    "PROSODY",
    "USUAL_LEVEL",
    "USUAL_PITCH",
    "prosody_frames",
    "relative_frames",
    "usual_of",
]
