"""Profiles of the speakers who are tested, from their own recordings and without any label."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import datasets
import numpy as np
from tqdm.auto import tqdm

from xser.audio_xser import load_audio
from xser.calibration_xser import Calibration, Reference
from xser.corpora.kept import MANY
from xser.corpora.processes import open_processes
from xser.evaluation.report import NO_REFERENCE
from xser.profile_xser import MIN_RECORDINGS, SpeakerProfile
from xser.prosody_xser import Prosody, measure
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


class SpeakerProfiles:
    """Profiles of the speakers of some rows, whose recordings are encoded and measured once for all of them.

    Args:
        verify: profiles also say by what levels are judged; for a model that takes no profile, that alone.

    Raises:
        ValueError: neither the model nor a verification takes a profile.
    """

    def __init__(self, model, processor, rows: datasets.Dataset, verify: bool = False):
        if not processor.speaker_reference and not verify:
            raise ValueError(
                "--reference is given, but the model takes none: its speaker_reference is false; --verify judges by it"
            )
        rows = rows.select([index for index, audio in enumerate(rows["audio"]) if _holds_speech(processor, audio)])
        voices = Voices().hear(model, processor, rows)
        self.of_speaker = _of_speakers(rows)
        self._profile = partial(_profile, voices, processor, _measured(rows) if verify else {})

    def of(self, reference: str | int) -> dict[str, SpeakerProfile | Reference | None]:
        """Id → profile of its speaker; `None` where the speaker is not known or has too few recordings.

        With a number, a profile is made of so many of the speaker's other recordings, drawn under a fixed seed.

        Raises:
            ValueError: `reference` is not right.
        """
        count = parse_reference(reference)
        profiles: dict[str, SpeakerProfile | Reference | None] = {}
        for ids in self.of_speaker.values():
            everything = self._profile(ids) if len(ids) >= MIN_RECORDINGS else None
            for number, identity in enumerate(ids):
                if count is None or everything is None:
                    profiles[identity] = everything
                    continue
                others = [other for other in ids if other != identity]
                rng = np.random.default_rng([SEED, number])
                chosen = rng.choice(len(others), min(count, len(others)), replace=False)
                drawn = [others[index] for index in chosen]
                profiles[identity] = self._profile(drawn) if len(others) >= count else None
        return profiles


def speaker_profiles(
    model, processor, rows: datasets.Dataset, reference: str | int, verify: bool = False
) -> dict[str, SpeakerProfile | Reference | None]:
    """`SpeakerProfiles.of` a single reference."""
    parse_reference(reference)  # before anything is encoded
    return SpeakerProfiles(model, processor, rows, verify).of(reference)


def _of_speakers(rows: datasets.Dataset) -> dict[str, list[str]]:
    """Speaker → ids, each once."""
    found: dict[str, list[str]] = {}
    for identity, speaker in zip(rows["id"], rows["speaker"], strict=True):
        if speaker is not None and identity not in found.setdefault(speaker, []):
            found[speaker].append(identity)
    return found


def _profile(
    voices: Voices, processor, measured: Mapping[str, Prosody], ids: Sequence[str]
) -> SpeakerProfile | Reference:
    """Of some recordings of one speaker: as the model takes it, and by what levels are judged where it is measured."""
    if not measured:
        return voices.profile(ids)
    calibration = processor.calibration
    calibration = Calibration.default() if calibration is None else Calibration.from_dict(calibration)
    try:
        reference = calibration.reference_of([measured[identity] for identity in ids])
    except ValueError:  # too little could be measured: the gender or everyone stands in
        reference = Reference({}, {})
    return replace(voices.profile(ids), usual=reference) if processor.speaker_reference else reference


def _measured(rows: datasets.Dataset) -> dict[str, Prosody]:
    """Id → what was measured in the recording."""
    with open_processes(None if len(rows) >= MANY else 1) as mapping:
        found = tqdm(mapping(_measure, rows["audio"]), total=len(rows), desc="measuring references", unit="file")
        return dict(zip(rows["id"], found, strict=True))


def _measure(audio: dict) -> Prosody:
    return measure(load_audio(audio))


def _holds_speech(processor, audio: dict) -> bool:
    """Whether a recording can be read and is neither silent nor too short."""
    try:
        return processor.status(processor.load(audio)) == "ok"
    except ValueError:  # the evaluation names it, and what is wrong with it
        return False
