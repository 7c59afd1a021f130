"""MSP-Podcast: speech from podcasts, rated by a crowd, in official partitions (Lotfian & Busso, 2019, IEEE TAC 10(4)).

    Audios/MSP-PODCAST_0001_0008.wav
    Labels/labels_consensus.csv         or .json; up to version 1.8 labels_concensus
    Labels/labels_detailed.json         or .csv: each rater's labels, where they are there
    Transcripts/MSP-PODCAST_0001_0008.txt
    Partitions.txt                      `Test3; MSP-PODCAST_….wav`, also for what has no label

The partitions are Train, Development (once Validation), Test1, Test2 and, without labels, Test3. Contempt, "other" and
"no agreement" are no emotions of the schema: such rows have none. EmoVal, EmoAct and EmoDom are means from 1 to 7.
"""

import json
import re
from pathlib import Path

from xser.corpora.listing import check_folder, not_this_corpus, relative, visible_files
from xser.corpora.msp_podcast_ratings import read_ratings
from xser.corpora.schema import make_row, unit_interval
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import read_table, read_text

LABELS = re.compile(r"labels_con[sc]ensus\.(csv|json)", re.IGNORECASE)
PARTITION = re.compile(r"partitions?\.txt", re.IGNORECASE)
TRANSCRIPTS = "transcripts"
EMOTIONS = {
    "A": "angry",
    "C": None,  # contempt
    "D": "disgusted",
    "F": "fearful",
    "H": "happy",
    "N": "neutral",
    "O": None,  # other
    "S": "sad",
    "U": "surprised",
    "X": None,  # no agreement
    "": None,  # not to be known: Test3
}
SPLITS = {"train": "train", "development": "validation", "validation": "validation"}
GENDERS = {"male": "male", "female": "female"}
NEEDED = ("EmoClass", "SpkrID", "Gender", "Split_Set")
DIMENSIONS = {"valence": "EmoVal", "arousal": "EmoAct", "dominance": "EmoDom"}
SCALE = (1.0, 7.0)
UNKNOWN = "unknown"  # speakers and genders that nobody has identified


def find(source: Path) -> Found:
    """Rows of MSP-Podcast in the official partitions: `train`, `validation`, `test1`, `test2`, `test3`.

    Args:
        source: holds the recordings and the table of labels, at any depth.

    Raises:
        FileNotFoundError: no table of labels there, or no recording that it names.
        ValueError: a table that cannot be read, or an emotion or partition that is not known.
    """
    check_folder(source)
    files = list(visible_files(source))
    tables = [path for path in files if LABELS.fullmatch(path.name)]
    if not tables:
        raise not_this_corpus(source, "MSP-Podcast", "Labels/labels_consensus.csv or .json, or labels_concensus")
    known, left_out = _utterances(tables[0], [path for path in files if PARTITION.fullmatch(path.name)], source)
    recordings: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() == ".wav" and recordings.setdefault(path.name, path) != path:
            left_out[relative(path, source)] = f"a second recording of {path.name}"
    texts, unread = _transcripts(files, source)
    left_out |= unread
    ratings, unread = read_ratings(files, source)
    left_out |= unread
    left_out |= {name: "the recording is missing" for name in known if name not in recordings}
    for name, path in recordings.items():
        if name not in known:
            left_out[relative(path, source)] = f"{tables[0].name} does not name it, and no list of partitions does"
    rows = [
        _row(recordings[name], cells, texts.get(Path(name).stem), ratings.get(name))
        for name, cells in known.items()
        if name in recordings
    ]
    if not rows:
        raise not_this_corpus(source, "MSP-Podcast", f"Audios/{next(iter(known), 'MSP-PODCAST_0001_0008.wav')}")
    return Found(sorted(rows, key=lambda row: row["id"]), left_out)


def _row(path: Path, cells: dict[str, str], text: str | None, ratings: list[str] | None) -> dict:
    return make_row(
        id=path.stem,
        audio={"bytes": None, "path": str(path)},
        text=text,
        emotion=EMOTIONS[cells["EmoClass"]],
        ratings=ratings,
        **{name: _dimension(cells.get(column, "")) for name, column in DIMENSIONS.items()},
        speaker=None if cells["SpkrID"].lower() in (UNKNOWN, "") else cells["SpkrID"],
        gender=GENDERS.get(cells["Gender"].lower()),
        language="en",
        corpus=CORPUS.name,
        split=cells["Split_Set"],
    )


def _dimension(written: str) -> float | None:
    """A mean rating from 0 to 1; None where it is no number of the scale."""
    try:
        return unit_interval(float(written), *SCALE)
    except ValueError:
        return None


def _utterances(table: Path, partitions: list[Path], source: Path) -> tuple[dict[str, dict], dict[str, str]]:
    """Name of each recording → emotion code, speaker, gender, split, ratings; what was left out → why."""
    lines = _json_lines(table) if table.suffix.lower() == ".json" else _csv_lines(table)
    known: dict[str, dict] = {}
    left_out: dict[str, str] = {}
    for where, name, cells in lines:
        if name in known:
            left_out[f"{name} ({where})"] = "the table has it twice: the first is taken"
            continue
        known[name] = _checked(f"{table}, {where}", cells)
    for path in partitions:
        for number, line in enumerate(read_text(path).splitlines(), 1):
            split, _, name = (part.strip() for part in line.partition(";"))
            if name and name not in known:
                cells = {**dict.fromkeys(NEEDED, ""), "Split_Set": split}
                known[name] = _checked(f"{path}, line {number}", cells)
    return known, left_out


def _csv_lines(table: Path) -> list[tuple[str, str, dict[str, str]]]:
    return [
        (f"line {line}", cells.pop("FileName"), cells)
        for line, cells in read_table(table, ("FileName", *NEEDED), optional=tuple(DIMENSIONS.values()))
    ]


def _json_lines(table: Path) -> list[tuple[str, str, dict[str, str]]]:
    try:
        known = json.loads(read_text(table))
    except json.JSONDecodeError as error:
        raise ValueError(f"{table} is not JSON: {error}") from error
    lines = []
    for name, cells in known.items() if isinstance(known, dict) else [("", known)]:
        missing = [key for key in NEEDED if not isinstance(cells, dict) or key not in cells]
        if missing:
            raise ValueError(f"{table}, {name!r}: {missing} are missing; each file should have {list(NEEDED)}")
        lines.append(
            (
                repr(name),
                name.strip(),
                {key: str(cells[key]).strip() for key in (*NEEDED, *DIMENSIONS.values()) if key in cells},
            )
        )
    return lines


def _checked(where: str, cells: dict[str, str]) -> dict[str, str]:
    if cells["EmoClass"].upper() not in EMOTIONS:
        raise ValueError(f"{where}: EmoClass {cells['EmoClass']!r} is not one of {[*filter(None, EMOTIONS)]}")
    split = cells["Split_Set"].lower()
    if split not in SPLITS and not re.fullmatch(r"test\d", split):
        raise ValueError(f"{where}: Split_Set {cells['Split_Set']!r} is not Train, Development, Validation or Test1 …")
    return {**cells, "EmoClass": cells["EmoClass"].upper(), "Split_Set": SPLITS.get(split, split)}


def _transcripts(files: list[Path], source: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Text of each recording that has one, by stem; files that cannot be read → why."""
    texts: dict[str, str] = {}
    unread: dict[str, str] = {}
    for path in files:
        if path.suffix.lower() != ".txt" or TRANSCRIPTS not in map(str.lower, relative(path, source).split("/")[:-1]):
            continue
        try:
            text = " ".join(read_text(path, path.name).split())
        except ValueError as error:
            unread[relative(path, source)] = f"{error}; the recording stays, without a transcript"
            continue
        if text:
            texts[path.stem] = text
    return texts, unread


CORPUS = Corpus(
    name="msp-podcast",
    find=find,
    licence="University of Texas at Dallas, by agreement: not to be passed on",
)
