"""Opening a source of a stream, of any kind."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator

import numpy
from torch import Tensor

from tubelet.errors import ConfigError, DataError
from tubelet.prediction.live_source import LiveFrames, LiveSettings
from tubelet.prediction.result import IN_MEMORY
from tubelet.prediction.sources import open_source, path_of
from tubelet.prediction.stream_source import (
    DecodedFrames,
    FrameSource,
    PulledFrames,
    StreamSource,
    TimedPixels,
    timed,
)
from tubelet.video import Clip, Preprocessing
from tubelet.video.clock import LiveClock
from tubelet.video.live import LiveVideo, is_address


def open_stream(
    source: StreamSource,
    preprocessing: Preprocessing,
    frame_rate: float | None,
    live: LiveSettings,
) -> FrameSource:
    """Open a source.

    Args:
        source: see `StreamSource`.
        preprocessing: resizes the frames, and has the rate at which they are sampled.
        frame_rate: of an iterable, which has no clock.
        live: settings of a live source.

    Raises:
        VideoError: it cannot be opened.
        DataError: the source has another type.
        ConfigError: a frame rate that is not above 0.
    """
    if (isinstance(source, int) and not isinstance(source, bool)) or (isinstance(source, str) and is_address(source)):
        video = LiveVideo(source)
        if video.is_live:
            return LiveFrames(source, video, preprocessing, live)
        rate = preprocessing.config.sampling_rate
        return PulledFrames(_ascending(video), video.name, preprocessing, rate=rate, close=video.close)
    if isinstance(source, str | os.PathLike | Clip | Tensor | numpy.ndarray):
        return DecodedFrames(open_source(source), path_of(source) or IN_MEMORY, preprocessing)
    if isinstance(source, Iterable) and not isinstance(source, bytes | dict):
        if frame_rate is not None and not 0 < frame_rate < math.inf:
            raise ConfigError(f"frame_rate={frame_rate} must be above 0 and finite: frames per second")
        rate = None if frame_rate is None else preprocessing.config.sampling_rate
        return PulledFrames(timed(source, frame_rate or 1.0), "frames", preprocessing, rate=rate)
    raise DataError(
        "expected a path, the number of a camera, an address (rtsp://...), or an iterable of frames uint8 [3, H, W], "
        f"got {type(source).__name__}"
    )


def _ascending(video: LiveVideo) -> Iterator[TimedPixels]:
    """The frames of a file at an address. Where timestamps jump back or are missing, times advance by a frame."""
    clock = LiveClock()
    for number, frame in enumerate(video):
        if number == 0:
            clock.connect([(frame.timestamp, frame.arrival)], is_live=False)
        yield clock(frame.timestamp, frame.arrival), frame.pixels
