"""MELD: utterances of a television series, in dialogues of several people (Poria et al., 2019, ACL).

    train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv
    train_splits/dia0_utt0.mp4, dev_splits_complete/…, output_repeated_splits_test/…

Numbers begin anew in each split, so an utterance is named as in train_dia0_utt0. A clip belongs to the split that the
nearest folder above it is named after, and may lie at any depth. A wav or flac file of a clip's name, made beforehand,
is preferred to the mp4, which FFmpeg is needed for.

132 clips of the test split are there a second time, as final_videos_testdia0_utt0.mp4 and with other contents. Some
authors take these for corrections; the makers say to ignore them, which is the default here.

As published, train's dia125_utt3 cannot be decoded, dev's dia110_utt7 is missing, nine clips have no row in the
tables, and a few are cut wrong: test's dia38_utt4 and dia220_utt0 last four to five minutes, others 64 ms. `prepare`
names them all and leaves them out; what is too long or too short it hears in the recording (see its `max_seconds`).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from xser.corpora.ffmpeg import extract_audio
from xser.corpora.listing import check_folder, not_this_corpus, relative, visible_files
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import parse_table, read_text

CLIP = re.compile(r"(?P<replacement>final_videos_test)?dia(?P<dialogue>\d+)_utt(?P<utterance>\d+)", re.IGNORECASE)
SUFFIXES = (".wav", ".flac", ".mp4")  # the first that is there is taken
TABLE = re.compile(r"(train|dev|test)_sent_emo\.csv", re.IGNORECASE)
SPLIT_WORD = re.compile(r"(?<![a-z])(train|dev|val|validation|test)(?![a-z])", re.IGNORECASE)
PLACES = {  # the makers' name of a split → ours, and its folder
    "train": ("train", "train_splits"),
    "dev": ("validation", "dev_splits_complete"),
    "test": ("test", "output_repeated_splits_test"),
}
EMOTIONS = {
    "neutral": "neutral",
    "joy": "happy",
    "sadness": "sad",
    "anger": "angry",
    "surprise": "surprised",
    "fear": "fearful",
    "disgust": "disgusted",
}
GENDERS = {
    "Rachel": "female",
    "Monica": "female",
    "Phoebe": "female",
    "Joey": "male",
    "Chandler": "male",
    "Ross": "male",
}
COLUMNS = ("utterance", "speaker", "emotion", "dialogue_id", "utterance_id")
REPLACEMENTS = ("plain", "final_videos_test")
# Tables from before November 2020 were read as Latin-1 where they were Windows-1252: quotes became control characters
CONTROLS = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


@dataclass
class Clips:
    """The clips of one split: (dialogue, utterance) → file."""

    plain: dict[tuple[int, int], Path] = field(default_factory=dict)
    replacements: dict[tuple[int, int], Path] = field(default_factory=dict)


def find(source: Path, replacements: str = "plain") -> Found:
    """Rows of MELD's train, validation and test splits: 9,989, 1,109 and 2,610 where all clips are there.

    Left out are utterances without a clip, clips without an utterance, lines of a table that are not understood, and
    a split without its table or any of its clips. Speakers are named as in the tables, groups (`Joey and Ross`) too;
    the gender of the six leading characters is known. They speak in all three splits, as the report says.

    Args:
        source: holds tables and folders of clips, at any depth.
        replacements: "plain": clips of the test split by their plain names; "final_videos_test": the other version
            where there is one.

    Raises:
        FileNotFoundError: no table there, or no clip.
        ValueError: an unknown option; a table in two versions, not in UTF-8, or without its columns.
    """
    if replacements not in REPLACEMENTS:
        raise ValueError(f"replacements is {replacements!r}, not one of {list(REPLACEMENTS)}")
    check_folder(source)
    tables, clips = _list(source)
    found = Found([])
    for name, (_, folder) in PLACES.items():
        if name not in tables:
            found.left_out[f"{name}_sent_emo.csv"] = "the table is missing"
        elif not clips[name].plain and not clips[name].replacements:
            found.left_out[folder] = f"no clip is there; is {name}.tar.gz unpacked?"
        else:
            _read_split(name, tables[name], clips[name], replacements, source, found)
    if not found.rows:
        raise FileNotFoundError(
            f"{source} holds tables of MELD, and no clip of any of their rows: looked for train_splits/dia0_utt0.mp4 "
            f"and the like; left out: {list(found.left_out.items())[:3]}"
        )
    return found


def read(path: Path) -> bytes:
    """A clip's sound: a wav or flac file as it is, of an mp4 a FLAC file (`extract_audio`)."""
    return extract_audio(path) if path.suffix.lower() == ".mp4" else path.read_bytes()


def _list(source: Path) -> tuple[dict[str, Path], dict[str, Clips]]:
    """Tables and clips, by the makers' name of a split."""
    tables: dict[str, Path] = {}
    clips = {name: Clips() for name in PLACES}
    for path in visible_files(source):
        if table := TABLE.fullmatch(path.name):
            first = tables.setdefault(table[1].lower(), path)
            if path.read_bytes() != first.read_bytes():
                raise ValueError(f"{first} and {path} differ: take one away")
        elif (clip := CLIP.fullmatch(path.stem)) and path.suffix.lower() in SUFFIXES:
            name = _split_of(path.relative_to(source))
            if name is not None:
                of_split = clips[name].replacements if clip["replacement"] else clips[name].plain
                key = int(clip["dialogue"]), int(clip["utterance"])
                of_split[key] = min(of_split.get(key, path), path, key=_preference)
    if not tables:
        raise not_this_corpus(source, "MELD", "train_sent_emo.csv, dev_sent_emo.csv or test_sent_emo.csv")
    return tables, clips


def _split_of(path: Path) -> str | None:
    """The split that the nearest folder above is named after."""
    for folder in reversed(path.parent.parts):
        if word := SPLIT_WORD.search(folder):
            return "dev" if word[1].lower() in ("val", "validation") else word[1].lower()
    return None


def _preference(path: Path) -> tuple[int, int]:
    return SUFFIXES.index(path.suffix.lower()), len(path.parts)


def _read_split(name: str, table: Path, clips: Clips, replacements: str, source: Path, found: Found) -> None:
    """Add a split's rows, and what it leaves out."""
    split, folder = PLACES[name]
    chosen = clips.plain | (clips.replacements if replacements == "final_videos_test" else {})
    named: dict[tuple[int, int], int] = {}  # → line
    for line, cells in parse_table(table, read_text(table).translate(CONTROLS), COLUMNS):
        where = f"{relative(table, source)}, line {line}"
        wrong = _wrong(cells)
        if wrong:
            found.left_out[where] = wrong
            continue
        key = int(cells["dialogue_id"]), int(cells["utterance_id"])
        if key in named:
            found.left_out[where] = f"its dialogue and utterance are those of line {named[key]}"
            continue
        named[key] = line
        clip = "dia{}_utt{}".format(*key)
        if key in chosen:
            found.rows.append(_row(f"{name}_{clip}", split, cells, chosen[key]))
        elif key in clips.replacements:
            found.left_out[f"{folder}/{clip}.mp4"] = (
                f"only {clips.replacements[key].name} is there, which replacements='final_videos_test' takes"
            )
        else:
            found.left_out[f"{folder}/{clip}.mp4"] = "the clip is missing"
    for key in sorted(set(clips.plain) - set(named)):
        found.left_out[relative(clips.plain[key], source)] = f"{table.name} has no row of it"


def _wrong(cells: dict[str, str] | None) -> str | None:
    """What is wrong with a row of a table."""
    if cells is None:
        return "its number of cells is not that of the header"
    if cells["emotion"].lower() not in EMOTIONS:
        return f"emotion {cells['emotion']!r} is not one of {list(EMOTIONS)}"
    numbers = cells["dialogue_id"], cells["utterance_id"]
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        return f"Dialogue_ID {numbers[0]!r} and Utterance_ID {numbers[1]!r} are not both numbers"
    return None


def _row(name: str, split: str, cells: dict[str, str], clip: Path) -> dict:
    speaker = _single_spaced(cells["speaker"])
    return make_row(
        id=name,
        audio={"bytes": None, "path": str(clip)},
        text=_single_spaced(cells["utterance"]),
        emotion=EMOTIONS[cells["emotion"].lower()],
        speaker=speaker,
        gender=GENDERS.get(speaker),
        language="en",
        corpus=CORPUS.name,
        split=split,
    )


def _single_spaced(text: str) -> str | None:
    return " ".join(text.split()) or None


CORPUS = Corpus(
    name="meld",
    find=find,
    read=read,
    options={"replacements": "plain (default), or final_videos_test: the second version of 132 test clips"},
    licence="tables and code GPL-3.0; the clips are television footage, and no licence is given for them",
)
