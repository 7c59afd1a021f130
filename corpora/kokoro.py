"""Natural synthetic English whose levels are known, since they are what each clip was made with: Kokoro-82M's voices.

    metadata.csv    file_name, text, speaker, gender, language, pitch, volume, speed, range
    audio/af_alloy_00000.ogg

The table may also be several, `metadata-0.csv`, `metadata-1.csv`, as processes that share the work write them; rows of
all are put together. Other columns, such as `duration`, are not read. An empty cell is not known.

Levels compare a clip with its own voice: F0 is moved around the voice's median (pitch) and stretched about it (range),
the rate of speech and the level are set (`docs/corpora.md`). They are drawn independently of the text, so words
are no evidence of them. There are no emotions.

Voices and sentences are both held out, by names and words alone, so further clips never move a clip that is there:

    voice \\ sentence    of train    of validation    of test
    seen                train       validation       test
    unseen              adapt       adapt            test_unseen
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from xser.corpora.labels import NOT_KNOWN
from xser.corpora.listing import check_folder, name_some, not_this_corpus, relative, visible_files
from xser.corpora.schema import LEVELS, make_row
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import parse_table, read_text

TABLE = re.compile(r"metadata(-\d+)?\.csv")
SLOTS = ("pitch", "volume", "speed", "range")
COLUMNS = ("file_name", "text", "speaker", "gender", "language", *SLOTS)
AUDIO_SUFFIXES = (".ogg", ".opus", ".wav", ".flac", ".mp3")

# Four voices that makers leave to others who test, and four more: each time a woman and a man, American and British
UNSEEN_VOICES = (
    "af_sky", "am_puck", "bf_lily", "bm_lewis",
    "af_river", "am_liam", "bf_alice", "bm_daniel",
)  # fmt: skip
NO_VOICES = "none"
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # of all sentences that there could be
SPLIT_OF = {  # is the voice unseen → part of the sentences → split
    False: {"train": "train", "validation": "validation", "test": "test"},
    True: {"train": "adapt", "validation": "adapt", "test": "test_unseen"},
}


def find(source: Path, unseen_voices: list[str] | None = None) -> Found:
    """Rows of the corpus. Lines without a good level or recording, and recordings without a line, are named.

    Args:
        source: holds metadata.csv, or metadata-0.csv and more, and the recordings that they name.
        unseen_voices: voices that `train`, `validation` and `test` lack; `["none"]` for none. By default those of
            `UNSEEN_VOICES` that are there.

    Raises:
        FileNotFoundError: no such table there.
        ValueError: a table is not UTF-8 or lacks a column; no line is left; a voice of `unseen_voices` is not there.
    """
    check_folder(source)
    tables = sorted(path for path in source.iterdir() if TABLE.fullmatch(path.name) and path.is_file())
    if not tables:
        raise not_this_corpus(source, "the corpus kokoro", "metadata.csv, or metadata-0.csv and more")
    recordings = {
        relative(path, source): path for path in visible_files(source) if path.suffix.lower() in AUDIO_SUFFIXES
    }
    rows: dict[str, dict] = {}
    left_out: dict[str, str] = {}
    without_line = dict.fromkeys(recordings, "no table has a line for it")
    for where, cells in _lines(tables):
        try:
            row = _row(cells, recordings, rows)
        except ValueError as error:
            left_out[where if cells is None else f"{cells['file_name']} ({where})"] = str(error)
        else:
            rows[row["id"]] = row
        if cells is not None:
            without_line.pop(str(PurePosixPath(cells["file_name"])), None)
    if not rows:
        raise ValueError(f"{source}: no line of {[table.name for table in tables]} is left: {name_some(left_out, 3)}")
    left_out |= without_line
    unseen = _unseen({row["speaker"] for row in rows.values()}, unseen_voices)
    for row in rows.values():
        row["split"] = SPLIT_OF[row["speaker"] in unseen][part_of_sentence(row["text"])]
    return Found(sorted(rows.values(), key=lambda row: row["id"]), left_out)


def part_of_sentence(text: str | None) -> str:
    """The part (train, validation or test) of a sentence; case and punctuation do not count, `None` is of train.

    A hash of its words decides, so all voices say it in the same part, in every folder.
    """
    words = " ".join(re.findall(r"[^\W_]+", (text or "").casefold()))
    if not words:
        return "train"
    place = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") / 2**64
    if place < TEST_SHARE:
        return "test"
    return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"


def _unseen(voices: set[str], asked: list[str] | None) -> set[str]:
    if asked is None:
        return voices & {*UNSEEN_VOICES}
    if asked == [NO_VOICES]:
        return set()
    absent = sorted({*asked} - voices)
    if absent:
        raise ValueError(f"unseen_voices {absent} are not there; there are {sorted(voices)}, or [{NO_VOICES!r}]")
    return {*asked}


def _lines(tables: list[Path]) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Table and line, and the cells there; None where their number is not that of the header."""
    for table in tables:
        for line, cells in parse_table(table, read_text(table), COLUMNS):
            yield f"{table.name}, line {line}", cells


def _row(cells: dict[str, str] | None, recordings: dict[str, Path], rows: dict[str, dict]) -> dict:
    """A row without a split; `ValueError` says what is wrong with the line."""
    if cells is None:
        raise ValueError("its number of cells is not that of the header")
    name = PurePosixPath(cells["file_name"])
    if name.stem in rows:
        raise ValueError(f"an earlier line has the recording {name.stem}")
    if not cells["speaker"]:
        raise ValueError("speaker is empty: levels are relative to the voice")
    levels = {slot: _level(slot, cells[slot]) for slot in SLOTS}
    if str(name) not in recordings:
        raise ValueError("the recording is missing")
    return make_row(
        id=name.stem,
        audio={"bytes": None, "path": str(recordings[str(name)])},
        text=cells["text"] or None,
        descriptors=levels,
        speaker=cells["speaker"],
        gender=cells["gender"].lower() or None,
        language=cells["language"] or None,
        corpus=CORPUS.name,
    )


def _level(slot: str, written: str) -> str | None:
    level = written.lower()
    if not level or level in NOT_KNOWN:
        return None
    if level not in LEVELS[slot]:
        raise ValueError(f"{slot} {written!r} is not one of {list(LEVELS[slot])}")
    return level


CORPUS = Corpus(
    name="kokoro",
    find=find,
    options={
        "unseen_voices": f"voices to keep out of train, validation and test, or {NO_VOICES}; "
        f"by default those of {', '.join(UNSEEN_VOICES)} that are there"
    },
    licence="Apache-2.0, as the weights and voices of Kokoro-82M that it is made with",
    makes_levels=True,
)
