"""Pictures of a report, each with its content in words.

They are SVG as text, the same bytes for the same figures; labels are text in it, so that every script can be shown.

Legend: C emotions that the references hold, K emotions that were predicted or are there, B bins of confidence.
"""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from xser.evaluation.counts import NUM_BINS, calibration_columns
from xser.evaluation.picture import ACCENT, FAINT, GREY, INK

BLUE = "#1864ab"
LABEL = 24  # letters of a name
SETTINGS = {"svg.hashsalt": "xser", "svg.fonttype": "none", "text.parse_math": False, "font.size": 9}


@dataclass(frozen=True)
class Chart:
    """A picture.

    Attributes:
        alt: what it shows, for who cannot see it.
        svg: the picture.
    """

    alt: str
    svg: str

    @property
    def data_uri(self) -> str:
        """The picture as an address that holds it."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


@dataclass(frozen=True)
class Bin:
    """Utterances of like confidence.

    Attributes:
        low, high: its ends; it holds its upper one.
        n: utterances.
        confidence, accuracy: means over them; `None` where there are none.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


def reliability_bins(confidence: np.ndarray, hits: np.ndarray) -> list[Bin]:
    """The bins that the calibration error sums over (Guo et al. 2017, section 2).

    Args:
        confidence: `(N,)`, the highest score of each utterance.
        hits: `(N,)`, whether that emotion is right.
    """
    excess, n = np.split(calibration_columns(confidence, hits).sum(axis=0), 2)
    sure = calibration_columns(confidence, np.zeros(len(hits))).sum(axis=0)[:NUM_BINS]
    edges = np.linspace(0, 1, NUM_BINS + 1)
    return [
        Bin(
            float(edges[b]),
            float(edges[b + 1]),
            int(n[b]),
            float(sure[b] / n[b]) if n[b] else None,
            float((sure[b] - excess[b]) / n[b]) if n[b] else None,
        )
        for b in range(NUM_BINS)
    ]


def draw_confusion(confusion: dict) -> Chart:
    """The confusion matrix, each row as shares of its emotion, with the counts.

    Args:
        confusion: `references` (C,) and `predictions` (K,), names, and `counts` (C, K), as `scoring.score` gives it.
    """
    rows, columns = confusion["references"], confusion["predictions"]
    counts = np.array(confusion["counts"], dtype=float).reshape(len(rows), len(columns))
    n = counts.sum(axis=1)
    shares = np.divide(counts, n[:, None], out=np.zeros_like(counts), where=n[:, None] > 0)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
        for row, column in np.ndindex(*shares.shape):
            colour = "white" if shares[row, column] > 0.5 else INK
            cell = f"{shares[row, column]:.0%}\n{counts[row, column]:.0f}"
            axes.text(column + 0.5, row + 0.5, cell, ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(np.arange(len(columns)) + 0.5, map(_label, columns), rotation=30, ha="right")
        axes.set_yticks(np.arange(len(rows)) + 0.5, [f"{_label(name)} ({n[i]:.0f})" for i, name in enumerate(rows)])
        axes.invert_yaxis()
        axes.set(xlabel="said", ylabel="true (n)")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, colors=INK)

    told = []
    for row, name in enumerate(rows):
        most = np.argsort(-shares[row], kind="stable")[:3]
        said = ", ".join(f"{columns[c]} {shares[row, c]:.0%}" for c in most if counts[row, c])
        told.append(f"{name} (n {n[row]:.0f}) is called {said}")
    alt = f"Confusion matrix of {n.sum():.0f} utterances. {'; '.join(told)}."
    longest = max(map(len, map(_label, columns)))
    return Chart(alt, _svg(draw, 1.2 + 0.08 * longest + 0.8 * len(columns), 0.8 + 0.05 * longest + 0.55 * len(rows)))


def draw_recalls(
    recall: dict[str, float | None], n_of: dict[str, int], intervals: dict[str, dict], ua: float
) -> Chart:
    """The recall of each emotion with its interval, and their mean.

    Args:
        recall: of each emotion; `None` where no utterance is of it.
        n_of: utterances of each.
        intervals: of each figure, `low` and `high`; those called `recall.EMOTION` are drawn.
        ua: the unweighted accuracy.
    """
    names = list(recall)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(ua, color=GREY, linewidth=1, linestyle=(0, (4, 4)))
        for row, name in enumerate(names):
            if recall[name] is None:
                axes.text(0.01, row, "no utterance", color=GREY, va="center", fontsize=8, style="italic")
                continue
            axes.plot(recall[name], row, "o", color=BLUE, markersize=6)
            interval = intervals.get(f"recall.{name}")
            if interval:
                axes.plot([interval["low"], interval["high"]], [row, row], color=BLUE, linewidth=2)
        axes.set_yticks(range(len(names)), [f"{_label(name)} ({n_of[name]})" for name in names])
        axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xlabel=f"recall; the dashed line is the UA, {ua:.3f}")
        axes.grid(axis="x", color=FAINT)
        _tidy(axes)

    told = [f"{name} {_told(recall[name], intervals.get(f'recall.{name}'))}, n {n_of[name]}" for name in names]
    return Chart(f"Recall of each emotion: {'; '.join(told)}. UA {ua:.3f}.", _svg(draw, 6.4, 1 + 0.36 * len(names)))


def draw_reliability(bins: list[Bin]) -> Chart:
    """How often a score is right, against how high it is, and how many utterances have such a score."""
    full = [each for each in bins if each.n]

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 4)))
        upper.plot([e.confidence for e in full], [e.accuracy for e in full], "o-", color=BLUE, markersize=5)
        upper.set(ylim=(0, 1.02), xlim=(0, 1), ylabel="share that is right")
        lower.bar([(e.low + e.high) / 2 for e in full], [e.n for e in full], 0.9 / NUM_BINS, color=ACCENT, alpha=0.8)
        lower.set(xlabel="score of the emotion said; on the dashed line it is as often right", ylabel="n")
        for axes in (upper, lower):
            axes.grid(color=FAINT)
            axes.set_axisbelow(True)
            _tidy(axes)

    told = [f"score {e.confidence:.2f}: right {e.accuracy:.0%} of {e.n}" for e in full]
    return Chart(f"Reliability of the scores. {'; '.join(told)}.", _svg(draw, 5.2, 4.4))


def draw_risk_coverage(curve: dict[str, list[float]]) -> Chart:
    """The share of wrong answers among the most confident ones, against how many of them are kept.

    Args:
        curve: `coverage` and `risk`, as `scoring.score` gives it.
    """
    coverage, risk = curve["coverage"], curve["risk"]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(coverage, risk, "o-", color=BLUE, markersize=4)
        axes.set(xlim=(0, 1.02), ylim=(0, max(max(risk) * 1.15, 0.05)))
        axes.set(xlabel="coverage: share of utterances kept, the surest first", ylabel="risk: share that is wrong")
        axes.grid(color=FAINT)
        _tidy(axes)

    told = [f"of the surest {c:.0%}, {r:.1%} are wrong" for c, r in list(zip(coverage, risk, strict=True))[3::4]]
    return Chart(f"Risk against coverage: {'; '.join(told)}.", _svg(draw, 5.2, 3.2))


def _label(name: str) -> str:
    """A name short enough to stand beside a picture."""
    return name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"


def _told(value: float | None, interval: dict | None) -> str:
    if value is None:
        return "not known, no utterance is of it"
    return f"{value:.3f}" + (f" ({interval['low']:.3f} to {interval['high']:.3f})" if interval else "")


def _svg(draw: Callable[[Figure], None], width: float, height: float) -> str:
    """A drawing of so many inches as SVG, without a date in it."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


def _tidy(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=8)
