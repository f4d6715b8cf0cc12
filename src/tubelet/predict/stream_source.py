"""Where the frames of a stream come from, one behind the other and each once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy
import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.errors import DataError, VideoError
from tubelet.predict.sources import ClipDecoder, Source, numbers_in_source, open_source, path_of
from tubelet.video import Clip, Decoder, Preprocessing
from tubelet.video.live import LiveVideo, is_address

StreamSource: TypeAlias = Source | int | Iterable[Any]
"""A path, a `Clip`, frames [T, 3, H, W], the number of a camera, an address, or an iterable of frames [3, H, W]."""


class Frame(NamedTuple):
    """A frame of a stream: its number, its time in seconds, and its pixels, resized."""

    number: int
    time: float
    pixels: UInt8[Tensor, "3 h w"]


@runtime_checkable
class FrameSource(Protocol):
    """Frames by number. Numbers are asked for in ascending order, as frames cannot be had again."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def total(self) -> int | None:
        """How many frames there are, where that is known."""
        ...

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        """The frames with these ascending numbers; fewer at the end."""
        ...

    def number_in_source(self, number: int) -> int:
        """The number that a frame has in the video it comes from: a clip may be a part of one."""
        ...

    def close(self) -> None:
        """Give back the file or camera."""
        ...


def open_stream(source: StreamSource, preprocessing: Preprocessing, frame_rate: float | None) -> FrameSource:
    """Whatever a stream can be made of.

    Args:
        source: see `StreamSource`.
        preprocessing: resizes the frames.
        frame_rate: of an iterable, which has no clock.

    Raises:
        VideoError: it cannot be opened.
        DataError: it is nothing of the kind.
    """
    if isinstance(source, int) and not isinstance(source, bool):
        return PulledFrames.of_live(LiveVideo(source), preprocessing)
    if isinstance(source, str) and is_address(source):
        return PulledFrames.of_live(LiveVideo(source), preprocessing)
    if isinstance(source, str | os.PathLike | Clip | Tensor | numpy.ndarray):
        return DecodedFrames(open_source(source), path_of(source) or "frames in memory", preprocessing)
    if isinstance(source, Iterable) and not isinstance(source, bytes | dict):
        return PulledFrames(_timed(source, frame_rate or 1.0), "frames", preprocessing)
    raise DataError(
        "expected a path, the number of a camera, an address (rtsp://...), or an iterable of frames uint8 [3, H, W], "
        f"got {type(source).__name__}"
    )


class DecodedFrames:
    """A video whose frames can be counted: a file, a folder of images, frames in memory.

    Args:
        decoder: an open video, which is closed with this.
        name: for people.
        preprocessing: resizes.
    """

    def __init__(self, decoder: Decoder, name: str, preprocessing: Preprocessing) -> None:
        self.name = name
        self._decoder = decoder
        self._preprocessing = preprocessing
        self._last: tuple[int, float] | None = None

    @property
    def total(self) -> int | None:
        return self._decoder.metadata.num_frames

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        clip = self._preprocessing.read(self._decoder, lambda decoder: self._places(decoder, numbers))
        frames = [Frame(*one) for one in zip(numbers, clip.timestamps.tolist(), clip.frames, strict=False)]
        if frames:
            self._last = frames[-1].number, frames[-1].time
        return frames

    def number_in_source(self, number: int) -> int:
        return numbers_in_source(self._decoder, [number])[0]

    def _places(self, decoder: Decoder, numbers: Sequence[int]) -> list[int]:
        """The numbers by the decoder's present list of frames: it may find out on the way that frames are missing."""
        shift = 0
        if self._last is not None and not isinstance(decoder, ClipDecoder):  # whose list of frames is settled
            number, time = self._last
            shift = int(torch.searchsorted(decoder.timestamps, time - 1e-6)) - number
        total = decoder.metadata.num_frames
        return [number + shift for number in numbers if number + shift < total]

    def close(self) -> None:
        self._decoder.close()


class PulledFrames:
    """Frames out of an iterator. Those that nobody asks for are passed over.

    Args:
        frames: time in seconds of each, and a function that gives its pixels uint8 [3, H, W].
        name: for people.
        preprocessing: resizes.
        close: what is to be done at the end.
    """

    def __init__(
        self,
        frames: Iterable[tuple[float, Callable[[], Tensor]]],
        name: str,
        preprocessing: Preprocessing,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.total: int | None = None
        self._frames = iter(frames)
        self._next = 0
        self._preprocessing = preprocessing
        self._close = close

    @classmethod
    def of_live(cls, video: LiveVideo, preprocessing: Preprocessing) -> PulledFrames:
        """Of a camera or an address."""
        return cls(video, video.name, preprocessing, video.close)

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        taken = []
        for number in numbers:
            for time, pixels in self._frames:
                self._next += 1
                if self._next > number:
                    taken.append(Frame(number, time, self._preprocessing.resize(pixels())))
                    break
            else:
                self.total = self._next
                break
        return taken

    def number_in_source(self, number: int) -> int:
        return number

    def close(self) -> None:
        if self._close is not None:
            self._close()


def _timed(frames: Iterable[Any], frame_rate: float) -> Iterator[tuple[float, Callable[[], Tensor]]]:
    for number, frame in enumerate(frames):
        yield number / frame_rate, partial(_pixels, frame, number)


def _pixels(frame: Any, number: int) -> Tensor:
    pixels = torch.from_numpy(frame) if isinstance(frame, numpy.ndarray) else frame
    if isinstance(pixels, Tensor) and pixels.dtype == torch.uint8 and pixels.ndim == 3 and pixels.shape[0] == 3:
        return pixels.cpu()
    came = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, Tensor) else type(frame).__name__
    raise VideoError(
        "frames",
        f"frame {number} is {came}, expected uint8 [3, H, W] (channels, height, width); an array [H, W, 3] becomes one "
        "with .transpose(2, 0, 1)",
    )
