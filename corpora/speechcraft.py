"""SpeechCraft: descriptions of how English and Mandarin speech is said (Jin et al., 2024, ACM Multimedia).

    labels_GigaSpeech.json           {"POD0000003712_S0000072": {"labels": "age:Youth adult<TAB>gender:Female<TAB>…"}}
    instruction_GigaSpeech.json      {"POD0000003712_S0000072": {"llama-instruction": "A calm youth …, \\"Like …\\""}}
    description_GigaSpeech.json      a caption without the words
    …/POD0000003712_S0000072.wav     recordings of GigaSpeech-m, LibriTTS-R, AISHELL-3, Zhvoice, from their makers

The authors publish the annotations alone. They give labels and captions by the names of recordings; captions are of
two kinds, "instruction" with the transcript in quotes, and "description" without it. Tables may be JSON (an object by
name, or a list), JSONL, csv or tsv; all that lie in the folder are joined by name. A recording is found by its file's
name, or by that and the names of folders above it, as in `train_SSB03090351` and `SSB0309_SSB03090351`.

Labels map to the slots here: volume low is quiet and high is loud; emotions are as elsewhere. Ages and genders are
descriptors, in small letters. Mandarin labels map to the same. What the authors call tone is the emotion's, often a
sentence, and no contour of pitch: it is read where it is an emotion. Topics are not read.
"""

import csv
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from xser.corpora.labels import EMOTION_SPELLINGS, NOT_KNOWN, emotion_label, gender_label
from xser.corpora.listing import check_folder, name_some, not_this_corpus, relative, visible_files
from xser.corpora.metadata import read_jsonl
from xser.corpora.schema import make_row
from xser.corpora.source import Corpus, Found
from xser.corpora.tables import read_text
from xser.grammar_xser import quote

logger = logging.getLogger(__name__)

TABLES = (".json", ".jsonl", ".csv", ".tsv")
RECORDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus")
FOLDERS_ABOVE = 3  # whose names a recording's name may begin with
PARTS = {  # part → (how its recordings are named, language)
    "gigaspeech-m": (re.compile(r"(?P<session>(?:AUD|POD|YOU)\d{10})_S\d{7}"), "en"),
    "libritts-r": (re.compile(r"(?P<speaker>\d+)_(?P<session>\d+)_\d{6}_\d{6}"), "en"),
    "aishell-3": (re.compile(r"(?P<speaker>SSB\d{4})\d{4}"), "zh"),
    "zhvoice": (re.compile(r".+"), "zh"),  # any other name
}
CAPTIONS = ("instruction", "description")
ID = ("id", "key", "name", "file", "file_name", "filename", "utt", "wav", "audio", "audio_path", "segment_id")
SLOT_OF = {  # as the authors call them, in small letters → here
    "pitch": "pitch", "音高": "pitch",
    "volume": "volume", "energy": "volume", "音量": "volume",
    "speed": "speed", "语速": "speed",
    "age": "age", "年龄": "age",
    "gender": "gender", "性别": "gender",
    "emotion": "emotion",
    "tone": "tone", "语气": "tone",
    "emphasis": "emphasis", "stress": "emphasis", "重读": "emphasis",
    "transcription": "text", "transcript": "text", "text": "text", "文本": "text",
}  # fmt: skip
LEVEL_OF = {
    "pitch": {"low": "low", "normal": "normal", "high": "high", "低": "low", "中": "normal", "高": "high"},
    "volume": {"low": "quiet", "normal": "normal", "high": "loud", "低": "quiet", "中": "normal", "高": "loud"},
    "speed": {"slow": "slow", "normal": "normal", "fast": "fast", "慢": "slow", "中": "normal", "快": "fast"},
    "age": {
        **{age: age for age in ("child", "teenager", "young adult", "adult", "middle-aged", "elderly")},
        "youth adult": "young adult", "youth": "young adult",
        "儿童": "child", "少年": "teenager", "青年": "young adult", "中年": "middle-aged", "老年": "elderly",
    },
    "gender": {"male": "male", "female": "female", "男": "male", "女": "female"},
}  # fmt: skip
EMOTIONS = {spelling for name, others in EMOTION_SPELLINGS.items() for spelling in (name, *others)}
NO_WORD = ("", "none", "无")
_SPLIT_WORDS = re.compile(r"[\s,;，；、]+")


def find(
    source: Path, audio: Path | None = None, parts: list[str] | None = None, caption: str = "instruction"
) -> Found:
    """Rows of SpeechCraft: those recordings that an annotation names, and that are there.

    Args:
        source: holds the tables of annotations, at any depth, and the recordings unless `audio` is given.
        audio: holds the recordings, at any depth.
        parts: of "gigaspeech-m", "libritts-r", "aishell-3" and "zhvoice"; all that are there if not given. A
            recording's name says which part it is of.
        caption: "instruction", with the transcript in quotes, or "description", without it.

    Raises:
        FileNotFoundError: no table of annotations there, or no recording that one names.
        ValueError: an unknown option, a table that cannot be read, captions of the other kind alone, or no row whose
            labels are known.
    """
    for name, given, known in (("caption", [caption], CAPTIONS), ("parts", parts or [], PARTS)):
        if isinstance(given, str) or not {*given} <= {*known}:
            raise ValueError(f"{name} is {given!r}: known are {list(known)}")
    check_folder(source)
    if audio is not None:
        check_folder(audio)
    annotations, left_out = _annotations(source)
    kinds = {kind for fields in annotations.values() for kind in CAPTIONS if kind in fields}
    if kinds and caption not in kinds:
        raise ValueError(
            f"{source}: caption is {caption!r}, and the tables hold captions of kind {sorted(kinds)} alone"
        )
    recordings, several = _recordings(audio or source)
    found, unread, wrong = Found([], left_out), Counter(), {}
    for name, fields in annotations.items():
        part = next(part for part, (pattern, _) in PARTS.items() if pattern.fullmatch(_own_name(name)))
        if part not in (parts or PARTS):
            continue
        if name in several:
            found.left_out[name] = "several recordings have this name"
        elif name not in recordings:
            found.left_out[name] = "the recording is missing"
        else:
            try:
                found.rows.append(_row(name, recordings[name], fields, part, caption, unread))
            except ValueError as error:
                found.left_out[name] = wrong[name] = str(error)
    if wrong and not found.rows:
        raise ValueError(f"{source}: no annotation is left: {name_some(wrong, 3)}")
    if not found.rows:
        raise not_this_corpus(audio or source, "SpeechCraft", f"a recording such as {next(iter(annotations))}.wav")
    if unread:
        logger.info("SpeechCraft: not read: %s", ", ".join(f"{what} of {n:,} rows" for what, n in unread.items()))
    return found


def _row(name: str, path: Path, fields: dict[str, str], part: str, caption: str, unread: Counter) -> dict:
    pattern, language = PARTS[part]
    levels = {slot: _level(slot, fields[slot]) for slot in LEVEL_OF if slot in fields}
    if "emphasis" in fields:
        levels["emphasis"] = _emphasis(fields["emphasis"])
    emotion = _emotion(fields["emotion"]) if "emotion" in fields else None
    tone = fields.get("tone", "")
    if emotion is None and tone.lower() in EMOTIONS:
        emotion = emotion_label(tone)
    elif tone:
        unread["tone"] += 1
    match = pattern.fullmatch(_own_name(name)).groupdict()
    return make_row(
        ("age", "gender"),
        id=name,
        audio={"bytes": None, "path": str(path)},
        text=fields.get("text") or None,
        caption=fields.get(caption),
        emotion=emotion,
        descriptors=levels,
        speaker=match.get("speaker"),
        session=match.get("session"),
        gender=levels.get("gender"),
        language=language,
        corpus=CORPUS.name,
    )


def _own_name(name: str) -> str:
    """A recording's name without the names of folders before it, where it is of a part that is named strictly."""
    name = name.rpartition("/")[2]
    for pattern, _ in list(PARTS.values())[:-1]:
        if match := re.search(rf"(?:^|_)({pattern.pattern})$", name):
            return match[1]
    return name


def _level(slot: str, written: str) -> str | None:
    label = " ".join(written.replace("_", " ").lower().split())
    if label in NOT_KNOWN:
        return None
    if slot == "gender":
        label = gender_label(label)
    if label not in LEVEL_OF[slot]:
        raise ValueError(f"{slot} {written!r} is not one of {list(LEVEL_OF[slot])}")
    return LEVEL_OF[slot][label]


def _emotion(written: str) -> str | None:
    return None if written.lower() in NOT_KNOWN else emotion_label(written.lower())


def _emphasis(written: str) -> list[str]:
    if written.lower() in NO_WORD:
        return []
    words = [word.strip("\"'“”‘’.!?。！？") for word in _SPLIT_WORDS.split(written)]
    for word in filter(None, words):
        quote(word)  # what it refuses cannot stand in an answer
    return [word for word in words if word]


def _recordings(folder: Path) -> tuple[dict[str, Path], set[str]]:
    """Recordings by each name that an annotation may give them; names that several have."""
    found: dict[str, Path] = {}
    several: set[str] = set()
    for path in visible_files(folder):
        if path.suffix.lower() not in RECORDINGS:
            continue
        inside = path.relative_to(folder).with_suffix("")
        above = inside.parts[:-1][-FOLDERS_ABOVE:]
        for name in (path.stem, *(f"{part}_{path.stem}" for part in above), inside.as_posix()):
            if found.setdefault(name, path) != path:
                several.add(name)
    return found, several


def _annotations(source: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Name of each recording → what is known of it: slots, `text`, and captions by kind; tables not of it → why."""
    known: dict[str, dict[str, str]] = {}
    left_out: dict[str, str] = {}
    tables = 0
    for path in visible_files(source):
        if path.suffix.lower() not in TABLES:
            continue
        records = 0
        for name, record in _records(path):
            fields = _fields(path, record)
            if fields:
                known.setdefault(name, {}).update(fields)
                records += 1
        tables += records > 0
        if not records and path.suffix.lower() in (".json", ".jsonl"):  # LibriTTS-R has a tsv file in each folder
            left_out[relative(path, source)] = "no annotation is in it"
    if not tables:
        looked_for = '*.json with {"NAME": {"labels": "age:…"}}, or a csv, tsv or JSONL file of annotations'
        raise not_this_corpus(source, "SpeechCraft", looked_for)
    return known, left_out


def _records(path: Path) -> Iterator[tuple[str, object]]:
    """Name of a recording, and what a table says of it."""
    if path.suffix.lower() == ".json":
        try:
            known = json.loads(read_text(path))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        if isinstance(known, dict):
            yield from ((_without_suffix(name), record) for name, record in known.items())
            return
        rows = enumerate(known if isinstance(known, list) else [], 1)
    elif path.suffix.lower() == ".jsonl":
        rows = read_jsonl(path)
    else:
        tabs = path.suffix.lower() == ".tsv"
        how = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), **how)
        rows = ((reader.line_num, record) for record in reader)
    for _, record in rows:
        name = next((record[key] for key in ID if isinstance(record, dict) and record.get(key)), None)
        if name is not None:
            yield _without_suffix(str(name)), record


def _without_suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return name.strip()[: -len(suffix)] if suffix in RECORDINGS else name.strip()


def _fields(path: Path, record: object) -> dict[str, str]:
    """What a table says of a recording: a caption alone, columns, or labels as `age:Child<TAB>gender:Male`."""
    if isinstance(record, str):
        return _labels(record) or ({_kind(path, ""): record.strip()} if record.strip() else {})
    if not isinstance(record, dict):
        return {}
    fields: dict[str, str] = {}
    for key, value in record.items():
        column = str(key).strip().lower()
        if column == "labels" and isinstance(value, dict):
            fields |= _fields(path, value)
        if not isinstance(value, str) or not value.strip() or column in ID:
            continue
        if column == "labels":
            fields |= _labels(value)
        elif column in SLOT_OF:
            fields[SLOT_OF[column]] = value.strip()
        elif any(word in column for word in (*CAPTIONS, "caption", "prompt", "target")):
            fields[_kind(path, column)] = " ".join(value.split())
    return fields


def _labels(written: str) -> dict[str, str]:
    """The labels of `age:Child<TAB>gender:Male`, whatever their order; none where a text is something else."""
    pairs = [re.split(r"[:：]", tag.strip(), maxsplit=1) for tag in written.split("\t")]
    known = [(SLOT_OF[pair[0].strip().lower()], pair[1].strip()) for pair in pairs
             if len(pair) == 2 and pair[0].strip().lower() in SLOT_OF]  # fmt: skip
    return {slot: value for slot, value in known if value}


def _kind(path: Path, column: str) -> str:
    """Which kind a caption is, by its column, else by its file's name; an instruction where neither says."""
    return next((kind for name in (column, path.stem.lower()) for kind in CAPTIONS if kind in name), CAPTIONS[0])


CORPUS = Corpus(
    name="speechcraft",
    find=find,
    options={
        "audio": "folder of the recordings, where they are not in the source",
        "parts": "of gigaspeech-m, libritts-r, aishell-3 and zhvoice; all that are there by default",
        "caption": "instruction (default): with the transcript in quotes; description: without it",
    },
    licence="none is given for the annotations; recordings by the terms of GigaSpeech, LibriTTS-R, AISHELL-3, Zhvoice",
)
