"""What is asked of each recording: whose words, whose voice, and whether the answer is to be verified.

Each of these options holds for all recordings, or is a list with one entry for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .calibration_xser import Reference
from .checks_xser import check_flag, is_list, one_for_each
from .encoded_xser import name_of
from .grammar_xser import words_of
from .profile_xser import SpeakerProfile
from .references_xser import each_reference, holds_references, several
from .verification_xser import Verifier


@dataclass(frozen=True)
class Request:
    """What is asked of one recording.

    Attributes:
        transcript: its words, if the user gives them; else whether the model's own are wanted.
        reference, gender: of its speaker.
        verifier: what the answer is held against, if that is wanted.
    """

    transcript: bool | str = True
    reference: SpeakerProfile | Reference | None = None
    gender: str | None = None
    verifier: Verifier | None = None

    @property
    def words(self) -> str | None:
        """The transcript that the user gives."""
        return self.transcript if isinstance(self.transcript, str) else None

    def profile(self, config) -> SpeakerProfile | None:
        """The reference, where the model of `config` takes it."""
        is_taken = config.speaker_reference and type(self.reference).__name__ == SpeakerProfile.__name__
        return self.reference if is_taken else None


def each_request(
    model, processor, places: Sequence[str], transcript=True, verify=False, reference=None, gender=None
) -> list[Request]:
    """The request of each recording.

    Args:
        places: what messages call each recording (`place`).
        transcript, verify, reference, gender: as of `explain_xser.explain`.

    Raises:
        ValueError: an option is of another type or length, or would be ignored; it and the recording are named.
    """
    check_flag("verify", verify)
    transcripts = each_transcript(model, processor, transcript, places)
    genders = one_for_each("gender", gender, len(places)) if is_list(gender) else [gender] * len(places)
    references = each_reference(model, processor, reference, places)
    requests, verifiers = [], {}
    for place, *asked in zip(places, transcripts, references, genders, strict=True):
        key = (id(asked[1]), asked[2])
        if verify and key not in verifiers:
            try:
                verifiers[key] = Verifier(processor.calibration, processor.descriptors, *asked[1:])
            except ValueError as error:
                raise ValueError(f"{place} cannot be verified: {error}") from error
        request = Request(*asked, verifiers.get(key))
        if not verify and (request.gender is not None or request.reference is not request.profile(model.config)):
            is_own = model.config.speaker_reference
            reason = "it takes a SpeakerProfile alone" if is_own else "its config has speaker_reference false"
            raise ValueError(f"this model uses reference and gender for verify=True alone ({reason}): give it too")
        requests.append(request)
    return requests


def common_request(model, processor, **options) -> Request:
    """The request of all recordings whose number is not known, such as those of a generator.

    Raises:
        ValueError: an option is for single recordings; or as `each_request`.
    """
    for name in ("transcript", "gender", "reference"):
        value = options.get(name)
        entries = several(value) if name == "reference" else value
        is_single = holds_references(entries) if name == "reference" else is_list(value)
        if is_single or (name == "transcript" and isinstance(value, str)):
            raise ValueError(
                f"{name} is given for single recordings, but the number of recordings is not known, as they come from "
                "a generator: give both as lists"
            )
        if name == "reference" and entries is not None:
            options["reference"] = entries
    return each_request(model, processor, ["a recording"], **options)[0]


def as_options(requests: Sequence[Request]) -> dict:
    """What `explain` is to be given for these requests, all of one call."""
    words = [request.words for request in requests]
    return {
        "transcript": words if any(text is not None for text in words) else requests[0].transcript,
        "reference": [request.reference for request in requests],
        "gender": [request.gender for request in requests],
    }


def context_of(config) -> int | None:
    """How many tokens the language model reads; `None` where its config does not say."""
    return getattr(config.text_config, "max_position_embeddings", None)


def place(index: int, source) -> str:
    """What messages call a recording among others."""
    return f"recording {index} ({name_of(source)})"


def each_transcript(model, processor, transcript, places: Sequence[str]) -> list[bool | str]:
    """For each recording the words that the user gives, or whether the model's own are wanted.

    Raises:
        ValueError: there is not one for each recording, or one is no text, holds no word or cannot be written.
    """
    if isinstance(transcript, bool):
        return [transcript] * len(places)
    if isinstance(transcript, str) and len(places) == 1:
        transcript = [transcript]
    if isinstance(transcript, str):
        raise ValueError(
            f"transcript is {transcript!r} for {len(places)} recordings: give a list with one for each, None where "
            "the words are not known"
        )
    if not is_list(transcript):
        raise ValueError(
            f"transcript is {transcript!r}; it must be True, False, a string, or a list with a string or None for "
            "each recording"
        )
    texts = one_for_each("transcript", transcript, len(places))
    for where, text in zip(places, texts, strict=True):
        if text is None:
            continue
        if not isinstance(text, str):
            raise ValueError(
                f"the transcript of {where} is {text!r}; it must be a string, or None where it is not known"
            )
        if not words_of(text):
            raise ValueError(
                f"the transcript of {where} is {text!r}, which holds no word: give None if it is not known"
            )
        try:
            processor.check_transcript(text, context_of(model.config))
        except ValueError as error:
            raise ValueError(f"the transcript of {where} cannot be used: {error}") from error
    return [True if text is None else text for text in texts]


__all__ = ["Request", "as_options", "common_request", "context_of", "each_request", "place"]
