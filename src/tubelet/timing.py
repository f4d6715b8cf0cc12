"""Seconds of calls that are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def seconds_in_turn(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The median seconds of each call. They take turns, so that what else the machine does is shared among them.

    Args:
        calls: each has been called before.
        rounds: how often each is called.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, seconds, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in seconds]
