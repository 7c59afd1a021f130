"""ESD: 35,000 sentences by ten Mandarin and ten English speakers in five emotions (Zhou et al., 2021, ICASSP).

    Emotion Speech Dataset/0011/Angry/0011_000351.wav         or one deeper, in train/, evaluation/ and test/
    Emotion Speech Dataset/0011/0011.txt                      transcripts: id, text, emotion

A name says speaker and number, and the number the emotion: 350 sentences each. The transcripts' encoding differs by
speaker (UTF-16, GB 2312, Latin-1, ASCII), and some lines have spaces for tabs.
"""

import re
from pathlib import Path

from xser.corpora.listing import named_recordings, not_this_corpus, relative, visible_files
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

NAME = re.compile(r"(?P<speaker>00(?:0[1-9]|1\d|20))_(?P<number>\d{6})\.wav", re.IGNORECASE)
EXAMPLE = "0011/Angry/0011_000351.wav"
EMOTIONS = {"Neutral": "neutral", "Angry": "angry", "Happy": "happy", "Sad": "sad", "Surprise": "surprised"}
SENTENCES = 350  # of each emotion; numbers go through the emotions in the order above
LANGUAGES = {"mandarin": "zh", "english": "en"}
FIRST_ENGLISH = 11
MALE = (4, 5, 6, 8, 10, 11, 12, 13, 14, 20)
PARTS = {"train": "train", "evaluation": "validation", "test": "test"}

_LABELS = "|".join([*EMOTIONS, "中立", "生气", "快乐", "伤心", "惊喜"])
_LINE = re.compile(rf"(\d{{4}}_\d{{6}})\s+(.*?)(?:\t\s*\S+|\s+(?:{_LABELS}))?\s*")


def find(source: Path, language: str = "all", parts: str = "none") -> Found:
    """Rows of ESD, 35,000 in all; what has a transcript and no recording is left out.

    Five folds of four speakers, two of each language, each fold with both genders; they are chosen here, not by the
    authors.

    Args:
        source: holds the speakers' folders, at any depth.
        language: "english", "mandarin" or "all".
        parts: "official" takes the folders train, evaluation and test as splits, each of which has all speakers;
            "none" takes no notice of them.

    Raises:
        FileNotFoundError: no such recording there in that language.
        ValueError: another language, other parts, or official parts where a recording is in none.
    """
    for name, value, known in (("language", language, (*LANGUAGES, "all")), ("parts", parts, ("none", "official"))):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, not one of {list(known)}")
    matches, left_out = named_recordings(source, NAME, "ESD", EXAMPLE)
    texts, unread = _transcripts(source)
    left_out |= unread
    rows = []
    for path, match in matches.items():
        speaker, emotion = int(match["speaker"]), _emotion(int(match["number"]))
        folder = next((part for part in reversed(path.relative_to(source).parts) if part.title() in EMOTIONS), None)
        text = texts.pop(path.stem, None)
        if language not in ("all", _language(speaker)):
            continue
        if emotion is None:
            left_out[relative(path, source)] = f"its number is not within 1 to {SENTENCES * len(EMOTIONS)}"
        elif folder is not None and folder.title() != emotion:
            left_out[relative(path, source)] = f"its number means {emotion}, its folder says {folder}"
        else:
            split = _part(path) if parts == "official" else None
            rows.append(_row(path, speaker, emotion, text, split))
    if not rows:
        raise not_this_corpus(source, f"ESD (language: {language})", EXAMPLE)
    without = [name for name in texts if language in ("all", _language(int(name[:4])))]
    left_out |= dict.fromkeys(without, "the recording is missing")
    return Found(sorted(rows, key=lambda row: row["id"]), left_out)


def _row(path: Path, speaker: int, emotion: str, text: str | None, split: str | None) -> dict:
    return make_row(
        id=path.stem,
        audio={"bytes": None, "path": str(path)},
        text=text,
        emotion=EMOTIONS[emotion],
        speaker=f"{speaker:04}",
        gender="male" if speaker in MALE else "female",
        language=LANGUAGES[_language(speaker)],
        corpus=CORPUS.name,
        fold=str((speaker - 1) % 10 // 2 + 1),
        split=split,
    )


def _language(speaker: int) -> str:
    return "english" if speaker >= FIRST_ENGLISH else "mandarin"


def _emotion(number: int) -> str | None:
    place = (number - 1) // SENTENCES
    return list(EMOTIONS)[place] if 0 <= place < len(EMOTIONS) else None


def _part(path: Path) -> str:
    part = PARTS.get(path.parent.name.lower())
    if part is None:
        raise ValueError(f"{path} is in none of the folders {list(PARTS)}, which parts='official' takes as splits")
    return part


def _transcripts(source: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Text of each utterance; tables that cannot be read → why."""
    texts: dict[str, str] = {}
    unread: dict[str, str] = {}
    for path in visible_files(source):
        if path.suffix.lower() != ".txt":
            continue
        try:
            lines = _decoded(path.read_bytes()).split("\n")
        except UnicodeDecodeError:
            unread[relative(path, source)] = "in none of the encodings of ESD: its utterances have no transcript"
            continue
        for match in filter(None, map(_LINE.fullmatch, lines)):
            if match[2]:
                texts.setdefault(match[1], " ".join(match[2].split()))
    return texts, unread


def _decoded(data: bytes) -> str:
    """The text of a table, whichever of the encodings of ESD it is in.

    Latin-1 takes any bytes, so it comes last, and for English alone. GB 2312 comes before it, as an English table may
    have quotation marks of it; letters with accents, which stand singly, are never valid there.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    if b"\0" in data[:64]:  # UTF-16 without a mark
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    speaker = re.search(rb"(\d{4})_\d{6}", data)
    english = speaker is not None and int(speaker[1]) >= FIRST_ENGLISH
    *some, last = ("utf-8-sig", "gb2312", "cp1252", "latin-1") if english else ("utf-8-sig", "gb2312", "gb18030")
    for encoding in some:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            pass
    return data.decode(last)


CORPUS = Corpus(
    name="esd",
    find=find,
    options={
        "language": "english, mandarin or all (default)",
        "parts": "official: train, evaluation and test as splits, which share all speakers; default: none",
    },
    licence="National University of Singapore, by a licence form: research only, not to be passed on",
)
