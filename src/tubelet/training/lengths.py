"""Length and frame rate of the training videos, which are stored with the preprocessing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from tubelet.config import PreprocessingConfig
from tubelet.data import Sample, Table
from tubelet.errors import VideoError
from tubelet.video import open_video
from tubelet.video.decode import window_indices
from tubelet.video.rate import RATE_TOLERANCE
from tubelet.video.still import spread

OPENED = 64
"""Videos that are opened, which decodes none; enough for a median."""


def with_training_lengths(preprocessing: PreprocessingConfig, table: Table) -> tuple[PreprocessingConfig, list[str]]:
    """The preprocessing with the median length and frame rate of a table's videos, and a note where rates differ.

    A frame rate that is known already stays with `dense` sampling: it is what the weights were trained at, and the
    table's videos are sampled at it.

    Args:
        preprocessing: of the model.
        table: what it learns from.
    """
    dense = preprocessing.sampling == "dense"
    lengths = lengths_of(table.samples)
    counts, rates = [count for count, _ in lengths], [rate for _, rate in lengths if rate is not None]
    median = round(statistics.median(counts)) if counts and not dense else None
    rate = preprocessing.frames_per_second if dense else None
    if rate is None and rates:
        rate = round(statistics.median_low(rates), 3)
    measured = replace(preprocessing, median_frames=median, frames_per_second=rate)
    others = 0 if rate is None else sum(abs(one / rate - 1) > RATE_TOLERANCE for one in rates)
    if not dense or not others:
        return measured, []
    how = (
        f"they are sampled by their timestamps at {rate:g} (resample=False takes every "
        f"{preprocessing.frame_stride}. frame of them instead)"
        if preprocessing.resample
        else "their clips last longer or shorter (resample=False)"
    )
    return measured, [f"{others} of {len(rates)} videos looked at have another frame rate than {rate:g}: {how}"]


def lengths_of(samples: Sequence[Sample]) -> list[tuple[int, float | None]]:
    """Frames of the part that counts, and frames per second, of at most `OPENED` videos that can be read."""
    chosen = [samples[place] for place in spread(range(len(samples)), OPENED)]
    return [length for length in map(_length, chosen) if length is not None]


def _length(sample: Sample) -> tuple[int, float | None] | None:
    """Frames of a sample's video, or of the part of it that counts, and frames per second; None if it is unreadable."""
    try:
        with open_video(sample.path, threads=1) as decoder:
            inside = window_indices(decoder, sample.start, sample.end)
            seconds = float(decoder.timestamps[inside[-1]] - decoder.timestamps[inside[0]])
            timed = decoder.metadata.has_clock and seconds > 0
            return len(inside), (len(inside) - 1) / seconds if timed else None
    except (VideoError, OSError):
        return None
