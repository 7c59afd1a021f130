"""References of speakers, in every form that a user may give them: one for all recordings, or one for each.

A reference is `None`, a `SpeakerProfile` or the .safetensors file it was saved to, a `Reference` (measurements alone),
or a list of recordings of one speaker. A list of references holds one for each recording; so a list of recordings is
one reference, and a list of lists of recordings is many.
"""

import os
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path

from .audio_xser import is_recording, undecoded
from .calibration_xser import MIN_RECORDINGS, Reference
from .checks_xser import one_for_each
from .profile_xser import SpeakerProfile
from .verification_xser import Verifier
from .voice_measures_xser import MEASURES

PROFILE_SUFFIX = ".safetensors"
MEASURED = (
    SpeakerProfile.__name__,
    Reference.__name__,
)  # names: a class may have been loaded twice, from a folder too
FORMS = (
    f"None, a SpeakerProfile (or its {PROFILE_SUFFIX} file), a Reference, or a list of at least {MIN_RECORDINGS} "
    "recordings of the speaker"
)


def each_reference(model, processor, reference, places: Sequence[str]) -> list[SpeakerProfile | Reference | None]:
    """The reference of each recording, measured: a profile for a model that takes them, a `Reference` for others.

    Args:
        reference: one for all recordings, or a list with one for each.
        places: what messages call each recording.

    Raises:
        FileNotFoundError: the file of a profile does not exist.
        ValueError: it is none of the forms, a list mixes them or has another length, or a reference cannot be used.
    """
    entries = several(reference)
    if not holds_references(entries):
        if entries is not None:
            reference = entries  # of a generator, which is read once
        return [one_reference(model, processor, reference)] * len(places) if entries != [] or places else []
    made = {}  # speakers come more than once
    for place, entry in zip(places, one_for_each("reference", entries, len(places)), strict=True):
        if _key(entry) not in made:
            try:
                made[_key(entry)] = one_reference(model, processor, entry)
            except (ValueError, OSError) as error:
                raise ValueError(f"the reference of {place}: {error}") from error
    return [made[_key(entry)] for entry in entries]


def one_reference(model, processor, reference) -> SpeakerProfile | Reference | None:
    """A single reference of any form, as a profile or a `Reference`; raises as `each_reference`."""
    if _is_profile_file(reference):
        reference = SpeakerProfile.load(reference)
    if reference is None or type(reference).__name__ in MEASURED:
        if model.config.speaker_reference and type(reference).__name__ == SpeakerProfile.__name__:
            _check_profile(reference, model.config)
        return reference
    recordings = several(reference)
    if recordings is None:
        if not is_recording(reference):
            raise ValueError(f"reference is {reference!r}; it must be {FORMS}")
        recordings = [reference]
    if model.config.speaker_reference:
        return model.profile(recordings, processor)
    return Verifier(processor.calibration, processor.descriptors, recordings).reference


def _check_profile(profile: SpeakerProfile, config) -> None:
    """Refuse a profile that was made with another model, before anything is answered."""
    wanted = (len(config.used_layers), config.audio_config.hidden_size)
    if profile.mean.shape != wanted:
        raise ValueError(
            f"the reference holds (layers, width) {profile.mean.shape}, this model's tower has {wanted}: make the "
            "profile with this model"
        )
    size = config.aux_streams.get(MEASURES, {}).get("size", 0)
    if profile.measures.shape[1] < size:
        raise ValueError(
            f"the reference holds {profile.measures.shape[1]} measures, and this model takes {size}: make the profile "
            "with this model"
        )


def several(value) -> list | None:
    """What a list, column or generator holds; `None` where `value` is one thing."""
    if isinstance(value, tuple):  # with a rate it is a recording
        return None if any(isinstance(each, Real) for each in value) else list(value)
    return list(undecoded(value)) if isinstance(value, Iterable) and not is_recording(value) else None


def holds_references(entries: list | None) -> bool:
    """Whether these are references, one for each recording, rather than the recordings of one speaker.

    Raises:
        ValueError: some are references, others recordings.
    """
    are_whole = [_is_whole(entry) for entry in entries or ()]
    if any(are_whole) and not all(are_whole):
        raise ValueError(
            f"reference[{are_whole.index(False)}] is a recording among references: give recordings of one speaker, or "
            f"a list with one reference for each recording ({FORMS})"
        )
    return any(are_whole)


def _is_whole(entry) -> bool:
    """Whether an entry of a list is a reference by itself, rather than one recording of many."""
    if isinstance(entry, tuple):
        return not any(isinstance(each, Real) for each in entry)
    return _is_profile_file(entry) or not is_recording(entry)


def _key(entry):
    """Equal for references that are the same: by name where they are files, else by identity."""
    if isinstance(entry, list) and all(isinstance(each, (str, os.PathLike)) for each in entry):
        return tuple(map(str, entry))
    return str(entry) if isinstance(entry, (str, os.PathLike)) else id(entry)


def _is_profile_file(value) -> bool:
    return isinstance(value, (str, os.PathLike)) and Path(value).suffix == PROFILE_SUFFIX


__all__ = ["each_reference", "holds_references", "one_reference", "several"]
