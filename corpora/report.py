"""What a prepared corpus holds: counts as JSON, and a page with plots that needs no other file."""

import html
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from xser.corpora.cache import written_beside
from xser.corpora.folds import shared_speakers
from xser.corpora.labels import own_descriptors, own_emotions, own_stated, stated
from xser.corpora.schema import DIMENSIONS

REPORT = "report.json"
UNKNOWN = "not known"
COUNTED = ("session", "fold", "emotion", "speaker", "gender", "language")
NAMED = 200  # rows of a table on the page; report.json has all
BINS = 40
COLOURS = ("#1864ab", "#d9480f", "#2b8a3e", "#862e9c", "#5c940d", "#c2255c", "#495057")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; color: #52606d; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #e4e7eb; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } td.file { overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; } .warning { border-left: 4px solid #d9480f; padding-left: 1rem; }
"""


def terms_of(folder: Path) -> list[dict[str, str]]:
    """`corpus` and `licence` of a prepared folder, or of all that it was made of; empty where there is no report.

    Raises:
        ValueError: what lies there is no such report.
    """
    path = folder.expanduser() / REPORT
    if not path.is_file():
        return []
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return [{name: str(part[name]) for name in ("corpus", "licence")} for part in report.get("parts") or [report]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no report of a prepared corpus: {error!r}; prepare the corpus anew") from error


def make_report(
    about: dict,
    splits: list[str],
    rows: list[dict],
    left_out: list[dict[str, str]],
    labels: dict[str, dict[str, str | None]],
) -> dict:
    """The report of a prepared corpus.

    Args:
        about: what it is: corpus, source, options, licence, splitting, and parts where it is made of others.
        splits: names, in order; one of which nothing is left is reported too.
        rows: rows of the one schema that are in it, with splits and durations; their audio is not looked at.
        left_out: what is not in it: `file` and `reason` of each.
        labels: column → label as the corpus writes it → as the rows have it, where these differ.

    Returns:
        `about`, and `n`, `hours`, `hours_by_split`; `by_split`, `by_session`, `by_fold`, `by_emotion`, `by_speaker`,
        `by_gender` and `by_language` (name → rows, "not known" for those without); `by_split_and_emotion`;
        `by_seconds` (whole seconds → rows); `with_text`, `with_caption`, `with_ratings`; `dimensions` (valence and so
        on → n, mean, min, max of the rows that have it); `shared_speakers` (speaker → splits); `labels`;
        `own_emotions` (→ rows) and `own_descriptors` (→ level → rows), which are none of the usual ones; `left_out`.
    """
    hours = Counter(dict.fromkeys(splits, 0.0))
    for row in rows:
        hours[row["split"]] += row["duration"] / 3600
    return {
        **about,
        "n": len(rows),
        "hours": round(hours.total(), 4),
        "hours_by_split": {split: round(hours[split], 4) for split in splits},
        "by_split": _count(rows, "split", splits),
        **{f"by_{name}": _count(rows, name) for name in COUNTED},
        "by_split_and_emotion": {
            split: _count([row for row in rows if row["split"] == split], "emotion") for split in splits
        },
        "by_seconds": {str(s): n for s, n in sorted(Counter(int(row["duration"]) for row in rows).items())},
        **{f"with_{name}": sum(bool(row[name]) for row in rows) for name in ("text", "caption", "ratings")},
        "dimensions": {name: _described([row[name] for row in rows]) for name in DIMENSIONS},
        "shared_speakers": shared_speakers([row["speaker"] for row in rows], [row["split"] for row in rows]),
        "labels": labels,
        "own_emotions": own_emotions(rows),
        "own_descriptors": own_descriptors(rows),
        "left_out": left_out,
    }


def _described(values: list[float | None]) -> dict[str, float]:
    """Number, mean, least and most of the values that are known."""
    known = [value for value in values if value is not None]
    if not known:
        return {"n": 0}
    mean = round(sum(known) / len(known), 4)
    return {"n": len(known), "mean": mean, "min": round(min(known), 4), "max": round(max(known), 4)}


def _count(rows: list[dict], column: str, order: Iterable[str] = ()) -> dict[str, int]:
    """Name → rows, sorted by name or in this order, "not known" last."""
    counts = Counter(row[column] for row in rows)
    unknown = counts.pop(None, 0)
    counted = {name: counts[name] for name in order or sorted(counts)}
    return counted | ({UNKNOWN: unknown} if unknown else {})


def summary(report: dict) -> str:
    """A few lines for the terminal."""
    splits = ", ".join(f"{split} {n:,}" for split, n in report["by_split"].items())
    lines = [
        f"{report['corpus']}: {report['n']:,} recordings, {report['hours']:.2f} hours ({splits})",
        f"{report['splitting']}.",
        "emotions: " + ", ".join(f"{emotion} {n:,}" for emotion, n in report["by_emotion"].items()),
    ]
    if report["labels"]:
        lines.append(f"labels brought to one spelling: {stated(report['labels'])}")
    lines += own_stated(report["own_emotions"], report["own_descriptors"])
    if report["shared_speakers"]:
        lines.append(f"in more than one split: speakers {', '.join(list(report['shared_speakers'])[:10])}")
    if report["left_out"]:
        lines.append(f"left out: {len(report['left_out']):,} ({_listed(_reasons(report['left_out']))})")
    return "\n".join(lines)


def write_page(path: Path, report: dict) -> None:
    """Write a report as one page of HTML, plots within."""
    with written_beside(path) as beside:
        beside.write_text(_page(report), encoding="utf-8")


def _page(report: dict) -> str:
    title = f"{report['corpus']}: {report['n']:,} recordings, {report['hours']:.2f} hours"
    parts = [f"<h1>{_text(title)}</h1>", _table(("", ""), _facts(report))]
    if report["shared_speakers"]:
        parts.append(
            f'<p class="warning">{len(report["shared_speakers"]):,} speakers are in more than one split: figures on '
            "these splits are not speaker-independent.</p>"
        )
    columns = [*report["by_split"], "all"]
    numbers = [
        (emotion, *(report["by_split_and_emotion"][split].get(emotion, 0) for split in report["by_split"]), n)
        for emotion, n in report["by_emotion"].items()
    ]
    parts += ["<h2>Emotions</h2>", _plot(lambda axes: _draw_emotions(axes, report), 1.4 + 0.32 * len(numbers))]
    totals = ("all", *report["by_split"].values(), report["n"])
    parts.append(_table(("emotion", *columns), [*numbers, totals]))
    parts += ["<h2>Durations</h2>", _plot(lambda axes: _draw_durations(axes, report["by_seconds"]), 2.6)]
    parts += ["<h2>Who speaks</h2>", _plot(lambda axes: _draw_speakers(axes, report["by_speaker"]), 2.6)]
    for name in ("speaker", "gender", "language", "session", "fold"):
        parts.append(_table((name, "recordings"), list(report[f"by_{name}"].items())))
    own = [("emotion", label, n) for label, n in report["own_emotions"].items()]
    own += [(slot, level, n) for slot, levels in report["own_descriptors"].items() for level, n in levels.items()]
    if own:
        parts += ["<h2>Labels of its own</h2>", _table(("", "label", "recordings"), own)]
    if report["labels"]:
        became = [
            (column, written, UNKNOWN if kept is None else kept)
            for column, labels in report["labels"].items()
            for written, kept in labels.items()
        ]
        parts += ["<h2>Labels brought to one spelling</h2>", _table(("column", "written", "here"), became)]
    parts.append(f"<h2>Left out: {len(report['left_out']):,}</h2>")
    if report["left_out"]:
        parts.append(_table(("reason", "recordings"), list(_reasons(report["left_out"]).items())))
        parts.append(_table(("file", "reason"), [(one["file"], one["reason"]) for one in report["left_out"]]))
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _facts(report: dict) -> list[tuple[str, str]]:
    facts = [("source", report["source"]), ("licence", report["licence"]), ("splits", report["splitting"])]
    facts += [(f"hours of {split}", f"{hours:.2f}") for split, hours in report["hours_by_split"].items()]
    for name in ("text", "caption", "ratings"):
        facts.append((f"with {name}", f"{report[f'with_{name}']:,} of {report['n']:,}"))
    for name, found in report["dimensions"].items():
        if found["n"]:
            what = f"{found['n']:,} rows, mean {found['mean']:.2f}, {found['min']:.2f} to {found['max']:.2f}"
            facts.append((name, what))
    return facts + [(f"option {name}", str(value)) for name, value in report["options"].items()]


def _reasons(left_out: list[dict[str, str]]) -> dict[str, int]:
    """Reasons without what is each file's own, which comes after a colon → files; the most frequent first."""
    return dict(Counter(one["reason"].partition(":")[0] for one in left_out).most_common())


def _listed(counts: dict[str, int], most: int = 10) -> str:
    named = [f"{name} {n:,}" for name, n in counts.items()]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")


def _text(value: object) -> str:
    return html.escape(f"{value:,}" if isinstance(value, int) else str(value))


def _table(header: tuple[str, ...], rows: list[tuple]) -> str:
    lines = ["<tr>" + "".join(f"<th>{_text(name)}</th>" for name in header) + "</tr>"] if any(header) else []
    for row in rows[:NAMED]:
        cells = [f'<td class="{"n" if isinstance(value, int) else "file"}">{_text(value)}</td>' for value in row]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    more = f"<p>… and {len(rows) - NAMED:,} more, in report.json</p>" if len(rows) > NAMED else ""
    return "<table>" + "".join(lines) + "</table>" + more


def _plot(draw: Callable[[Axes], None], height: float) -> str:
    """An SVG of a drawing, as it stands in a page; the same drawing gives the same text."""
    figure = Figure(figsize=(9, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "xser", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()[file.getvalue().index("<svg") :]


def _draw_emotions(axes: Axes, report: dict) -> None:
    emotions, start = list(report["by_emotion"]), Counter()
    for index, (split, counts) in enumerate(report["by_split_and_emotion"].items()):
        widths = [counts.get(emotion, 0) for emotion in emotions]
        lefts = [start[emotion] for emotion in emotions]
        axes.barh(emotions, widths, left=lefts, color=COLOURS[index % len(COLOURS)], label=split.replace("_", " "))
        start.update(counts)
    axes.invert_yaxis()
    axes.set_xlabel("recordings")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)


def _draw_durations(axes: Axes, by_seconds: dict[str, int]) -> None:
    width = max(1, math.ceil((max(map(int, by_seconds)) + 1) / BINS))
    counts = Counter()
    for seconds, n in by_seconds.items():
        counts[int(seconds) // width * width] += n
    axes.bar(list(counts), list(counts.values()), width=width, align="edge", color=COLOURS[0], edgecolor="white")
    axes.set_xlabel("seconds")
    axes.set_ylabel("recordings")


def _draw_speakers(axes: Axes, by_speaker: dict[str, int]) -> None:
    counts = sorted((n for name, n in by_speaker.items() if name != UNKNOWN), reverse=True)
    axes.bar(range(1, len(counts) + 1), counts, width=0.9 if len(counts) <= 60 else 1.0, color=COLOURS[0])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("speakers, those with most recordings first")
    axes.set_ylabel("recordings")
