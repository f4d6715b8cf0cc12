"""One clock for a live source, however often its own clock jumps or its connection is made anew."""

from __future__ import annotations

from collections.abc import Sequence

JUMP = 1.0
"""Seconds by which a clock may advance further than the time here, from one frame to the next, and not be set anew."""

LATE = 0.5
"""Seconds by which frames may be later than the quickest ones were."""

LATE_FOR = 5.0
"""Seconds for which frames may stay that late: then the source's clock stood still meanwhile, or runs slow."""

FRAME_SECONDS = 0.04
"""Of a frame, until two with timestamps have come."""

SHORTEST_STEP = 0.001
"""Seconds from one frame to the next, at least."""


class LiveClock:
    """Seconds that ascend from frame to frame, by the source's timestamps as long as these agree with the time here.

    The first connection decides: its timestamps are kept as they are. How long its quickest frame was on the way
    relates them to the time here. A later connection, and a clock that was set anew, are placed by that, so that errors
    do not add up. A frame without timestamp is placed by its arrival.

    Attributes:
        jumps: how often the clock was set anew within a connection.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self._offset = 0.0
        self._delay: float | None = None
        self._settled, self._is_live = False, True
        self._last: float | None = None
        self._step = FRAME_SECONDS
        self._before: tuple[float, float] | None = None
        self._late_since: float | None = None

    def connect(self, frames: Sequence[tuple[float | None, float]], *, is_live: bool = True) -> None:
        """Begin a connection.

        Args:
            frames: (timestamp, arrival) of its first frames, seconds; timestamps are None where there are none.
            is_live: whether frames come as they are filmed; else nothing follows from when they come, and where the
                timestamps do not help times go on by one frame.
        """
        self._is_live = is_live
        delays = [arrival - timestamp for timestamp, arrival in frames if timestamp is not None]
        quickest = min(delays) if delays else frames[0][1]
        if self._delay is None:
            self._delay = quickest
            return
        self._settled, self._late_since, self._before = True, None, None
        self._offset = quickest - self._delay
        first = next((timestamp for timestamp, _ in frames if timestamp is not None), None)
        if first is not None and self._last is not None:
            self._offset = max(self._offset, self._last + SHORTEST_STEP - first)

    def __call__(self, timestamp: float | None, arrival: float) -> float:
        """When a frame is shown.

        Args:
            timestamp: of the source, seconds; None if the frame has none.
            arrival: by the clock of this machine (`time.monotonic`), seconds.
        """
        assert self._delay is not None
        here = arrival - self._delay
        if not self._is_live and self._last is not None:
            here = self._last + self._step
        time = here
        if timestamp is not None:
            time = timestamp + self._offset
            if self._is_set_anew(timestamp, time, arrival):
                self.jumps += 1
                self._settled, self._late_since = True, None
                self._offset += here - time
                time = here
            elif not self._settled:
                self._delay = min(self._delay, arrival - time)
            self._before = timestamp, arrival
        if self._last is not None:
            time = max(time, self._last + SHORTEST_STEP)
            self._step = time - self._last
        self._last = time
        return time

    def _is_set_anew(self, timestamp: float, time: float, arrival: float) -> bool:
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
