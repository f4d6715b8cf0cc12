"""Sampling the frames of a video at a fixed rate, by their timestamps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

RATE_TOLERANCE = 0.01
"""Relative difference up to which frame rates count as equal: 29.97 and 30."""

LONGEST_FRAME = 60.0
"""Seconds for which a frame may be shown. A longer step is a jump of the clock."""


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
