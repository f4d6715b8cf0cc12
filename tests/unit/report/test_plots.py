"""That what stands beside the axes of a plot can be read: ticks do not lie on one another, epochs are whole numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from tubelet.report import plots
from tubelet.report.figures import CARD, SETTINGS, WIDE, Curve, curves_figure


def drawn(make: Callable[[], Figure]) -> Axes:
    with mpl.rc_context(SETTINGS):
        figure = make()
        figure.draw_without_rendering()
    return figure.axes[0]


def shown(texts: list[Text], low: float, high: float, horizontal: bool) -> list[Text]:
    places = [text.get_position()[0 if horizontal else 1] for text in texts]
    return [text for text, place in zip(texts, places, strict=True) if text.get_text() and low <= place <= high]


def ticks(axes: Axes) -> tuple[list[Text], list[Text]]:
    """The labels that can be seen on either axis."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across = shown([*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)], left, right, True)
    return across, shown([*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)], bottom, top, False)


def assert_readable(axes: Axes) -> None:
    for labels in ticks(axes):
        assert len(labels) >= 2
        for first, second in combinations(labels, 2):
            assert not first.get_window_extent().overlaps(second.get_window_extent()), (
                f"{first.get_text()} lies on {second.get_text()}"
            )


@pytest.mark.parametrize("low", [1e-7, 3e-5, 0.2, 40.0])
@pytest.mark.parametrize("decades", [0.1, 0.5, 1, 1.4, 2, 5, 11])
def test_logarithmic_ticks_do_not_lie_on_one_another(low: float, decades: float) -> None:
    values = [low * 10 ** (decades * place / 50) for place in range(51)]
    line = Curve("", list(range(51)), values)
    assert_readable(drawn(lambda: curves_figure("x", [line], "epoch", None, False, False, True, CARD)))


@pytest.mark.parametrize("factor", [1.02, 1.6, 4, 9, 60, 3000])
def test_costs_do_not_lie_on_one_another(factor: float) -> None:
    points = {str(number): (1.3e9 * factor ** (number / 4), 0.5 + number / 20, None) for number in range(5)}
    assert_readable(drawn(lambda: plots.cost_figure("Accuracy and cost", points)))


@pytest.mark.parametrize("epochs", [1, 2, 3, 26, 572])
def test_a_single_validation_is_a_dot_with_its_value_among_whole_epochs(epochs: int) -> None:
    line = Curve("validation", [float(epochs)], [0.25])
    axes = drawn(lambda: curves_figure("Top-1", [line], "epoch", float(epochs), True, False, False, WIDE))
    assert_readable(axes)
    names = [text.get_text() for text in ticks(axes)[0]]
    assert all(name.isdigit() for name in names)
    assert names[0] == "0"
    assert "25.0 %" in [text.get_text() for text in axes.texts]


def test_the_legend_stands_outside_the_curves_and_beside_the_title() -> None:
    lines = [Curve("training", [0, 1, 2], [3.0, 2.0, 1.0]), Curve("validation", [0, 1, 2], [3.0, 2.9, 2.8])]
    axes = drawn(lambda: curves_figure("Top-1 accuracy", lines, "epoch", 2, False, True, False, WIDE))
    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert box.y0 >= axes.get_window_extent().y1 - 1
    title = axes._left_title  # type: ignore[attr-defined]
    assert not box.overlaps(title.get_window_extent())


def test_runs_are_named_below_their_curves_whichever_have_one() -> None:
    line = Curve("runs/gestures/2026-11-29_with_quite_a_long_name", [1, 2], [0.3, 0.4])
    with mpl.rc_context(SETTINGS):
        figure = plots.runs_figure("Validation top-1", {2: line}, percent=True)
        figure.draw_without_rendering()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0].startswith("2  ")
    assert names[0].endswith("quite_a_long_name")
    assert figure.legends[0].get_window_extent().y1 <= figure.axes[0].get_window_extent().y0
    assert math.isclose(figure.axes[0].get_ylim()[1], 1.03)


def test_values_of_single_points_of_runs_stand_in_the_legend_where_none_can_hide_another() -> None:
    lines = {1: Curve("first", [3], [0.125]), 2: Curve("second", [3], [0.25])}
    with mpl.rc_context(SETTINGS):
        figure = plots.runs_figure("Validation top-1", lines, percent=True)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1  first: 12.5 %", "2  second: 25.0 %"]
    assert not figure.axes[0].texts
