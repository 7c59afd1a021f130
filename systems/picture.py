"""The information curve: beta against bits a second, UA and WER, as a picture.

    python -m xser.systems.picture runs/systems-espeak/tables.json docs/information.png

It draws the systems of one tables.json that differ from `full` in beta alone, which are `full` and `beta_…`.
"""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xser.commands.entry import CommandParser, run_command
from xser.corpora.cache import written_beside
from xser.evaluation.bars_picture import refuse_other_than_png
from xser.evaluation.report import read_json
from xser.systems.published import FULL

COLOURS = {"content": "#1864ab", "descriptors": "#d9480f"}
INK, GREY, FAINT = "#1f2933", "#7b8794", "#e4e7eb"
RATES = {"ua": "UA (%)", "wer": "WER (%)"}


def curve(systems: Mapping[str, Mapping]) -> list[tuple[float, Mapping]]:
    """Beta and figures of each system that differs in beta alone, from the lowest beta on.

    Raises:
        ValueError: there are fewer than two betas, or a system's streams have two.
    """
    found = []
    for name, figures in systems.items():
        if name == FULL or name.startswith("beta_"):
            betas = set(figures.get("beta", {}).values())
            if len(betas) != 1:
                raise ValueError(
                    f"{name} has the betas {figures.get('beta', {})}: the curve needs one for both streams"
                )
            found.append((betas.pop(), figures))
    if len(found) < 2:
        raise ValueError(f"a curve needs two betas or more, and there are {[beta for beta, _ in found]}")
    return sorted(found, key=lambda point: point[0])


def draw_information(systems: Mapping[str, Mapping], path: str | Path, title: str) -> Path:
    """Draw the curve, as a PNG: bits a second of each stream, UA and WER, each over beta.

    Args:
        systems: of tables.json.
        path: where to write; its folder is made.
        title: what it is of.

    Raises:
        ValueError: `path` does not end in `.png`; or as `curve`.
    """
    path = Path(path)
    refuse_other_than_png(path)
    points = curve(systems)
    figure = Figure(figsize=(6.5, 7), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    bits, *rates = figure.subplots(1 + len(RATES), sharex=True)
    for stream, colour in COLOURS.items():
        known = [(beta, each["information"][stream]) for beta, each in points if stream in each.get("information", {})]
        if known:
            betas, carried = zip(*known, strict=True)
            values = [each["bits_per_second"] for each in carried]
            bits.plot(betas, values, marker="o", markersize=4, color=colour, label=f"{stream} stream")
    bits.set_yscale("log")
    bits.set_ylabel("bits a second", fontsize=9, color=GREY)
    if bits.lines:
        bits.legend(frameon=False, fontsize=8)
    for axes, (name, label) in zip(rates, RATES.items(), strict=True):
        _draw_rate(axes, points, name, label)
    rates[-1].set_xscale("log")
    rates[-1].set_xlabel("beta, weight of nats a frame", fontsize=9, color=GREY)
    bits.set_title(title, fontsize=10, loc="left", parse_math=False)
    for axes in (bits, *rates):
        axes.grid(axis="y", color=FAINT, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(colors=GREY, labelsize=8)
    with written_beside(path) as beside:
        figure.savefig(beside, format="png")
    return path


def _draw_rate(axes: Axes, points: list[tuple[float, Mapping]], name: str, label: str) -> None:
    """A line of one figure, with the interval of each point; what is not known is left out."""
    known = [(beta, each) for beta, each in points if each[name] is not None]
    axes.plot(
        [beta for beta, _ in known], [100 * each[name] for _, each in known], marker="o", markersize=4, color=INK
    )
    for beta, each in known:
        if (interval := each["intervals"].get(name)) is not None:
            ends = [100 * interval["low"], 100 * interval["high"]]
            axes.plot([beta, beta], ends, color=GREY, linewidth=1.2, marker="_", markersize=6)
    axes.set_ylabel(label, fontsize=9, color=GREY)


def main(argv: list[str] | None = None) -> Path:
    """Read tables.json and draw."""
    parser = CommandParser(prog="python -m xser.systems.picture", description=__doc__)
    parser.add_argument("tables", type=Path, help="tables.json of xser systems")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--title", help="above the picture; by default that of the file")
    arguments = parser.parse_args(argv)
    tables = read_json(arguments.tables)
    if "systems" not in tables:
        raise ValueError(f"{arguments.tables} holds no 'systems': give tables.json of xser systems")
    path = draw_information(tables["systems"], arguments.picture, arguments.title or tables["title"])
    print(f"written to {path}")
    return path


if __name__ == "__main__":
    run_command("python -m xser.systems.picture", main)
