"""JSONL manifests: a line a recording, as speech toolkits write them, for ASR alone or with labels.

    {"audio_filepath": "clips/a1.wav", "text": "we are late", "duration": 1.9, "emotion": "anger", "speaker": "anna"}

The recording is `audio`, `audio_filepath` or `path`, relative to the manifest or absolute. All else may be absent or
null. A mistake in a line is an error that names it; keys that are not known are named in a warning. Where a folder has
several manifests, `train.jsonl`, `dev_manifest.jsonl` and the like are splits.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from xser.corpora.audiofolder import ALIASES, EMOTION_NAMES, whole_years
from xser.corpora.listing import check_folder, not_this_corpus, visible_files
from xser.corpora.schema import EMOTIONS, LEVELS, make_row
from xser.corpora.source import Corpus, Found

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"
AUDIO = ("audio", "audio_filepath", "path", "file_name")
COLUMNS = {  # key in a manifest → column of the schema
    alias: column for column, aliases in ALIASES.items() if column != "file_name" for alias in aliases
} | dict.fromkeys(AUDIO, "audio")
UNREAD = ("duration", "offset", "raw_text")  # duration comes from the recording; offset is checked, not used
SPLITS = {"train": "train", "test": "test"} | dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
GENDERS = {"f": "female", "woman": "female", "m": "male", "man": "male"}


def find(source: Path, emotion_map: dict[str, str | None] | None = None) -> Found:
    """Rows of a manifest, or of all manifests of a folder.

    Args:
        source: a manifest, or a folder that holds manifests (`*.jsonl`).
        emotion_map: labels of this manifest → emotions, or None for "not known".

    Raises:
        FileNotFoundError: no manifest there, or none of its recordings.
        ValueError: a line that is not JSON, has no recording, an offset, or a value that its key does not take.
    """
    manifests = _manifests(source)
    emotions = emotion_names(emotion_map)
    rows: dict[str, dict] = {}
    left_out: dict[str, str] = {}
    for manifest in manifests:
        split = SPLITS.get(re.split(r"[-_.]", manifest.stem.lower())[0]) if len(manifests) > 1 else None
        for number, known in _lines(manifest):
            row = _row(f"{manifest}, line {number}", manifest, known, emotions, split)
            name = f"{manifest.name}, line {number} ({known[_audio_key(known)]})"
            if row["id"] in rows:
                left_out[name] = f"id {row['id']!r} has come before"
            elif not Path(row["audio"]["path"]).is_file():
                left_out[name] = "the recording is missing"
            else:
                rows[row["id"]] = row
    if not rows:
        raise FileNotFoundError(f"{source}: no recording is left: {dict(list(left_out.items())[:5]) or 'it is empty'}")
    return Found(list(rows.values()), left_out)


def _manifests(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    check_folder(source)
    manifests = [path for path in visible_files(source) if path.suffix == SUFFIX]
    if not manifests:
        raise not_this_corpus(source, "a folder of manifests", f"*{SUFFIX}, a JSON object a line")
    return manifests


def emotion_names(emotion_map: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Labels that are understood → emotions of the schema; a map's own come first.

    Raises:
        ValueError: the map leads to what is no emotion of the schema.
    """
    for label, emotion in (emotion_map or {}).items():
        if emotion is not None and emotion not in EMOTIONS:
            raise ValueError(f"emotion_map[{label!r}] is {emotion!r}, not one of {list(EMOTIONS)} or None")
    return {**EMOTION_NAMES, **(emotion_map or {})}


def known_row(where: str, values: Mapping[str, object], emotions: Mapping[str, str | None], **more) -> dict:
    """A row of the schema from values as JSON has them; None and empty text are not known.

    Args:
        where: for errors: which line or row this is.
        values: column of the schema, level or `emphasis` → value.
        emotions: see `emotion_names`.
        more: columns that need no check.

    Raises:
        ValueError: a value that its column does not take.
    """
    known, levels = dict(more), {}
    for name, value in values.items():
        value = value.strip() if isinstance(value, str) else value
        if value is None or value == "":
            continue
        if name == "emotion":
            known[name] = _emotion(where, value, emotions)
        elif name == "emphasis":
            levels[name] = _emphasis(where, value)
        elif name in LEVELS:
            levels[name] = _one_of(where, name, value, LEVELS[name])
        elif name == "age":
            known[name] = whole_years(where, value)
        else:
            known[name] = _text(where, name, value)
    if "gender" in known:
        known["gender"] = GENDERS.get(known["gender"].lower(), known["gender"].lower())
    return make_row(**known, descriptors=levels)


def _row(where: str, manifest: Path, known: dict, emotions: Mapping[str, str | None], split: str | None) -> dict:
    key = _audio_key(known)
    if key is None:
        raise ValueError(f"{where}: the recording should be one path under one of {list(AUDIO)}; its keys: {[*known]}")
    if known.get("offset"):
        raise ValueError(
            f"{where}: offset is {known['offset']!r}: parts of recordings are not read; cut them to files, without it"
        )
    folder, path = manifest.parent.absolute(), Path(known[key])
    values: dict[str, object] = {}
    for name, value in known.items():
        column = COLUMNS.get(name)
        if column in (None, "audio") or name in UNREAD or value is None:
            continue
        if column in values:
            raise ValueError(f"{where}: more than one key for {column}: keep one of {list(ALIASES[column])}")
        values[column] = value
    values = {"id": path.with_suffix("").as_posix(), "split": split, **values}
    return known_row(where, values, emotions, audio={"bytes": None, "path": str(folder / path)}, corpus=folder.name)


def _audio_key(known: dict) -> str | None:
    keys = [key for key in AUDIO if known.get(key)]
    return keys[0] if len(keys) == 1 and isinstance(known[keys[0]], str) else None


def _lines(manifest: Path) -> Iterator[tuple[int, dict]]:
    unknown: set[str] = set()
    with manifest.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                known = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{manifest}, line {number}: not UTF-8 (byte {error.start}, {error.reason})"
                ) from error
            except json.JSONDecodeError as error:
                raise ValueError(f"{manifest}, line {number}: not JSON: {error.msg} at {error.colno}") from error
            if not isinstance(known, dict):
                raise ValueError(f"{manifest}, line {number}: a JSON object was expected, as in {{{AUDIO[0]!r}: …}}")
            unknown |= known.keys() - COLUMNS.keys() - {*UNREAD}
            yield number, known
    if unknown:
        logger.warning("%s: keys %s are not known and not read; known are %s", manifest, sorted(unknown), [*COLUMNS])


def _emotion(where: str, label: object, names: Mapping[str, str | None]) -> str | None:
    for name in (label, str(label), str(label).lower()):
        if isinstance(name, str | int) and name in names:
            return names[name]
    raise ValueError(f"{where}: emotion {label!r} is not one of {sorted(map(str, names))}; map it to one, or to null")


def _one_of(where: str, name: str, value: object, allowed: tuple[str, ...]) -> str:
    if str(value).lower() not in allowed:
        raise ValueError(f"{where}: {name} {value!r} is not one of {list(allowed)}")
    return str(value).lower()


def _emphasis(where: str, value: object) -> list[str]:
    if isinstance(value, str):
        return [] if value.lower() == "none" else value.split()
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    raise ValueError(f"{where}: emphasis {value!r} is neither words nor a list of words")


def _text(where: str, name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and name != "text":  # ids are often numbers
        return str(value)
    raise ValueError(f"{where}: {name} {value!r} is not text")


CORPUS = Corpus(
    name="manifest",
    find=find,
    options={"emotion_map": 'labels of this manifest → emotions, as in \'{"W": "angry", "L": null}\''},
    licence="that of your recordings",
)
