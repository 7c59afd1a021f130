"""Which recordings teach a tower about voices: cut into pieces, each judged by rules, what is left out counted.

The rules see levels and spectra only. Music, other noises and speech that a machine has made pass all of them: no rule
of this kind tells them from a voice, so they must be kept out of the folder by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import welch

from xser.audio_files_xser import AudioFile
from xser.audio_xser import SAMPLE_RATE, AudioError, audio_name, load_audio, loudness_dbfs
from xser.downmix_xser import Downmix
from xser.voice_spectrum_xser import TELEPHONE_DB, TELEPHONE_HZ

SILENCE_DBFS = -60.0  # RMS of a piece
FULL_SCALE = 0.99
PART_SECONDS = 600.0  # of a long recording are in memory at a time
UNREADABLE, SHORT, SILENT, CLIPPED, TELEPHONE = "unreadable", "too short", "silent", "clipped", "telephone band"


@dataclass(frozen=True)
class Rules:
    """What is left out.

    Args:
        min_seconds: shorter recordings.
        max_seconds: longer recordings are cut into equal pieces below this; each piece is judged.
        max_clipped: pieces of which a larger share of the samples is within 1% of full scale, or beyond it.
        keep_telephone: keep pieces with nothing above 5,500 Hz (8 kHz telephone speech).

    Pieces below -60 dBFS are silent and left out, and so are recordings that cannot be decoded.
    """

    min_seconds: float = 0.5
    max_seconds: float = 15.0
    max_clipped: float = 0.005
    keep_telephone: bool = False


def why_left_out(piece: np.ndarray, rules: Rules) -> str | None:
    """The rule that a piece (S,) at 16 kHz fails, or None."""
    if len(piece) < rules.min_seconds * SAMPLE_RATE:
        return SHORT
    if loudness_dbfs(piece) < SILENCE_DBFS:
        return SILENT
    if np.mean(np.abs(piece) >= FULL_SCALE) > rules.max_clipped:
        return CLIPPED
    if not rules.keep_telephone and is_telephone_band(piece):
        return TELEPHONE
    return None


def is_telephone_band(piece: np.ndarray) -> bool:
    """Whether next to nothing is above 5,500 Hz: 58 dB less power than below."""
    hertz, power = welch(piece, SAMPLE_RATE, nperseg=512)
    above = hertz > TELEPHONE_HZ
    return power[above].sum() < 10 ** (TELEPHONE_DB / 10) * power[~above].sum()


def cut(wave: np.ndarray, max_seconds: float) -> list[np.ndarray]:
    """`wave` (S,) in the fewest equal pieces of at most `max_seconds`."""
    return np.array_split(wave, max(1, -(-len(wave) // int(max_seconds * SAMPLE_RATE))))


def read_parts(audio: object) -> Iterator[np.ndarray]:
    """A recording as (S,) float32 at 16 kHz; one of more than ten minutes in parts of ten, in bounded memory.

    Args:
        audio: a path, or a dict with `bytes` or `path`.

    Raises:
        AudioError: missing, truncated, not audio, not finite.
    """
    name = audio_name(audio)
    if isinstance(audio, dict):
        audio = audio.get("bytes") or audio.get("path")
    if audio is None:
        raise AudioError(f"{name} has neither bytes nor a path", name)
    if not _is_long(audio):
        yield load_audio(audio)
        return
    with _open(audio) as stream:
        file = AudioFile(stream, name)
        size = int(PART_SECONDS * file.rate)
        downmix = Downmix(file.channels)
        if file.channels > 1:
            for block in file.blocks(size):
                downmix.add(np.nan_to_num(block))  # what is not finite is refused below
        for block in file.blocks(size):
            yield load_audio((downmix.apply(block), file.rate))


def _is_long(audio: object) -> bool:
    """By the header; what has none is not long, and `load_audio` says what is wrong with it."""
    try:
        with _open(audio) as stream:
            information = soundfile.info(stream)
    except (soundfile.SoundFileError, OSError):
        return False
    return information.frames > PART_SECONDS * information.samplerate


def _open(audio: object):
    return BytesIO(audio) if isinstance(audio, bytes) else Path(audio).open("rb")
