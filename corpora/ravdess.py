"""RAVDESS: two sentences by 24 North American actors, spoken and sung (Livingstone and Russo, 2018, PLOS ONE 13(5)).

    Actor_01/03-01-06-01-02-01-01.wav

The numbers say modality, channel (01 speech, 02 song), emotion, intensity, statement, repetition and actor; men have
odd numbers. Folders may lie anywhere below the source, and archives that hold everything twice are read once.

As published, 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07 are the same recording, and seven recordings are stereo.
"""

import itertools
import re
from pathlib import Path

from xser.corpora.listing import named_recordings, not_this_corpus
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

NAME = re.compile(
    r"0[1-3]-(?P<take>(?P<channel>0[12])-(?P<emotion>0[1-8])-0[12]-(?P<statement>0[12])-0[12]"
    r"-(?P<actor>0[1-9]|1\d|2[0-4]))\.wav",
    re.IGNORECASE,
)
EXAMPLE = "Actor_01/03-01-06-01-02-01-01.wav"
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgusted",
    "08": "surprised",
}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
CHANNELS = {"speech": ("01",), "song": ("02",), "both": ("01", "02")}
EMOTIONS_OF = {"01": tuple(EMOTIONS), "02": tuple(EMOTIONS)[:6]}  # nobody sings in disgust or surprise
ACTORS_PER_FOLD = 4  # two women and two men


def find(source: Path, channel: str = "speech") -> Found:
    """Rows of RAVDESS: 1,440 of speech, 1,012 of song (actor 18 does not sing).

    What an actor who is there lacks is named in `left_out`. Actors 1 to 4 are fold 1, …, 21 to 24 fold 6; speakers
    are named as their folders, `Actor_01`.

    Args:
        source: holds the folders `Actor_01` to `Actor_24`, at any depth.
        channel: "speech", "song" or "both".

    Raises:
        ValueError: another channel.
        FileNotFoundError: no such recording there.
    """
    if channel not in CHANNELS:
        raise ValueError(f"channel is {channel!r}, not one of {list(CHANNELS)}")
    matches, left_out = named_recordings(source, NAME, "RAVDESS", EXAMPLE)
    chosen = {path: match for path, match in matches.items() if match["channel"] in CHANNELS[channel]}
    if not chosen:
        example = f"03-{CHANNELS[channel][0]}-06-01-02-01-01.wav"
        raise not_this_corpus(source, f"the {channel} of RAVDESS", f"Actor_01/{example}")
    found = {match["take"] for match in chosen.values()}
    for part, actor in sorted({(match["channel"], match["actor"]) for match in chosen.values()}):
        missing = [take for take in _takes(part, actor) if take not in found]
        left_out |= {f"Actor_{actor}/03-{take}.wav": "the recording is missing" for take in missing}
    rows = [_row(path, match) for path, match in chosen.items()]
    return Found(sorted(rows, key=lambda row: row["id"]), left_out)


def _takes(channel: str, actor: str) -> list[str]:
    """What an actor recorded of a channel: neutral has one intensity, all else two."""
    kinds = [
        (emotion, intensity) for emotion in EMOTIONS_OF[channel] for intensity in ("01", "02")[: 1 + (emotion != "01")]
    ]
    numbers = itertools.product(kinds, ("01", "02"), ("01", "02"))
    return [f"{channel}-{'-'.join(kind)}-{statement}-{repetition}-{actor}" for kind, statement, repetition in numbers]


def _row(path: Path, match: re.Match[str]) -> dict:
    actor = int(match["actor"])
    return make_row(
        id=path.stem,
        audio={"bytes": None, "path": str(path)},
        text=STATEMENTS[match["statement"]],
        emotion=EMOTIONS[match["emotion"]],
        speaker=f"Actor_{actor:02d}",
        gender="male" if actor % 2 else "female",
        language="en",
        corpus=CORPUS.name,
        fold=str((actor - 1) // ACTORS_PER_FOLD + 1),
    )


CORPUS = Corpus(
    name="ravdess",
    find=find,
    options={"channel": "speech (default), song or both"},
    licence="CC BY-NC-SA 4.0: name the authors, no commercial use, share alike",
)
