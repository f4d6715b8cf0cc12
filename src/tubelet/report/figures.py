"""Plots as inline SVG whose colours are those of the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK, MUTED, LINE, FIRST, SECOND = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05"
"""Stand-ins while matplotlib draws; the page's stylesheet says what they are."""

VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", FIRST: "--first", SECOND: "--second"}

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot.

    Attributes:
        name: shown in the legend if there are several.
        x: ascending.
        y: as many values.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


def curves(
    title: str,
    lines: Sequence[Curve],
    *,
    x_label: str,
    percent: bool = False,
    from_zero: bool = False,
    logarithmic: bool = False,
) -> str:
    """A small plot of one or two lines, as an SVG element."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(4.0, 2.5), layout="constrained")
        axes = figure.subplots()
        for line, colour in zip(lines, (FIRST, SECOND), strict=False):
            marker = "o" if len(line.x) == 1 else None
            axes.plot(line.x, line.y, color=colour, label=line.name, marker=marker, markersize=4)
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator("auto", integer=True))
        axes.margins(x=0.02)
        if percent:
            axes.set_ylim(0, 1.03)
            axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
        elif logarithmic and all(value > 0 for line in lines for value in line.y):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
            axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        elif from_zero:
            axes.set_ylim(bottom=0)
        if len(lines) > 1:
            axes.legend(loc="lower right" if percent else "upper right", handlelength=1.2)
        return to_svg(figure, title)


def confusion_image(shares: ArrayLike, x_label: str, y_label: str) -> str:
    """A confusion matrix with more classes than fit in a table: rows are true classes, shades are shares of a row."""
    values = np.asarray(shares, dtype=float)
    with mpl.rc_context({**SETTINGS, "axes.grid": False, "axes.spines.bottom": False}):
        figure = Figure(figsize=(6.4, 6.4), layout="constrained")
        axes: Axes = figure.subplots()
        image = np.zeros((*values.shape, 4))
        image[:, :, :3] = np.array([59, 111, 182]) / 255
        image[:, :, 3] = np.sqrt(values)  # so that a share of 5 % can be seen
        axes.imshow(image, interpolation="nearest")
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        return to_svg(figure, "confusion")


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an element; ids are its own, text is text, colours are the page's."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
    )
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
