"""A picture of one explanation: the waveform, the pitch of the voice, how likely each emotion is, and why."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.lib.stride_tricks import sliding_window_view

from xser.audio_xser import SAMPLE_RATE

INK, GREY, FAINT, ACCENT, PITCH = "#1f2933", "#7b8794", "#e4e7eb", "#d9480f", "#1864ab"
PITCH_RANGE = (60.0, 500.0)  # Hz
FRAME_SECONDS, HOP_SECONDS = 0.04, 0.01  # a frame holds two periods of the lowest pitch
VOICED_STRENGTH, VOICED_DB = 0.5, -30.0  # periodicity of a voiced frame, and its level against the loudest frame
OCTAVE_COST = 0.04  # strength that an octave lower costs: of equal candidates, the highest pitch is meant
NEIGHBOURS, MAX_JUMP = 21, 0.7  # frames around a frame, and how far, in octaves, it may lie from their median
PIXELS = 1200  # columns of the waveform


def pitch_track(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch by normalised autocorrelation, after Boersma (1993), https://www.fon.hum.uva.nl/paul/papers/Proceedings_1993.pdf.

    Args:
        wave: (S,) samples at 16 kHz.

    Returns:
        times (F,) in seconds and pitch (F,) in Hz, NaN where there is no voice; both empty for less than a frame.
    """
    size, hop = round(FRAME_SECONDS * SAMPLE_RATE), round(HOP_SECONDS * SAMPLE_RATE)
    if len(wave) < size:
        return np.empty(0), np.empty(0)
    frames = sliding_window_view(wave, size)[::hop].astype(np.float64)  # (F, size)
    times = (np.arange(len(frames)) * hop + size / 2) / SAMPLE_RATE
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = (frames**2).mean(axis=1)

    window = np.hanning(size)
    shortest, longest = int(SAMPLE_RATE / PITCH_RANGE[1]), int(SAMPLE_RATE / PITCH_RANGE[0])
    correlation = _autocorrelation(frames * window)[:, : longest + 2] / _autocorrelation(window)[: longest + 2]
    correlation /= np.maximum(correlation[:, :1], np.finfo(float).tiny)
    lags = np.arange(shortest, longest + 1)
    best = (correlation[:, lags] - OCTAVE_COST * np.log2(lags / shortest)).argmax(axis=1) + shortest

    rows = np.arange(len(frames))
    before, peak, after = (correlation[rows, best + step] for step in (-1, 0, 1))
    bend = before - 2 * peak + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend < 0)  # the parabola's top
    pitch = SAMPLE_RATE / (best + np.clip(shift, -0.5, 0.5))
    voiced = (peak > VOICED_STRENGTH) & (power > power.max() * 10 ** (VOICED_DB / 10))
    return times, _without_jumps(np.where(voiced, pitch, np.nan))


def draw_explanation(explanation: dict, wave: np.ndarray, path: str | Path, title: str | None = None) -> Path:
    """Draw what `model.explain` said of a recording, as a PNG.

    Args:
        explanation: one of its dicts.
        wave: (S,) samples of the recording, 16 kHz mono.
        path: where to write; its folder is made.
        title: what to call the recording.

    Returns:
        `path`.

    Raises:
        ValueError: `path` does not end in `.png`, or there are no samples to draw.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"the picture's path is {str(path)!r}; it must end in .png")
    if not len(wave):
        raise ValueError(f"no samples to draw in {title or 'the recording'}")
    figure = Figure(figsize=(10, 5.6), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    grid = GridSpec(
        2, 2, figure, width_ratios=[2.3, 1], wspace=0.32, hspace=0.16, left=0.08, right=0.96, top=0.76, bottom=0.21
    )
    waveform = figure.add_subplot(grid[0, 0])
    _draw_waveform(waveform, wave)
    _draw_pitch(figure.add_subplot(grid[1, 0], sharex=waveform), wave)
    _draw_emotions(figure.add_subplot(grid[:, 1]), explanation)
    _write(figure, explanation, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    size = frames.shape[-1]
    spectrum = np.fft.rfft(frames, 2 * size)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[..., :size]


def _without_jumps(pitch: np.ndarray) -> np.ndarray:
    """A voice does not leap an octave and back: frames far from their neighbours are slips of the estimate."""
    around = sliding_window_view(np.pad(pitch, NEIGHBOURS // 2, constant_values=np.nan), NEIGHBOURS)  # (F, N)
    usual = np.array([np.median(row[~np.isnan(row)]) if not np.isnan(row).all() else np.nan for row in around])
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(np.log2(pitch / usual)) < MAX_JUMP, pitch, np.nan)


def _draw_waveform(axes: Axes, wave: np.ndarray) -> None:
    """The envelope, a column a pixel: what a line through every sample would look like, without its points."""
    columns = np.array_split(wave, min(PIXELS, len(wave)))
    times = np.linspace(0, len(wave) / SAMPLE_RATE, len(columns))
    low, high = [column.min() for column in columns], [column.max() for column in columns]
    axes.fill_between(times, low, high, color=ACCENT, linewidth=0.6, alpha=0.85)
    reach = max(1.1 * float(np.abs(wave).max()), 1e-3)
    axes.set(xlim=(0, len(wave) / SAMPLE_RATE), ylim=(-reach, reach), yticks=[], ylabel="waveform")
    _tidy(axes, left=False)
    axes.tick_params(labelbottom=False)


def _draw_pitch(axes: Axes, wave: np.ndarray) -> None:
    times, pitch = pitch_track(wave)
    voiced = pitch[~np.isnan(pitch)]
    axes.plot(times, pitch, color=PITCH, linewidth=2, solid_capstyle="round", marker=".", markersize=3)
    if len(voiced):
        median = float(np.median(voiced))
        axes.axhline(median, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
        label = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 8, "color": GREY}
        axes.text(0.995, 0.98, f"median {median:.0f} Hz", **label)
        axes.set_ylim(0.8 * voiced.min(), 1.25 * voiced.max())
    else:
        axes.text(0.5, 0.5, "no voiced sound", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_yticks([])
    axes.set(xlabel="seconds", ylabel="pitch (Hz)")
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    _tidy(axes)


def _draw_emotions(axes: Axes, explanation: dict) -> None:
    scores = explanation["scores"]
    if scores is None:
        axes.text(0.5, 0.5, "no emotion to show", ha="center", va="center", color=GREY)
        axes.set_axis_off()
        return
    names = sorted(scores, key=scores.get)  # the likeliest on top
    values = [scores[name] for name in names]
    colours = [ACCENT if name == explanation["emotion"] else "#cbd2d9" for name in names]
    bars = axes.barh(names, values, color=colours, height=0.62)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=4, fontsize=9, color=INK)
    axes.set(xlim=(0, 1.18), xticks=[])
    axes.set_title("how likely each emotion is", fontsize=9, color=GREY, loc="left")
    _tidy(axes, left=False, bottom=False)
    axes.tick_params(axis="y", length=0, labelsize=10, labelcolor=INK)


def _write(figure: Figure, explanation: dict, title: str | None) -> None:
    """The emotion and the sentence above, what was heard and said below."""
    plain = {"parse_math": False, "va": "top"}
    headline = explanation["emotion"] or explanation["status"].replace("_", " ")
    figure.text(0.035, 0.965, headline, **plain, fontsize=22, color=ACCENT)
    if title:
        figure.text(0.96, 0.955, title, **plain, ha="right", fontsize=9, color=GREY)
    sentence = textwrap.fill(explanation["explanation"] or "", 125, max_lines=2)
    figure.text(0.035, 0.87, sentence, **plain, fontsize=10, color=INK, linespacing=1.4)

    x = 0.043
    levels = dict(explanation["descriptors"] or {})
    if explanation["emphasis"] is not None:
        levels["emphasis"] = ", ".join(explanation["emphasis"]) or "none"
    renderer = figure.canvas.get_renderer()
    for slot, level in levels.items():
        chip = figure.text(
            x,
            0.085,
            f"{slot}: {level}",
            **plain,
            fontsize=9,
            color=INK,
            bbox={"boxstyle": "round,pad=0.4", "facecolor": "#f5f7fa", "edgecolor": FAINT},
        )
        x += chip.get_window_extent(renderer).width / figure.bbox.width + 0.025
    if explanation["transcript"]:
        said = textwrap.shorten(f"“{explanation['transcript']}”", 140, placeholder=" …”")
        figure.text(0.035, 0.035, said, **plain, fontsize=9, color=GREY, style="italic")


def _tidy(axes: Axes, left: bool = True, bottom: bool = True) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["left"].set_visible(left)
    axes.spines["bottom"].set_visible(bottom)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=GREY, labelsize=9)
    axes.xaxis.label.set(color=GREY, size=9)
    axes.yaxis.label.set(color=GREY, size=9)
