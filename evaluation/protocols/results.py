"""What the folds of a protocol come to: every fold, their mean, and all their utterances together.

Two conventions are in use, and both stand in the table: figures of all folds' utterances together, where every
utterance counts once, and the mean over folds with its standard deviation, where every fold counts once. A fold that
is missing or lacks an emotion is named, and is not in the mean.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xser.corpora.cache import write_json
from xser.evaluation import counts
from xser.evaluation.intervals import RESAMPLES
from xser.evaluation.predictions import NO_ANSWER, read_predictions, write_predictions
from xser.evaluation.protocols.claims import CLAIM, describe, read_claim
from xser.evaluation.protocols.folder import PREDICTIONS, PROTOCOL, RESULTS, folder_of, is_done
from xser.evaluation.report import NOT_KNOWN, command_line, read_json
from xser.evaluation.scoring import score

COLUMNS = ("fold", "n", "UA", "WA", "gaps")
CONVENTIONS = {
    "together": "UA and WA of all folds' utterances together: every utterance counts once",
    "mean": "mean of the folds' UA and WA, and their standard deviation (n - 1): every fold counts once",
}
NAMED = 10  # folds, at most, that are named in a label


def aggregate(output: Path, resamples: int = RESAMPLES) -> dict:
    """Figures over the folds that are done; written to results.json, with predictions.jsonl beside it.

    Args:
        output: folder of a run.
        resamples: of the intervals.

    Returns:
        title, command, columns, rows: as a results file has them.
        protocol, convention, system, corpus, test_corpus, classes, left_out, notes, versions: of the run.
        folds: of each fold that is done n, speakers, ua, wa, gaps, and whether it is `complete`: every class is there.
        missing: of the other folds the reason.
        mean: over the complete folds, of ua and wa `mean`, `std` (`None` of one fold alone) and `folds`.
        together: all that `scoring.score` gives, over the utterances of all folds that are done.

    Raises:
        ValueError: `output` is no run, or no fold is done.
    """
    described = read_json(output / PROTOCOL)
    folds, missing, predictions = {}, dict(described["missing"]), []
    for fold in described["folds"]:
        name = fold["name"]
        if not is_done(output, name):
            missing[name] = _why_missing(output, name)
            continue
        of_fold = read_predictions(folder_of(output, name) / PREDICTIONS)
        not_answered = read_json(folder_of(output, name) / RESULTS)["not_answered"]
        folds[name] = figures_of_fold(of_fold, described["classes"], fold["gaps"], not_answered)
        predictions += [{**prediction, "fold": name} for prediction in of_fold]
    if not folds:
        raise ValueError(f"{output}: no fold is done: {missing}")
    about = ("protocol", "convention", "system", "corpus", "test_corpus", "classes", "left_out", "notes", "versions")
    results = {
        "title": f"{described['protocol']}: {described['system']}",
        "command": command_line(),
        "columns": list(COLUMNS),
        "rows": [],
        **{name: described.get(name) for name in about},
        "conventions": CONVENTIONS,
        "folds": folds,
        "missing": missing,
        "mean": mean_of_folds(folds),
        "together": {"n": len(predictions), **score(predictions, resamples=resamples)},
    }
    results["rows"] = _rows(results)
    write_predictions(output / PREDICTIONS, predictions)
    write_json(output / RESULTS, results)
    return results


def figures_of_fold(
    predictions: Sequence[dict], classes: Sequence[str], gaps: Sequence[str], not_answered: Sequence[dict]
) -> dict:
    """One fold's n, speakers, UA, WA and gaps; `complete` where every class is there to be recognised.

    Args:
        predictions: of the fold, each with an emotion in its reference.
        classes: of the protocol.
        gaps: what was known to be lacking before.
        not_answered: `id` and `reason` of utterances that the system left out.
    """
    truth = [prediction["reference"]["emotion"] for prediction in predictions]
    guess = [prediction["emotion"] or NO_ANSWER for prediction in predictions]
    sums = counts.confusion_columns(guess, truth, sorted(set(truth))).sum(axis=0, dtype=np.float64)
    gaps = list(gaps)
    if not_answered:
        first = f"{not_answered[0]['id']}: {not_answered[0]['reason']}"
        gaps.append(f"{len(not_answered)} utterances were left out by the system and count as wrong, such as {first}")
    return {
        "n": len(predictions),
        "speakers": sorted({prediction["reference"].get("speaker") for prediction in predictions} - {None}),
        "ua": float(counts.unweighted_accuracy(sums)),
        "wa": float(counts.weighted_accuracy(sums)),
        "complete": set(classes) <= set(truth),
        "gaps": gaps,
    }


def mean_of_folds(folds: dict[str, dict]) -> dict:
    """Mean and standard deviation (n - 1) of UA and WA over the complete folds, and their names."""
    complete = [name for name, fold in folds.items() if fold["complete"]]
    mean = {"folds": complete, "not_complete": [name for name in folds if name not in complete]}
    for figure in ("ua", "wa"):
        values = [folds[name][figure] for name in complete]
        mean[figure] = {
            "mean": float(np.mean(values)) if values else None,
            "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
    return mean


def _why_missing(output: Path, name: str) -> str:
    held = folder_of(output, name) / CLAIM
    return "not done yet" if read_claim(held) is None else f"claimed by {describe(held)}"


def _rows(results: dict) -> list[list[str]]:
    folds, missing, mean, together = (results[name] for name in ("folds", "missing", "mean", "together"))
    rows = [
        [name, f"{fold['n']:,}", f"{fold['ua']:.3f}", f"{fold['wa']:.3f}", "; ".join(fold["gaps"])]
        for name, fold in folds.items()
    ]
    rows += [[name, NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, f"missing: {reason}"] for name, reason in missing.items()]
    if len(folds) + len(missing) > 1:
        without = [*mean["not_complete"], *missing]
        n = sum(folds[name]["n"] for name in mean["folds"])
        lacking = f"not in it: {_some(without)}" if without else ""
        deviations = [_with_deviation(mean[figure]) for figure in ("ua", "wa")]
        rows.append([f"mean over {_some(mean['folds'])}", f"{n:,}", *deviations, lacking])
    gaps = [f"{name}: {why}" for name, why in together["gaps"].items() if name.startswith("recall.")]
    if missing:
        gaps.insert(0, f"not in it: {_some(list(missing))}")
    values = [_with_interval(together, figure) for figure in ("ua", "wa")]
    rows.append([f"together: {_some(list(folds))}", f"{together['n']:,}", *values, "; ".join(gaps)])
    return rows


def _some(names: list[str]) -> str:
    if not names:
        return "no fold"
    said = ", ".join(names) if len(names) <= NAMED else f"{len(names)} folds"
    return f"fold {said}" if len(names) == 1 else f"folds {said}" if len(names) <= NAMED else said


def _with_deviation(figure: dict) -> str:
    if figure["mean"] is None:
        return NOT_KNOWN
    return f"{figure['mean']:.3f}" + ("" if figure["std"] is None else f" ± {figure['std']:.3f}")


def _with_interval(together: dict, figure: str) -> str:
    interval = together["intervals"].get(figure)
    if interval is None:
        return f"{together[figure]:.3f}"
    return f"{together[figure]:.3f} ({interval['low']:.3f} to {interval['high']:.3f}, over {interval['of']})"
