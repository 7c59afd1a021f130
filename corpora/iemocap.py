"""IEMOCAP: dialogues of five pairs of actors, improvised and scripted (Busso et al., 2008, Language Resources and
Evaluation 42).

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt    emotions, by utterance
    Session1/dialog/transcriptions/Ses01F_impro01.txt   words, by utterance
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav

An utterance Ses01F_impro01_M003 is spoken by the man of session 1: the letter in front of its number is the speaker's,
the one behind the session's number tells whose motion was captured in that dialogue. The same names everywhere join
the three; their order does not.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from xser.corpora.listing import check_folder, is_hidden, not_this_corpus, relative, visible_files
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

logger = logging.getLogger(__name__)

UTTERANCE = re.compile(r"(?P<dialogue>Ses0(?P<session>[1-5])[FM]_(?P<kind>impro|script)\d\d\w*)_(?P<gender>[FM])\d{3}")
DIALOGUE = re.compile(r"Ses0[1-5][FM]_(?P<kind>impro|script)\d\d\w*")
LABEL = re.compile(r"\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s+(?P<utterance>\S+)\s+(?P<code>[A-Za-z]+)\b.*")
WORDS = re.compile(r"(?P<utterance>Ses\S+)\s*\[[^]]*\]\s*:(?P<text>.*)")
TAG = re.compile(r"\[[A-Za-z _]+\]")  # [LAUGHTER], [garbage]: heard, but no words
CODES = {
    "ang": "angry",
    "hap": "happy",
    "sad": "sad",
    "neu": "neutral",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "exc": "excited",
    "fru": "frustrated",
    "oth": None,  # another emotion
    "xxx": None,  # raters did not agree
}
FOUR = {"ang": "angry", "hap": "happy", "sad": "sad", "neu": "neutral"}
LABELS = {  # protocol → code → emotion of the rows
    "four": {**FOUR, "exc": "happy"},
    "four_without_excited": FOUR,
    "six": {code: CODES[code] for code in (*FOUR, "exc", "fru")},
    "all": CODES,
}
GENDERS = {"F": "female", "M": "male"}


def find(source: Path, labels: str = "four", improvised_only: bool = False) -> Found:
    """Rows of IEMOCAP; sessions are folds, speakers are named as in `Ses01F`.

    Utterances that a protocol does not use are no rows, and are not left out either: a log line counts them. Left out
    are utterances of the protocol without a recording, recordings without a label, lines that are not understood, and
    sessions whose folder is missing. Tags such as [LAUGHTER] are taken out of the words.

    Args:
        source: holds the folders `Session1` to `Session5`, or holds the folder that does.
        labels: "four": angry, sad, neutral, and happy with excited (5,531 utterances, the usual protocol);
            "four_without_excited" (4,490); "six": angry, sad, neutral, happy, excited, frustrated (7,380); "all":
            10,039, of which those of no agreed or another emotion have none.
        improvised_only: without scripted dialogues, where words and emotions go together.

    Raises:
        FileNotFoundError: no session there, or labels without recordings.
        ValueError: an unknown option, or one session twice.
    """
    if labels not in LABELS:
        raise ValueError(f"labels is {labels!r}, not one of {list(LABELS)}")
    if not isinstance(improvised_only, bool):
        raise ValueError(f"improvised_only is {improvised_only!r}: give true or false")
    check_folder(source)
    sessions = _sessions(source)
    found = Found([])
    unused: Counter[str] = Counter()
    for session in sessions.values():
        _read_session(session, source, LABELS[labels], improvised_only, found, unused)
    if not found.rows:
        raise FileNotFoundError(
            f"{source}: no utterance of labels={labels!r} has its recording in Session*/sentences/wav; "
            f"left out: {list(found.left_out.items())[:3]}"
        )
    found.left_out |= {f"Session{n}": "no dialog/EmoEvaluation is there" for n in range(1, 6) if n not in sessions}
    if unused:
        counts = ", ".join(f"{code} {count}" for code, count in unused.most_common())
        logger.info("IEMOCAP: labels=%r does not use %d utterances (%s)", labels, unused.total(), counts)
    return found


def _sessions(source: Path) -> dict[int, Path]:
    """Number of a session → its folder."""
    sessions: dict[int, Path] = {}
    for depth in ("", "*/", "*/*/"):
        for path in sorted(source.glob(f"{depth}[Ss]ession[1-5]")):
            hidden = any(map(is_hidden, path.relative_to(source).parts))
            if hidden or not (path / "dialog" / "EmoEvaluation").is_dir():
                continue
            number = int(path.name[-1])
            if number in sessions:
                raise ValueError(f"session {number} is there twice: {sessions[number]} and {path}; give one release")
            sessions[number] = path
        if sessions:
            return dict(sorted(sessions.items()))
    raise not_this_corpus(source, "IEMOCAP", "Session1/dialog/EmoEvaluation")


def _read_session(
    session: Path, source: Path, labels: dict, improvised_only: bool, found: Found, unused: Counter[str]
) -> None:
    """Add a session's rows, what it leaves out, and how many utterances of which code are not used."""
    recordings, texts = _recordings(session), _texts(session)
    labelled = set()
    for utterance, code, line in _labels(session, source):
        match = UTTERANCE.fullmatch(utterance)
        wrong = _wrong(utterance, match, code, labelled)
        labelled.add(utterance)
        if wrong:
            found.left_out[line] = wrong
            continue
        if code not in labels or (improvised_only and match["kind"] != "impro"):
            unused[code] += 1
        elif utterance not in recordings:
            place = session / "sentences" / "wav" / match["dialogue"] / f"{utterance}.wav"
            found.left_out[relative(place, source)] = "the recording is missing"
        else:
            found.rows.append(_row(match, recordings[utterance], labels[code], texts.get(utterance)))
    for utterance in sorted(set(recordings) - labelled):
        match = UTTERANCE.fullmatch(utterance)
        if not (improvised_only and match["kind"] != "impro"):
            place = relative(session / "dialog" / "EmoEvaluation" / f"{match['dialogue']}.txt", source)
            found.left_out[relative(recordings[utterance], source)] = f"{place} has no label of it"


def _wrong(utterance: str, match: re.Match[str] | None, code: str, labelled: set[str]) -> str | None:
    """What is wrong with a line of labels."""
    if match is None:
        return f"{utterance!r} is no utterance"
    if code not in CODES:
        return f"{code!r} is not one of {list(CODES)}"
    return f"{utterance} has a label already" if utterance in labelled else None


def _row(match: re.Match[str], recording: Path, emotion: str | None, text: str | None) -> dict:
    return make_row(
        id=match[0],
        audio={"bytes": None, "path": str(recording)},
        text=text,
        emotion=emotion,
        speaker=f"Ses0{match['session']}{match['gender']}",
        gender=GENDERS[match["gender"]],
        language="en",
        corpus=CORPUS.name,
        session=match["session"],
        fold=match["session"],
    )


def _recordings(session: Path) -> dict[str, Path]:
    """Utterance → wav file."""
    folder = session / "sentences" / "wav"
    files = visible_files(folder) if folder.is_dir() else ()
    return {path.stem: path for path in files if path.suffix.lower() == ".wav" and UTTERANCE.fullmatch(path.stem)}


def _labels(session: Path, source: Path) -> Iterator[tuple[str, str, str]]:
    """Utterance, code in small letters, and file with line; the lines between, of single raters, are passed over."""
    for path in _tables(session / "dialog" / "EmoEvaluation"):
        for number, line in _lines(path):
            if line.startswith("["):
                match = LABEL.fullmatch(line)
                utterance, code = (match["utterance"], match["code"].lower()) if match else (line, "")
                yield utterance, code, f"{relative(path, source)}, line {number}"


def _texts(session: Path) -> dict[str, str]:
    """Utterance → its words, where there are any."""
    folder = session / "dialog" / "transcriptions"
    if not folder.is_dir():
        logger.warning("%s is missing: the words of this session are not known", folder)
        return {}
    matches = (WORDS.fullmatch(line) for path in _tables(folder) for _, line in _lines(path))
    texts = {match["utterance"]: " ".join(TAG.sub(" ", match["text"]).split()) for match in matches if match}
    return {utterance: text for utterance, text in texts.items() if text}


def _tables(folder: Path) -> list[Path]:
    """Text files named after dialogues; subfolders hold single raters' files of the same names."""
    return sorted(path for path in folder.glob("*.txt") if DIALOGUE.fullmatch(path.stem))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, stripped; what is not UTF-8 stands as U+FFFD."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    return ((number, line.strip()) for number, line in enumerate(lines, start=1))


CORPUS = Corpus(
    name="iemocap",
    find=find,
    options={
        "labels": "four (default): excited as happy; four_without_excited; six; all",
        "improvised_only": "true: no scripted dialogues",
    },
    licence="University of Southern California, on request: academic research only, not to be passed on",
)
