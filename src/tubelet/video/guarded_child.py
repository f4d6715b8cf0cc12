"""The processes that open files of strangers; see `tubelet.video.guarded`."""

from __future__ import annotations

import errno
import importlib
import mmap
import os
import pickle
import resource
import select
import signal
from collections.abc import Generator
from inspect import isgeneratorfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tubelet.errors import TubeletError, VideoError
from tubelet.video.guarded_wire import LENGTH, read_request, write_answer

if TYPE_CHECKING:
    from tubelet.video.guarded import Bounds

OPEN_FILES = 64

HALFWAY = 2**63
"""Added to the number of a request while it, or its answer, is on its way: who dies then leaves half in a pipe."""


def main() -> None:
    """Import, and keep one worker running until the parent is gone. No file of a stranger is opened in this process."""
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a library prints is no answer
    first = read_request(requests)
    if first is None:
        return
    bounds, preload = pickle.loads(first)  # noqa: S301  # of the parent
    for module in preload:
        importlib.import_module(module)
    torch.set_num_threads(1)
    at_work = mmap.mmap(-1, LENGTH.size)  # shared with the worker: the number of the request that it works on
    write_answer(answers, "ready", 0, None)
    while True:
        worker = os.fork()
        if not worker:
            _Worker(requests, answers, at_work, bounds).run()
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        number = LENGTH.unpack(at_work)[0]
        if number >= HALFWAY or (code == 0 and number):
            return
        if number:
            write_answer(answers, "died", number, code)
        elif code == 0:
            return
        at_work[:] = LENGTH.pack(0)


class _Worker:
    """The forked process: bounded, and busy until it ends."""

    def __init__(self, requests: int, answers: int, at_work: mmap.mmap, bounds: Bounds) -> None:
        self._requests, self._answers, self._at_work, self._bounds = requests, answers, at_work, bounds
        self._number = 0

    def run(self) -> None:
        _limit(self._bounds)
        for _ in range(self._bounds.tasks):
            message = self._next()
            if message is None:
                return
            try:
                self._work(message)
            except MemoryError:
                self._answer("memory", None)
            except TubeletError as error:
                words = error.reason if isinstance(error, VideoError) else str(error)
                self._answer("error", [type(error).__name__, words])
            except Exception as error:  # noqa: BLE001  # the parent says what it was
                if _is_want_of_memory(error):
                    self._answer("memory", None)
                else:
                    self._answer("error", [type(error).__name__, " ".join(str(error).split())[:500]])
        os._exit(RETIRED)

    def _work(self, message: tuple[Any, ...]) -> None:
        _, function, arguments = message
        if isgeneratorfunction(function):
            self._converse(function(*arguments))
        else:
            self._answer("return", function(*arguments))

    def _converse(self, generator: Generator[Any, Any, Any]) -> None:
        """Yield to the parent, and send what it gives, until either ends."""
        given: Any = None
        try:
            while True:
                self._answer("yield", generator.send(given))
                message = self._next()
                if message is None:
                    os._exit(0)
                if message[0] == "stop":
                    generator.close()
                    self._answer("return", None)
                    return
                given = message[1]
        except StopIteration as end:
            self._answer("return", end.value)

    def _next(self) -> tuple[Any, ...] | None:
        """The next request; the clock starts with it."""
        waiting = select.poll()
        waiting.register(self._requests, select.POLLIN)
        waiting.poll()  # takes nothing from the pipe, so that a worker that is killed while it is idle loses nothing
        self._at_work[:] = LENGTH.pack(HALFWAY)
        request = read_request(self._requests)
        if request is None:
            self._at_work[:] = LENGTH.pack(0)
            return None
        self._number, message = pickle.loads(request)  # noqa: S301  # of the parent
        self._at_work[:] = LENGTH.pack(self._number)
        # The system counts processor time from the start of the process, in whole seconds.
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + self._bounds.cpu_seconds) + 1, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_REAL, self._bounds.seconds)
        return message

    def _answer(self, kind: str, value: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._at_work[:] = LENGTH.pack(self._number + HALFWAY)
        try:
            write_answer(self._answers, kind, self._number, value)
        except BrokenPipeError:  # the parent was killed
            os._exit(0)
        self._at_work[:] = LENGTH.pack(0)


RETIRED = 75
"""Exit code of a worker that has done its share of tasks."""


def _limit(bounds: Bounds) -> None:
    """Bound the address space, files, and what a crash leaves; signals that end a process do so."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():  # elsewhere the system does not hold to a bound of the address space
        here = int(statistics.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (here + bounds.memory, here + bounds.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (bounds.file_bytes, bounds.file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _is_want_of_memory(error: Exception) -> bool:
    return getattr(error, "errno", None) == errno.ENOMEM or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
