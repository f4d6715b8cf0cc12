"""The table of a study: a row for each configuration and each choice of views."""

from __future__ import annotations

from dataclasses import dataclass, field

from tubelet.studies.statistics import Interval

CLOSE = 0.02
"""Accuracies on the training videos that differ by less do not count as different."""


@dataclass(frozen=True)
class Row:
    """A cell with one way of looking at the test videos.

    Attributes:
        key: of the row.
        label: of the cell, in the table, where columns tell cells of one label apart.
        title: of the cell, in sentences and pictures: with its facts where other cells have its label, too.
        views: CLIPSxCROPS.
        top1: over seeds, share of the test videos; None if no run is done.
        by_seed: the same for each seed that is done.
        right: by seed, how right each test video was.
        train_top1: over seeds, share of the training videos, seen as in a test.
        parameters: of the model.
        multiply_adds: of all views of one video.
        clip_milliseconds: of one clip, the fastest over seeds.
        seconds: of one run, mean over seeds.
        waiting: seeds that have not ended.
        failures: by seed, why a run failed.
        paper: what the paper found, by the name of the figure.
        facts: columns of the study's own.
    """

    key: str
    label: str
    title: str
    views: str
    top1: Interval | None
    by_seed: dict[int, float]
    right: dict[int, list[float]] = field(repr=False)
    train_top1: float | None
    parameters: int
    multiply_adds: int
    clip_milliseconds: float
    seconds: float
    waiting: tuple[int, ...]
    failures: dict[int, str]
    paper: dict[str, float]
    facts: dict[str, str]

    @property
    def gap(self) -> float | None:
        """Accuracy on the training videos minus accuracy on the test videos."""
        return None if self.train_top1 is None or self.top1 is None else self.train_top1 - self.top1.mean


def percent(interval: Interval | None) -> str:
    """ "71.2 ± 3.4 %"."""
    if interval is None:
        return "–"
    if interval.half is None:
        alike = f" ({interval.count} seeds alike)" if interval.count > 1 else ""
        return f"{100 * interval.mean:.1f} %{alike}"
    return f"{100 * interval.mean:.1f} ± {100 * interval.half:.1f} %"


def points(interval: Interval | None) -> str:
    """ "+3.1 ± 2.0": a difference in percentage points."""
    if interval is None:
        return "–"
    half = "" if interval.half is None else f" ± {100 * interval.half:.1f}"
    return f"{100 * interval.mean:+.1f}{half}"
