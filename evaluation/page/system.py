"""The section of one system in a report: its figures, each emotion, its scores, and examples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from xser.evaluation.conditions import AS_RECORDED
from xser.evaluation.page.blocks import Block, Examples, Gap, Picture, Section, Table
from xser.evaluation.page.charts import (
    draw_confusion,
    draw_recalls,
    draw_reliability,
    draw_risk_coverage,
    reliability_bins,
)
from xser.evaluation.page.examples import RULE, draw_examples, explains
from xser.evaluation.page.inputs import System
from xser.evaluation.report import NOT_KNOWN, figure_rows, without_folders


def system_section(system: System) -> Section:
    results = system.results
    blocks: list[Block] = [Table("Figures", ("figure", "value", "n"), figure_rows(results))]
    blocks += _of_emotions(results)
    blocks += _of_confusion(results)
    blocks += _of_scores(system)
    blocks += _of_examples(system)
    if results.get("left_out"):
        blocks.append(
            Gap("Left out", f"{len(results['left_out'])} recordings could not be evaluated and are in no figure")
        )
    return Section(system.name, about(system), without_folders(results.get("command", "")), blocks)


def _of_emotions(results: dict) -> list[Block]:
    if results["ua"] is None:
        return [Gap("Each emotion", reason(results, "emotion"))]
    n_of, intervals, classes = results["n_of"]["recall"], results.get("intervals", {}), results.get("per_class", {})
    rows = []
    for name, recall in results["recall"].items():
        if recall is None:
            rows.append((name, str(n_of[name]), f"{NOT_KNOWN} ({results['gaps'][f'recall.{name}']})", "", ""))
            continue
        f1, precision = (classes.get(name, {}).get(figure) for figure in ("f1", "precision"))
        cells = (
            _value(recall, intervals.get(f"recall.{name}")),
            NOT_KNOWN if precision is None else _value(precision),
            NOT_KNOWN if f1 is None else _value(f1, intervals.get(f"f1.{name}")),
        )
        rows.append((name, str(n_of[name]), *cells))
    note = "" if classes else "The file holds neither precision nor F1 of an emotion."
    picture = Picture("Recall of each emotion", draw_recalls(results["recall"], n_of, intervals, results["ua"]))
    return [picture, Table("Each emotion", ("emotion", "n", "recall", "precision", "F1"), rows, note)]


def _of_confusion(results: dict) -> list[Block]:
    confusion = results.get("confusion")
    if confusion is None:
        return [Gap("Confusion", reason(results, "emotion"))]
    rows = []
    for name, counts in zip(confusion["references"], confusion["counts"], strict=True):
        total = sum(counts)
        rows.append(
            (name, str(total), *(f"{count / total:.0%} ({count})" if total else NOT_KNOWN for count in counts))
        )
    columns = ("true", "n", *(f"said {name}" for name in confusion["predictions"]))
    return [
        Picture("Confusion", draw_confusion(confusion)),
        Table("Confusion", columns, rows, "Each row as shares of its n, with counts."),
    ]


def _of_scores(system: System) -> list[Block]:
    """Reliability and risk against coverage."""
    results, blocks = system.results, []
    if system.predictions is None:
        blocks.append(
            Gap("Reliability of the scores", "give the predictions of this system: its results do not hold it")
        )
    else:
        confidence, hits = confidence_and_hits(system.predictions)
        if len(hits):
            bins = reliability_bins(confidence, hits)
            rows = [
                (f"{e.low:.2f} to {e.high:.2f}", str(e.n), _value(e.confidence), _value(e.accuracy))
                for e in bins
                if e.n
            ]
            empty = len(bins) - len(rows)
            note = f"{empty} of {len(bins)} bins hold no utterance." if empty else ""
            blocks.append(Picture("Reliability of the scores", draw_reliability(bins)))
            blocks.append(Table("Reliability of the scores", ("score", "n", "mean score", "right"), rows, note))
        else:
            blocks.append(Gap("Reliability of the scores", reason(results, "scores")))
    curve = results.get("risk_coverage")
    if curve is None:
        return [*blocks, Gap("Risk and coverage", reason(results, "scores"))]
    n = results["n_of"]["scores"]
    rows = [
        (f"{coverage:.0%}", f"{risk:.3f}") for coverage, risk in zip(curve["coverage"], curve["risk"], strict=True)
    ]
    blocks.append(Picture("Risk and coverage", draw_risk_coverage(curve)))
    blocks.append(Table(f"Risk and coverage, n {n}", ("kept, the surest first", "share that is wrong"), rows))
    return blocks


def confidence_and_hits(predictions: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Of each prediction with scores the highest one, `(N,)`, and whether that emotion is right, `(N,)`.

    Among equal scores the first in the alphabet is meant, as for the calibration error in `scoring`.
    """
    scored = [p for p in predictions if p["scores"] is not None and p["reference"].get("emotion") is not None]
    best = [min(p["scores"].items(), key=lambda pair: (-pair[1], pair[0])) for p in scored]
    confidence = [chance / sum(p["scores"].values()) for p, (_, chance) in zip(scored, best, strict=True)]
    hits = [label == p["reference"]["emotion"] for p, (label, _) in zip(scored, best, strict=True)]
    return np.array(confidence, dtype=float), np.array(hits, dtype=bool)


def _of_examples(system: System) -> list[Block]:
    predictions = system.predictions
    if predictions is None:
        return [Gap("Examples", "give the predictions of this system: its results do not hold them")]
    if system.results["ua"] is None:
        return [Gap("Examples", reason(system.results, "emotion"))]
    if not explains(predictions):
        return [Gap("Examples", "the predictions hold an emotion and nothing to explain it")]
    blocks: list[Block] = []
    for title, right in (("Wrong", False), ("Right", True)):
        examples, n = draw_examples(predictions, right)
        if examples:
            blocks.append(Examples(f"{title}: {len(examples)} of {n} utterances", f"{RULE}.".capitalize(), examples))
        else:
            blocks.append(Gap(title, f"no utterance of {system.results['n_of']['emotion']} is"))
    return blocks


def about(system: System) -> str:
    """What the system is and what it heard, by names alone."""
    model = system.results.get("model")
    parts = [Path(model).name] if model else []
    return f"{' on '.join([*parts, heard(system)])}, from {' and '.join(system.files)}."


def heard(system: System) -> str:
    """Which recordings a system heard, as far as its results say."""
    results = system.results
    if results.get("corpus"):
        parts = [Path(results["corpus"]).name, str(results.get("split") or "")]
        told: dict[str, Callable] = {
            "test_fold": lambda fold: f"test fold {fold}",
            "speakers": lambda speakers: f"speakers {', '.join(speakers)}",
            "limit": lambda limit: f"at most {limit} utterances",
            "condition": lambda condition: "" if condition == AS_RECORDED else condition,
        }
        parts += [say(results[key]) for key, say in told.items() if results.get(key)]
        return ", ".join(part for part in parts if part)
    corpora = sorted({p["reference"].get("corpus") for p in system.predictions or []} - {None})
    return ", ".join(corpora) or "recordings that the file does not name"


def reason(results: dict, name: str) -> str:
    """Why a figure is not known."""
    if name in results.get("gaps", {}):
        return results["gaps"][name]
    return "no utterance has it" if results["n_of"].get(name) == 0 else "not in this file"


def _value(value: float, interval: dict | None = None) -> str:
    return f"{value:.3f}" + (f" ({interval['low']:.3f} to {interval['high']:.3f})" if interval else "")
