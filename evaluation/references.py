"""Profiles of the speakers who are tested, from their own recordings and without any label."""

import datasets
import numpy as np

from xser.evaluation.report import NO_REFERENCE
from xser.profile_xser import MIN_RECORDINGS, SpeakerProfile
from xser.training.voices import Voices

ALL = "all"
SEED = 0  # of which recordings a profile is made of


def parse_reference(value: str | int | None) -> int | None:
    """How many recordings a profile is made of; `None` for all of the speaker's.

    Raises:
        ValueError: it is neither "all" nor a whole number of at least three.
    """
    if str(value) == ALL:
        return None
    if not str(value).isdecimal() or int(value) < MIN_RECORDINGS:
        raise ValueError(
            f"reference is {value!r}; it must be '{ALL}' (of the speaker's recordings that are evaluated), or how "
            f"many of them, at least {MIN_RECORDINGS}"
        )
    return int(value)


def told_reference(reference: str | int | None) -> str:
    """What a table says of it."""
    if reference is None:
        return NO_REFERENCE
    count = parse_reference(reference)
    return f"{'all' if count is None else count} of the speaker's recordings that are evaluated, without labels"


def speaker_profiles(
    model, processor, rows: datasets.Dataset, reference: str | int
) -> dict[str, SpeakerProfile | None]:
    """Id → profile of its speaker; `None` where the speaker is not known or has too few recordings.

    With a number, a profile is made of so many of the speaker's other recordings, drawn under a fixed seed.

    Raises:
        ValueError: `reference` is not right, or the model hears none.
    """
    count = parse_reference(reference)
    if not processor.speaker_reference:
        raise ValueError("--reference is given, but the model hears no reference: its speaker_reference is false")
    rows = rows.select([index for index, audio in enumerate(rows["audio"]) if _holds_speech(processor, audio)])
    voices = Voices().hear(model, processor, rows)
    profiles: dict[str, SpeakerProfile | None] = {}
    for ids in voices.of_speaker.values():
        everything = voices.profile(ids) if len(ids) >= MIN_RECORDINGS else None
        for number, identity in enumerate(ids):
            if count is None or everything is None:
                profiles[identity] = everything
                continue
            others = [other for other in ids if other != identity]
            rng = np.random.default_rng([SEED, number])
            chosen = rng.choice(len(others), min(count, len(others)), replace=False)
            profiles[identity] = voices.profile([others[index] for index in chosen]) if len(others) >= count else None
    return profiles


def _holds_speech(processor, audio: dict) -> bool:
    """Whether a recording can be read and is neither silent nor too short."""
    try:
        return processor.status(processor.load(audio)) == "ok"
    except ValueError:  # the evaluation names it, and what is wrong with it
        return False
