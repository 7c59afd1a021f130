"""nEMO: 4,481 sentences by nine Polish speakers in six emotions, with transcripts (Christop, 2024, arXiv 2404.06292).

    data.tsv        file_id, emotion, raw_text, normalized_text, speaker_id, gender, age
    samples/WR0_surprised_64.wav

Read as well: the same table as `metadata.csv` (file_name, emotion, text, speaker, gender, age), with recordings in any
format and folder beside it. As published, `speaker_id` has eight spaces before each id.
"""

import re
from pathlib import Path

from xser.corpora.listing import check_folder, not_this_corpus, relative, visible_files
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import read_table

STEM = re.compile(r"(?P<speaker>[A-Z]{2}0)_(?P<emotion>anger|fear|happiness|neutral|sadness|surprised)_\d{1,2}")
TABLES = {  # name → delimiter; names of the columns for file, speaker and text
    "data.tsv": ("\t", ("file_id", "speaker_id", "normalized_text")),
    "metadata.csv": (",", ("file_name", "speaker", "text")),
}
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
EMOTIONS = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}


def find(source: Path) -> Found:
    """Rows of nEMO, 4,481 in all; a fold is a speaker. Lines without a recording, and the reverse, are named.

    Args:
        source: holds data.tsv or metadata.csv and the recordings, at any depth.

    Raises:
        FileNotFoundError: no such table there, or no recording that it names.
        ValueError: the table is not UTF-8, or lacks a column or cell.
    """
    check_folder(source)
    tables = [path for path in visible_files(source) if path.name in TABLES]
    if not tables:
        raise not_this_corpus(source, "nEMO", "data.tsv and samples/, or metadata.csv")
    table = min(tables, key=lambda path: list(TABLES).index(path.name))
    recordings, left_out = _recordings(table.parent, source)
    rows: dict[str, dict] = {}
    for line, known in _lines(table):
        stem = Path(known["file"]).stem
        wrong = _what_is_wrong(stem, known, recordings, rows)
        if wrong:
            left_out[f"{known['file']} ({table.name}, line {line})"] = wrong
        else:
            rows[stem] = _row(stem, recordings[stem], known)
    if not rows:
        raise not_this_corpus(source, "nEMO", f"recordings like WR0_surprised_64.wav that {table.name} names")
    for stem, path in recordings.items():
        if stem not in rows:
            left_out[relative(path, source)] = f"{table.name} has no good line for it"
    return Found(sorted(rows.values(), key=lambda row: row["id"]), left_out)


def _recordings(folder: Path, source: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Recording of each stem; files left out → why."""
    recordings: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for path in visible_files(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES and recordings.setdefault(path.stem, path) != path:
            left_out[relative(path, source)] = f"a second recording of {path.stem}"
    return recordings, left_out


def _lines(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Number of each line and what it says: file, speaker, text, emotion, gender, age."""
    delimiter, columns = TABLES[table.name]
    names = dict(zip(("file", "speaker", "text"), columns, strict=True))
    names |= {name: name for name in ("emotion", "gender", "age")}
    lines = read_table(table, tuple(names.values()), delimiter)
    return [(line, {name: cells[column] for name, column in names.items()}) for line, cells in lines]


def _what_is_wrong(stem: str, known: dict[str, str], recordings: dict[str, Path], rows: dict[str, dict]) -> str | None:
    match = STEM.fullmatch(stem)
    if match is None:
        return "its name is not like WR0_surprised_64"
    if (match["speaker"], match["emotion"]) != (known["speaker"], known["emotion"].lower()):
        return f"its name does not go with speaker {known['speaker']!r} and emotion {known['emotion']!r}"
    if stem in rows:
        return "an earlier line has this recording"
    return None if stem in recordings else "the recording is missing"


def _row(stem: str, path: Path, known: dict[str, str]) -> dict:
    return make_row(
        id=stem,
        audio={"bytes": None, "path": str(path)},
        text=known["text"] or None,
        emotion=EMOTIONS[known["emotion"].lower()],
        speaker=known["speaker"],
        gender=known["gender"].lower() or None,
        age=int(known["age"]) if known["age"].isdecimal() else None,
        language="pl",
        corpus=CORPUS.name,
        fold=known["speaker"],
    )


CORPUS = Corpus(
    name="nemo",
    find=find,
    licence="CC BY-NC-SA 4.0: not for commercial use, name the author, pass on under the same terms",
)
