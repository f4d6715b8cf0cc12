"""How long the training videos are: a stream needs it of a model whose frames were spread over whole videos."""

from __future__ import annotations

import statistics
from dataclasses import replace

from tubelet.config import PreprocessingConfig
from tubelet.data import Sample, Table
from tubelet.errors import VideoError
from tubelet.video import open_video
from tubelet.video.decode import window_indices
from tubelet.video.still import spread

OPENED = 64
"""Videos whose frames are counted, which decodes none; for a median more are not needed."""


def with_median_frames(preprocessing: PreprocessingConfig, table: Table) -> PreprocessingConfig:
    """The preprocessing with the median number of frames of a table's videos, where clips are spread over these.

    Args:
        preprocessing: of the model.
        table: what it learns from.
    """
    if preprocessing.sampling != "uniform":
        return replace(preprocessing, median_frames=None)
    chosen = (table.samples[place] for place in spread(range(len(table)), OPENED))
    counts = [count for count in map(_frames, chosen) if count]
    return replace(preprocessing, median_frames=round(statistics.median(counts)) if counts else None)


def _frames(sample: Sample) -> int:
    """Frames of a sample's video, or of the part of it that counts; 0 if it cannot be read."""
    try:
        with open_video(sample.path, threads=1) as decoder:
            return len(window_indices(decoder, sample.start, sample.end))
    except (VideoError, OSError):
        return 0
