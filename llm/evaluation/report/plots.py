"""The report's plots: matplotlib figures on a canvas of their own, as PNG with fixed metadata.

No pyplot: it keeps figures in a global, which two reports at once would share. Figures are as wide
as a phone's screen with letters that can be read there, at twice its resolution.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from llm.evaluation.section import Bar, Curve

WIDTH = 4.8  # inches
RESOLUTION = 220  # dots per inch
INK, MUTED, GRID = "#1d2733", "#5f6b7a", "#e3e8ee"
COLOURS = {"ours": "#0b6e8f", "plain": "#a9b8c6", "loss": "#c4553b"}


def bars(rows: Sequence[Bar], unit: str) -> bytes:
    """Horizontal bars from top to bottom, each with its figure at the end: PNG."""
    figure, axes = _figure(height=0.55 + 0.34 * len(rows))
    places = np.arange(len(rows))
    axes.barh(
        places, [row.value for row in rows], height=0.66, color=[COLOURS[r.colour] for r in rows]
    )
    widest = max((row.value for row in rows), default=0.0) or 1.0
    for place, row in enumerate(rows):
        axes.text(row.value + 0.015 * widest, place, row.text, va="center", fontsize=9, color=INK)
    axes.set_yticks(places, [row.name for row in rows], fontsize=9.5)
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.invert_yaxis()
    # Room for the figure that stands after the longest bar.
    longest_text = max((len(row.text) for row in rows), default=0)
    axes.set_xlim(0, widest * (1.08 + 0.022 * longest_text))
    axes.set_xlabel(unit, fontsize=9, color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    return _png(figure)


def curves(lines: Sequence[Curve], x_label: str, y_label: str) -> bytes:
    """Lines over each other, each pale as measured and strong as its running mean: PNG."""
    figure, axes = _figure(height=2.9)
    for line in lines:
        colour = COLOURS[line.colour]
        x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
        axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.3)
        axes.plot(x, running_mean(y, max(1, len(y) // 50)), color=colour, linewidth=1.8)
        if len(y):
            last = running_mean(y, max(1, len(y) // 50))[-1]
            axes.annotate(
                f"{line.name} {last:.2f}".strip(),
                (x[-1], last),
                xytext=(-2, 9),
                textcoords="offset points",
                ha="right",
                fontsize=9,
                color=colour,
            )
    axes.set_xlabel(x_label, fontsize=9, color=MUTED)
    axes.set_ylabel(y_label, fontsize=9, color=MUTED)
    axes.tick_params(labelsize=8.5, colors=MUTED)
    axes.grid(color=GRID, linewidth=0.8)
    axes.margins(x=0.02)
    return _png(figure)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of each value and the width - 1 before it (of all there are at the start): (N,)."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    mean: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return mean


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), dpi=RESOLUTION, layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(axis="x", labelsize=8.5, colors=MUTED, length=0)
    return figure, axes


def _png(figure: Figure) -> bytes:
    """The figure's bytes, without the version that matplotlib writes into them."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})
    return stream.getvalue()
