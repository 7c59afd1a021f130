"""Utterances that a system got wrong and right, with its explanation: what it is worth is seen only one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xser.evaluation.report import NOT_KNOWN
from xser.grammar_xser import EMPHASIS

NUM_EXAMPLES = 10  # of each kind
SEED = 0
RULE = f"drawn at random (seed {SEED}) from all of them, in the order of their ids"
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Cue:
    """A descriptor: what was said and what is true, `–` where it is not known, and whether they agree (or `None`)."""

    slot: str
    said: str
    true: str
    agrees: bool | None


@dataclass(frozen=True)
class Example:
    """An utterance.

    Attributes:
        id: of the utterance.
        said, true: emotions.
        scores: emotion and probability, the highest first.
        cues: descriptors.
        heard, spoken: transcripts.
        explanation: the system's sentence, "" where there is none.
    """

    id: str
    said: str
    true: str
    scores: list[tuple[str, float]]
    cues: list[Cue]
    heard: str
    spoken: str
    explanation: str


def draw_examples(predictions: Sequence[dict], right: bool) -> tuple[list[Example], int]:
    """Some utterances whose emotion is right, or wrong, by `RULE`; and how many there are.

    An utterance without an answer is wrong, one whose emotion nobody knows neither.
    """
    known = [p for p in predictions if p["reference"].get("emotion") is not None]
    kind = sorted(
        (p for p in known if (p["emotion"] == p["reference"]["emotion"]) == right),
        key=lambda prediction: prediction["id"],
    )
    drawn = np.random.default_rng(SEED).permutation(len(kind))[:NUM_EXAMPLES]
    return [_example(kind[index]) for index in sorted(drawn)], len(kind)


def explains(predictions: Sequence[dict]) -> bool:
    """Whether the system says anything but the emotion."""
    return any(
        p[part] is not None for p in predictions for part in ("scores", "descriptors", "emphasis", "transcript")
    )


def _example(prediction: dict) -> Example:
    reference = prediction["reference"]
    scores = sorted((prediction["scores"] or {}).items(), key=lambda pair: (-pair[1], pair[0]))
    said = dict(prediction["descriptors"] or {}) | {EMPHASIS: prediction["emphasis"]}
    true = reference.get("descriptors") or {}
    slots = dict.fromkeys([*(slot for slot in true if slot != EMPHASIS), *said])
    cues = [_cue(slot, said.get(slot), true.get(slot)) for slot in slots]
    return Example(
        prediction["id"],
        prediction["emotion"]
        or " ".join([NO_ANSWER, *([f"({prediction['status']})"] if prediction["status"] else [])]),
        reference["emotion"],
        scores,
        [cue for cue in cues if (cue.said, cue.true) != (NOT_KNOWN, NOT_KNOWN)],
        _words(prediction["transcript"]),
        _words(reference.get("text")),
        str(prediction.get("explanation") or ""),
    )


def _cue(slot: str, said: str | list[str] | None, true: str | list[str] | None) -> Cue:
    agrees = None if said is None or true is None else said == true
    return Cue(slot, _level(said), _level(true), agrees)


def _level(level: str | list[str] | None) -> str:
    if level is None:
        return NOT_KNOWN
    return level if isinstance(level, str) else ", ".join(f"“{word}”" for word in level) or "no word"


def _words(text: str | None) -> str:
    return NOT_KNOWN if text is None else f"“{text}”"
