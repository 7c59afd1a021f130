"""Prepare a corpus once, for many runs:

    python -m xser.corpora prepare espeak --out data/espeak
    python -m xser.corpora prepare path/to/folder --out data/mine --test_speakers anna ben --validation_fraction 0.1

The folder then loads by `load_corpus("data/espeak")`. It holds the recordings themselves, so it can be moved; its
report.json says what is in it and what was left out.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import datasets

from xser.corpora.audiofolder import METADATA, read_audiofolder
from xser.corpora.cache import write_json, written_beside
from xser.corpora.loading import load_corpus


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m xser.corpora", description=__doc__.split("\n")[0])
    prepare = parser.add_subparsers(dest="command", required=True).add_parser("prepare", help="write a corpus to disk")
    prepare.add_argument("source", metavar="NAME|DIR", help="espeak, or a folder with metadata.csv")
    prepare.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder that does not exist yet")
    prepare.add_argument("--split", help="only this split")
    prepare.add_argument("--limit", type=int, help="at most so many rows a split")
    prepare.add_argument("--cache_dir", help="default: $XSER_CACHE or ~/.cache/xser")
    prepare.add_argument("--seed", type=int, help="espeak: another seed, another corpus")
    prepare.add_argument("--sizes", type=json.loads, help="espeak: as in '{\"train\": 6000}'")
    prepare.add_argument("--emotion_map", type=json.loads, help='folder: as in \'{"W": "angry", "L": null}\'')
    prepare.add_argument("--test_speakers", nargs="+", help="folder: speakers to hold out")
    prepare.add_argument("--validation_speakers", nargs="+", help="folder: speakers to hold out")
    prepare.add_argument("--validation_fraction", type=float, help="folder: share of the rest to hold out, by speaker")
    options = vars(parser.parse_args(arguments))
    del options["command"]
    try:
        report = prepare_corpus(**{name: value for name, value in options.items() if value is not None})
    except (ValueError, TypeError, OSError, ImportError) as error:
        parser.error(str(error))
    print(json.dumps(report, indent=2, ensure_ascii=False))


def prepare_corpus(source: str, out: Path, **options) -> dict:
    """Load a corpus, save it to `out` (written beside and renamed) with a report.json, and return that report."""
    if out.exists():
        raise FileExistsError(f"{out} exists already: give another folder, or take it away first")
    corpus = load_corpus(source, **options)
    parts = corpus if isinstance(corpus, datasets.DatasetDict) else {options.get("split") or "train": corpus}
    report = {
        "source": source,
        "options": options,
        "splits": {name: _summary(part) for name, part in parts.items()},
        "left_out": _left_out(source, options),
    }
    with written_beside(out) as beside:
        corpus.save_to_disk(str(beside))
        write_json(beside / "report.json", report)
    return report


def _summary(part: datasets.Dataset) -> dict:
    return {
        "rows": len(part),
        "hours": round(sum(seconds or 0 for seconds in part["duration"]) / 3600, 3),
        "speakers": len({*part["speaker"]} - {None}),
        "emotions": dict(sorted(Counter(emotion or "not known" for emotion in part["emotion"]).items())),
    }


def _left_out(source: str, options: dict) -> dict[str, str]:
    if not Path(source, METADATA).is_file():
        return {}
    _, report = read_audiofolder(source, options.get("cache_dir"), options.get("emotion_map"))
    return report["left_out"]


if __name__ == "__main__":
    main()
