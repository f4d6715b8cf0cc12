"""Whatever a stream can be made of, opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import numpy
from torch import Tensor

from tubelet.errors import DataError
from tubelet.prediction.live_source import LiveFrames
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
    *,
    needs: Callable[[int], bool],
    capacity: int,
    reconnect: int | float,
    stopped: Callable[[], bool] | None = None,
) -> FrameSource:
    """Open a source.

    Args:
        source: see `StreamSource`.
        preprocessing: resizes the frames, and says at which rate they are sampled.
        frame_rate: of an iterable, which has no clock.
        needs: of a live source, whether a frame is part of a window.
        capacity: of a live source, frames that are held for the model.
        reconnect: of a live source, seconds for which it is tried again.
        stopped: of a live source, asked while waiting; True ends the stream.

    Raises:
        VideoError: it cannot be opened.
        DataError: it is nothing of the kind.
    """
    if (isinstance(source, int) and not isinstance(source, bool)) or (isinstance(source, str) and is_address(source)):
        video = LiveVideo(source)
        if video.is_live:
            return LiveFrames(source, video, preprocessing, needs, capacity, reconnect, stopped)
        rate = preprocessing.config.sampling_rate
        return PulledFrames(_ascending(video), video.name, preprocessing, rate=rate, close=video.close)
    if isinstance(source, str | os.PathLike | Clip | Tensor | numpy.ndarray):
        return DecodedFrames(open_source(source), path_of(source) or "frames in memory", preprocessing)
    if isinstance(source, Iterable) and not isinstance(source, bytes | dict):
        rate = None if frame_rate is None else preprocessing.config.sampling_rate
        return PulledFrames(timed(source, frame_rate or 1.0), "frames", preprocessing, rate=rate)
    raise DataError(
        "expected a path, the number of a camera, an address (rtsp://...), or an iterable of frames uint8 [3, H, W], "
        f"got {type(source).__name__}"
    )


def _ascending(video: LiveVideo) -> Iterator[TimedPixels]:
    """The frames of a file behind an address. Where its clock jumps back or is missing, times go on by a frame."""
    clock = LiveClock()
    for number, frame in enumerate(video):
        if number == 0:
            clock.connect([(frame.timestamp, frame.arrival)], is_live=False)
        yield clock(frame.timestamp, frame.arrival), frame.pixels
