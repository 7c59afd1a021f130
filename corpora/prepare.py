"""From a corpus as its makers gave it to a prepared folder: checked, split, recordings embedded, with a report.

The work is done in `OUT.partial`: `data/` holds shards, each written beside its place and renamed, and `notes/` what
was found in each. A run that was stopped leaves them, and the next one goes on from there, unless source or options
are others by then. When all is done, `data/` becomes OUT by one rename.
"""

import hashlib
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import datasets

from xser.corpora.cache import digest, stamp, write_json
from xser.corpora.catalogue import SHARED_BY_DESIGN
from xser.corpora.cells import check_options
from xser.corpora.checking import Checked, Checker, Shard, cut_into_shards
from xser.corpora.folds import Splitting
from xser.corpora.labels import emotion_label
from xser.corpora.listing import name_some
from xser.corpora.report import make_report, write_page
from xser.corpora.schema import DIMENSIONS, features_with, own_slots_of
from xser.corpora.shards import FORMATS, drop_rows
from xser.corpora.source import Corpus
from xser.corpora.workshop import DATA, NOTES, open_workshop

logger = logging.getLogger(__name__)

VERSION = 4  # of what is made of a row: raise it with every change
ROWS_A_SHARD = 512
IDENTIFIERS = ("speaker", "session", "fold")  # "anna " and "anna" are one, and must not come into two splits
LABELS = ("emotion", "text", "speaker", "descriptors", *DIMENSIONS)  # of which one recording has one


@dataclass(frozen=True)
class Options:
    """What is made of a corpus, whichever it is.

    Args:
        format: "arrow", for `datasets.load_from_disk`, or "parquet", for streaming.
        max_seconds: longer recordings are left out.
        keep_duplicates: of copies of a recording that have the same labels, keep all that are in the split of the
            first, instead of the first alone.
        limit: at most so many rows of each split, taken evenly.
        splitting: how the corpus is split.
    """

    format: str = "arrow"
    max_seconds: float = 60.0
    keep_duplicates: bool = False
    limit: int | None = None
    splitting: Splitting = field(default_factory=Splitting)

    def __post_init__(self):
        if self.format not in FORMATS:
            raise ValueError(f"format is {self.format!r}: give one of {list(FORMATS)}")
        if not self.max_seconds > 0:
            raise ValueError(f"max_seconds is {self.max_seconds}: give more than 0")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}: give at least 1")


@dataclass
class Plan:
    """What is to be made: rows with their splits, and what of the corpus is no row.

    Args:
        labels, parts: see `Found`.
        splitting: a sentence that says how the rows are split.
    """

    corpus: Corpus
    source: Path | None
    options: Options
    rows: list[dict] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    labels: dict[str, dict[str, str | None]] = field(default_factory=dict)
    parts: list[dict[str, str]] = field(default_factory=list)
    splitting: str = ""

    def name(self, row: dict) -> str:
        """What the report calls a row: its file within the source, or its id."""
        path = row["audio"]["path"]
        if path is None or self.source is None or not Path(path).is_relative_to(self.source):
            return row["id"]
        return Path(path).relative_to(self.source).as_posix()

    def key(self, rows_a_shard: int) -> str:
        """Stands for the source, down to the size and time of every file, and for the options: others, another key."""
        options = self.options
        settings = (options.format, options.max_seconds, options.keep_duplicates, rows_a_shard)
        hasher = hashlib.sha256(json.dumps([VERSION, self.corpus.name, *settings]).encode())
        for row in self.rows:
            path = row["audio"]["path"]
            known = {name: value for name, value in row.items() if name != "audio"}
            content = getattr(row["audio"], "stamp", None)  # of a recording that is stored in a data set
            hasher.update(json.dumps([known, path, content or stamp(path or self.source or "")]).encode())
        return hasher.hexdigest()


def prepare(
    corpus: Corpus,
    source: str | os.PathLike | None,
    out: str | os.PathLike,
    corpus_options: dict | None = None,
    options: Options | None = None,
    workers: int | None = None,
    rows_a_shard: int = ROWS_A_SHARD,
) -> dict:
    """Check every recording of a corpus and write the good ones to a folder.

    Args:
        corpus: knows the layout.
        source: where the corpus is; `None` for one that needs no source.
        out: folder to make; it must not exist.
        corpus_options: those of `corpus.find`.
        options: what is made of it.
        workers: threads; as many as there are cores if not given.
        rows_a_shard: rows of a file. A run that was stopped goes on with the first file that is not finished.

    Returns:
        The report, as in `out/report.json`: see `report.make_report`.

    Raises:
        FileExistsError: `out` exists.
        DiskFullError: there is no room; what was finished is kept.
        BlockingIOError: another process prepares `out`.
        ValueError: nothing is left, or speakers are in more than one split, or one of the corpus's own errors.
    """
    source, out = None if source is None else Path(source).expanduser(), Path(out).expanduser().absolute()
    if source is not None and source.exists():  # else it may be an id on the Hub
        source = source.absolute()
    if out.exists():
        raise FileExistsError(f"{out} exists already: give another folder, or take it away first")
    plan = make_plan(corpus, source, corpus_options or {}, options or Options())
    shards, key = cut_into_shards(plan.rows, rows_a_shard), plan.key(rows_a_shard)
    features = features_with(own_slots_of(plan.rows))
    checker = Checker(
        plan.options.format, corpus.read, plan.name, plan.options.max_seconds, features.arrow_schema, workers
    )
    with open_workshop(out.with_name(f"{out.name}.partial"), key) as workshop:
        checked = checker.check(shards, workshop / DATA, workshop / NOTES, corpus.name)
        duplicates = _leave_out_duplicates(checked, plan)
        if not checked.good:
            shutil.rmtree(workshop)
            raise ValueError(
                f"{source or corpus.name}: none of {len(plan.rows)} recordings is left: {name_some(checked.left_out)}"
            )
        report = _report(checked, plan, list(dict.fromkeys(shard.split for shard in shards)), corpus_options or {})
        _finish(shards, workshop / DATA, plan.options.format, duplicates, features, digest(key, sorted(checked.good)))
        write_json(workshop / DATA / "report.json", report)
        write_page(workshop / DATA / "report.html", report)
        os.replace(workshop / DATA, out)
        shutil.rmtree(workshop)
    return report


def make_plan(corpus: Corpus, source: Path | None, corpus_options: dict, options: Options) -> Plan:
    """Find the rows of a corpus, and split them; no recording is opened."""
    check_options(corpus.name, corpus_options, corpus.options)
    found = corpus.find(source, **corpus_options)
    plan = Plan(corpus, source, options)
    plan.labels, plan.parts = found.labels, found.parts
    plan.left_out = [{"file": file, "reason": reason} for file, reason in found.left_out.items()]
    rows: dict[str, dict] = {}
    for row in found.rows:
        if row["id"] in rows:
            reason = f"duplicate id: {row['id']!r} is that of {plan.name(rows[row['id']])}"
            plan.left_out.append({"file": plan.name(row), "reason": reason})
            continue
        rows[row["id"]] = row
        row |= {name: row[name].strip() or None for name in IDENTIFIERS if row[name] is not None}
        if row["emotion"] is not None:
            row["emotion"] = _emotion(plan.name(row), row["emotion"])
    if not rows:
        raise ValueError(
            f"{source or corpus.name} holds no recording of {corpus.name}; {len(plan.left_out)} were left out"
        )
    splits, plan.splitting = options.splitting.assign(list(rows.values()), SHARED_BY_DESIGN.get(corpus.name))
    by_split: dict[str, list[dict]] = {}
    for row, split in zip(rows.values(), splits, strict=True):
        row["split"] = split
        by_split.setdefault(split, []).append(row)
    plan.rows = [row for part in by_split.values() for row in _evenly(part, options.limit)]
    return plan


def _evenly(rows: list[dict], limit: int | None) -> list[dict]:
    if limit is None or limit >= len(rows):
        return rows
    return [rows[i * len(rows) // limit] for i in range(limit)]


def _emotion(name: str, label: str) -> str:
    try:
        return emotion_label(label)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _leave_out_duplicates(checked: Checked, plan: Plan) -> set[str]:
    """Leave out all copies of a recording if their labels differ, and else all but the first; gives their ids."""
    duplicates: set[str] = set()
    copies: dict[str, list[dict]] = {}
    for row in plan.rows:
        if row["id"] in checked.good:
            copies.setdefault(checked.good[row["id"]][1], []).append(row)
    for rows in copies.values():
        first = rows[0]
        odd = [name for name in LABELS if any(row[name] != first[name] for row in rows)]
        for row in rows if odd else rows[1:]:
            if odd:
                others = ", ".join(plan.name(other) for other in rows if other is not row)
                here = ", ".join(f"{name} {row[name]!r}" for name in odd)
                reason = f"same audio, other labels: as {others}; here {here}"
            elif plan.options.keep_duplicates and row["split"] == first["split"]:
                continue
            else:
                reason = f"same audio, same labels: as {plan.name(first)}"
            del checked.good[row["id"]]
            checked.left_out[row["id"]] = reason
            duplicates.add(row["id"])
    return duplicates


def _report(checked: Checked, plan: Plan, splits: list[str], corpus_options: dict) -> dict:
    kept = [row for row in plan.rows if row["id"] in checked.good]
    for row in kept:
        row["duration"] = checked.good[row["id"]][0]
    left_out = plan.left_out + [
        {"file": plan.name(row), "reason": checked.left_out[row["id"]]}
        for row in plan.rows
        if row["id"] in checked.left_out
    ]
    for split in set(splits) - {row["split"] for row in kept}:
        logger.warning("nothing is left of split %s", split)
    options = {**corpus_options, **_given(plan.options), **_given(plan.options.splitting)}
    about = {
        "corpus": plan.corpus.name,
        "source": _portable(plan.source) if plan.source is None or plan.source.exists() else str(plan.source),
        "options": {name: _portable(value) for name, value in options.items()},
        "licence": plan.corpus.licence,
        "splitting": plan.splitting,
    }
    if plan.parts:
        about["parts"] = plan.parts
    return make_report(about, splits, kept, left_out, plan.labels)


def _given(options: Options | Splitting) -> dict:
    """Options that are not as they are by default."""
    default = type(options)()
    given = {name: value for name, value in vars(options).items() if value != getattr(default, name)}
    return {name: value for name, value in given.items() if name != "splitting"}


def _portable(value: object) -> object:
    """A value without a path of this machine."""
    if isinstance(value, list):
        return [_portable(each) for each in value]
    return Path(value).name if isinstance(value, Path) or (isinstance(value, str) and os.sep in value) else value


def _finish(
    shards: list[Shard], data: Path, kind: str, duplicates: set[str], features: datasets.Features, fingerprint: str
) -> None:
    """Take duplicates out of the shards, and write what makes a data set of them."""
    for shard in shards:
        drop_rows(shard.path(data, kind), kind, duplicates & {row["id"] for row in shard.rows})
    if kind == "parquet":
        return
    counts = {shard.split: shard.count for shard in shards}
    write_json(data / "dataset_dict.json", {"splits": list(counts)})
    for split in counts:
        files = [shard.path(data, kind).name for shard in shards if shard.split == split]
        _write_state(data / split, files, features, digest(fingerprint, split))


def _write_state(folder: Path, files: list[str], features: datasets.Features, fingerprint: str) -> None:
    """The files by which `datasets.load_from_disk` knows a data set."""
    state = {
        "_data_files": [{"filename": name} for name in files],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    write_json(folder / "state.json", state)
    write_json(folder / "dataset_info.json", asdict(datasets.DatasetInfo(features=features)))
