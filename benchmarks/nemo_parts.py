"""What each part of XSER bought on real voices: nEMO, each speaker left out in turn, one part taken away at a time.

    python benchmarks/nemo_parts.py --data data/nemo-prepared --config configs/xser-nemo.yaml --whole runs/nemo-folds \
        --output runs/nemo-parts --results docs/results/nemo-parts.json [--key value … for train.py]

`--whole` holds the models of `benchmarks/nemo.py` under the same config and options of `train.py`. Every other one is
trained anew, with all the same but what its name says, and asked for the emotion alone, without and with a reference
(all the stranger's recordings, no labels). What is done already is not done again.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from threading import Lock

import torch
from nemo import ALL, NONE, each_fold, train_fold, ua_of

from xser import XSERForEmotionDescription, XSERProcessor
from xser.corpora import load_corpus
from xser.corpora.cache import write_json
from xser.corpora.folds import by_fold
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import NO_ANSWER, read_predictions, reference_of, write_predictions
from xser.evaluation.references import speaker_profiles
from xser.evaluation.report import command_line, text_table
from xser.evaluation.significance import TESTS, compare
from xser.grammar_xser import EMOTION
from xser.training.options import read_yaml
from xser.voice_measures_xser import MEASURES, SIZES

WHOLE = "nothing"
LOADING = Lock()  # transformers changes its classes while it loads: one model at a time
COLUMNS = ("taken away", "reference", "UA, mean of folds", "difference", *TESTS)


def variants(config: dict) -> dict[str, list[str]]:
    """What is taken away → options of train.py."""
    bottlenecks = {name: config[name] for name in ("content_bottleneck", "descriptor_bottleneck")}
    plain = {name: {**options, "variational": False} for name, options in bottlenecks.items()}
    streams = {name: {**options, "variational": False} for name, options in config["aux_streams"].items()}
    prosodic = {**config["aux_streams"], MEASURES: {**config["aux_streams"][MEASURES], "size": SIZES[0]}}
    return {
        WHOLE: [],
        "whole recordings": _options({"recording_states": False}),
        "the spectrum among the measures": _options({"aux_streams": prosodic}),
        "auxiliary streams": _options({"aux_streams": {}}),
        "information bottlenecks": _options({**plain, "aux_streams": streams}),
        "transcription": _options({"stages": {"describe": {}}}),
        "speeds, swapped voices": _options({"speeds": 1.0, "swap_probability": 0}),
    }


def _options(values: dict[str, object]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", json.dumps(value))]


@torch.no_grad()
def answer(run: Path, data: str, fold: str, reference: str, path: Path) -> None:
    """Ask a trained model for the emotion of every recording of the fold's speaker."""
    if path.is_file():
        return
    with LOADING:
        processor = XSERProcessor.from_pretrained(run / "final")
        model = XSERForEmotionDescription.from_pretrained(run / "final", dtype=torch.float32).eval()
    rows = by_fold(load_corpus(data), fold, "none")["test"]
    profiles = {} if reference == NONE else speaker_profiles(model, processor, rows, "all")
    answers = model.explain(
        rows["audio"][:],
        processor,
        batch_size=32,
        slots=[EMOTION],
        transcript=False,
        reference=[profiles.get(identity) for identity in rows["id"]],
    )
    known = rows.remove_columns("audio").to_list()
    kept = [
        {"id": row["id"], "reference": reference_of(row), "status": given["status"], "emotion": given["emotion"]}
        for row, given in zip(known, answers, strict=True)
    ]
    write_predictions(path, kept)


def test_variant(name: str, options: list[str], arguments: argparse.Namespace, fold: str) -> None:
    """Train, with what is the same for all and `options`, and ask the model of one fold."""
    folder = arguments.output / name / fold
    run = arguments.whole / fold / "run" if name == WHOLE else folder / "run"
    if name != WHOLE:
        train_fold(arguments.data, fold, folder, arguments.config, None, options)
    for reference in (NONE, ALL):
        answer(run, arguments.data, fold, reference, folder / f"{reference.split()[0]}.jsonl")


def table(arguments: argparse.Namespace, names: list[str], folds: list[str]) -> list[tuple[str, ...]]:
    """A row for each variant and way of hearing, held against the whole."""
    rows = []
    for reference in (NONE, ALL):
        by_name = {
            name: [
                read_predictions(arguments.output / name / fold / f"{reference.split()[0]}.jsonl") for fold in folds
            ]
            for name in names
        }
        together = {name: [each for part in parts for each in part] for name, parts in by_name.items()}
        against = {found.name: found for found in compare(together, arguments.resamples)}
        for name, parts in by_name.items():
            uas = [ua_of(part, [each["emotion"] or NO_ANSWER for each in part]) for part in parts]
            held = ["–"] * (1 + len(TESTS))
            if name in against:
                found = against[name]
                difference = f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
                held = [difference, *(f"{found.p_holm[test]:.4f}" for test in TESTS)]
            rows.append((name, reference, f"{sum(uas) / len(uas):.3f}", *held))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="nEMO, prepared and annotated")
    parser.add_argument("--config", default="configs/xser-nemo.yaml", help="of train.py")
    parser.add_argument("--whole", type=Path, required=True, help="output of benchmarks/nemo.py under this config")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write the table to")
    parser.add_argument("--folds", nargs="+", help="only these speakers")
    parser.add_argument("--parts", nargs="+", help="only these parts")
    parser.add_argument("--jobs", type=int, default=1, help="folds at once, which share the cores")
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    arguments, same = parser.parse_known_args()
    corpus = load_corpus(arguments.data)
    folds = arguments.folds or sorted({fold for part in corpus.values() for fold in part["fold"]})
    asked = variants(read_yaml(arguments.config))
    if arguments.parts:
        unknown = [part for part in arguments.parts if part not in asked]
        if unknown:
            parser.error(f"--parts names {unknown}; there are {list(asked)[1:]}")
        asked = {name: asked[name] for name in (WHOLE, *arguments.parts)}
    for name, options in asked.items():
        print(f"without {name}", flush=True)
        each_fold(partial(test_variant, name, [*same, *options], arguments), folds, arguments.jobs)
    rows = table(arguments, list(asked), folds)
    n = sum(len(read_predictions(arguments.output / WHOLE / fold / "none.jsonl")) for fold in folds)
    title = f"nEMO, each of {len(folds)} speakers left out in turn: what a part of XSER bought, {n} utterances"
    print(title, text_table(rows, COLUMNS), sep="\n")
    write_json(arguments.results, {"title": title, "command": command_line(), "columns": COLUMNS, "rows": rows})


if __name__ == "__main__":
    main()
