"""A picture of one figure of several groups or conditions: a bar each, with its interval."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xser.corpora.cache import written_beside

COLOUR, GREY, FAINT = "#1864ab", "#7b8794", "#e4e7eb"
INCHES_A_BAR, MAX_INCHES = 0.3, 60.0


def refuse_other_than_png(path: Path) -> None:
    """`ValueError` for a path that no picture is written to."""
    if path.suffix != ".png":
        raise ValueError(f"the picture's path is {str(path)!r}; it must end in .png")


def draw_bars(
    bars: Sequence[tuple[str, float, tuple[float, float] | None]], path: str | Path, title: str, figure_name: str
) -> Path:
    """Draw a share of each group, as a PNG; the first is what the others are to be held against.

    Args:
        bars: name, value from 0 to 1, and both ends of its interval, `None` where it has none.
        path: where to write; its folder is made.
        title: what is drawn.
        figure_name: name of the figure, for the axis.

    Returns:
        `path`.

    Raises:
        ValueError: `path` does not end in `.png`, or there is no bar.
    """
    path = Path(path)
    refuse_other_than_png(path)
    if not bars:
        raise ValueError(f"no {figure_name} to draw in {path}: none is known")
    names, values, intervals = zip(*bars, strict=True)
    height = min(1.2 + INCHES_A_BAR * len(bars), MAX_INCHES)
    figure = Figure(figsize=(8, height), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(bars))
    axes.barh(places, values, height=0.62, color=[COLOUR, *["#a5bdd3"] * (len(bars) - 1)])
    for place, ends in zip(places, intervals, strict=True):
        if ends is not None:
            axes.plot(ends, [place, place], color="#1f2933", linewidth=1.4, marker="|", markersize=7)
    axes.axvline(values[0], color=GREY, linewidth=0.8, linestyle=":")
    axes.set_yticks(places, names, parse_math=False)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_xlabel(f"{figure_name}, with 95% intervals", fontsize=9, color=GREY)
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=GREY, labelsize=8)
    with written_beside(path) as beside:
        figure.savefig(beside, format="png")
    return path
