"""A picture of what each stream listens to: the weights of its mix of the tower's layers, side by side."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xser.corpora.cache import written_beside

COLOURS = ("#1864ab", "#d9480f")
GREY, FAINT = "#7b8794", "#e4e7eb"


def draw_layer_mixes(mixes: dict[str, list[float]], layers: list[int], path: str | Path, title: str) -> Path:
    """Draw the weights, as a PNG.

    Args:
        mixes: of each stream, the softmax weights of the tower's hidden states.
        layers: which states these are; 0 enters the first layer.
        path: where to write; its folder is made.
        title: what model it is.

    Returns:
        `path`.

    Raises:
        ValueError: `path` does not end in `.png`.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"the picture's path is {str(path)!r}; it must end in .png")
    figure = Figure(figsize=(7, 3.4), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    width = 0.8 / len(mixes)
    for index, (stream, weights) in enumerate(mixes.items()):
        shift = (index - (len(mixes) - 1) / 2) * width
        bars = axes.bar(np.arange(len(weights)) + shift, weights, width * 0.92, label=stream, color=COLOURS[index])
        if len(weights) * len(mixes) <= 24:  # more would overlap
            axes.bar_label(bars, fmt="%.2f", fontsize=7, color=GREY, padding=2)
    axes.axhline(1 / len(layers), color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    axes.annotate("equal weights", (1, 1 / len(layers)), xycoords=("axes fraction", "data"), fontsize=7, color=GREY,
                  ha="right", va="bottom")  # fmt: skip
    if len(layers) <= 14:
        axes.set_xticks(range(len(layers)), layers)
    axes.set_xlabel("hidden state of the tower (0: before its first layer)", fontsize=9, color=GREY)
    axes.set_ylabel("weight", fontsize=9, color=GREY)
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=GREY, labelsize=8)
    axes.legend(frameon=False, fontsize=9)
    with written_beside(path) as beside:
        figure.savefig(beside, format="png")
    return path
