"""IEMOCAP: dialogues of five pairs of actors, improvised and scripted (Busso et al., 2008, Language Resources and
Evaluation 42).

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt    emotions, by utterance
    Session1/dialog/transcriptions/Ses01F_impro01.txt   words, by utterance
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav

An utterance Ses01F_impro01_M003 is spoken by the man of session 1: the letter in front of its number is the speaker's,
the one behind the session's number tells whose motion was captured in that dialogue. The same names everywhere join
the three; their order does not.

In a table of emotions, the line of an utterance has the agreed emotion and the mean valence, activation and dominance,
each from 1 to 5. Below it, up to an empty line, each rater has lines of their own:

    [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
    C-E2:	Neutral;	()
    C-F1:	Neutral;	()                        the actors' own ratings, which are not read
    A-E3:	val 3; act 2; dom  2;	()
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xser.corpora.listing import check_folder, is_hidden, not_this_corpus, relative, visible_files
from xser.corpora.protocols import check_protocol, warn_of_sizes
from xser.corpora.schema import DIMENSIONS, make_row, unit_interval
from xser.corpora.source import Corpus, Found

logger = logging.getLogger(__name__)

UTTERANCE = re.compile(r"(?P<dialogue>Ses0(?P<session>[1-5])[FM]_(?P<kind>impro|script)\d\d\w*)_(?P<gender>[FM])\d{3}")
DIALOGUE = re.compile(r"Ses0[1-5][FM]_(?P<kind>impro|script)\d\d\w*")
LABEL = re.compile(
    r"\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s+(?P<utterance>\S+)\s+(?P<code>[A-Za-z]+)\b\s*(?:\[(?P<dimensions>[^]]*)\])?.*"
)
RATING = re.compile(r"C-E\d+:(?P<emotions>[^()]*)(?:\(.*)?")  # may name several emotions, each closed by ";"
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
RATER_LABELS = {  # as raters write them, in small letters → code
    "anger": "ang",
    "happiness": "hap",
    "sadness": "sad",
    "neutral": "neu",
    "neutral state": "neu",
    "fear": "fea",
    "surprise": "sur",
    "disgust": "dis",
    "excited": "exc",
    "frustration": "fru",
}
OTHER = "other"  # an emotion without a name of its own
SCALE = (1.0, 5.0)  # of valence, activation and dominance
FOUR = {"ang": "angry", "hap": "happy", "sad": "sad", "neu": "neutral"}
LABELS = {  # protocol → code → emotion of the rows
    "four": {**FOUR, "exc": "happy"},
    "four_without_excited": FOUR,
    "six": {code: CODES[code] for code in (*FOUR, "exc", "fru")},
    "all": CODES,
}
GENDERS = {"F": "female", "M": "male"}


@dataclass
class Label:
    """An utterance's labels as a table has them.

    Args:
        code: of the agreed emotion, in small letters.
        dimensions: valence, activation and dominance, as written; None where the line has none.
        where: file and line.
        ratings: code of each label that a rater gave, None for one that is no code.
    """

    utterance: str
    code: str
    dimensions: str | None
    where: str
    ratings: list[str | None] = field(default_factory=list)


def find(source: Path, labels: str = "four", improvised_only: bool = False, protocol: str | None = None) -> Found:
    """Rows of IEMOCAP; sessions are folds, speakers are named as in `Ses01F`.

    `ratings` are the emotions that the raters named, one or several a rater, in the words that `labels` has for the
    agreed ones (under "four", excited is happy); those that `labels` does not use keep their usual name.

    Utterances that a protocol does not use are no rows, and are not left out either: a log line counts them. Left out
    are utterances of the protocol without a recording, recordings without a label, lines that are not understood, and
    sessions whose folder is missing. Tags such as [LAUGHTER] are taken out of the words.

    Args:
        source: holds the folders `Session1` to `Session5`, or holds the folder that does.
        labels: "four": angry, sad, neutral, and happy with excited (5,531 utterances, the usual protocol);
            "four_without_excited" (4,490); "six": angry, sad, neutral, happy, excited, frustrated (7,380); "all":
            10,039, of which those of no agreed or another emotion have none.
        improvised_only: without scripted dialogues, where words and emotions go together.
        protocol: "emobox" takes the utterances of EmoBox's lists, whose folds are the sessions: "four", and scripted
            dialogues too. Other options than these are refused, and a fold of another size is named in a warning.

    Raises:
        FileNotFoundError: no session there, or labels without recordings.
        ValueError: an unknown option, or one session twice.
    """
    if labels not in LABELS:
        raise ValueError(f"labels is {labels!r}, not one of {list(LABELS)}")
    if not isinstance(improvised_only, bool):
        raise ValueError(f"improvised_only is {improvised_only!r}: give true or false")
    check_protocol(protocol)
    if protocol is not None and (labels != "four" or improvised_only):
        raise ValueError(
            f"protocol {protocol!r} has labels='four' and scripted dialogues: labels={labels!r}, "
            f"improvised_only={improvised_only} are not its utterances"
        )
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
    if protocol is not None:
        warn_of_sizes(CORPUS.name, protocol, Counter(row["fold"] for row in found.rows))
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
    for label in _labels(session, source):
        utterance, code = label.utterance, label.code
        match = UTTERANCE.fullmatch(utterance)
        wrong = _wrong(utterance, match, code, labelled)
        labelled.add(utterance)
        if wrong:
            found.left_out[label.where] = wrong
            continue
        if code not in labels or (improvised_only and match["kind"] != "impro"):
            unused[code] += 1
        elif utterance not in recordings:
            place = session / "sentences" / "wav" / match["dialogue"] / f"{utterance}.wav"
            found.left_out[relative(place, source)] = "the recording is missing"
        else:
            found.rows.append(_row(match, recordings[utterance], label, labels, texts.get(utterance)))
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


def _row(match: re.Match[str], recording: Path, label: Label, labels: dict, text: str | None) -> dict:
    return make_row(
        id=match[0],
        audio={"bytes": None, "path": str(recording)},
        text=text,
        emotion=labels[label.code],
        ratings=[_rating(code, labels) for code in label.ratings] or None,
        **_dimensions(label.dimensions),
        speaker=f"Ses0{match['session']}{match['gender']}",
        gender=GENDERS[match["gender"]],
        language="en",
        corpus=CORPUS.name,
        session=match["session"],
        fold=match["session"],
    )


def _rating(code: str | None, labels: dict) -> str:
    """The emotion of one rater's label."""
    return OTHER if code is None else labels.get(code) or CODES[code]


def _dimensions(written: str | None) -> dict[str, float | None]:
    """Valence, arousal and dominance of `2.5000, 2.5000, 2.5000`; none where it is anything else."""
    try:
        values = [float(value) for value in (written or "").split(",")]
    except ValueError:
        return {}
    if len(values) != len(DIMENSIONS):
        return {}
    return {name: unit_interval(value, *SCALE) for name, value in zip(DIMENSIONS, values, strict=True)}


def _recordings(session: Path) -> dict[str, Path]:
    """Utterance → wav file."""
    folder = session / "sentences" / "wav"
    files = visible_files(folder) if folder.is_dir() else ()
    return {path.stem: path for path in files if path.suffix.lower() == ".wav" and UTTERANCE.fullmatch(path.stem)}


def _labels(session: Path, source: Path) -> Iterator[Label]:
    """What the tables of a session say of each utterance, single raters included."""
    for path in _tables(session / "dialog" / "EmoEvaluation"):
        label = None
        for number, line in _lines(path):
            if line.startswith("["):
                if label is not None:
                    yield label
                match, where = LABEL.fullmatch(line), f"{relative(path, source)}, line {number}"
                label = Label(line, "", None, where)
                if match is not None:
                    label = Label(match["utterance"], match["code"].lower(), match["dimensions"], where)
            elif label is not None and (rating := RATING.fullmatch(line)):
                named = [name.strip().lower() for name in rating["emotions"].split(";")]
                label.ratings += [RATER_LABELS.get(name) for name in named if name]
        if label is not None:
            yield label


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
        "protocol": "emobox: the utterances of EmoBox's lists, whose folds are the sessions",
    },
    licence="University of Southern California, on request: academic research only, not to be passed on",
)
