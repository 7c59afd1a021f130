"""Several corpora as one, to train on together.

xser prepare merged --corpora data/iemocap data/meld my_recordings --out data/all
xser prepare merged --corpora data/nemo data/ravdess --emotions angry happy neutral sad --out data/shared
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import datasets

from xser.corpora.catalogue import find_corpus
from xser.corpora.hub import recordings_of
from xser.corpora.labels import split_label
from xser.corpora.loading import NAMES, load_corpus
from xser.corpora.report import terms_of
from xser.corpora.schema import FEATURES, make_row, own_slots
from xser.corpora.source import Corpus, Found


def find(
    source: Path | None = None,
    *,
    corpora: list[str] | None = None,
    emotions: list[str] | None = None,
    without_text: list[str] | None = None,
) -> Found:
    """Rows of all corpora, each with its corpus, labels and split; a corpus without splits is `train`.

    An id or a speaker that two corpora have by the same name gets the folder's name before it. Beside a corpus with
    folds, one without is a fold by the folder's name: it stays in training while another fold is left out.

    Args:
        source: none.
        corpora: names, or folders as `load_corpus` reads them; all have different names.
        emotions: only recordings of these, and those without an emotion; all by default.
        without_text: folders' names of corpora whose transcripts are left out: a model learns few sentences, each said
            in many moods, by heart, and answers with them.

    Raises:
        FileNotFoundError: one is no corpus.
        ValueError: fewer than two corpora, or two of one name; no recording has one of the emotions; a name of
            `without_text` is none of theirs; or `source` is given.
    """
    if source is not None:
        raise ValueError(f"merged has no source, but source is {str(source)!r}: give corpora")
    folders = _by_name(corpora or [])
    if unknown := sorted(set(without_text or ()) - set(folders)):
        raise ValueError(f"without_text has {unknown}, which are none of the corpora: {list(folders)}")
    rows: dict[str, list[dict]] = {}
    left_out: dict[str, str] = {}
    for name, folder in folders.items():
        corpus = load_corpus(folder)
        parts = corpus if isinstance(corpus, datasets.DatasetDict) else {"train": corpus}
        found = (_rows(name, folder, split, part, left_out) for split, part in parts.items())
        rows[name] = list(itertools.chain.from_iterable(found))
    for name in without_text or ():
        for row in rows[name]:
            row["text"] = None
    if emotions is not None:
        _keep_emotions(rows, emotions)
    _fill_folds(rows)
    for column in ("id", "speaker"):
        _make_different(column, rows)
    terms = [of_one for name, folder in folders.items() for of_one in _terms(name, folder)]
    return Found([row for part in rows.values() for row in part], left_out, parts=terms)


def _by_name(corpora: list[str]) -> dict[str, str]:
    """What each is called here: by its folder."""
    names = [name if name in NAMES else Path(name).expanduser().resolve().name for name in corpora]
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise ValueError(f"corpora {corpora} have two of the name {twice}: rename a folder")
    if len(names) < 2:
        raise ValueError(f"corpora is {corpora}: give two or more")
    return dict(zip(names, corpora, strict=True))


def _terms(name: str, folder: str) -> list[dict[str, str]]:
    licence = find_corpus(name if name in NAMES else "audiofolder").licence
    return terms_of(Path(folder)) or [{"corpus": name, "licence": licence}]


def _rows(name: str, folder: str, split: str, part: datasets.Dataset, left_out: dict[str, str]) -> Iterable[dict]:
    slots = own_slots(part.features)
    recordings = recordings_of(part.select_columns(["audio"]), Path(folder))
    known = part.select_columns([column for column in FEATURES if column != "audio"])
    for row, recording in zip(known, recordings, strict=True):
        if isinstance(recording, str):
            left_out[f"{name}: {row['id']}"] = recording
        else:
            yield make_row(slots, **{**row, "audio": recording, "duration": None, "split": split_label(split)})


def _keep_emotions(rows: dict[str, list[dict]], emotions: list[str]) -> None:
    """Leave out recordings of other emotions."""
    present = {row["emotion"] for part in rows.values() for row in part} - {None}
    if missing := sorted(set(emotions) - present):
        raise ValueError(f"emotions has {missing}, which no recording has; there are {sorted(present)}")
    for name, part in rows.items():
        rows[name] = [row for row in part if row["emotion"] is None or row["emotion"] in emotions]


def _fill_folds(rows: dict[str, list[dict]]) -> None:
    """Make a corpus without folds one fold, by its name, where others have folds."""
    has_folds = {name: any(row["fold"] is not None for row in part) for name, part in rows.items()}
    for name, part in rows.items():
        if any(has_folds.values()) and not has_folds[name]:
            for row in part:
                row["fold"] = name


def _make_different(column: str, rows: dict[str, list[dict]]) -> None:
    """Put the folder's name before what two folders call the same."""
    homes = Counter(value for part in rows.values() for value in {row[column] for row in part} - {None})
    for name, part in rows.items():
        for row in part:
            if homes[row[column]] > 1:
                row[column] = f"{name}:{row[column]}"


CORPUS = Corpus(
    name="merged",
    find=find,
    options={
        "corpora": "prepared folders, or folders with a table: two or more",
        "emotions": "only recordings of these, and those without an emotion; all by default",
        "without_text": "leave out the transcripts of these, by their folders' names",
    },
    licence="those of all the corpora that it is made of",
)
