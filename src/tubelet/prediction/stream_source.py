"""Sources of a stream: frames in order, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy
import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.prediction.sources import Source
from tubelet.video import Decoder, Preprocessing, RateSampler, VideoMetadata, sample_at_rate
from tubelet.video.in_memory import InMemoryDecoder, numbers_in_source

StreamSource: TypeAlias = Source | int | Iterable[Any]
"""A path, a `Clip`, frames [T, 3, H, W], the number of a camera, an address, or an iterable of frames [3, H, W]."""

TimedPixels: TypeAlias = tuple[float, Callable[[], Tensor]]
"""When a frame is shown, seconds, and a function that gives it: uint8 [3, H, W]."""


class Frame(NamedTuple):
    """A frame of a stream.

    Attributes:
        number: in the stream, at the rate at which it is sampled.
        time: seconds.
        pixels: resized.
        in_source: its number in the video it comes from; a clip may be a part of one.
    """

    number: int
    time: float
    pixels: UInt8[Tensor, "3 h w"]
    in_source: int


@runtime_checkable
class FrameSource(Protocol):
    """Frames by number, in ascending order: a frame cannot be read again.

    Attributes:
        name: of the source, in messages.
        rate: frames per second at which the source is sampled by timestamps; None if by the numbers of its frames.
    """

    name: str
    rate: float | None

    @property
    def total(self) -> int | None:
        """How many frames there are, where that is known."""
        ...

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        """The frames with these ascending numbers; fewer at the end."""
        ...

    def close(self) -> None:
        """Close the file or camera."""
        ...


class DecodedFrames:
    """A video whose frames can be counted: a file, a folder of images, frames in memory.

    Args:
        decoder: an open video, which is closed with this.
        name: of the source, in messages.
        preprocessing: resizes the frames, and has the rate at which the video is sampled.
    """

    def __init__(self, decoder: Decoder, name: str, preprocessing: Preprocessing) -> None:
        self.name = name
        self.rate = preprocessing.config.sampling_rate if decoder.metadata.has_clock else None
        self._decoder = decoder
        self._preprocessing = preprocessing
        self._last: tuple[int, float] | None = None
        self._listed: tuple[VideoMetadata, list[int], list[float]] | None = None

    @property
    def total(self) -> int | None:
        return len(self._samples()[0])

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        clip = self._preprocessing.read(self._decoder, lambda decoder: self._frames(numbers))
        in_source, times = self._samples()
        positions = self._positions(numbers)
        sources = numbers_in_source(self._decoder, [in_source[position] for position in positions])
        times = [times[position] for position in positions]
        frames = [Frame(*values) for values in zip(numbers, times, clip.frames, sources, strict=False)]
        if frames:
            self._last = frames[-1].number, frames[-1].time
        return frames

    def _samples(self) -> tuple[list[int], list[float]]:
        """Numbers and times of the frames of the stream, by the decoder's present list of frames."""
        metadata = self._decoder.metadata
        if self._listed is None or self._listed[0] != metadata:
            times = self._decoder.timestamps.tolist()
            numbers = list(range(len(times)))
            if self.rate is not None:
                numbers, times = sample_at_rate(times, self.rate)
            self._listed = metadata, numbers, times
        return self._listed[1:]

    def _frames(self, numbers: Sequence[int]) -> list[int]:
        in_source, _ = self._samples()
        return [in_source[position] for position in self._positions(numbers)]

    def _positions(self, numbers: Sequence[int]) -> list[int]:
        """The positions of numbers in the present list: the decoder may find on the way that frames are missing."""
        shift, times = 0, self._samples()[1]
        if self._last is not None and not isinstance(self._decoder, InMemoryDecoder):  # it never changes
            number, time = self._last
            shift = int(numpy.searchsorted(times, time - 1e-6)) - number
        return [number + shift for number in numbers if number + shift < len(times)]

    def close(self) -> None:
        self._decoder.close()


class PulledFrames:
    """Frames of an iterator. Those that are not asked for are skipped.

    Args:
        frames: time of each, ascending, and a function that gives its pixels.
        name: of the source, in messages.
        preprocessing: resizes.
        rate: frames per second to sample at; None takes every frame.
        close: called at the end.
    """

    def __init__(
        self,
        frames: Iterable[TimedPixels],
        name: str,
        preprocessing: Preprocessing,
        *,
        rate: float | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name, self.rate = name, rate
        self.total: int | None = None
        self._samples = samples(frames, rate)
        self._next = 0
        self._preprocessing = preprocessing
        self._close = close

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        taken = []
        for number in numbers:
            for sample in self._samples:
                self._next += 1
                if self._next > number:
                    pixels = self._preprocessing.resize(sample.pixels())
                    taken.append(Frame(number, sample.time, pixels, sample.in_source))
                    break
            else:
                self.total = self._next
                break
        return taken

    def close(self) -> None:
        if self._close is not None:
            self._close()


class Sample(NamedTuple):
    """A frame of a source, chosen for a time of a stream."""

    time: float
    pixels: Callable[[], Tensor]
    in_source: int


def samples(frames: Iterable[TimedPixels], rate: float | None) -> Iterator[Sample]:
    """The frames of a source at a fixed rate, by their times; all of them where `rate` is None."""
    if rate is None:
        for number, (time, pixels) in enumerate(frames):
            yield Sample(time, pixels, number)
        return
    sampler = RateSampler(rate)
    newest: Sample | None = None
    for number, (time, pixels) in enumerate(frames):
        before, this = sampler.push(time)
        if newest is not None:
            yield from (newest._replace(time=shown) for shown in before)
        newest = Sample(time, pixels, number)
        yield from (newest._replace(time=shown) for shown in this)
    if newest is not None:
        yield from (newest._replace(time=shown) for shown in sampler.finish())


def timed(frames: Iterable[Any], frame_rate: float) -> Iterator[TimedPixels]:
    """Frames uint8 [3, H, W] of an iterable, with times at this many frames per second.

    Raises:
        VideoError: when its pixels are read, a frame has another type or shape.
    """
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
