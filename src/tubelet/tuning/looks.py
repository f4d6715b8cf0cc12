"""What can be known of the training videos before anything is trained."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tubelet.data import Table, independent_unit
from tubelet.training.lengths import lengths_of
from tubelet.tuning.pictures import small_pictures
from tubelet.tuning.regions import LinearLook, look_linearly
from tubelet.video.still import spread

LOOKED_AT = 600
"""Videos that are looked at, at most."""


@dataclass(frozen=True)
class Looks:
    """Of the training videos.

    Attributes:
        videos: how many there are.
        units: how many are independent of each other: groups, else files.
        classes: head to class names.
        median_frames: of a video; None if none can be read.
        linear: what a linear classifier makes of them; None if too few can be read.
    """

    videos: int
    units: int
    classes: dict[str, list[str]]
    median_frames: int | None
    linear: LinearLook | None


def look_at(table: Table, progress: Callable[[int, int], None] | None = None) -> Looks:
    """Look at the training videos.

    Args:
        table: of them alone, those that trials are judged by in the split `val`: they are counted, and not looked at.
        progress: called with (videos done, all).
    """
    learned = table.split("train").samples
    chosen = [learned[place] for place in spread(range(len(learned)), LOOKED_AT)]
    lengths = [frames for frames, _ in lengths_of(chosen)]
    pictures, kept = small_pictures(chosen, progress)
    seen = [chosen[place] for place in kept]
    units = [independent_unit(sample) for sample in seen]
    labels = {head: [sample.labels[head] for sample in seen] for head in table.classes}
    enough = len(set(units)) > 1 and all(len(set(values)) > 1 for values in labels.values())
    return Looks(
        len(table),
        len({independent_unit(sample) for sample in table.samples}),
        table.classes,
        round(statistics.median(lengths)) if lengths else None,
        look_linearly(pictures, labels, units) if enough else None,
    )
