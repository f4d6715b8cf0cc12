"""Accuracy against cost, as an SVG for the page and a PNG for documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from tubelet.report.figures import FIRST, INK, LINE, MUTED, SECOND, SETTINGS, to_svg
from tubelet.studies.results import Row
from tubelet.weights.files import replacing

ON_PAPER = {INK: "#1b1d21", MUTED: "#62666e", LINE: "#dcdad5", FIRST: "#2f6db5", SECOND: "#c2641b"}
"""Colours of the PNG, where no stylesheet says them."""

TEXT_SIZE = 8.5
PLOT_POINTS = (460.0, 265.0)
"""About the width and height of the axes, in points."""


def cost_plot(rows: Sequence[Row], title: str) -> str:
    """Top-1 with its interval over multiply-adds of a video, as an SVG element; empty without results."""
    if not any(row.top1 for row in rows):
        return ""
    with mpl.rc_context(SETTINGS):
        return to_svg(_figure(rows, {colour: colour for colour in ON_PAPER}), title)


def save_cost_plot(rows: Sequence[Row], path: Path) -> None:
    """The same as a PNG on white; nothing is written without results."""
    if not any(row.top1 for row in rows):
        return
    settings = {
        name: ON_PAPER.get(value, value) if isinstance(value, str) else value for name, value in SETTINGS.items()
    }
    with mpl.rc_context(settings), replacing(path) as partial:
        _figure(rows, ON_PAPER).savefig(partial, format="png", dpi=130, facecolor="white", metadata={"Software": None})


def _figure(rows: Sequence[Row], colours: dict[str, str]) -> Figure:
    shown = [row for row in rows if row.top1 is not None]
    costs = [row.multiply_adds / 1e6 for row in shown]
    same_cost = max(costs) < 1.02 * min(costs)
    figure = Figure(figsize=(7.2, 1.3 + 0.34 * len(shown)) if same_cost else (7.2, 4.4), layout="constrained")
    axes: Axes = figure.subplots()
    (_ladder if same_cost else _scatter)(axes, shown, costs, colours)
    return figure


def _ladder(axes: Axes, rows: Sequence[Row], costs: Sequence[float], colours: dict[str, str]) -> None:
    """All rows cost the same: one line for each, in the order of the table."""
    places = range(len(rows))
    means = [100 * row.top1.mean for row in rows if row.top1]
    halves = [100 * (row.top1.half or 0.0) for row in rows if row.top1]
    axes.errorbar(means, list(places), xerr=halves, fmt="o", color=colours[FIRST], capsize=3, markersize=5)
    trained = [
        (100 * row.train_top1, place) for place, row in zip(places, rows, strict=True) if row.train_top1 is not None
    ]
    axes.plot(
        [x for x, _ in trained], [y for _, y in trained], "|", color=colours[SECOND], markersize=11, markeredgewidth=2
    )
    axes.set_yticks(list(places), [row.title for row in rows])
    axes.invert_yaxis()
    axes.grid(True, axis="x")
    axes.set_xlabel(f"top-1, % (line: training videos); {costs[0]:,.1f} M multiply-adds a video")


def _scatter(axes: Axes, rows: Sequence[Row], costs: Sequence[float], colours: dict[str, str]) -> None:
    means = [100 * row.top1.mean for row in rows if row.top1]
    halves = [100 * (row.top1.half or 0.0) for row in rows if row.top1]
    axes.errorbar(costs, means, yerr=halves, fmt="o", color=colours[FIRST], capsize=3, markersize=5)
    if max(costs) > 3 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.4)))
    axes.margins(x=0.18, y=0.12)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, -2), min(top, 103))  # an interval may go on beyond what a share can be
    views = len({row.title for row in rows}) < len(rows)
    texts = [f"{row.title}, {row.views}" if views else row.title for row in rows]
    _name_points(axes, list(zip(costs, means, texts, strict=True)), colours[INK])
    axes.set_xlabel("multiply-adds of a video, millions")
    axes.set_ylabel("top-1, %")


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]], colour: str) -> None:
    """Write beside each point what it is, on the side that has room, one below the other where points are close."""
    width, height = PLOT_POINTS
    corners = axes.transAxes.inverted().transform(axes.transData.transform([point[:2] for point in points]))
    taken: list[tuple[float, float, float]] = []  # left and right end and middle of each text, in points
    order = sorted(range(len(points)), key=lambda number: -corners[number][1])
    for number in order:
        x, y = corners[number] * (width, height)
        text = points[number][2]
        length = TEXT_SIZE * 0.52 * len(text)
        right_of_it = x + 7 + length < width + 30
        left, right = (x + 7, x + 7 + length) if right_of_it else (x - 7 - length, x - 7)
        middle = y
        while any(left < b and a < right and abs(middle - other) < TEXT_SIZE + 2 for a, b, other in taken):
            middle -= 1
        taken.append((left, right, middle))
        axes.annotate(
            text,
            points[number][:2],
            (7 if right_of_it else -7, middle - y),
            textcoords="offset points",
            fontsize=TEXT_SIZE,
            color=colour,
            ha="left" if right_of_it else "right",
            va="center",
        )
