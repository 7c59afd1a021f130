"""TESS: two women of Toronto say "Say the word …" in seven emotions, 2,800 clips (Pichora-Fuller & Dupuis, 2020).

    OAF_back_angry.wav               all in one folder
    OAF_Pleasant_surprise/…_ps.wav   or a folder for each speaker and emotion, in copies spelt in many ways

Some copies hold everything twice, the second time in a folder within. So the name of a file tells all here: speaker,
word and emotion. 200 words, each by both women in every emotion.
"""

import re
from itertools import product
from pathlib import Path

from xser.corpora.listing import named_recordings, relative
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

NAME = re.compile(
    r"(?P<speaker>OAF|OA|YAF)_(?P<word>[a-z]+)_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)\.wav",
    re.IGNORECASE,
)
EXAMPLE = "OAF_back_angry.wav"
SPEAKERS = {"OA": "OAF", "OAF": "OAF", "YAF": "YAF"}  # one file is misnamed: OA_bite_neutral.wav
AGES = {"OAF": 64, "YAF": 26}  # the older and the younger adult
EMOTIONS = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",  # pleasantly
    "sad": "sad",
}


def find(source: Path) -> Found:
    """Rows of TESS, 2,800 in all; a fold is a speaker. A word that is not there in every emotion is named.

    Args:
        source: holds the recordings, at any depth.

    Raises:
        FileNotFoundError: no such recording there.
    """
    matches, left_out = named_recordings(source, NAME, "TESS", EXAMPLE)
    rows: dict[str, dict] = {}
    for path, match in matches.items():
        speaker, word, emotion = SPEAKERS[match["speaker"].upper()], match["word"].lower(), match["emotion"].lower()
        name = f"{speaker}_{word}_{emotion}"
        if name in rows:
            left_out[relative(path, source)] = f"a second recording of {name}"
        else:
            rows[name] = _row(name, speaker, word, emotion, path)
    speakers = sorted({row["speaker"] for row in rows.values()})
    words = sorted({name.split("_")[1] for name in rows})
    expected = ["_".join(parts) for parts in product(speakers, words, EMOTIONS)]
    left_out |= {name: "the recording is missing" for name in expected if name not in rows}
    return Found(sorted(rows.values(), key=lambda row: row["id"]), left_out)


def _row(name: str, speaker: str, word: str, emotion: str, path: Path) -> dict:
    return make_row(
        id=name,
        audio={"bytes": None, "path": str(path)},
        text=f"Say the word {word}",
        emotion=EMOTIONS[emotion],
        speaker=speaker,
        gender="female",
        age=AGES[speaker],
        language="en",
        corpus=CORPUS.name,
        fold=speaker,
    )


CORPUS = Corpus(
    name="tess",
    find=find,
    licence="CC BY-NC-ND 4.0: not for commercial use, not to be passed on changed, name the authors",
)
