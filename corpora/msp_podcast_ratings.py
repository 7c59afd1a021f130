"""The labels of MSP-Podcast's single raters, in the forms that releases have them:

    labels_detailed.json   {"MSP-PODCAST_0001_0008.wav": {"WORKER00000001": {"EmoClass_Major": "Angry", …}, …}, …}
    labels_detailed.csv    FileName,Worker,EmoClass_Major,…   a line a rater
    labels_detailed.csv    FileName,…: `WORKER00000001; Angry; Annoyed,Angry; A:4; V:2; D:4;` in the second cell

A rater names one primary emotion; a name that a rater made up (`Other-Curious`) is "other".
"""

import csv
import io
import json
import re
from pathlib import Path

from xser.corpora.labels import emotion_label
from xser.corpora.listing import relative
from xser.corpora.tables import read_text

DETAILED = re.compile(r"labels_detailed\.(csv|json)", re.IGNORECASE)
PRIMARY = "EmoClass_Major"
OTHER = "other"


def read_ratings(files: list[Path], source: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Name of each recording → the emotions that its raters named; files that cannot be read → why."""
    ratings: dict[str, list[str]] = {}
    unread: dict[str, str] = {}
    tables = sorted((path for path in files if DETAILED.fullmatch(path.name)), key=lambda path: path.suffix.lower())
    for path in tables:
        try:
            found = _of_json(path) if path.suffix.lower() == ".json" else _of_csv(path)
        except (ValueError, csv.Error) as error:
            unread[relative(path, source)] = f"{error}; rows have no ratings of it"
            continue
        ratings |= {name: labels for name, labels in found.items() if labels and name not in ratings}
    return ratings, unread


def _of_json(path: Path) -> dict[str, list[str]]:
    known = json.loads(read_text(path, path.name))
    ratings: dict[str, list[str]] = {}
    for name, workers in known.items() if isinstance(known, dict) else ():
        if isinstance(workers, dict) and isinstance(workers.get("Workers"), list):
            workers = workers["Workers"]
        raters = list(workers.values()) if isinstance(workers, dict) else workers
        if not isinstance(raters, list) or not all(isinstance(rater, dict) and PRIMARY in rater for rater in raters):
            raise ValueError(f"{path.name}, {name!r}: no {PRIMARY} of each rater")
        ratings[name] = [emotion for rater in raters for emotion in _emotions(str(rater[PRIMARY]))]
    if not ratings:
        raise ValueError(f"{path.name} names no recording")
    return ratings


def _of_csv(path: Path) -> dict[str, list[str]]:
    lines = list(csv.reader(io.StringIO(read_text(path, path.name), newline="")))
    header, *lines = lines or [[]]
    column = header.index(PRIMARY) if PRIMARY in header else None
    ratings: dict[str, list[str]] = {}
    for number, cells in enumerate(lines, 2):
        if not any(cells):
            continue
        if column is not None and len(cells) > column:
            primary = cells[column]
        elif column is None and len(cells) > 1 and cells[1].count(";") > 1:
            primary = cells[1].split(";")[1]
        else:
            raise ValueError(f"{path.name}, line {number}: no {PRIMARY} and no rater's labels separated by ';'")
        ratings.setdefault(cells[0].strip(), []).extend(_emotions(primary))
    return ratings


def _emotions(written: str) -> list[str]:
    """The emotions of a rater's primary label: nearly always one."""
    names = [re.split(r"[-(:]", name)[0].strip().lower() for name in written.split(",")]
    return [emotion_label(name) if name.isalpha() else OTHER for name in names if name]
