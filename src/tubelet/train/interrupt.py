"""Stopping a training from outside without losing what it has done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop, wrote a checkpoint and stopped. The message says how to go on.

    Args:
        message: for the user.
        signal_number: SIGINT (Ctrl-C) or SIGTERM; a shell expects the exit code 128 + this.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Inside the `with`, Ctrl-C and SIGTERM set `signal_number` instead of ending the process at once.

    The second one ends it as usual. Outside the main thread Python has no say in signals, and nothing changes.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._request) for number in self.SIGNALS}
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()


class StopAsked(Exception):  # noqa: N818  # not an error
    """Inside a loop: a signal came, and nothing is half done."""


def until_stopped(batches: Iterator[T], stop: StopRequest) -> Iterator[T]:
    """The batches. Ctrl-C reaches the workers of a loader too, and where it ends them, that is no error of theirs.

    Raises:
        StopAsked: the workers were ended by the signal that `stop` has seen.
    """
    try:
        yield from batches
    except RuntimeError:
        if stop:
            raise StopAsked from None
        raise
