"""EmoDB: ten German sentences by ten actors (Burkhardt et al., 2005, Interspeech, "A database of German emotional
speech").

    wav/03a01Fa.wav

The letters say speaker (03), sentence (a01), emotion (F) and take (a). Emotions are initials of German words, so A
(Angst) is fear and anger is W (Wut). Recordings may lie anywhere below the source, under `wav` or another name; the
folders of label files beside them are not read.
"""

import re
from pathlib import Path

from xser.corpora.listing import named_recordings
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

NAME = re.compile(
    r"(?P<speaker>03|08|09|1[0-6])(?P<sentence>[ab]\d\d)(?P<emotion>[WLEAFTN])(?P<take>[a-f])\.wav", re.IGNORECASE
)
EXAMPLE = "wav/03a01Fa.wav"
EMOTIONS = {
    "W": "angry",
    "L": "bored",
    "E": "disgusted",
    "A": "fearful",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
SPEAKERS = {  # gender and age in years
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def find(source: Path) -> Found:
    """Rows of EmoDB, 535 in all; each speaker is a fold.

    Raises:
        FileNotFoundError: no such recording there.
    """
    matches, left_out = named_recordings(source, NAME, "EmoDB", EXAMPLE)
    rows = [_row(path, match) for path, match in matches.items()]
    return Found(sorted(rows, key=lambda row: row["id"]), left_out)


def _row(path: Path, match: re.Match[str]) -> dict:
    speaker, sentence, emotion = match["speaker"], match["sentence"].lower(), match["emotion"].upper()
    gender, age = SPEAKERS[speaker]
    return make_row(
        id=f"{speaker}{sentence}{emotion}{match['take'].lower()}",  # some copies have names in capitals
        audio={"bytes": None, "path": str(path)},
        text=SENTENCES.get(sentence),
        emotion=EMOTIONS[emotion],
        speaker=speaker,
        gender=gender,
        age=age,
        language="de",
        corpus=CORPUS.name,
        fold=speaker,
    )


CORPUS = Corpus(name="emodb", find=find, licence="CC BY 4.0: name the authors")
