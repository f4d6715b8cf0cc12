"""Plots of what evaluations measured: reliability, accuracy against cost, curves of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tubelet.report.figures import (
    CARD,
    FIRST,
    INK,
    LINE,
    MUTED,
    SECOND,
    SETTINGS,
    Curve,
    draw_line,
    log_axis,
    to_svg,
    wants_log,
    whole_numbers,
)

STYLES = [(colour, style) for style in ("-", (0, (4, 1.5)), (0, (1, 1.2))) for colour in (FIRST, SECOND, INK, MUTED)]
"""Colours and dashes of the lines of several runs."""

NAME_LENGTH = 32
"""Letters of a run's name that fit into a legend."""


def reliability(title: str, series: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy against confidence in bins, and below how many videos are in each bin.

    Args:
        title: of the plot.
        series: name to bins: before and after a temperature, for instance.
    """
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(4.6, 4.7), layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(3.2, 1))
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
        for number, ((name, bins), (colour, _)) in enumerate(zip(series.items(), STYLES, strict=False)):
            there = [one for one in bins if one["count"]]
            xs, ys = [one["confidence"] for one in there], [one["accuracy"] for one in there]
            upper.plot(xs, ys, color=colour, label=name, marker="o", markersize=4)
            width = (bins[0]["high"] - bins[0]["low"]) / (len(series) + 0.4)
            places = [one["low"] + (number + 0.2) * width for one in bins]
            lower.bar(places, [one["count"] for one in bins], width, align="edge", color=colour)
        upper.set_ylim(0, 1.03)
        upper.set_xlim(0, 1)
        upper.set_ylabel("accuracy")
        upper.set_title(title)
        lower.set_xlabel("confidence: probability of the predicted class")
        lower.set_ylabel("videos")
        lower.grid(visible=False, axis="x")
        for axis in (upper.yaxis, lower.xaxis):
            axis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
        lower.yaxis.set_major_locator(mpl.ticker.MaxNLocator(3, integer=True))
        if len(series) > 1:
            handles, labels = upper.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower left", ncols=2, handlelength=1.2)
        return to_svg(figure, title)


def accuracy_against_cost(title: str, points: Mapping[str, tuple[float, float, Sequence[float] | None]]) -> str:
    """Top-1 against multiply-adds of a video, with intervals; runs are numbered as in the table beside it.

    Args:
        title: of the plot.
        points: run to (multiply-adds, top-1, interval).
    """
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "both"}):
        return to_svg(cost_figure(title, points), title)


def cost_figure(title: str, points: Mapping[str, tuple[float, float, Sequence[float] | None]]) -> Figure:
    """The plot of `accuracy_against_cost`, not drawn yet."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for number, (cost, top1, interval) in enumerate(points.values(), 1):
        if interval is not None:
            axes.plot([cost, cost], list(interval), color=LINE, linewidth=3)
        axes.plot([cost], [top1], color=FIRST, marker="o", markersize=6)
        axes.annotate(str(number), (cost, top1), (6, 3), textcoords="offset points", color=INK)
    _cost_axis(axes, [cost for cost, *_ in points.values()])
    axes.set_title(title)
    axes.set_ylabel("top-1")
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
    axes.margins(0.15)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(0.0, min(bottom, top - 0.2)), min(1.03, top))
    return figure


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    """Logarithmic where costs differ, in units that people read."""
    axes.set_xlabel("G multiply-adds (GMACs) of a video, all views")
    if wants_log(costs):
        log_axis(axes, "x", costs, unit=1e9)
        return
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value / 1e9:g}"))


def runs_curves(title: str, lines: Mapping[int, Curve], *, percent: bool = False) -> str:
    """One curve of each of several runs, named below the plot.

    Args:
        title: of the plot.
        lines: number of the run in the table to its curve, which has the run's name. A run keeps its colour in every
            plot, whichever others have a curve.
        percent: whether values are shares.
    """
    with mpl.rc_context(SETTINGS):
        return to_svg(runs_figure(title, lines, percent), title)


def runs_figure(title: str, lines: Mapping[int, Curve], percent: bool) -> Figure:
    """The plot of `runs_curves`, not drawn yet."""
    width, height = CARD
    figure = Figure(figsize=(width, height + 0.24 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for number, line in lines.items():
        colour, style = STYLES[(number - 1) % len(STYLES)]
        named = Curve(f"{number}  {_short(line.name)}", line.x, line.y)
        draw_line(axes, named, colour, percent=percent, style=style, value_in_legend=True)
    axes.set_title(title)
    whole_numbers(axes, "epoch", max(x for line in lines.values() for x in line.x))
    if percent:
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
    axes.set_ylim(0, 1.03 if percent else None)
    figure.legend(loc="outside lower left", handlelength=1.6, ncols=1)
    return figure


def _short(name: str) -> str:
    """The end of a long name, which is what tells runs apart."""
    return name if len(name) <= NAME_LENGTH else "…" + name[-NAME_LENGTH + 1 :]
