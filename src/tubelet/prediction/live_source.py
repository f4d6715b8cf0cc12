"""Frames of a camera or a network address, read by a thread that reconnects when the connection breaks.

    thread    connect -> decode -> clock -> samples at the model's rate -> resize -> buffer
    stream    buffer -> windows

The buffer is bounded. Where the model is slower than the camera, the oldest frames are dropped, and counted.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tubelet.errors import VideoError
from tubelet.prediction.interruptions import Interruptions
from tubelet.prediction.stream_source import Frame, TimedPixels, samples
from tubelet.video import Preprocessing
from tubelet.video.clock import FRAME_SECONDS, LiveClock
from tubelet.video.live import LiveFrame, LiveVideo, name_of

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 8.0
"""Seconds between attempts to connect again, after a first one at once; each pause is twice the one before."""

SETTLING_SECONDS, SETTLING_FRAMES = 1.0, 64
"""Frames of a new connection are collected for at most this long before its clock is set: the first come in a burst."""

NEW_FRAMES = 8
"""After so many consecutive frames that were waited for, frames count as new: the burst is over."""

PATIENCE = 1.0
"""Seconds that `close` waits for the thread, which may itself wait for a packet."""

WAKE_UP = 0.2
"""Seconds between checks, while waiting for a frame, whether to stop."""


@dataclass(frozen=True)
class LiveSettings:
    """How a live source is read.

    Attributes:
        needs: whether a frame with this number is part of a window.
        capacity: frames that are buffered for the model.
        reconnect: seconds for which a source that broke off, or ended, is tried again; 0 ends the stream there.
        stopped: called while waiting for a frame; True ends the stream.
    """

    needs: Callable[[int], bool]
    capacity: int
    reconnect: int | float
    stopped: Callable[[], bool]


class LiveFrames:
    """A live source, read in a thread until `close`.

    Args:
        source: number of a camera, or an address.
        video: the first connection.
        preprocessing: resizes the frames, and has the rate at which the source is sampled.
        settings: of the buffer and the connection.
    """

    def __init__(
        self,
        source: int | str,
        video: LiveVideo,
        preprocessing: Preprocessing,
        settings: LiveSettings,
    ) -> None:
        self.name, self.rate = video.name, preprocessing.config.sampling_rate
        self._stopped = settings.stopped
        self._reader = _Reader(source, preprocessing, settings)
        self._thread = threading.Thread(target=self._reader.run, args=(video,), name="tubelet-live", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, self._reader.stop)

    @property
    def total(self) -> int | None:
        return self._reader.total

    @property
    def interruptions(self) -> Interruptions:
        """Counts so far."""
        reader = self._reader
        return Interruptions(reader.breaks, reader.clock.jumps, reader.dropped)

    def newest(self) -> tuple[int, float] | None:
        """Number and time of the newest frame that was read; None before the first, and where none is ever dropped."""
        return None if self._reader.waits else self._reader.newest

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        taken = []
        for number in numbers:
            frame = self._wait_for(number)
            if frame is None:
                break
            taken.append(frame)
        return taken

    def _wait_for(self, number: int) -> Frame | None:
        reader = self._reader
        with reader.changed:
            while True:
                while reader.buffer and reader.buffer[0].number < number:
                    reader.buffer.popleft()
                    reader.dropped += reader.total is None
                if reader.buffer:
                    reader.changed.notify_all()
                    return reader.buffer.popleft() if reader.buffer[0].number == number else None
                if reader.total is not None:
                    if reader.error is not None:
                        raise reader.error
                    return None
                if self._stopped():
                    return None
                reader.changed.wait(WAKE_UP)

    def close(self) -> None:
        self._finalizer()
        if threading.current_thread() is not self._thread:
            self._thread.join(PATIENCE)


class _Reader:
    """The work of the thread. It has no reference to `LiveFrames`, so that this can be collected, which stops it.

    Attributes:
        waits: whether frames come faster than real time: a file of unknown length, or segments. Then the thread waits
            for the model, and the end of the source is the end of the stream.
    """

    def __init__(self, source: int | str, preprocessing: Preprocessing, settings: LiveSettings) -> None:
        self.changed = threading.Condition()
        self.buffer: deque[Frame] = deque()
        self.total: int | None = None
        self.error: BaseException | None = None
        self.newest: tuple[int, float] | None = None
        self.clock = LiveClock()
        self.breaks = self.dropped = 0
        self.waits = False
        self._source, self._name, self._preprocessing = source, name_of(source), preprocessing
        # without `stopped`, which may refer to the stream and would keep it from being collected
        self._needs, self._capacity, self._reconnect = settings.needs, settings.capacity, settings.reconnect
        self._stop = threading.Event()
        self._seen, self._pause = time.monotonic(), 0.0

    def stop(self) -> None:
        self._stop.set()

    def run(self, video: LiveVideo) -> None:
        number = -1
        error: BaseException | None = None
        newest: Frame | None = None
        try:
            for number, sample in enumerate(samples(self._frames(video), self._preprocessing.config.sampling_rate)):
                frame = None
                if self._needs(number):
                    same = newest is not None and newest.in_source == sample.in_source
                    pixels = newest.pixels if newest and same else self._preprocessing.resize(sample.pixels())
                    frame = newest = Frame(number, sample.time, pixels, sample.in_source)
                self._put(number, sample.time, frame)
        except Exception as problem:  # noqa: BLE001  # raised again where the frames are taken
            error = problem
        with self.changed:
            self.total, self.error = number + 1, error
            self.changed.notify_all()

    def _put(self, number: int, shown: float, frame: Frame | None) -> None:
        with self.changed:
            self.newest = number, shown
            if frame is not None:
                self.buffer.append(frame)
                self.changed.notify_all()
            while len(self.buffer) > self._capacity and not self._stop.is_set():
                if self.waits:
                    self.changed.wait(WAKE_UP)
                else:
                    self.buffer.popleft()
                    self.dropped += 1

    # --- connections -----------------------------------------------------------------------------------------------

    def _frames(self, video: LiveVideo | None) -> Iterator[TimedPixels]:
        while video is not None:
            broken = None
            first = shown = None
            try:
                for frame in self._settled(iter(video), video.opened):
                    self._seen, self._pause = time.monotonic(), 0.0
                    shown = self.clock(frame.timestamp, frame.arrival)
                    first = shown if first is None else first
                    yield shown, frame.pixels
                    if self._stop.is_set():
                        return
            except VideoError as error:
                broken = error.reason
            finally:
                video.close()
            if first is not None and shown is not None:
                self.waits |= _is_quicker(shown - first, video.opened)
            video = self._again(broken)

    def _settled(self, frames: Iterator[LiveFrame], opened: float) -> Iterator[LiveFrame]:
        """The frames of a connection, once its delay is known. The first were buffered by the source."""
        begun: list[LiveFrame] = []
        started = time.monotonic()
        is_new, broken = False, None
        try:
            for frame in frames:
                begun.append(frame)
                last = begun[-NEW_FRAMES:]
                is_new = len(last) == NEW_FRAMES and _waited(last) > _seconds(last) / 2
                enough = len(begun) >= SETTLING_FRAMES or time.monotonic() - started > SETTLING_SECONDS
                if is_new or enough or self._stop.is_set():
                    break
        except VideoError as error:
            broken = error
        if begun:
            begun = _timed_from_the_start(begun)
            self.waits = not is_new and _is_quicker(_seconds(begun), opened)
            timed = [(frame.timestamp, frame.arrival) for frame in begun]
            self.clock.connect(timed, is_live=not self.waits)
        yield from begun
        if broken is not None:
            raise broken
        yield from frames

    def _again(self, broken: str | None) -> LiveVideo | None:
        """The next connection; None at the end of the stream.

        Args:
            broken: why the last one ended; None if the source ended it.

        Raises:
            VideoError: reconnecting failed for `LiveSettings.reconnect` seconds.
        """
        if self._reconnect <= 0 or self.waits:
            if broken is not None and not self._stop.is_set():
                raise VideoError(self._name, broken)
            return None
        why = "it sends no frame"
        while time.monotonic() - self._seen < self._reconnect:
            if self._stop.wait(self._pause):
                return None
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
            try:
                video = LiveVideo(self._source)
            except VideoError as error:
                why = error.reason
                continue
            self.breaks += 1
            return video
        raise VideoError(
            self._name,
            f"{broken or 'the source ended'}, and for {self._reconnect:g} s it could not be connected again: {why}",
        )


def _timed_from_the_start(frames: list[LiveFrame]) -> list[LiveFrame]:
    """Frames before the first one with a timestamp get theirs from it: FFmpeg gives the first one of RTSP none."""
    known = [(number, frame.timestamp) for number, frame in enumerate(frames) if frame.timestamp is not None]
    if not known:
        return frames
    (first, start), (last, end) = known[0], known[-1]
    step = (end - start) / (last - first) if last > first and end > start else FRAME_SECONDS
    early = [frame._replace(timestamp=start - (first - number) * step) for number, frame in enumerate(frames[:first])]
    return early + frames[first:]


def _seconds(frames: Sequence[LiveFrame]) -> float:
    """From the first timestamp to the last; without timestamps, at `FRAME_SECONDS` each."""
    first, last = frames[0].timestamp, frames[-1].timestamp
    return (len(frames) - 1) * FRAME_SECONDS if first is None or last is None else last - first


def _is_quicker(seconds: float, opened: float) -> bool:
    """Whether so many seconds of video came in less than half the time since the connection was opened."""
    return seconds > 2 * (time.monotonic() - opened)


def _waited(frames: Sequence[LiveFrame]) -> float:
    """Seconds of waiting for all of them but the first."""
    return sum(frame.waited for frame in frames[1:])
