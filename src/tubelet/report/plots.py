"""Plots of what evaluations measured: reliability, accuracy against cost, curves of several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tubelet.report.figures import FIRST, INK, LINE, MUTED, SECOND, SETTINGS, Curve, to_svg

STYLES = [(colour, style) for style in ("-", (0, (4, 1.5)), (0, (1, 1.2))) for colour in (FIRST, SECOND, INK, MUTED)]
"""Colours and dashes of the lines of several runs."""


def reliability(title: str, series: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy against confidence in bins, and below how many videos are in each bin.

    Args:
        title: of the plot.
        series: name to bins: before and after a temperature, for instance.
    """
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(4.0, 4.4), layout="constrained")
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
        upper.set_ylabel("right")
        upper.set_title(title)
        lower.set_xlabel("probability of the class that was said")
        lower.set_ylabel("videos")
        lower.grid(visible=False, axis="x")
        for axis in (upper.yaxis, lower.xaxis):
            axis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
        lower.yaxis.set_major_locator(mpl.ticker.MaxNLocator(3, integer=True))
        if len(series) > 1:
            upper.legend(loc="upper left", handlelength=1.2)
        return to_svg(figure, title)


def accuracy_against_cost(title: str, points: Mapping[str, tuple[float, float, Sequence[float] | None]]) -> str:
    """Top-1 against multiply-adds of a video, with intervals; runs are numbered as in the table beside it.

    Args:
        title: of the plot.
        points: run to (multiply-adds, top-1, interval).
    """
    with mpl.rc_context({**SETTINGS, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(5.4, 3.2), layout="constrained")
        axes = figure.subplots()
        for number, (cost, top1, interval) in enumerate(points.values(), 1):
            if interval is not None:
                axes.plot([cost, cost], list(interval), color=LINE, linewidth=3)
            axes.plot([cost], [top1], color=FIRST, marker="o", markersize=6)
            axes.annotate(str(number), (cost, top1), (6, 3), textcoords="offset points", color=INK)
        _cost_axis(axes, [cost for cost, *_ in points.values()])
        axes.set_title(title)
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
        axes.margins(0.15)
        return to_svg(figure, title)


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    """Logarithmic where costs differ, in units that people read."""
    axes.set_xlabel("G multiply-adds of a video, all views")
    if max(costs) > 1.5 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value / 1e9:g}"))


def runs_curves(title: str, lines: Sequence[Curve], *, percent: bool = False) -> str:
    """One curve of each of several runs, numbered as in the table."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(4.0, 2.6), layout="constrained")
        axes = figure.subplots()
        for line, (colour, style) in zip(lines, STYLES, strict=False):
            marker = "o" if len(line.x) == 1 else None
            axes.plot(line.x, line.y, color=colour, linestyle=style, label=line.name, marker=marker, markersize=4)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator("auto", integer=True))
        axes.margins(x=0.02)
        if percent:
            axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
        axes.set_ylim(bottom=0, top=min(1.03, 1.1 * max(map(max, (line.y for line in lines)))) if percent else None)
        axes.legend(loc="lower right" if percent else "upper right", handlelength=1.6, ncols=math.ceil(len(lines) / 6))
        return to_svg(figure, title)
