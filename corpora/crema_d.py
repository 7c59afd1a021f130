"""CREMA-D: twelve sentences by 91 American actors (Cao et al., 2014, IEEE Transactions on Affective Computing 5(4)).

    AudioWAV/1001_DFA_ANG_XX.wav
    SentenceFilenames.csv               all clips, by `Filename`
    VideoDemographics.csv               age and sex of the actors, by `ActorID`
    processedResults/summaryTable.csv   what raters heard: `VoiceVote`
    processedResults/tabulatedVotes.csv how many raters named which emotion, by `fileName`; the first column begins
                                        with 1 where they had the voice alone

A name says actor, sentence, emotion acted and its level. The recordings are kept by Git LFS: a download without it
holds text files in their places, which are told apart here. One common copy calls 1040_ITH_SAD_XX 1040_ITH_SAD_X.

As published, three pairs are the same recording under two emotions: 1006_TIE_HAP_XX = 1006_TIE_NEU_XX,
1013_WSI_DIS_XX = 1013_WSI_SAD_XX, 1017_IWW_ANG_XX = 1017_IWW_FEA_XX; and 1076_MTI_SAD_XX is silent.
"""

import logging
import re
from pathlib import Path

from xser.corpora.listing import named_recordings, relative, visible_files
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import read_table

logger = logging.getLogger(__name__)

NAME = re.compile(
    r"(?P<clip>1\d{3}_(?:IEO|TIE|IOM|IWW|TAI|MTI|IWL|ITH|DFA|ITS|TSI|WSI)"
    r"_(?:ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>LO|MD|HI|XX?))\.wav",
    re.IGNORECASE,
)
EXAMPLE = "AudioWAV/1001_DFA_ANG_XX.wav"
EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgusted",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
VOTES = {code[0]: emotion for code, emotion in EMOTIONS.items()}
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
LABELS = ("acted", "voted")
CLIPS = "SentenceFilenames.csv"
DEMOGRAPHICS = "VideoDemographics.csv"
SUMMARY = "summaryTable.csv"
TABULATED = "tabulatedVotes.csv"
VOICE_ALONE = 1  # hundred thousands of a row's number: 2 is the face, 3 both
FOLDS = 5
POINTER_START = b"version https://git-lfs"
POINTER_BYTES = 1024  # a pointer is never longer, by its specification


def find(source: Path, labels: str = "acted") -> Found:
    """Rows of CREMA-D, 7,442 in all.

    There is no official split: an actor's fold is the remainder of its number by five, which nobody else's list of
    folds needs to share. Without VideoDemographics.csv gender and age are not known; without SentenceFilenames.csv
    missing recordings are not noticed; without tabulatedVotes.csv there are no ratings, which are of the voice alone.

    Args:
        source: holds AudioWAV, at any depth.
        labels: "acted", the emotion that the actor was asked for; or "voted", what most raters heard in the voice
            alone, `None` where two emotions have as many votes (they agree with what was acted in two of five clips).

    Raises:
        ValueError: other labels; all recordings are Git LFS pointers; a table without its columns, or not in UTF-8.
        FileNotFoundError: no such recording there, or no table of votes.
    """
    if labels not in LABELS:
        raise ValueError(f"labels is {labels!r}, not one of {list(LABELS)}")
    matches, left_out = named_recordings(source, NAME, "CREMA-D", EXAMPLE)
    found = {_clip(match) for match in matches.values()}
    pointers = [path for path in matches if _is_pointer(path)]
    if len(pointers) == len(matches):
        raise ValueError(
            f"{pointers[0].parent} holds Git LFS pointers in place of recordings ({len(pointers)} of {len(matches)}): "
            "install Git LFS and run `git lfs pull` there, or copy AudioWAV from a complete download"
        )
    for path in pointers:
        left_out[relative(path, source)] = "a Git LFS pointer, not the recording: run `git lfs pull`"
        del matches[path]
    people = _people(source)
    left_out |= {f"{clip}.wav": "the recording is missing" for clip in _clips(source) if clip not in found}
    votes = _votes(source) if labels == "voted" else None
    ratings = _ratings(source)
    rows = [
        {**_row(path, match, people, votes), "ratings": ratings.get(_clip(match))} for path, match in matches.items()
    ]
    return Found(sorted(rows, key=lambda row: row["id"]), left_out)


def _row(path: Path, match: re.Match[str], people: dict[str, dict], votes: dict[str, str] | None) -> dict:
    name = _clip(match)
    actor, sentence, acted, _ = name.split("_")
    return make_row(
        id=name,
        audio={"bytes": None, "path": str(path)},
        text=SENTENCES[sentence],
        emotion=EMOTIONS[acted] if votes is None else VOTES.get(votes.get(name, "")),
        speaker=actor,
        **people.get(actor, {}),
        language="en",
        corpus=CORPUS.name,
        fold=str(int(actor) % FOLDS + 1),
    )


def _clip(match: re.Match[str]) -> str:
    """A clip's name as published."""
    name = match["clip"].upper()
    return f"{name}X" if match["level"].upper() == "X" else name


def _is_pointer(path: Path) -> bool:
    if path.stat().st_size > POINTER_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(POINTER_START)) == POINTER_START


def _clips(source: Path) -> list[str]:
    """All clips that the corpus lists, where it brings its list."""
    path = _table(source, CLIPS)
    if path is None:
        return []
    matches = (NAME.fullmatch(f"{cells['Filename']}.wav") for _, cells in read_table(path, ("Filename",)))
    return [_clip(match) for match in matches if match]


def _people(source: Path) -> dict[str, dict]:
    """Actor → gender and age."""
    path = _table(source, DEMOGRAPHICS)
    if path is None:
        logger.warning("%s holds no %s: gender and age are not known", source, DEMOGRAPHICS)
        return {}
    people = {}
    for _, cells in read_table(path, ("ActorID", "Age", "Sex")):
        gender = cells["Sex"].lower()
        age = int(cells["Age"]) if cells["Age"].isdecimal() else None
        people[cells["ActorID"]] = {"gender": gender if gender in ("female", "male") else None, "age": age}
    return people


def _votes(source: Path) -> dict[str, str]:
    """Name of a clip → letter of an emotion, or letters as in "N:S"."""
    path = _table(source, SUMMARY)
    if path is None:
        raise FileNotFoundError(f"{source} holds no processedResults/{SUMMARY}, which labels='voted' needs")
    return {cells["FileName"]: cells["VoiceVote"] for _, cells in read_table(path, ("FileName", "VoiceVote"))}


def _ratings(source: Path) -> dict[str, list[str]]:
    """Name of a clip → the emotion that each rater named from the voice alone; none without the table."""
    path = _table(source, TABULATED)
    if path is None:
        return {}
    ratings = {}
    for line, cells in read_table(path, ("", "fileName", *VOTES)):
        numbers = [cells[name] for name in ("", *VOTES)]
        if not all(number.isdecimal() for number in numbers):
            raise ValueError(f"{path}, line {line}: {numbers} are no whole numbers, of the row and of votes")
        if int(cells[""]) // 100_000 == VOICE_ALONE:
            named = [emotion for letter, emotion in VOTES.items() for _ in range(int(cells[letter]))]
            ratings[cells["fileName"]] = named or None
    return ratings


def _table(source: Path, name: str) -> Path | None:
    return next((path for path in visible_files(source) if path.name.lower() == name.lower()), None)


CORPUS = Corpus(
    name="crema-d",
    find=find,
    options={"labels": "acted (default): what the actor was asked for; voted: what most raters heard in the voice"},
    licence="ODbL 1.0, contents DbCL 1.0: name the authors, share what is made of the database alike",
)
