"""Errors for worker processes that hang or were killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tubelet.errors import WorkerError

PATIENCE = 1800.0
"""Seconds that a worker may take for a batch, by default."""


@contextmanager
def watched(workers: Sequence[Any], patience: float) -> Iterator[None]:
    """Wait for a batch inside the `with`: workers that do not answer in time are ended.

    torch's own timeout does not help where a worker was halted: for a batch that it has announced there is none.
    """
    if not workers:
        yield
        return
    hangs = threading.Event()

    def end() -> None:
        hangs.set()
        for worker in workers:
            worker.kill()  # a halted process does not receive SIGTERM

    timer = threading.Timer(patience, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        ends = hangs.is_set() or isinstance(error, OSError | EOFError)
        ended = _one_ended(workers, 1.0 if ends else 0.0)
        if hangs.is_set():
            raise WorkerError(
                f"the processes that read videos gave no batch in {patience:g} seconds: they hang, most often on a "
                "network disk that does not answer. See that the videos can be read; a training goes on with --resume"
            ) from error
        if ended:
            raise WorkerError(
                "a process that reads videos was ended from outside, most often by the system for want of memory; use "
                "fewer --workers or a smaller --batch-size; a training goes on with --resume"
            ) from error
        raise
    finally:
        timer.cancel()


def _one_ended(workers: Sequence[Any], seconds: float) -> bool:
    """Whether a worker has ended, or does within some seconds.

    A process that is killed closes its sockets first. A batch that is being received then fails a little before the
    end can be seen; torch's handler of SIGCHLD raises at the end, here rather than somewhere in a training step.
    """
    until = time.monotonic() + seconds
    try:
        while all(worker.is_alive() for worker in workers):
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
    except RuntimeError:  # of torch's handler
        pass
    return True
