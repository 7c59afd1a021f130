"""Robustness table: a model's figures on the same recordings under harder conditions, beside those as recorded.

    python -m xser.evaluation.robustness --model DIR --corpus espeak --split test --limit 500 \
        --predictions robustness/ --output robustness.json --picture robustness.png

The conditions are those of evaluation/conditions.py. For each the folder receives what `eval.py` writes: figures and
predictions. What is there already is not evaluated again, so that a run that was stopped goes on; a folder that
another model, other rows or another `--limit` filled is refused. A condition that cannot be had, such as a codec that
the installed libsndfile lacks, is a gap with its reason. The UA of each condition is tested against that of the
recordings as they are, utterance by utterance, with Holm's correction for the number of conditions.
"""

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import datasets
import soundfile
import torch

from xser import XSERForEmotionDescription, XSERProcessor
from xser.commands.entry import CommandParser, run_command
from xser.corpora.cache import digest, write_json
from xser.corpora.kept import content
from xser.corpora.parallel import map_in_order
from xser.eval import DTYPES, load_rows, of_speakers
from xser.evaluation.bars_picture import draw_bars, refuse_other_than_png
from xser.evaluation.conditions import AS_RECORDED, CONDITIONS
from xser.evaluation.evaluator import evaluate_model
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import read_predictions, write_predictions
from xser.evaluation.report import NOT_KNOWN, command_line, read_json, text_table, without_place
from xser.evaluation.significance import Comparison, compare

ABOUT = "about.json"
HARDER = tuple(name for name in CONDITIONS if name != AS_RECORDED)
TEST = "randomisation"  # whose p the table shows


def evaluate_conditions(
    model,
    processor,
    dataset: datasets.Dataset,
    folder: str | Path,
    conditions: Sequence[str] = HARDER,
    about: dict | None = None,
    batch_size: int = 32,
    limit: int | None = None,
    resamples: int = RESAMPLES,
    progress: bool = True,
) -> dict:
    """Figures of a model as recorded and under each condition.

    Args:
        model: an `XSERForEmotionDescription`, in eval mode.
        processor: its `XSERProcessor`.
        dataset: rows of the one schema.
        folder: what is evaluated is kept there, and not evaluated again.
        conditions: some of `HARDER`.
        about: what else the folder must have been filled with, JSON-able, such as the model's name.
        batch_size, limit: as of `evaluate_model`.
        resamples: of the tests.
        progress: say which condition it is, and show a bar.

    Returns:
        JSON-able values, by condition, `AS_RECORDED` first:
            conditions: what `evaluate_model` gives.
            comparisons: the fields of `significance.Comparison`, each condition against `AS_RECORDED`.
            gaps: why there is no entry in one of the two, of a difference as `difference of NAME`; `left out`,
            recordings that could not be evaluated at all.

    Raises:
        ValueError: an unknown condition, none, or one twice; the folder was filled with something else; the rows
            cannot be evaluated as recorded.
    """
    unknown = sorted(set(conditions) - set(HARDER))
    if unknown or not conditions or len(set(conditions)) < len(conditions):
        raise ValueError(f"conditions are {list(conditions)}; they must be some of {list(HARDER)}, each once")
    folder = Path(folder)
    about = {**(about or {}), "limit": limit, "weights": _weights(model), "rows": _rows(dataset)}
    _refuse_other(folder, about)
    found, predictions, gaps = {}, {}, {}
    names = [AS_RECORDED, *conditions]
    for number, name in enumerate(names, start=1):
        figures, answers = folder / f"{_file_name(name)}.json", folder / f"{_file_name(name)}.jsonl"
        there = figures.exists() and answers.exists()
        if progress:
            print(f"{number} of {len(names)}: {name}{', evaluated before' if there else ''}", file=sys.stderr)
        if not there:
            try:
                measured, told = evaluate_model(model, processor, dataset, batch_size, limit, name, progress)
            except (ValueError, soundfile.SoundFileError) as error:
                if name == AS_RECORDED:
                    raise
                gaps[name] = str(error)
                continue
            write_json(folder / ABOUT, about)
            write_predictions(answers, told)
            write_json(figures, {"condition": name, **measured})
        found[name], predictions[name] = read_json(figures), read_predictions(answers)
    left_out = found[AS_RECORDED]["left_out"]
    if left_out:
        first = f"{left_out[0]['id']}: {left_out[0]['reason']}"
        gaps["left out"] = f"{len(left_out)} recordings could not be evaluated {AS_RECORDED}, such as {first}"
    compared, apart = _compare(found, predictions, resamples)
    return {
        "conditions": found,
        "comparisons": {comparison.name: asdict(comparison) for comparison in compared},
        "gaps": gaps | {f"difference of {name}": reason for name, reason in apart.items()},
    }


def table_columns(results: dict) -> list[str]:
    """Names of the columns of `table_rows`."""
    return ["condition", "n", "UA (95%)", "difference (95%)", f"p, {TEST}", "WER (95%)", *_slots(results)]


def table_rows(results: dict) -> list[list[str]]:
    """What `evaluate_conditions` found, a row a condition, and what is not known."""
    rows, slots, gaps = [], _slots(results), results["gaps"]
    for name, measured in results["conditions"].items():
        if name == AS_RECORDED:
            cells = ["", ""]
        elif name in results["comparisons"]:
            compared = results["comparisons"][name]
            cells = [_difference(compared), f"{compared['p_holm'][TEST]:.4f}"]
        else:
            cells = [f"{NOT_KNOWN} ({gaps[f'difference of {name}']})", ""]
        figures = [_cell(measured, f"{slot}.accuracy", measured["descriptors"].get(slot), slot) for slot in slots]
        ua, wer = _cell(measured, "ua", measured["ua"], "emotion"), _cell(measured, "wer", measured["wer"], "text")
        rows.append([name, str(measured["n"]), ua, *cells, wer, *figures])
    for name in gaps:
        if not name.startswith("difference of "):
            rows.append([name, "", f"{NOT_KNOWN} ({gaps[name]})", "", "", "", *[""] * len(slots)])
    return rows


def _compare(
    found: dict[str, dict], predictions: dict[str, list[dict]], resamples: int
) -> tuple[list[Comparison], dict[str, str]]:
    """Every condition against the recordings as they are, and why some cannot be compared."""
    if found[AS_RECORDED]["ua"] is None:
        reason = found[AS_RECORDED]["gaps"]["emotion"]
        return [], {name: reason for name in found if name != AS_RECORDED}
    systems, apart = {AS_RECORDED: predictions[AS_RECORDED]}, {}
    ids = {prediction["id"] for prediction in predictions[AS_RECORDED]}
    for name, answers in predictions.items():
        other = ids ^ {prediction["id"] for prediction in answers}
        if other:
            apart[name] = f"{len(other)} utterances, such as {min(other)}, could be evaluated in one of the two alone"
        elif name != AS_RECORDED:
            systems[name] = answers
    return (compare(systems, resamples) if len(systems) > 1 else []), apart


def _refuse_other(folder: Path, about: dict) -> None:
    """`ValueError` where a folder was filled with something else."""
    there = sorted(path.name for path in folder.glob("*.json*"))
    if not there:
        return
    if ABOUT not in there:
        raise ValueError(f"{folder} holds {there[:5]} and no {ABOUT}; give a folder of its own")
    before = read_json(folder / ABOUT)
    for name in dict.fromkeys([*about, *before]):
        if before.get(name) != about.get(name):
            raise ValueError(
                f"{folder} was filled with {name} {before.get(name)!r}, and it is {about.get(name)!r} now; "
                "give another folder, or remove this one"
            )


def _weights(model: torch.nn.Module) -> str:
    """Hex digits that stand for a model's parameters, whatever file they come from."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()[:20]


def _rows(dataset: datasets.Dataset) -> str:
    """Hex digits that stand for what is compared with."""
    known = [dataset[name][:] for name in ("id", "text", "emotion", "descriptors", "speaker", "duration")]
    return digest(*known, list(map_in_order(content, dataset["audio"])))


def _file_name(condition: str) -> str:
    return re.sub(r"\W+", "-", condition)


def _slots(results: dict) -> list[str]:
    return list(results["conditions"][AS_RECORDED]["descriptors"])


def _cell(measured: dict, name: str, value: float | None, gap: str) -> str:
    if value is None:
        return f"{NOT_KNOWN} ({measured['gaps'][gap]})"
    interval = measured["intervals"].get(name)
    return f"{value:.3f}" + (f" ({interval['low']:.3f} to {interval['high']:.3f})" if interval else "")


def _difference(compared: dict) -> str:
    ends = "" if compared["low"] is None else f" ({compared['low']:+.3f} to {compared['high']:+.3f})"
    return f"{compared['difference']:+.3f}{ends}"


def _draw(results: dict, path: Path, title: str) -> None:
    bars = []
    for name, measured in results["conditions"].items():
        if measured["ua"] is not None:
            interval = measured["intervals"].get("ua")
            bars.append((name, measured["ua"], (interval["low"], interval["high"]) if interval else None))
    draw_bars(bars, path, title, "UA")


def _parser() -> CommandParser:
    parser = CommandParser(prog="python -m xser.evaluation.robustness", description=__doc__)
    parser.add_argument("--model", required=True, help="folder or Hub id of the model")
    parser.add_argument("--corpus", default="espeak", help="name of a corpus, or a folder")
    parser.add_argument("--split", default="test", help="which part of it; 'all' for everything")
    parser.add_argument("--test_fold", help="which fold is test, whatever the splits are now")
    parser.add_argument("--speakers", nargs="+", default=[], help="evaluate these speakers alone")
    parser.add_argument("--limit", type=int, help="evaluate so many rows, drawn under a fixed seed")
    parser.add_argument("--conditions", nargs="+", choices=HARDER, default=list(HARDER), metavar="NAME",
                        help=f"some of {', '.join(repr(name) for name in HARDER)}")  # fmt: skip
    parser.add_argument("--batch_size", type=int, default=32, help="recordings a pass; it does not change the answers")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights")
    parser.add_argument("--device", default="cpu", help="such as cpu, cuda or mps")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of the tests")
    parser.add_argument("--predictions", type=Path, required=True, help="folder for figures and predictions of each")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write the table to")
    parser.add_argument("--picture", type=Path, help="PNG file to write the UA of each condition to")
    return parser


def main(argv: list[str] | None = None) -> dict:
    arguments = _parser().parse_args(argv)
    if arguments.picture is not None:
        refuse_other_than_png(arguments.picture)
    dataset = load_rows(arguments.corpus, arguments.split, arguments.test_fold)
    if arguments.speakers:
        dataset = of_speakers(dataset, arguments.speakers)
    processor = XSERProcessor.from_pretrained(arguments.model)
    model = XSERForEmotionDescription.from_pretrained(arguments.model, dtype=DTYPES[arguments.dtype])
    about = {name: getattr(arguments, name) for name in ("model", "corpus", "split", "test_fold", "speakers", "dtype")}
    results = evaluate_conditions(
        model.to(arguments.device).eval(),
        processor,
        dataset,
        arguments.predictions,
        arguments.conditions,
        about,
        arguments.batch_size,
        arguments.limit,
        arguments.resamples,
    )
    name, n = Path(arguments.model).name, results["conditions"][AS_RECORDED]["n"]
    title = (
        f"{name} on {Path(arguments.corpus).name}, {arguments.split}, under harder conditions: {n} utterances, "
        f"UA against that {AS_RECORDED}, p after Holm over {len(results['comparisons'])} conditions"
    )
    columns, rows = table_columns(results), table_rows(results)
    about = {name: without_place(value) for name, value in about.items()} | {"limit": arguments.limit}
    head = {"title": title, "command": command_line(), "columns": columns, "rows": rows}
    write_json(arguments.output, {**head, **about, **results})
    if arguments.picture is not None:
        _draw(results, arguments.picture, f"UA of {name} on {Path(arguments.corpus).name} by condition")
    print(title, text_table(rows, columns), f"written to {arguments.output}", sep="\n")
    return results


if __name__ == "__main__":
    run_command("python -m xser.evaluation.robustness", main)
