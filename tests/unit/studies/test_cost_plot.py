"""The plot of a study that is a ladder: runs of one cost, one line each."""

from __future__ import annotations

import pytest

from tubelet.studies.cost_plot import ON_PAPER, study_figure
from tubelet.studies.rows import Row
from tubelet.studies.statistics import Interval


def a_row(title: str, *, top1: float = 0.6, half: float = 0.02, multiply_adds: int = 320_000_000) -> Row:
    return Row(
        key="one",
        label=title,
        title=title,
        views="1x1",
        top1=Interval(mean=top1, half=half, count=3),
        by_seed={},
        right={},
        train_top1=1.0,
        parameters=1,
        multiply_adds=multiply_adds,
        clip_milliseconds=1.0,
        seconds=1.0,
        waiting=(),
        failures={},
        paper={},
        facts={},
    )


@pytest.mark.parametrize("title", ["none", "random crop, flip and colour jitter of the paper's recipe"])
def test_every_text_lies_within_the_figure(title: str) -> None:
    row = a_row(title)
    figure = study_figure([row, row], ON_PAPER)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [axes.xaxis.label, figure._supxlabel, *axes.get_yticklabels()]
    written = [text for text in texts if text is not None and text.get_text()]
    assert any("multiply-adds" in text.get_text() for text in written)
    for text in written:
        box, frame = text.get_window_extent(), figure.bbox
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1, text
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1, text


def test_no_name_lies_upon_another_where_a_tall_interval_leaves_no_room_beside_it() -> None:
    names = ("random kernel", "inflated kernel", "central frame", "everything random")
    means = zip(names, (0.135, 0.125, 0.125, 0.145), (0.064, 0.0, 0.0, 0.254), strict=True)
    cheap = [a_row("uniform frame sampling", top1=0.125, half=0.0, multiply_adds=15_900_000)]
    alike = [a_row(f"tubelets, {name}", top1=top1, half=half, multiply_adds=17_700_000) for name, top1, half in means]
    dear = [a_row("tubelets of a convolutional stem", top1=0.13, half=0.191, multiply_adds=28_600_000)]
    figure = study_figure([*cheap, *alike, *dear], ON_PAPER)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
