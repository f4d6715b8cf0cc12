"""Plots as inline SVG in the colours of the page, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
    "text.parse_math": False,  # names may hold a dollar
    "axes.formatter.limits": (-4, 5),  # labels of six characters at most
    "font.size": 12,
    "axes.titlesize": 12.5,
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
        name: shown in the legend; empty for none.
        x: ascending.
        y: as many values.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


CARD, WIDE = (4.0, 2.8), (4.6, 2.9)
"""Sizes of plots in inches. Type of 12 points comes out at 11 pixels or more on a phone and in a row of three."""

LEFT, BOTTOM, RIGHT, TOP = 0.66, 0.52, 0.08, 0.36
"""Margins of curves in inches: those in a row stand in line, and are drawn in a third of the time of a layout."""

LOG_FACTOR = 5.0
"""A logarithmic axis spans at least this: less has not two of the ticks 1, 2, 5."""
DECADES_ALONE = 1.5
"""Decades from which only powers of ten are written."""
DECADE_TICKS = 6
"""At most so many powers of ten."""
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def curves(
    title: str,
    lines: Sequence[Curve],
    *,
    x_label: str,
    end: float | None = None,
    percent: bool = False,
    from_zero: bool = False,
    logarithmic: bool = False,
    size: tuple[float, float] = CARD,
) -> str:
    """A small plot of one or two lines, as an SVG element.

    Args:
        title: of the plot.
        lines: to draw; a point where a line has a single one.
        x_label: of the axis of whole numbers.
        end: of that axis; by default where the lines end.
        percent: whether values are shares, on an axis from 0 to 100 %.
        from_zero: whether the axis of values begins at 0.
        logarithmic: whether values are better read on a logarithmic axis.
        size: width and height in inches.
    """
    with mpl.rc_context(SETTINGS):
        return to_svg(curves_figure(title, lines, x_label, end, percent, from_zero, logarithmic, size), title)


def curves_figure(
    title: str,
    lines: Sequence[Curve],
    x_label: str,
    end: float | None,
    percent: bool,
    from_zero: bool,
    logarithmic: bool,
    size: tuple[float, float],
) -> Figure:
    """The plot of `curves`, not drawn yet."""
    figure = Figure(figsize=size)
    axes = figure.subplots()
    width, height = size
    figure.subplots_adjust(LEFT / width, BOTTOM / height, 1 - RIGHT / width, 1 - TOP / height)
    for line, colour in zip(lines, (FIRST, SECOND), strict=False):
        draw_line(axes, line, colour, percent=percent)
    axes.set_title(title)
    axes.yaxis.set_offset_position("right")  # of a factor of all ticks, such as 1e-6: the title is on the left
    whole_numbers(axes, x_label, max([end or 0.0, *(x for line in lines for x in line.x)]))
    values = [value for line in lines for value in line.y]
    if percent:
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
    elif logarithmic and wants_log(values):
        log_axis(axes, "y", values)
    elif from_zero:
        axes.set_ylim(0, 1.08 * max(values) if values and max(values) > 0 else None)
    if any(line.name for line in lines):
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, handlelength=1.0, columnspacing=0.9)
    return figure


def draw_line(
    axes: Axes, line: Curve, colour: str, *, percent: bool = False, style: Any = "-", value_in_legend: bool = False
) -> None:
    """A line; where it has a single point, a dot with its value beside it or in the legend."""
    if len(line.x) > 1:
        axes.plot(line.x, line.y, color=colour, linestyle=style, label=line.name)
        return
    text = f"{100 * line.y[0]:.1f} %" if percent else f"{line.y[0]:.3g}"
    name = f"{line.name}: {text}" if value_in_legend else line.name
    axes.plot(line.x, line.y, color=colour, label=name, marker="o", markersize=7, linestyle="none")
    if value_in_legend:
        return
    below = percent and line.y[0] > 0.5
    place, side = ((0, -7), "top") if below else ((0, 7), "bottom")
    axes.annotate(text, (line.x[0], line.y[0]), place, textcoords="offset points", color=INK, ha="right", va=side)


def whole_numbers(axes: Axes, label: str, end: float) -> None:
    """An axis of epochs from 0 to the last one, with ticks at whole ones alone."""
    axes.set_xlabel(label)
    axes.set_xlim(0, 1.02 * max(1.0, end))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True, min_n_ticks=1))


def wants_log(values: Sequence[float]) -> bool:
    """Whether values are all positive and far enough apart for a logarithmic axis."""
    return bool(values) and min(values) > 0 and max(values) > LOG_FACTOR * min(values)


def log_axis(axes: Axes, which: Literal["x", "y"], values: Sequence[float], unit: float = 1.0) -> None:
    """A logarithmic axis with few ticks: powers of ten, and 2 and 5 times them where there are few of those.

    Args:
        axes: of the plot.
        which: of its axes.
        values: that are drawn, positive.
        unit: that the ticks are written in.
    """
    decades = math.log10(max(values) / min(values))
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    subs = (1.0,) if decades > DECADES_ALONE else (1.0, 2.0, 5.0)
    axis.set_major_locator(mpl.ticker.LogLocator(subs=subs, numticks=DECADE_TICKS))
    axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: number_text(value / unit)))
    axis.set_minor_locator(mpl.ticker.NullLocator())


def number_text(value: float) -> str:
    """A tick: 0.02, 500, 10⁻⁵."""
    if value <= 0:
        return ""
    power = math.floor(math.log10(value) + 1e-9)
    if -3 <= power < 5:
        return f"{value:g}"
    factor = round(value / 10**power)
    ten = "10" + str(power).translate(SUPERSCRIPTS)
    return ten if factor == 1 else f"{factor}·{ten}"


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
