"""One ascending clock for a live source, across jumps of its own clock and reconnections."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

JUMP = 1.0
"""Seconds by which a source's clock may advance more than the local one from one frame to the next; more is a jump."""

LATE = 0.5
"""Seconds by which frames may be later than the fastest ones were."""

LATE_FOR = 5.0
"""Seconds for which frames may stay that late. Longer, the source's clock stood still or runs slow: a jump."""

FRAME_SECONDS = 0.04
"""Duration of a frame, until two with timestamps have arrived."""

FLUSHED = 0.5
"""Seconds before the end of a connection in which frames come early: parser and decoder give out what they hold."""

SHORTEST_STEP = 0.001
"""Seconds from one frame to the next, at least."""


class LiveClock:
    """Seconds that ascend from frame to frame: the source's timestamps, as long as these agree with the local clock.

    Timestamps of the first connection are kept as they are. The delay of its fastest frame relates them to the local
    clock. Timestamps of a later connection, and after a jump, are shifted by that relation, so that errors do not add
    up. A frame without timestamp gets the time of its arrival.

    Attributes:
        jumps: of the source's clock within a connection.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self._offset = 0.0
        self._delay: float | None = None
        self._delays: deque[tuple[float, float]] = deque()
        self._settled, self._is_live = False, True
        self._last: float | None = None
        self._step = FRAME_SECONDS
        self._before: tuple[float, float] | None = None
        self._late_since: float | None = None

    def connect(self, frames: Sequence[tuple[float | None, float]], *, is_live: bool = True) -> None:
        """Begin a connection.

        Args:
            frames: (timestamp, arrival) of its first frames, seconds; timestamps are None where there are none.
            is_live: whether frames arrive in real time; else arrival times are not used, and a frame without a usable
                timestamp is one frame after the last.
        """
        self._is_live = is_live
        delays = [arrival - timestamp for timestamp, arrival in frames if timestamp is not None]
        fastest = min(delays) if delays else frames[0][1]
        if self._delay is None:
            self._delay = fastest
            return
        self._settled, self._late_since, self._before = True, None, None
        self._offset = fastest - self._delay
        first = next((timestamp for timestamp, _ in frames if timestamp is not None), None)
        if first is not None and self._last is not None:
            self._offset = max(self._offset, self._last + SHORTEST_STEP - first)

    def __call__(self, timestamp: float | None, arrival: float) -> float:
        """When a frame is shown.

        Args:
            timestamp: of the source, seconds; None if the frame has none.
            arrival: by the local clock (`time.monotonic`), seconds.
        """
        assert self._delay is not None
        local = arrival - self._delay
        if not self._is_live and self._last is not None:
            local = self._last + self._step
        time = local
        if timestamp is not None:
            time = timestamp + self._offset
            if self._jumps(timestamp, time, arrival):
                self.jumps += 1
                self._settled, self._late_since = True, None
                self._offset += local - time
                time = local
            elif not self._settled:
                self._note_delay(arrival, arrival - time)
            self._before = timestamp, arrival
        if self._last is not None:
            time = max(time, self._last + SHORTEST_STEP)
            self._step = time - self._last
        self._last = time
        return time

    def _note_delay(self, arrival: float, delay: float) -> None:
        """Take over what came before the last `FLUSHED` seconds: whether these are the end is not known yet."""
        assert self._delay is not None
        self._delays.append((arrival, delay))
        while arrival - self._delays[0][0] > FLUSHED:
            self._delay = min(self._delay, self._delays.popleft()[1])

    def _jumps(self, timestamp: float, time: float, arrival: float) -> bool:
        assert self._delay is not None
        if self._last is None or self._before is None:
            return False
        advance, passed = timestamp - self._before[0], arrival - self._before[1]
        if time < self._last - LATE:
            return True
        if not self._is_live:
            return False
        if advance - passed > JUMP:
            return True
        if arrival - self._delay - time < LATE:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = arrival
        return self._late_since is not None and arrival - self._late_since > LATE_FOR
