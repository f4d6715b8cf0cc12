"""Which frames of a video make a clip. Plain integers: nothing here touches a file.

All functions count frames inside the part of the video that is used (`window`); add its first index to get indices of
the whole video.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Literal

import numpy
import torch
from torch import Generator, Tensor

TIME_TOLERANCE = 1e-6
"""Seconds of tolerance at the edges of a window."""


RATE_TOLERANCE = 0.01
"""Relative difference up to which frame rates count as equal: 29.97 and 30."""

LONGEST_FRAME = 60.0
"""Seconds for which a frame may be shown. A longer step is a jump of the clock."""


def window(
    timestamps: Tensor | Sequence[float], start: int | float | None = None, end: int | float | None = None
) -> tuple[int, int]:
    """The frames whose timestamps lie in [start, end).

    Args:
        timestamps: [N], seconds, ascending.
        start: seconds on the same clock; None is the beginning of the video.
        end: seconds; None is the end of the video.

    Returns:
        (first, last): indices of the first frame and of the one after the last; equal if there is no frame in between.
    """
    times = timestamps.tolist() if isinstance(timestamps, Tensor) else timestamps
    first = 0 if start is None else bisect.bisect_left(times, start - TIME_TOLERANCE)
    last = len(times) if end is None else bisect.bisect_left(times, end - TIME_TOLERANCE)
    return first, max(first, last)


def clip_starts(num_frames: int, span: int, clips: int) -> list[int]:
    """Where the clips of an evaluation start.

    One clip is in the middle; several are spread from the beginning to the end. As in DMVR, which Scenic uses
    (`sample_sequence` and `sample_linspace_sequence`), a clip counts as `span = frames * stride` frames long:
    250 frames, 32 frames at stride 2, 4 clips start at 0, 62, 124 and 186.

    Args:
        num_frames: frames there are.
        span: frames that one clip takes up, frames of the clip times stride.
        clips: how many.

    Returns:
        ascending starts; all 0 where the video is not longer than one clip.
    """
    spare = max(0, num_frames - span)
    if clips == 1:
        return [spare // 2]
    return torch.linspace(0, spare, clips, dtype=torch.float32).int().tolist()


def window_starts(num_frames: int, span: int, hop: int) -> list[int]:
    """Where overlapping windows start that cover a video to its end.

    Args:
        num_frames: frames there are.
        span: frames that one clip takes up, as for `clip_starts`.
        hop: frames from one start to the next.

    Returns:
        0, hop, 2 hop and so on; the last window ends with the video, so that its step may be shorter.
    """
    spare = max(0, num_frames - span)
    starts = list(range(0, spare + 1, hop))
    return starts if starts[-1] == spare else [*starts, spare]


def whole_length(num_frames: int, stride: int, multiple: int = 1) -> int:
    """Frames of a clip that takes every `stride`-th frame of a whole video, a multiple of `multiple` and at least that.

    A remainder at the end of the video is left out; a video too short for one multiple is continued as a short clip is.
    """
    frames = -(-num_frames // stride)
    return max(multiple, frames // multiple * multiple)


def clip_indices(
    start: int, num_frames: int, stride: int, total: int, short: Literal["loop", "mask"] = "loop"
) -> tuple[list[int], list[bool]]:
    """The frames of one dense clip.

    Args:
        start: of the clip, in [0, total).
        num_frames: frames of the clip.
        stride: every how many frames one is taken.
        total: frames there are.
        short: what happens where the video ends before the clip: `loop` starts over from its first frame (as Scenic,
            which tiles the list of frames until it is long enough); `mask` holds the clip's last frame.

    Returns:
        indices in [0, total), and which of them are real: held ones are not, all others are.
    """
    wanted = [start + step * stride for step in range(num_frames)]
    if short == "loop":
        return [index % total for index in wanted], [True] * num_frames
    real = [index < total for index in wanted]
    last = max(index for index in wanted if index < total)
    return [min(index, last) for index in wanted], real


def random_start(total: int, span: int, generator: Generator | None = None) -> int:
    """A start for a training clip, each equally likely from 0 to `total - span`; 0 where the video is too short.

    With `span` the frames from the clip's first to its last, `(frames - 1) * stride + 1`, these are the
    random starts of Scenic (`sample_sequence` of DMVR).
    """
    return int(torch.randint(max(0, total - span) + 1, (), generator=generator))


def uniform_indices(total: int, num_frames: int, *, clip: int = 0, clips: int = 1) -> list[int]:
    """Frames spread over the whole video: it is cut into `num_frames` equal parts and each gives one frame.

    A single clip takes the middle of each part. Several clips take different frames of it, in equal steps: together
    `clips * num_frames` evenly spaced frames.

    Returns:
        `num_frames` ascending indices; some repeat if the video has fewer frames than that.
    """
    return [(2 * (part * clips + clip) + 1) * total // (2 * num_frames * clips) for part in range(num_frames)]


class RateSampler:
    """Samples frames with timestamps at a fixed rate: for times 1 / rate apart, the nearest frame, of two the earlier.

    The first time is that of the first frame. The times follow a source of an equal rate (`RATE_TOLERANCE`), so that
    each of its frames is taken once, however long it lasts.

    Args:
        rate: samples per second.
    """

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._tolerance = RATE_TOLERANCE * self._step
        self._wanted: float | None = None
        self._before = 0.0
        self._shown = 0.0

    def push(self, time: float) -> tuple[list[float], list[float]]:
        """Take note of the next frame.

        Args:
            time: when it is shown, seconds; later than the frame before.

        Returns:
            the times, in seconds, for which the frame before is the nearest, and those for which this one is. A time
            within half a sample of its frame's is the frame's own.
        """
        if self._wanted is None or time - self._before > LONGEST_FRAME:
            self._wanted, self._before, self._shown = time, time, 0.0
        before: list[float] = []
        this: list[float] = []
        while self._wanted <= time + self._tolerance:
            if self._before < time and self._wanted - self._before <= time - self._wanted + self._tolerance:
                self._take(before, self._before)
            else:
                self._take(this, time)
        self._shown, self._before = time - self._before, time
        return before, this

    def finish(self) -> list[float]:
        """The times left for the last frame, which is taken to be shown for as long as the one before it."""
        last: list[float] = []
        while self._wanted is not None and self._wanted < self._before + self._shown - self._step / 2:
            self._take(last, self._before)
        return last

    def _take(self, times: list[float], shown: float) -> None:
        assert self._wanted is not None
        missed = shown - self._wanted
        times.append(shown if abs(missed) <= self._step / 2 else self._wanted)
        self._wanted += self._step + min(max(missed, -self._tolerance), self._tolerance)


def sample_at_rate(timestamps: Sequence[float], rate: float) -> tuple[list[int], list[float]]:
    """The frames of a video at a fixed rate; see `RateSampler`.

    Args:
        timestamps: of the frames, seconds, ascending.
        rate: samples per second.

    Returns:
        numbers of the frames, ascending, some more than once where the video has fewer frames; and the time of each.
    """
    seconds = numpy.asarray(timestamps, dtype=numpy.float64)
    count = len(seconds)
    if count and (abs(seconds - seconds[0] - numpy.arange(count) / rate) < 0.4 / rate).all():
        return list(range(count)), list(timestamps)
    sampler = RateSampler(rate)
    numbers: list[int] = []
    times: list[float] = []
    for number, time in enumerate(timestamps):
        before, this = sampler.push(time)
        numbers += [number - 1] * len(before) + [number] * len(this)
        times += before + this
    last = sampler.finish()
    return numbers + [count - 1] * len(last), times + last
