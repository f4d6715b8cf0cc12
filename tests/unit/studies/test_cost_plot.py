"""The plot of a study that is a ladder: runs of one cost, one line each."""

from __future__ import annotations

import pytest

from tubelet.studies.cost_plot import ON_PAPER, study_figure
from tubelet.studies.rows import Row
from tubelet.studies.statistics import Interval


@pytest.mark.parametrize("title", ["none", "random crop, flip and colour jitter of the paper's recipe"])
def test_every_text_lies_within_the_figure(title: str) -> None:
    row = Row(
        key="one",
        label=title,
        title=title,
        views="1x1",
        top1=Interval(mean=0.6, half=0.02, count=3),
        by_seed={},
        right={},
        train_top1=1.0,
        parameters=1,
        multiply_adds=320_000_000,
        clip_milliseconds=1.0,
        seconds=1.0,
        waiting=(),
        failures={},
        paper={},
        facts={},
    )
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
