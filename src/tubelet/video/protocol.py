"""The protocol of all decoders, what they share, and reading that allows for a corrected list of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, TypeVar, runtime_checkable

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video.clip import Clip, VideoMetadata
from tubelet.video.limits import LIMITS, Limits

T = TypeVar("T")


@runtime_checkable
class Decoder(Protocol):
    """An open video, the frames of which are read by number."""

    @property
    def metadata(self) -> VideoMetadata:
        """What is known about the video. A decoder that finds packets and frames to disagree corrects it."""
        ...

    @property
    def timestamps(self) -> Tensor:
        """float64 [num_frames]: when each frame is shown, seconds from the start of the file, ascending."""
        ...

    def frames_at(self, indices: Sequence[int]) -> Clip:
        """The frames with these numbers, in this order; any order, repeats allowed, negative ones count from the end.

        Raises:
            VideoError: there is no such frame, or it cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        ...

    def __enter__(self) -> Decoder: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class VisitingDecoder(Decoder, Protocol):
    """A decoder that hands over each frame as it comes, so that long clips of large frames need not lie in memory."""

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


class Closing:
    """Closed at the end of a `with`."""

    def close(self) -> None:
        """Close the file, camera or connection. Closing twice is fine."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BaseDecoder(Closing, ABC):
    """What the decoders of files and folders share; see `VisitingDecoder` for the methods.

    A subclass sets `metadata` and `timestamps` when it opens the video, and `damaged` if it knows of damage.
    """

    metadata: VideoMetadata
    timestamps: Tensor
    damaged: frozenset[int] = frozenset()

    def __init__(self, path: str, limits: Limits) -> None:
        self._path, self._limits = path, limits

    def frames_at(self, indices: Sequence[int]) -> Clip:
        """See `Decoder`."""
        return collect(self, indices, limits=self._limits)

    @abstractmethod
    def visit(self, indices: Sequence[int], visitor: Callable[[int, Tensor], None]) -> None:
        """See `VisitingDecoder`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r}, {self.metadata.num_frames} frames)"


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
        transform: uint8 [3, H, W] to uint8 [3, h, w], applied to each as it comes.
        limits: of what the clip may hold.

    Raises:
        VideoError: as `VisitingDecoder.visit`, or the clip would be larger than the limit.
    """
    metadata = decoder.metadata
    wanted = checked_indices(metadata.path, indices, metadata.num_frames)
    distinct = sorted(set(wanted))
    position = {number: row for row, number in enumerate(distinct)}

    def allocate(height: int, width: int) -> NDArray[numpy.uint8]:
        limits.check_clip(metadata.path, len(wanted), height, width)
        return numpy.empty((len(distinct), height, width, 3), dtype=numpy.uint8)

    pictures = allocate(metadata.height, metadata.width) if transform is None or not distinct else None

    def store(number: int, picture: Tensor) -> None:
        nonlocal pictures
        pixels = (picture if transform is None else transform(picture)).permute(1, 2, 0).numpy()
        if pictures is None:
            pictures = allocate(*pixels.shape[:2])
        pictures[position[number]] = pixels

    if distinct:
        decoder.visit(distinct, store)
    assert pictures is not None
    frames = torch.from_numpy(pictures)
    if wanted != distinct:
        frames = frames[[position[number] for number in wanted]]
    damaged = tuple(number for number in distinct if number in decoder.damaged)
    return Clip(frames.permute(0, 3, 1, 2), decoder.timestamps[wanted], tuple(wanted), metadata.path, damaged)


def checked_indices(path: str, indices: Sequence[int], count: int) -> list[int]:
    """Frame numbers in [0, count), negative ones counted from the end.

    Raises:
        VideoError: one of them is not the number of a frame.
    """
    numbers = [int(index) for index in indices]
    for number in numbers:
        if not -count <= number < count:
            raise VideoError(path, f"there is no frame {number}; it has {count} frames, 0 to {count - 1}")
    return [number % count for number in numbers]


def read_frames(decoder: Decoder, choose: Callable[[Decoder], Sequence[int]]) -> Clip:
    """Decode the frames that `choose` picks, choosing again if decoding shows that the video has other frames.

    Some files promise frames that do not come out. A decoder notices this when it gets there, corrects its metadata and
    timestamps, and a choice made before may name frames that do not exist, or others than were meant.

    Args:
        decoder: an open video.
        choose: given the decoder, the indices of the frames wanted.

    Raises:
        VideoError: as `Decoder.frames_at`.
    """
    return until_settled(decoder, lambda: decoder.frames_at(choose(decoder)))


def until_settled(decoder: Decoder, read: Callable[[], T]) -> T:
    """Do `read`, and do it again if the decoder corrected its list of frames meanwhile (at most once in its life)."""
    while True:
        before = decoder.metadata
        try:
            result = read()
        except VideoError:
            if decoder.metadata == before:
                raise
            continue
        if decoder.metadata == before:
            return result
