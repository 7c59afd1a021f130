"""JSONL manifests: a line a recording, as speech toolkits write them, for ASR alone or with labels.

    {"audio_filepath": "clips/a1.wav", "text": "we are late", "duration": 1.9, "emotion": "anger", "speaker": "anna"}

The recording is `audio`, `audio_filepath` or `path`, relative to the manifest or absolute. All else may be absent or
null. A mistake in a line is an error that names it; keys that are not known are named in a warning, unless they are
asked for as descriptors. Where a folder has several manifests, `train.jsonl`, `dev_manifest.jsonl` and the like are
splits.
"""

import logging
import os
import re
from pathlib import Path

from xser.corpora.cells import COLUMN_OF, Asked, Cells, check_characters, ids_of, named
from xser.corpora.columns import Renaming, check_columns, check_sources
from xser.corpora.labels import SPLIT_SPELLINGS
from xser.corpora.listing import check_folder, not_this_corpus, visible_files
from xser.corpora.metadata import NESTED, flat, read_jsonl
from xser.corpora.source import Corpus, Found

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"
AUDIO = ("audio", "audio_filepath", "path", "file_name")
UNREAD = ("duration", "offset", "raw_text")  # duration comes from the recording; offset is checked, not used
SPLITS = {name for split, others in SPLIT_SPELLINGS.items() for name in (split, *others)}


def find(
    source: Path,
    emotion_map: dict[str, str | None] | None = None,
    descriptors: Asked = None,
    columns: dict[str, str] | None = None,
    dimension_range: list[float] | None = None,
) -> Found:
    """Rows of a manifest, or of all manifests of a folder.

    Args:
        source: a manifest, or a folder that holds manifests (`*.jsonl`).
        emotion_map: labels of this manifest → emotions, or None for "not known".
        descriptors: keys that are descriptors; see `audiofolder.find`.
        columns: column of the schema → key of the lines, where it is named otherwise; see `columns`.
        dimension_range: lowest and highest value of the scale of valence, arousal and dominance; 0 and 1 by default.

    Raises:
        FileNotFoundError: no manifest there, or none of its recordings.
        ValueError: a line that is not JSON, has no recording, an offset, or a value that its key does not take; a
            descriptor that is asked for and in no line.
    """
    manifests, cells = _manifests(source), Cells(emotion_map, descriptors, dimension_range)
    renaming = Renaming(check_columns(columns, AUDIO), AUDIO, [*cells.asked, "offset"])
    lines: list[tuple[Path, int, dict]] = []
    for manifest in manifests:
        split = re.split(r"[-_.]", manifest.stem.lower())[0] if len(manifests) > 1 else None
        known = [(number, flat(record)) for number, record in read_jsonl(manifest)]
        keys = list(dict.fromkeys(key for _, record in known for key in record))
        check_sources(manifest, renaming.columns, keys)
        _warn_of_unknown(manifest, {*renaming.header(manifest, keys)} - {*cells.asked})
        known = [(number, renaming(record)) for number, record in known]
        named = {"split": split} if split in SPLITS else {}
        lines += [(manifest, number, named | record) for number, record in known]
    cells.check_asked(str(source), {key for _, _, record in lines for key in record})
    rows = [_row(manifest, number, record, cells) for manifest, number, record in lines]
    files = [Path(record[_audio_key(record)]).as_posix() for _, _, record in lines]
    found, ids = Found([]), set()
    for (manifest, number, _), file, row, identity in zip(
        lines, files, rows, ids_of(files, [row["id"] for row in rows]), strict=True
    ):
        row["id"], name = identity, f"{manifest.name}, line {number} ({file})"
        if identity in ids:
            found.left_out[name] = f"id {identity!r} has come before"
        elif not os.path.isfile(row["audio"]["path"]):
            found.left_out[name] = "the recording is missing"
        else:
            ids.add(identity)
            found.rows.append(row)
    if not found.rows:
        some = dict(list(found.left_out.items())[:5])
        raise FileNotFoundError(f"{source}: no recording is left: {some or 'it is empty'}")
    found.labels = cells.settle(found.rows)
    return found


def _manifests(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    check_folder(source)
    manifests = [path for path in visible_files(source) if path.suffix == SUFFIX]
    if not manifests:
        raise not_this_corpus(source, "a folder of manifests", f"*{SUFFIX}, a JSON object a line")
    return manifests


def _row(manifest: Path, number: int, record: dict, cells: Cells) -> dict:
    where, key = f"{manifest}, line {number}", _audio_key(record)
    if key is None:
        raise ValueError(
            f"{where}: the recording should be one path under one of {list(AUDIO)}; its keys: {[*record]}"
        )
    if record.get("offset"):
        raise ValueError(
            f"{where}: offset is {record['offset']!r}: parts of recordings are not read; cut them to files, without it"
        )
    named(where, check_characters, key, record[key])
    values = {name: value for name, value in record.items() if name not in (*AUDIO, *UNREAD) and value is not None}
    cells.check_repeats(where, values, "key")
    folder = manifest.parent.absolute()
    return cells.row(where, values, audio={"bytes": None, "path": str(folder / record[key])}, corpus=folder.name)


def _audio_key(record: dict) -> str | None:
    keys = [key for key in AUDIO if record.get(key)]
    return keys[0] if len(keys) == 1 and isinstance(record[keys[0]], str) else None


def _warn_of_unknown(manifest: Path, keys: set[str]) -> None:
    known = [*COLUMN_OF, *AUDIO, *UNREAD]
    unknown = sorted(key for key in keys - {*known} if not key.startswith(f"{NESTED}."))
    if unknown:
        logger.warning("%s: keys %s are not known and not read; known are %s", manifest, unknown, known)


CORPUS = Corpus(
    name="manifest",
    find=find,
    options={
        "emotion_map": 'labels of this manifest → emotions, as in \'{"W": "angry", "L": null}\'',
        "descriptors": 'keys that are descriptors: arousal,gender or \'{"arousal": ["low", "mid", "high"]}\'',
        "columns": 'columns of the schema → keys of the lines, as in \'{"caption": "text_description"}\'',
        "dimension_range": "scale of valence, arousal and dominance, as in '[1, 7]'; '[0, 1]' by default",
    },
    licence="that of your recordings",
)
