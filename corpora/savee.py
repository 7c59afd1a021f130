"""SAVEE: 480 sentences by four British men in seven emotions (Haq & Jackson, 2009, AVSP).

    AudioData/DC/a01.wav    as published: the folder is the speaker
    ALL/DC_a01.wav          as copies have it

A name says emotion and take; 15 takes of each emotion, 30 neutral ones. There are no transcripts.
"""

import re
from pathlib import Path

from xser.corpora.listing import check_folder, not_this_corpus, relative, visible_files
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

NAME = re.compile(r"(?:(?P<speaker>DC|JE|JK|KL)_?)?(?P<emotion>sa|su|a|d|f|h|n)(?P<take>\d\d)\.wav", re.IGNORECASE)
EXAMPLE = "AudioData/DC/a01.wav or ALL/DC_a01.wav"
SPEAKERS = ("DC", "JE", "JK", "KL")
EMOTIONS = {
    "a": "angry",
    "d": "disgusted",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
TAKES = {emotion: 30 if emotion == "n" else 15 for emotion in EMOTIONS}


def find(source: Path) -> Found:
    """Rows of SAVEE, 480 in all; a fold is a speaker. A take that a speaker should have and has not is left out.

    Args:
        source: holds the recordings, at any depth.

    Raises:
        FileNotFoundError: no such recording there.
    """
    check_folder(source)
    rows: dict[str, dict] = {}
    left_out: dict[str, str] = {}
    for path in visible_files(source):
        if path.suffix.lower() != ".wav":
            continue
        match = NAME.fullmatch(path.name)
        speaker = (match["speaker"] or path.parent.name).upper() if match else None
        if speaker not in SPEAKERS:
            left_out[relative(path, source)] = "its name and folder are not like DC/a01.wav or DC_a01.wav"
            continue
        emotion = match["emotion"].lower()
        name = f"{speaker}_{emotion}{match['take']}"
        if name in rows:
            left_out[relative(path, source)] = f"a second recording of {name}"
        else:
            rows[name] = _row(name, speaker, emotion, path)
    if not rows:
        raise not_this_corpus(source, "SAVEE", EXAMPLE)
    left_out |= {name: "the recording is missing" for name in _expected(rows) if name not in rows}
    return Found(sorted(rows.values(), key=lambda row: row["id"]), left_out)


def _expected(rows: dict[str, dict]) -> list[str]:
    """Every take of the speakers that are there."""
    speakers = sorted({row["speaker"] for row in rows.values()})
    takes = [f"{emotion}{take:02}" for emotion, takes in TAKES.items() for take in range(1, takes + 1)]
    return [f"{speaker}_{take}" for speaker in speakers for take in takes]


def _row(name: str, speaker: str, emotion: str, path: Path) -> dict:
    return make_row(
        id=name,
        audio={"bytes": None, "path": str(path)},
        emotion=EMOTIONS[emotion],
        speaker=speaker,
        gender="male",
        language="en",
        corpus=CORPUS.name,
        fold=speaker,
    )


CORPUS = Corpus(
    name="savee",
    find=find,
    licence="University of Surrey, by registration: research only, not to be passed on",
)
