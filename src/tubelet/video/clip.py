"""The result of decoding: a clip, and the metadata of its video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.text import count

TOO_LARGE = "decoding it needs more memory than there is; re-encode it smaller"

REENCODE = "re-encode it from the source or leave it out"


@dataclass(frozen=True)
class VideoMetadata:
    """What is known about a video, from its frames and not from its header.

    Attributes:
        path: the file, or the folder of images.
        num_frames: frames that are shown.
        duration: seconds from the first frame to the end of the last.
        frame_rate: average frames per second.
        height: of a frame in pixels, after rotation.
        width: of a frame in pixels, after rotation.
        codec: name of the codec, `h264` for example.
        rotation: degrees, counterclockwise, by which the stored frames were rotated to be upright: 0, 90, 180 or 270.
        variable_frame_rate: whether frames have different durations.
        backend: `pyav`, `torchcodec` or `frames`.
        start: seconds of the first frame, counted from the start of the file, which is that of its sound if this
            begins earlier; few files start at another time than 0.
        frame_list: where the list of frames comes from: `packets`, the timestamps of all packets in the file; `header`,
            the index in the header of a large file; `decoded`, the whole file was decoded once because packets and
            frames do not agree, and frames are now found by decoding from the start.
        has_clock: whether the timestamps are the source's own. Those of images in a folder and of frames in memory are
            counted at an assumed rate.
        pixel_aspect: width over height of a pixel of the upright frame as players show it; decoding stretches nothing.
    """

    path: str
    num_frames: int
    duration: float
    frame_rate: float
    height: int
    width: int
    codec: str
    rotation: int
    variable_frame_rate: bool
    backend: str
    start: float = 0.0
    frame_list: Literal["packets", "header", "decoded"] = "packets"
    has_clock: bool = True
    pixel_aspect: float = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class Clip:
    """Frames of one video, with their times.

    Attributes:
        frames: uint8 [T, 3, H, W], RGB. The memory is laid out frame by frame, row by row, pixel by pixel
            (channels last), as the decoder writes it; `.contiguous()` gives planes.
        timestamps: float64 [T], seconds from the start of the file, as players count them.
        indices: which frames of the video these are, counted from 0 in the order in which they are shown.
        path: the file, or the folder of images.
        damaged: those of `indices` that are known to be damaged: their data is incomplete or not valid, or they may
            refer to such a frame, or frames before them are missing. The decoder fills in what it can.

    Raises:
        VideoError: the fields do not fit each other.
    """

    frames: UInt8[Tensor, "T 3 H W"]
    timestamps: Float64[Tensor, "T"]
    indices: tuple[int, ...]
    path: str
    damaged: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        frames, times = self.frames, self.timestamps
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
            raise VideoError(self.path, f"a clip is uint8 [T, 3, H, W], got {frames.dtype} {tuple(frames.shape)}")
        if times.dtype != torch.float64 or times.shape != frames.shape[:1]:
            raise VideoError(
                self.path,
                f"a clip of {len(frames)} frames needs float64 [{len(frames)}] timestamps, "
                f"got {times.dtype} {tuple(times.shape)}",
            )
        if len(self.indices) != len(frames):
            raise VideoError(self.path, f"a clip of {len(frames)} frames came with {len(self.indices)} indices")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def height(self) -> int:
        """Pixels."""
        return self.frames.shape[2]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.frames.shape[3]

    def __repr__(self) -> str:
        channels, height, width = self.frames.shape[1:]
        times = "no time"
        if len(self):
            times = f"{self.timestamps.min().item():.2f}-{self.timestamps.max().item():.2f} s"
        damaged = f", {len(self.damaged)} damaged" if self.damaged else ""
        frames = f"{count(len(self), 'frame')}{damaged}"
        return f"Clip({frames}, {channels}x{height}x{width}, {times}, {Path(self.path).name!r})"


def why_unreadable(error: VideoError | OSError | MemoryError) -> str:
    """Why a video is left out, without its path."""
    if isinstance(error, VideoError):
        return error.reason
    if isinstance(error, MemoryError):
        return TOO_LARGE
    return error.strerror or str(error) or type(error).__name__


def damage_in_words(damaged: Sequence[int], total: int) -> str:
    """Which of `total` frames are damaged, and what to do."""
    few = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
    verb = "is" if len(damaged) == 1 else "are"
    return f"{len(damaged)} of {total} frames {verb} damaged (number {few}); {REENCODE}"
