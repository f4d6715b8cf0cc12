"""Stopping a training from outside without losing what it has done."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, TypeVar

from tubelet.distributed.process import process_info

T = TypeVar("T")

GRACE_SECONDS = 2.0
"""After the second signal, until the process is ended from outside of Python."""

HANGUP = getattr(signal, "SIGHUP", None)
"""The terminal was closed. Windows has none."""

STOPPING: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM, *(() if HANGUP is None else (HANGUP,)))
"""Signals that stop a training after a checkpoint."""

SHOW_CURSOR = "\x1b[?25h"
"""A bar hides it."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop, wrote a checkpoint and stopped. The message says how to go on.

    Args:
        message: for the user.
        signal_number: SIGINT (Ctrl-C), SIGTERM or SIGHUP; a shell expects the exit code 128 + this.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Inside the `with`, Ctrl-C, SIGTERM and SIGHUP are answered and set `signal_number`; the process goes on.

    The second one ends it as usual, within seconds even where a long operation of torch keeps Python from doing so:
    checkpoints are whole or not there. SIGHUP, which comes when the terminal is closed, is left alone where it is
    ignored (`nohup`). Outside the main thread Python has no say in signals, and nothing changes.

    Args:
        what: is done to the end first, for the answer: "this step".
    """

    SIGNALS = STOPPING

    def __init__(self, what: str = "this step") -> None:
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        self._listener = _Listener(f"stopping after {what}; press Ctrl-C once more to stop now", self.SIGNALS)

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            signals = [number for number in self.SIGNALS if not _is_left_alone(number)]
            self._before = {number: signal.signal(number, self._request) for number in signals}
            self._listener.start()
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if number == HANGUP:
            _let_go_of_terminal(self._terminals)
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
        self._listener.stop()


class _Listener:
    """A thread that hears of signals at once, also while Python's own handlers wait for the end of an operation.

    Args:
        answer: to the first one, on the standard error stream.
        signals: that count.
    """

    def __init__(self, answer: str, signals: Collection[int]) -> None:
        self._answer = answer
        self._signals = signals
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, name="tubelet-signals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is None:
            return
        signal.set_wakeup_fd(self._before, warn_on_full_buffer=False)
        self._closed.set()
        self._writing.send(b"\0")
        self._thread.join()
        self._thread = None
        self._reading.close()
        self._writing.close()

    def _listen(self) -> None:
        heard = 0
        while not self._closed.is_set():
            for number in self._reading.recv(64):
                if number in self._signals and not self._closed.is_set():
                    heard += 1
                    if heard == 1 and process_info().first:
                        _write(f"\n{self._answer}\n")
                    elif heard == 2 and not self._closed.wait(GRACE_SECONDS) and not _in_conversation():
                        _write(SHOW_CURSOR if sys.stderr.isatty() else "")
                        os._exit(128 + number)


def _is_left_alone(number: int) -> bool:
    """Whether whoever started this process wants it to live on when the terminal is closed."""
    return number == HANGUP and signal.getsignal(number) == signal.SIG_IGN


def _let_go_of_terminal(descriptors: Collection[int]) -> None:
    """What is written to a terminal that is gone would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _write(text: str) -> None:
    """To the standard error stream as the system has it: a buffer may be locked by what was interrupted."""
    with suppress(OSError):
        os.write(2, text.encode())


def _in_conversation() -> bool:
    """Whether somebody types Python here, whose session is not ours to end."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules


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
