"""The protocols by name: how a corpus is divided into folds, and whose convention that is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

FOUR = ("angry", "happy", "sad", "neutral")
SEVEN = (*FOUR, "fearful", "surprised", "disgusted")
OTHERS_OF_MELD = "surprised, fearful and disgusted are left out of all parts, and counted"


@dataclass(frozen=True)
class Protocol:
    """How a corpus is divided and which emotions are told apart.

    Args:
        name: on the command line.
        convention: one line: what it is, and where it is usual.
        by: what a fold leaves out: a value of the column "session", "speaker" or "fold"; "split" for the corpus's own
            train, validation and test; "corpus" for another corpus.
        classes: emotions that are told apart; `None` for those that the corpus holds.
        emotion_map: label → another, or `None` to leave its rows out, before classes are looked at.
        only: folds that are run; `None` for all.
        expected: folds that a complete corpus has.
        shares_speakers: why the parts share speakers; `None` where they must not.
        published: fold → utterances of its test part, as published, to be compared with.
    """

    name: str
    convention: str
    by: str
    classes: tuple[str, ...] | None = None
    emotion_map: Mapping[str, str | None] = field(default_factory=dict)
    only: tuple[str, ...] | None = None
    expected: tuple[str, ...] = ()
    shares_speakers: str | None = None
    published: Mapping[str, int] = field(default_factory=dict)


_SESSIONS = {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241}  # with excited as happy: 5,531
_MELD = "the leading characters of the series speak in all of MELD's official parts"

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "iemocap-loso",
            "IEMOCAP, one of five sessions left out at a time, the one before it for development; angry, happy with "
            "excited, sad, neutral (5,531 utterances): the usual figure of papers on IEMOCAP, UA and WA",
            by="session",
            classes=FOUR,
            emotion_map={"excited": "happy"},
            expected=tuple(_SESSIONS),
            published=_SESSIONS,
        ),
        Protocol(
            "iemocap-session5",
            "IEMOCAP, Session 5 alone is the test (1,241 utterances), Session 4 for development; the same four "
            "emotions: papers that give one split; not to be set beside leave-one-session-out figures",
            by="session",
            classes=FOUR,
            emotion_map={"excited": "happy"},
            only=("5",),
            expected=("5",),
            published={"5": _SESSIONS["5"]},
        ),
        Protocol(
            "meld",
            "MELD, official train, development and test parts (2,610 utterances), seven emotions: papers on MELD give "
            "accuracy (WA) and weighted F1; UA is far lower, since half of it is neutral",
            by="split",
            classes=SEVEN,
            shares_speakers=_MELD,
            published={"official": 2610},
        ),
        Protocol(
            "meld-4",
            f"MELD, official parts, the four emotions of IEMOCAP: angry, happy (joy), sad, neutral; {OTHERS_OF_MELD}",
            by="split",
            classes=FOUR,
            emotion_map=dict.fromkeys(("surprised", "fearful", "disgusted")),
            shares_speakers=_MELD,
        ),
        Protocol(
            "loso-speaker",
            "any corpus with speakers, one of them left out at a time; for development the other speaker where every "
            "session has two (the ten folds of IEMOCAP), else the speaker before: usual for EMO-DB, SAVEE and TESS",
            by="speaker",
        ),
        Protocol(
            "splits",
            "the corpus's own train, validation and test parts, whatever speakers these share, which is said",
            by="split",
            shares_speakers="they are the corpus's own parts",
        ),
        Protocol("folds", "the corpus's own folds, the one before for development: as EmoBox has them", by="fold"),
        Protocol(
            "cross-corpus",
            "trained on one corpus, less a tenth by whole speakers for development, tested on all of another; over "
            "emotions that both know, after --emotion_map",
            by="corpus",
        ),
    )
}  # fmt: skip


def find_protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        ValueError: there is none; says which there are.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol {name!r} is not known; known are {list(PROTOCOLS)}")
    return PROTOCOLS[name]
