"""Decoding files of strangers in processes of their own, which may crash, hang or run out of memory alone.

    parent       GuardedPool.call(function, path, ...)   pickled function and arguments ->
    supervisor   imports all once; forks a worker, and another when that one ended, which takes milliseconds
    worker       bounds of memory, time and files; no socket; runs the function
    parent                                               <- plain values and tensors, no pickles

`av.open` already decodes, so that a file of a stranger is opened nowhere but in workers. A worker that dies, hangs or
runs out of memory costs the one request that it worked on.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tubelet.errors import ConfigError, DecoderCrashError, DecoderTimeoutError, VideoError, WorkerError
from tubelet.video.clip import REENCODE
from tubelet.video.guarded_wire import EndedError, LateError, read_answer, write_all

START_SECONDS = 120.0
"""A process that has not begun by then never will."""

GRACE = 5.0
"""Seconds after which a worker is killed from outside that was to end itself by the clock."""

CHILD = "from tubelet.video.guarded_child import main; main()"

KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "TUBELET_TYPECHECK", "JAXTYPING_DISABLE")
KEPT_BEGINNINGS = ("LC_", "LD_", "DYLD_", "PYTHON")
"""Of the environment; what else is in it, keys for instance, is no business of a process that opens strange files."""


@dataclass(frozen=True)
class Bounds:
    """What a guarded process may take.

    Attributes:
        memory: bytes of address space beyond what it has before its first task.
        cpu_seconds: of processor time for a task; of a session, until its next answer.
        seconds: by the clock, the same.
        file_bytes: of a file that it writes.
        answer_bytes: of an answer.
        tasks: after so many a worker is replaced, so that what a decoder leaks stays bounded.

    Raises:
        ConfigError: one of them is not above 0.
    """

    memory: int = 2**31
    cpu_seconds: int | float = 60
    seconds: int | float = 60
    file_bytes: int = 2**30
    answer_bytes: int = 2**31
    tasks: int = 1000

    def __post_init__(self) -> None:
        wrong = [f"{name}={value}" for name, value in vars(self).items() if not value > 0]
        if wrong:
            raise ConfigError(f"bounds of guarded processes must be above 0, got {', '.join(wrong)}")


class GuardedPool:
    """Processes that wait for work, and are replaced when they end.

    Functions are of modules, found by their names; what they return is made of None, numbers, words, bytes, lists,
    dictionaries and tensors. Several threads may call at once: as many as there are processes are served, the others
    wait.

    Args:
        processes: how many.
        bounds: of each.
        preload: modules that a process imports before it is bounded.

    Raises:
        ConfigError: no process, or a system without such bounds.
    """

    def __init__(self, processes: int, bounds: Bounds = Bounds(), preload: tuple[str, ...] = ()) -> None:  # frozen
        if processes < 1:
            raise ConfigError(f"processes={processes} must be at least 1")
        if os.name != "posix":
            raise ConfigError("guarded decoding bounds processes as POSIX systems do: Linux, macOS, WSL")
        self.bounds = bounds
        self._preload = preload
        self._lock = threading.Lock()
        self._closed = False
        self._all: set[_Process] = set()
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        self.replaced = 0
        for _ in range(processes):
            self._start()

    def call(self, function: Callable[..., Any], path: str, *arguments: Any) -> Any:
        """`function(path, *arguments)` in a guarded process.

        Args:
            function: of a module.
            path: of the file that it opens, first of its arguments.
            arguments: that can be pickled.

        Raises:
            VideoError: the function raised it, or it needs too much memory; a DecoderCrashError if the process ended, a
                DecoderTimeoutError if it ran out of time.
            TubeletError: the function raised it: a ConfigError, for instance.
            WorkerError: no process can be started.
        """
        with self._borrowed(path) as process:
            return process.ask(path, ("call", function, (path, *arguments)), self.bounds)[1]

    @contextmanager
    def session(self, function: Callable[..., Any], path: str, *arguments: Any) -> Iterator[Session]:
        """A generator in a guarded process, which this thread has for itself until the end of the `with`.

        Args:
            function: of a module, `function(path, *arguments)` is a generator.
            path: of the file that it opens.
            arguments: that can be pickled.

        Raises:
            VideoError: see `call`; so do the methods of the session.
        """
        with self._borrowed(path) as process:
            session = Session(process, path, self.bounds)
            session._advance(("call", function, (path, *arguments)))
            try:
                yield session
            finally:
                session.end()

    def process_ids(self) -> list[int]:
        """Of the processes at present."""
        with self._lock:
            return [process.child.pid for process in self._all]

    def wait_until_ready(self) -> None:
        """Wait until every process can work.

        Raises:
            WorkerError: one cannot be started.
        """
        with self._lock:
            processes = list(self._all)
        for process in processes:
            process.wait_until_ready()

    def close(self) -> None:
        """End all processes, those that work too."""
        with self._lock:
            self._closed = True
            processes, self._all = self._all, set()
        for process in processes:
            process.end()

    def __enter__(self) -> GuardedPool:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                return
            process = _Process(self.bounds, self._preload)
            self._all.add(process)
        self._idle.put(process)

    def _replace(self, process: _Process) -> None:
        process.end()
        with self._lock:
            self._all.discard(process)
            self.replaced += 1
        self._start()

    @contextmanager
    def _borrowed(self, path: str) -> Iterator[_Process]:
        process = self._take()
        try:
            yield process
        finally:
            if process.usable:
                self._idle.put(process)
            else:
                self._replace(process)

    def _take(self) -> _Process:
        """A process that is ready; one that ended while it was idle is replaced, and costs nobody anything."""
        while not self._closed:
            try:
                process = self._idle.get(timeout=1.0)
            except queue.Empty:
                continue
            if not process.began:
                try:
                    process.wait_until_ready()
                except WorkerError:
                    self._replace(process)
                    raise
            if process.child.poll() is None:
                return process
            self._replace(process)
        raise WorkerError("the guarded processes were closed")


class Session:
    """A generator that runs in a guarded process.

    Attributes:
        value: what it yielded last.
        ended: whether it came to its end.
    """

    def __init__(self, process: _Process, path: str, bounds: Bounds) -> None:
        self._process, self._path, self._bounds = process, path, bounds
        self.value: Any = None
        self.ended = False

    def send(self, value: Any = None) -> Any:
        """What the generator yields next, given this; None if it ends."""
        if self.ended:
            return None
        return self._advance(("send", value))

    def end(self) -> None:
        """End the generator where it is. Twice is fine."""
        if not self.ended:
            self._advance(("stop",))

    def _advance(self, message: tuple[Any, ...]) -> Any:
        self.ended = True  # also after an error
        kind, self.value = self._process.ask(self._path, message, self._bounds)
        self.ended = kind == "return"
        return self.value


class _Process:
    """A supervisor with its worker, and the two pipes to them."""

    def __init__(self, bounds: Bounds, preload: tuple[str, ...]) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in KEPT_VARIABLES or name.startswith(KEPT_BEGINNINGS)
        }
        there = os.pathsep.join(path for path in sys.path if path)
        single = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**kept, **single, "PYTHONPATH": there},
            start_new_session=True,  # Ctrl-C in a terminal is for the parent, which lets tasks end
        )
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self._into, self._out_of = self.child.stdin.fileno(), self.child.stdout.fileno()
        self._lock = threading.Lock()
        self.usable, self.began, self._number = True, False, 0
        write_all(self._into, pickle.dumps((bounds, preload)))

    def wait_until_ready(self) -> None:
        with self._lock:
            if self.began:
                return
            try:
                read_answer(self._out_of, time.monotonic() + START_SECONDS, 1)
            except (EndedError, LateError) as error:
                self.usable = False
                self.end()
                raise WorkerError(
                    f"a process for decoding did not start (exit code {self.child.returncode}); standard error says why"
                ) from error
            self.began = True

    def ask(self, path: str, message: tuple[Any, ...], bounds: Bounds) -> tuple[str, Any]:
        """What the worker answers: ("return" or "yield", value).

        Raises:
            VideoError, TubeletError: what the worker raised, or how it ended.
        """
        if not self.usable:
            raise VideoError(path, "its decoder has ended already")
        self.usable = False  # until it has answered
        self._number += 1
        until = time.monotonic() + bounds.seconds + GRACE
        try:
            write_all(self._into, pickle.dumps((self._number, message)))
            kind, number = "", 0
            value: Any = None
            while number != self._number:  # a worker that was killed while it was idle died for another request
                kind, number, value = read_answer(self._out_of, until, bounds.answer_bytes)
        except LateError:
            raise _death(path, -signal.SIGALRM, bounds) from None
        except (EndedError, BrokenPipeError):
            raise _death(path, -signal.SIGKILL, bounds) from None
        self.usable = True
        if kind == "memory":
            raise VideoError(path, f"decoding it needs more than {bounds.memory / 2**30:.1f} GiB; re-encode it smaller")
        if kind == "died":
            raise _death(path, value, bounds)
        if kind == "error":
            raise _raised(path, *value)
        return kind, value

    def end(self) -> None:
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


def _death(path: str, code: int, bounds: Bounds) -> VideoError:
    """How a worker ended."""
    if code == -signal.SIGALRM:
        return DecoderTimeoutError(path, f"decoding it took longer than {bounds.seconds:g} s; {REENCODE}")
    if code == -signal.SIGXCPU:
        words = f"decoding it took more than {bounds.cpu_seconds:g} s of processor time; {REENCODE}"
        return DecoderTimeoutError(path, words)
    if code == -signal.SIGKILL:
        words = "its decoder was killed, by someone or for want of memory; try again, or re-encode it smaller"
        return DecoderCrashError(path, words)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return DecoderCrashError(path, f"its decoder crashed ({how}): the file is damaged, or made to do so; {REENCODE}")


def _raised(path: str, name: str, words: str) -> Exception:
    """The error that the child raised."""
    import tubelet.errors

    kind = getattr(tubelet.errors, name, None)
    if kind is VideoError:
        return VideoError(path, words)
    if isinstance(kind, type) and issubclass(kind, tubelet.errors.TubeletError):
        return kind(words)
    return VideoError(path, f"cannot be decoded (unexpected {name}: {words})")
