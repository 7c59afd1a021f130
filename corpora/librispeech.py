"""LibriSpeech and what is laid out like it: read speech and its transcripts (Panayotov et al., 2015, ICASSP).

    LibriSpeech/dev-clean/84/121123/84-121123-0000.flac
    LibriSpeech/dev-clean/84/121123/84-121123.trans.txt   `84-121123-0000 GO DO YOU HEAR`
    LibriSpeech/SPEAKERS.TXT                              `84 | F | dev-clean | 8.02 | Christie Nowak`

SPEAKERS.TXT has comments after `;`, and names with a pipe in them. Emotions are not known.
"""

import logging
from pathlib import Path

from xser.corpora.listing import check_folder, not_this_corpus, relative, visible_files
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found

logger = logging.getLogger(__name__)

SPEAKERS = "SPEAKERS.TXT"
TRANSCRIPTS = ".trans.txt"
AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3")
SPLITS = {"train": "train", "dev": "validation", "test": "test"}  # how a subset's name begins
GENDERS = {"F": "female", "M": "male"}


def find(source: Path, language: str = "en") -> Found:
    """Rows of every utterance that has both recording and transcript.

    `session` is the subset, such as dev-clean, and `split` what its name begins with. Text that is all capitals comes
    in small letters: nobody shouts.

    Args:
        source: LibriSpeech, or a part of it.
        language: what is spoken.

    Raises:
        FileNotFoundError: no transcripts there, or no recording that they name.
    """
    check_folder(source)
    source = source.absolute()  # a subset has a name even where the source is "."
    files = list(visible_files(source))
    tables = [path for path in files if path.name.endswith(TRANSCRIPTS)]
    if not tables:
        raise not_this_corpus(source, "LibriSpeech", f"dev-clean/84/121123/84-121123{TRANSCRIPTS} and the like")
    genders = _genders(source, files)
    rows: dict[str, dict] = {}
    left_out: dict[str, str] = {}
    recordings: dict[Path, Path] = {}
    for path in files:
        if path.suffix.lower() in AUDIO_SUFFIXES and recordings.setdefault(path.with_suffix(""), path) != path:
            left_out[relative(path, source)] = f"a second recording of {path.stem}"
    for table in tables:
        lines, unread = _transcripts(table, source)
        left_out |= unread
        for name, text in lines:
            path = recordings.pop(table.parent / name, None)
            if name in rows:
                left_out[f"{name} ({relative(table, source)})"] = "an earlier line has this utterance"
            elif path is None:
                left_out[name] = "the recording is missing"
            else:
                rows[name] = _row(name, path, text, genders, language)
    if not rows:
        raise not_this_corpus(source, "LibriSpeech", f"recordings that {relative(tables[0], source)} names")
    left_out |= {relative(path, source): "it has no transcript" for path in recordings.values()}
    return Found(list(rows.values()), left_out)


def _row(name: str, path: Path, text: str, genders: dict[str, str], language: str) -> dict:
    reader, subset = path.parents[1].name, path.parents[2].name
    return make_row(
        id=name,
        audio={"bytes": None, "path": str(path)},
        text=text.lower() if text.isupper() else text,
        speaker=reader,
        gender=genders.get(reader),
        language=language,
        corpus=CORPUS.name,
        session=subset,
        split=SPLITS.get(subset.lower().split("-")[0]),
    )


def _genders(source: Path, files: list[Path]) -> dict[str, str]:
    """Gender of each reader, from SPEAKERS.TXT within the source or, where that is a subset, beside it."""
    beside = [folder / SPEAKERS for folder in source.parents[:2] if (folder / SPEAKERS).is_file()]
    table = next((path for path in [*files, *beside] if path.name.upper() == SPEAKERS), None)
    if table is None:
        logger.warning("%s has no %s: readers' genders are not known", source, SPEAKERS)
        return {}
    genders = {}
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        cells = [cell.strip() for cell in line.split("|", 4)]
        if not line.startswith(";") and len(cells) == 5 and cells[1] in GENDERS:
            genders[cells[0]] = GENDERS[cells[1]]
    return genders


def _transcripts(table: Path, source: Path) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Utterances and their text; lines, or the whole table, that cannot be read → why."""
    try:
        lines = table.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        return [], {relative(table, source): f"not UTF-8 ({error.reason} at byte {error.start})"}
    found = []
    left_out = {}
    for number, line in enumerate(lines, 1):
        name, _, text = line.strip().partition(" ")
        if text.strip():
            found.append((name, text.strip()))
        elif name:
            left_out[f"{relative(table, source)}, line {number}"] = f"{name} has no words"
    return found, left_out


CORPUS = Corpus(
    name="librispeech",
    find=find,
    options={"language": "what is spoken: en (default)"},
    licence="CC BY 4.0: name the authors",
)
