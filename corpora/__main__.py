"""Prepare a corpus once, for many runs:

    xser prepare iemocap --source IEMOCAP_full_release --out data/iemocap
    xser prepare iemocap --help
    xser prepare path/to/folder --out data/mine --test_speakers anna ben --validation_fraction 0.1
    xser prepare path/to/folder --out data/mine --descriptors arousal,gender
    xser prepare espeak --out data/espeak
    xser leakage data/iemocap data/mine

Every recording is opened; what is bad is left out and named in OUT/report.json and OUT/report.html. A run that was
stopped goes on where it was when the same command is given again. The folder holds the recordings themselves, so it
can be moved, and loads by `load_corpus("data/iemocap")`; with `--format parquet` also by `stream_corpus`.

A folder with a table (metadata.csv, .tsv, .jsonl or .parquet), by its path, is short for `audiofolder --source
path/to/folder`. The synthetic corpus, espeak, has no source.
"""

import argparse
import inspect
import itertools
import json
import logging
import sys
import types
import typing
from collections.abc import Iterable
from pathlib import Path

import datasets

from xser.commands.entry import MISTAKES, USAGE, CommandParser, one_line, run_command
from xser.corpora.catalogue import MODULES, find_corpus
from xser.corpora.folds import Splitting
from xser.corpora.leakage import find_leaks
from xser.corpora.loading import is_parquet, load_corpus, not_a_corpus
from xser.corpora.metadata import NAMES, find_metadata
from xser.corpora.prepare import Options, prepare
from xser.corpora.report import summary
from xser.corpora.shards import FORMATS
from xser.corpora.source import Corpus
from xser.corpora.streaming import list_shards, stream_corpus
from xser.evaluation.report import text_table

PROGRAM = "xser"
ROWS_SHOWN = 20


def main(arguments: list[str] | None = None) -> int:
    """Run a command; gives the exit status."""
    logging.basicConfig(format="%(message)s")
    parser = CommandParser(prog=PROGRAM, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare", help="check, split and write a corpus")
    preparing.add_argument("corpus", metavar="NAME|DIR", help=f"{', '.join(MODULES)}, or a folder with {NAMES[0]}")
    preparing.add_argument("arguments", nargs=argparse.REMAINDER, help="see `prepare NAME --help`")
    _add_leakage(commands)
    options = vars(parser.parse_args(arguments))
    command = {"prepare": prepare_command, "leakage": leakage_command}[options.pop("command")]
    try:
        return command(**{name: value for name, value in options.items() if value is not None})
    except MISTAKES as error:
        parser.exit(USAGE, f"{PROGRAM}: {one_line(error)}\n")


def prepare_command(corpus: str, arguments: list[str]) -> int:
    """`prepare NAME --source DIR --out DIR`, or `prepare DIR --out DIR`: check, split and write a corpus."""
    if corpus in MODULES:
        known = find_corpus(corpus)
    elif find_metadata(Path(corpus).expanduser()) is not None:
        known, arguments = find_corpus("audiofolder"), ["--source", corpus, *arguments]
    else:
        raise not_a_corpus(corpus, MODULES)
    parser = _parser_of(known)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    try:
        options = Options(
            **{name: given[name] for name in Options.__dataclass_fields__ if name in given},
            splitting=Splitting(**{name: given[name] for name in Splitting.__dataclass_fields__ if name in given}),
        )
        corpus_options = {name: given[name] for name in known.options if name in given}
        report = prepare(known, given.get("source"), given["out"], corpus_options, options, given.get("workers"))
    except MISTAKES as error:
        parser.exit(USAGE, f"{parser.prog}: {one_line(error)}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; what is finished is kept: give the same command again to go on\n")
    print(summary(report))
    print(f"written to {given['out']}; report.html there has plots, and names all that was left out")
    return 0


def _parser_of(corpus: Corpus) -> CommandParser:
    """The options of `prepare`, those of the corpus among them; a source is needed where its `find` has no default."""
    parser = CommandParser(prog=f"{PROGRAM} prepare {corpus.name}", description=f"Licence: {corpus.licence}")
    if inspect.signature(corpus.find).parameters["source"].default is inspect.Parameter.empty:
        parser.add_argument("--source", required=True, type=Path, metavar="DIR", help="the corpus, as it was unpacked")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder that does not exist yet")
    own = parser.add_argument_group(f"options of {corpus.name}") if corpus.options else None
    kinds = typing.get_type_hints(corpus.find)
    for name, what in corpus.options.items():
        own.add_argument(f"--{name}", help=what, **_argument(kinds[name]))
    made = parser.add_argument_group("what is made of it")
    made.add_argument("--format", choices=FORMATS, help="arrow (default) loads at once, parquet can be streamed")
    made.add_argument(
        "--max_seconds", type=float, help=f"leave out longer recordings; {Options.max_seconds:g} by default"
    )
    made.add_argument("--keep_duplicates", action="store_true", help="keep all copies that have the same labels")
    made.add_argument("--limit", type=int, help="at most so many rows a split, to try things out")
    split = parser.add_argument_group("splits: those of the corpus, else by its folds, unless asked for otherwise")
    split.add_argument("--test_fold", help="the last by default")
    split.add_argument("--validation_fold", help="the one before the test fold by default; none for no validation")
    split.add_argument("--test_speakers", nargs="+", help="speakers to hold out")
    split.add_argument("--validation_speakers", nargs="+", help="speakers to hold out")
    split.add_argument("--validation_fraction", type=float, help="share of the rest to hold out, by speaker")
    split.add_argument("--speaker_folds", type=int, help="deal whole speakers to so many folds, and split by these")
    split.add_argument("--no_split", action="store_true", help="everything is train")
    split.add_argument("--allow_shared_speakers", action="store_true", help="accept splits that share speakers")
    parser.add_argument("--workers", type=int, help="threads; as many as there are cores by default")
    return parser


def _argument(kind: object) -> dict:
    """How argparse reads an option of a corpus, by its annotation in `find`."""
    kinds = set(typing.get_args(kind)) - {types.NoneType} if isinstance(kind, types.UnionType) else {kind}
    if bool in kinds:
        return {"type": _true_or_false, "nargs": "?", "const": True, "metavar": "true|false"}
    if kinds == {list[str]}:
        return {"nargs": "+"}
    scalar = next((scalar for scalar in (int, float, Path, str) if scalar in kinds), None)
    return {
        "type": scalar or (_names_or_json if any(typing.get_origin(kind) is Iterable for kind in kinds) else _json)
    }


def _names_or_json(text: str) -> object:
    """Names with commas between them, or JSON."""
    return _json(text) if text.lstrip().startswith(("{", "[")) else [name.strip() for name in text.split(",")]


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error


def _true_or_false(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return word.lower() == "true"


def _add_leakage(commands: argparse._SubParsersAction) -> None:
    leakage = commands.add_parser("leakage", help="name recordings and speakers that two prepared corpora share")
    leakage.add_argument("a", metavar="A", help="a prepared corpus, or a folder with a table such as metadata.csv")
    leakage.add_argument("b", metavar="B", help="another, or the same with other splits")
    leakage.add_argument("--split_a", help="only this split of A")
    leakage.add_argument("--split_b", help="only this split of B")
    leakage.add_argument("--cache_dir", help="default: $XSER_CACHE or ~/.cache/xser")
    leakage.add_argument("--workers", type=int, help="threads; as many as there are cores by default")


def leakage_command(
    a: str,
    b: str,
    split_a: str | None = None,
    split_b: str | None = None,
    cache_dir: str | None = None,
    workers: int | None = None,
) -> int:
    """Print what two corpora share; 1 if there is anything that they do not share by design."""
    leaks = find_leaks(_all_rows(a, split_a, cache_dir), _all_rows(b, split_b, cache_dir), workers)
    for row_id, reason in leaks.unread.items():
        print(f"not compared: {row_id}: {reason}", file=sys.stderr)
    if not leaks.rows():
        print("they share no recording and no speaker")
        return 0
    rows = leaks.rows()
    print(text_table(rows[:ROWS_SHOWN], ("shared", f"in {a}", f"in {b}")))
    if len(rows) > ROWS_SHOWN:
        print(f"and {len(rows) - ROWS_SHOWN} more")
    print(f"they share {len(leaks.audio)} recordings and {len(leaks.speakers)} speakers")
    for corpus, why in leaks.by_design().items():
        print(f"speakers of {corpus} are shared by design: {why}")
    return int(bool(leaks))


def _all_rows(folder: str, split: str | None, cache_dir: str | None) -> Iterable[dict]:
    if is_parquet(folder):
        return itertools.chain(*(stream_corpus(folder, name) for name in ([split] if split else list_shards(folder))))
    corpus = load_corpus(folder, split=split, cache_dir=cache_dir)
    return datasets.concatenate_datasets(list(corpus.values())) if isinstance(corpus, datasets.DatasetDict) else corpus


if __name__ == "__main__":
    run_command(PROGRAM, main)
