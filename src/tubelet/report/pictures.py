"""Frames and short clips of the videos, small enough to put them into the page. A video that is gone gives none."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video import Clip, Decoder, open_video, read_frames, window, write_video
from tubelet.video.still import data_uri, jpeg_data_uri, shrink, spread

STRIP_FRAMES = 8
STRIP_HEIGHT = 96
CLIP_HEIGHT = 144
CLIP_FRAMES = 72
CLIP_SECONDS = 4.0


@dataclass(frozen=True)
class Picture:
    """A video as the page shows it.

    Attributes:
        strip: frames, evenly spread and in order, each a JPEG as a data URI.
        clip: some seconds of it, an MP4 as a data URI; None if it has a single frame.
        width: of the clip, pixels.
        height: of the clip, pixels.
    """

    strip: tuple[str, ...]
    clip: str | None
    width: int
    height: int

    @property
    def poster(self) -> str:
        """The middle frame of the strip: what is seen of the clip until it plays, and on paper."""
        return self.strip[len(self.strip) // 2]


def picture(
    path: str,
    start: float | None = None,
    end: float | None = None,
    *,
    strip: Sequence[int] | None = None,
    moving: bool = True,
) -> Picture | None:
    """Show a video, or its part from `start` to `end` seconds; None if it is gone or cannot be read.

    Args:
        path: of the video.
        start: seconds.
        end: seconds.
        strip: frames to show side by side; a few that are evenly spread by default.
        moving: whether some seconds of it are wanted too.
    """

    def stills(decoder: Decoder) -> Sequence[int]:
        return spread(_inside(decoder, start, end), STRIP_FRAMES) if strip is None else strip

    try:
        with open_video(path) as decoder:
            still = read_frames(decoder, stills)
            run = read_frames(decoder, lambda opened: _middle(opened, start, end)) if moving else None
    except VideoError:
        return None
    images = tuple(jpeg_data_uri(frame) for frame in shrink(still.frames, STRIP_HEIGHT))
    clip, (height, width) = None, still.frames.shape[2:]
    if run is not None and len(run) > 1:
        frames = _even(shrink(run.frames, CLIP_HEIGHT))
        height, width = frames.shape[2:]
        clip = _mp4(frames, _frame_rate(run))
    return Picture(images, clip, width, height)


def _inside(decoder: Decoder, start: float | None, end: float | None) -> range:
    first, last = window(decoder.timestamps, start, end)
    return range(first, last) if last > first else range(decoder.metadata.num_frames)


def _middle(decoder: Decoder, start: float | None, end: float | None) -> list[int]:
    """A few seconds in the middle, at most `CLIP_FRAMES` frames of them, evenly apart."""
    inside = _inside(decoder, start, end)
    length = min(len(inside), max(1, round(CLIP_SECONDS * decoder.metadata.frame_rate)))
    offset = (len(inside) - length) // 2
    step = -(-length // CLIP_FRAMES)
    return list(inside[offset : offset + length : step])


def _even(frames: UInt8[Tensor, "T 3 H W"]) -> UInt8[Tensor, "T 3 h w"]:
    """An even height and width, which H.264 with halved colour needs: the last row or column is dropped, or doubled."""
    height, width = frames.shape[2:]
    if height == 1 or width == 1:
        frames = frames.repeat_interleave(1 + (height == 1), dim=2).repeat_interleave(1 + (width == 1), dim=3)
        height, width = frames.shape[2:]
    return frames[:, :, : height // 2 * 2, : width // 2 * 2]


def _frame_rate(clip: Clip) -> float:
    seconds = float(clip.timestamps[-1] - clip.timestamps[0])
    return min(60.0, max(1.0, (len(clip) - 1) / seconds)) if seconds > 0 else 25.0


def _mp4(frames: UInt8[Tensor, "T 3 H W"], frame_rate: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "clip.mp4", frames, frame_rate, crf=24, preset="fast")
        return data_uri("video/mp4", path.read_bytes())
