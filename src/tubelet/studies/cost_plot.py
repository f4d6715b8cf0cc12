"""Accuracy against cost, as an SVG for the page and a PNG for documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from tubelet.files import replacing
from tubelet.report.figures import FIRST, INK, LINE, MUTED, SECOND, SETTINGS, log_axis, to_svg, wants_log
from tubelet.studies.rows import Row

ON_PAPER = {INK: "#1b1d21", MUTED: "#62666e", LINE: "#dcdad5", FIRST: "#2f6db5", SECOND: "#c2641b"}
"""Colours of the PNG, where no stylesheet says them."""

TEXT_SIZE = 11
LEAST_SPAN = 20.0
"""The axis of top-1 spans at least so many points: less makes a landslide of a video or two."""
ONE_SEED = "one seed: no error bars, differences may be chance"


def cost_plot(rows: Sequence[Row], title: str) -> str:
    """Top-1 with its interval over multiply-adds of a video, as an SVG element; empty without results."""
    if not any(row.top1 for row in rows):
        return ""
    with mpl.rc_context(SETTINGS):
        return to_svg(study_figure(rows, {colour: colour for colour in ON_PAPER}), title)


def save_cost_plot(rows: Sequence[Row], path: Path) -> None:
    """The same as a PNG on white; nothing is written without results."""
    if not any(row.top1 for row in rows):
        return
    settings = {
        name: ON_PAPER.get(value, value) if isinstance(value, str) else value for name, value in SETTINGS.items()
    }
    with mpl.rc_context(settings), replacing(path) as partial:
        study_figure(rows, ON_PAPER).savefig(
            partial, format="png", dpi=130, facecolor="white", metadata={"Software": None}
        )


def study_figure(rows: Sequence[Row], colours: dict[str, str]) -> Figure:
    """The plot of `cost_plot`, not drawn yet.

    Args:
        rows: of the table.
        colours: of `ON_PAPER`, each to the one that is drawn.
    """
    shown = [row for row in rows if row.top1 is not None]
    costs = [row.multiply_adds / 1e6 for row in shown]
    same_cost = max(costs) < 1.02 * min(costs)
    figure = Figure(figsize=(7.2, 1.5 + 0.36 * len(shown)) if same_cost else (7.2, 4.6), layout="constrained")
    axes: Axes = figure.subplots()
    (_lines if same_cost else _scatter)(axes, shown, costs, colours)
    if all(row.top1 is not None and row.top1.count == 1 for row in shown):
        axes.set_title(ONE_SEED, fontsize=TEXT_SIZE, color=colours[MUTED])
    return figure


def _lines(axes: Axes, rows: Sequence[Row], costs: Sequence[float], colours: dict[str, str]) -> None:
    """All rows cost the same: one line for each, in the order of the table."""
    positions = range(len(rows))
    means, halves = _means(rows)
    _points(axes, means, list(positions), halves, "x", colours[FIRST])
    trained = [(100 * row.train_top1, y) for y, row in zip(positions, rows, strict=True) if row.train_top1 is not None]
    axes.plot(
        [x for x, _ in trained], [y for _, y in trained], "|", color=colours[SECOND], markersize=11, markeredgewidth=2
    )
    axes.set_yticks(list(positions), [row.title for row in rows])
    axes.invert_yaxis()
    axes.grid(True, axis="x")
    axes.set_xlim(*_span([*means, *(x for x, _ in trained)], [*halves, *(0.0 for _ in trained)]))
    figure = axes.get_figure(root=True)
    assert figure is not None
    text = f"top-1, % (line: training videos); {costs[0]:,.1f} M multiply-adds a video"
    # of the figure: the axes are narrow beside long titles, and a label wider than they are would be cut off
    figure.supxlabel(text, fontsize=axes.xaxis.label.get_fontsize(), color=colours[MUTED])


def _scatter(axes: Axes, rows: Sequence[Row], costs: Sequence[float], colours: dict[str, str]) -> None:
    means, halves = _means(rows)
    _points(axes, costs, means, halves, "y", colours[FIRST])
    if wants_log(costs):
        log_axis(axes, "x", costs)
    axes.margins(x=0.1)
    axes.set_ylim(*_span(means, halves))
    axes.set_xlabel("multiply-adds (MACs) of a video, millions")
    axes.set_ylabel("top-1, %")
    views = len({row.title for row in rows}) < len(rows)
    texts = [f"{row.title}, {row.views}" if views else row.title for row in rows]
    _name_points(axes, list(zip(costs, means, halves, texts, strict=True)), colours[INK])


def _means(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Top-1 in percent, and half the width of its interval; 0 without one."""
    return [100 * row.top1.mean for row in rows if row.top1], [100 * (row.top1.half or 0.0) for row in rows if row.top1]


def _points(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], halves: Sequence[float], along: str, colour: str
) -> None:
    """Dots, with a bar where there is an interval."""
    axes.plot(xs, ys, "o", color=colour, markersize=5)
    barred = [number for number, half in enumerate(halves) if half]
    if barred:
        x, y, half = ([values[number] for number in barred] for values in (xs, ys, halves))
        sideways, upright = (half, None) if along == "x" else (None, half)
        axes.errorbar(x, y, xerr=sideways, yerr=upright, fmt="none", ecolor=colour, capsize=3)


def _span(means: Sequence[float], halves: Sequence[float]) -> tuple[float, float]:
    """An axis of percent that holds all intervals, is at least `LEAST_SPAN` long, and within what a share can be."""
    low = min(mean - half for mean, half in zip(means, halves, strict=True))
    high = max(mean + half for mean, half in zip(means, halves, strict=True))
    room = max(0.12 * (high - low), (LEAST_SPAN - (high - low)) / 2)
    low, high = max(low - room, -2.0), min(high + room, 102.0)
    return (-2.0, max(high, low + LEAST_SPAN)) if low <= 0 else (min(low, high - LEAST_SPAN), high)


def _name_points(axes: Axes, points: Sequence[tuple[float, float, float, str]], colour: str) -> None:
    """Write beside each point what it is, inside the axes, where neither a bar nor another name is.

    Args:
        axes: of the plot.
        points: cost, top-1, half of its interval, name.
        colour: of the names.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # lays the axes out, so that positions are final
    frame = axes.get_window_extent()
    ends = [axes.transData.transform([(x, y - half), (x, y + half)]) for x, y, half, _ in points]
    bars, names = [Bbox(bar).padded(3) for bar in ends], list[Bbox]()
    for x, y, _, text in sorted(points, key=lambda point: -point[1]):
        written = axes.annotate(text, (x, y), (7, 0), textcoords="offset points", fontsize=TEXT_SIZE, color=colour)
        written.set_verticalalignment("center")
        written.set_in_layout(False)
        if not _put(written, frame, [*bars, *names]) and not _put(written, frame, names):  # rather across a bar
            written.set_position((0, 10))
            written.set_horizontalalignment("center")
        names.append(written.get_window_extent())


def _put(written: Annotation, frame: Bbox, taken: Sequence[Bbox]) -> bool:
    """Move a name to the first free place: beside its point, then lower and lower, then higher. False without one."""
    for down in (0, *range(-3, -90, -3), *range(3, 90, 3)):
        for side in (7, -7):
            written.set_position((side, down))
            written.set_horizontalalignment("left" if side > 0 else "right")
            box = written.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                return True
    return False
