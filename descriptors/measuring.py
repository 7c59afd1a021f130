"""What a recording of the one schema tells by itself: prosody, rate by its transcript too, emphasised words."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from xser.audio_xser import load_audio
from xser.corpora.checking import reason_to_leave_out
from xser.corpora.espeak_synthesis import UnknownVoiceError
from xser.corpora.processes import open_processes
from xser.descriptors.align import AlignmentError, align, align_by_letters, split_words
from xser.descriptors.align_espeak import EspeakAligner
from xser.descriptors.emphasis import emphasised, prominence, why_not
from xser.prosody_xser import Prosody, measure
from xser.rate_xser import with_text_rate

WORD_TIMES = LETTERS, ESPEAK = ("letters", "espeak")
# Why the emphasis cannot be told, beside what `emphasis.why_not` says
NO_TRANSCRIPT, NOT_ALIGNED = "no transcript", "not aligned"
NO_LANGUAGE, NOT_SPOKEN = "no language", "eSpeak NG does not speak the language"
_FRAMES = {"f0": np.float32, "strength": np.float32, "level": np.float32, "speech": bool}


@dataclass(frozen=True)
class Measured:
    """One recording.

    Attributes:
        prosody: its measurements; where they were noted on disk or came from another process, without those of each
            frame.
        emphasis: the emphasised words; None where they cannot be told, or were not asked for.
        no_emphasis: why they cannot be told.
    """

    prosody: Prosody
    emphasis: list[str] | None = None
    no_emphasis: str | None = None

    def to_dict(self) -> dict:
        """As JSON-able values, without what is of each frame."""
        prosody = {
            field.name: getattr(self.prosody, field.name)
            for field in dataclasses.fields(Prosody)
            if field.name not in _FRAMES
        }
        return {**vars(self), "prosody": prosody}

    @classmethod
    def from_dict(cls, values: dict) -> "Measured":
        """Inverse of `to_dict`, with no frames."""
        prosody = dict(values["prosody"])
        if prosody["contour"] is not None:
            prosody["contour"] = tuple(prosody["contour"])
        frames = {name: np.zeros(0, kind) for name, kind in _FRAMES.items()}
        return cls(**{**values, "prosody": Prosody(**prosody, **frames)})


def measure_row(row: dict, word_times: str | None = None) -> Measured:
    """Measure a recording; where it has a transcript, the rate by that too.

    Args:
        row: `audio`, as `load_audio` takes it, `text` and `language`.
        word_times: what finds the words for the emphasis, one of `WORD_TIMES`; None to leave it.

    Raises:
        ValueError, OSError: the recording cannot be read.
        ImportError: words are to be found by eSpeak NG, which is not installed.
    """
    wave = load_audio(row["audio"])
    prosody = with_text_rate(measure(wave), row["text"], row["language"])
    if word_times is None:
        return Measured(prosody)
    return Measured(prosody, *_emphasis(wave, prosody, row, word_times))


@contextmanager
def open_measuring(workers: int | None, word_times: str | None = None) -> Iterator[Callable[[Iterable], Iterator]]:
    """Gives what `measure_rows` does, by the same processes each time it is called."""
    with open_processes(workers) as mapping:
        yield partial(mapping, partial(_measured_or_reason, word_times=word_times))


def measure_rows(
    rows: Iterable[dict], workers: int | None = 1, word_times: str | None = None
) -> Iterator[Measured | str]:
    """`measure_row` of each, in order and without frames, or a text that says why a recording cannot be read.

    Args:
        workers: processes; as many as there are cores if None, this one alone if 1.
    """
    with open_measuring(workers, word_times) as measuring:
        yield from measuring(rows)


def _measured_or_reason(row: dict, word_times: str | None) -> Measured | str:
    """Without frames: what crosses over to another process should be small."""
    try:
        return Measured.from_dict(measure_row(row, word_times).to_dict())
    except (ValueError, OSError) as error:
        return reason_to_leave_out(error)


def _emphasis(wave: np.ndarray, prosody: Prosody, row: dict, word_times: str) -> tuple[list[str] | None, str | None]:
    """(emphasised words, why they cannot be told)."""
    if not _has_words(row["text"]):
        return None, NO_TRANSCRIPT
    if word_times == ESPEAK and not row["language"]:
        return None, NO_LANGUAGE
    aligner = align_by_letters if word_times == LETTERS else EspeakAligner(row["language"])
    try:
        words = align(wave, row["text"], aligner)
    except AlignmentError:
        return None, NOT_ALIGNED
    except UnknownVoiceError:
        return None, NOT_SPOKEN
    return emphasised(prosody, words), why_not(prosody, prominence(prosody, words))


def _has_words(text: str | None) -> bool:
    try:
        return bool(text and split_words(text))
    except ValueError:  # "…"
        return False
