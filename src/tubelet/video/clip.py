"""What decoding gives: a clip, and what is known about the video that it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy
import torch
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video.limits import LIMITS, Limits

TOO_LARGE = "decoding it needs more memory than there is; re-encode it smaller"

REENCODE = "re-encode it from the source or leave it out"


@dataclass(frozen=True)
class VideoMetadata:
    """What is known about a video, from its frames and not from what its header claims.

    Attributes:
        path: the file, or the folder of images.
        num_frames: frames that will be shown.
        duration: seconds from the first frame to the end of the last.
        frame_rate: average frames per second.
        height: of a frame in pixels, after rotation.
        width: of a frame in pixels, after rotation.
        codec: name of the codec, `h264` for example.
        rotation: degrees, counterclockwise, by which the stored frames were turned to stand upright: 0, 90, 180 or 270.
        variable_frame_rate: whether frames are shown for different times.
        backend: `pyav`, `torchcodec` or `frames`.
        start: seconds of the first frame, counted from the start of the file, which is that of its sound if this
            begins earlier; few files start at another time than 0.
        frame_list: where the list of frames comes from: `packets`, the timestamps of all packets in the file; `header`,
            the index in the header of a large file; `decoded`, the whole file was decoded once because packets and
            frames do not agree, and frames are now found by decoding from the start.
        has_clock: whether the source says when its frames are shown. Images in a folder and frames in memory do not:
            their timestamps are counted at an assumed rate.
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
        VideoError: the parts do not fit each other.
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
        count = f"{len(self)} frame" + ("" if len(self) == 1 else "s")
        times = "no time"
        if len(self):
            times = f"{self.timestamps.min().item():.2f}-{self.timestamps.max().item():.2f} s"
        damaged = f", {len(self.damaged)} damaged" if self.damaged else ""
        return f"Clip({count}{damaged}, {channels}x{height}x{width}, {times}, {Path(self.path).name!r})"


@runtime_checkable
class VisitingDecoder(Protocol):
    """A decoder that hands over each frame as it comes, so that long clips of large frames need not lie in memory."""

    @property
    def metadata(self) -> VideoMetadata:
        """See `Decoder`."""
        ...

    @property
    def timestamps(self) -> Tensor:
        """See `Decoder`."""
        ...

    @property
    def damaged(self) -> frozenset[int]:
        """Numbers of the frames known so far to be damaged; decoding may find more."""
        ...

    def visit(self, indices: Sequence[int], visitor: Callable[[int, Tensor], None]) -> None:
        """Decode frames and pass each to a function, every distinct one once.

        Args:
            indices: of the frames wanted.
            visitor: called with a frame's number and the frame, uint8 [3, H, W], which must not be kept. It may run in
                another thread, but never twice at a time, and again from the first frame if decoding starts over.

        Raises:
            VideoError: there is no such frame, or it cannot be decoded.
        """
        ...


def collect(
    decoder: VisitingDecoder,
    indices: Sequence[int],
    transform: Callable[[Tensor], Tensor] | None = None,
    *,
    limits: Limits = LIMITS,
) -> Clip:
    """The frames with these numbers as a clip.

    Args:
        decoder: where they come from.
        indices: any order, repeats allowed.
        transform: uint8 [3, H, W] to uint8 [3, h, w], done to each as it comes.
        limits: of what the clip may hold.

    Raises:
        VideoError: as `VisitingDecoder.visit`, or the clip would be larger than the limit.
    """
    metadata = decoder.metadata
    wanted = checked_indices(metadata.path, indices, metadata.num_frames)
    distinct = sorted(set(wanted))
    place = {number: position for position, number in enumerate(distinct)}

    def room(height: int, width: int) -> NDArray[numpy.uint8]:
        limits.check_clip(metadata.path, len(wanted), height, width)
        return numpy.empty((len(distinct), height, width, 3), dtype=numpy.uint8)

    pictures = room(metadata.height, metadata.width) if transform is None or not distinct else None

    def store(number: int, picture: Tensor) -> None:
        nonlocal pictures
        pixels = (picture if transform is None else transform(picture)).permute(1, 2, 0).numpy()
        if pictures is None:
            pictures = room(*pixels.shape[:2])
        pictures[place[number]] = pixels

    if distinct:
        decoder.visit(distinct, store)
    assert pictures is not None
    frames = torch.from_numpy(pictures)
    if wanted != distinct:
        frames = frames[[place[number] for number in wanted]]
    damaged = tuple(number for number in distinct if number in decoder.damaged)
    return Clip(frames.permute(0, 3, 1, 2), decoder.timestamps[wanted], tuple(wanted), metadata.path, damaged)


def why_unreadable(error: VideoError | OSError | MemoryError) -> str:
    """What is said of a video that is left out because of this error, without its path."""
    if isinstance(error, VideoError):
        return error.reason
    return TOO_LARGE if isinstance(error, MemoryError) else str(error)


def damage_in_words(damaged: Sequence[int], total: int) -> str:
    """Which of so many frames are damaged, and what helps."""
    few = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
    verb = "is" if len(damaged) == 1 else "are"
    return f"{len(damaged)} of {total} frames {verb} damaged (number {few}); {REENCODE}"


def checked_indices(path: str, indices: Sequence[int], count: int) -> list[int]:
    """Frame numbers in [0, count), negative ones counted from the end.

    Raises:
        VideoError: one of them names no frame.
    """
    numbers = [int(index) for index in indices]
    for number in numbers:
        if not -count <= number < count:
            raise VideoError(path, f"there is no frame {number}; it has {count} frames, 0 to {count - 1}")
    return [number % count for number in numbers]
