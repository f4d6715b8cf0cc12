"""The engine of one machine: worker processes that are given tasks, and started again when they die."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Pipe, wait
from typing import Any

from tubelet.corpus.task import Done, TaskRunner, WorkerSettings
from tubelet.errors import WorkerError

DEATHS = 3
"""After so many workers that died on it, a video is `crashed`; after so many that died before their first, no more are
started."""

LOSSES = 30
"""After so many dead workers without a finished task between them, no more are started."""

PATIENCE = 600.0
"""Seconds without a word, beyond those that decoding may take, after which a worker is killed."""


class LocalEngine:
    """Does tasks in processes of this machine.

    Args:
        settings: of each worker. A device `cuda` stands for all GPUs, one after the other.
        workers: how many.
        seconds: that decoding a video may take.
    """

    def __init__(self, settings: WorkerSettings, workers: int, seconds: float) -> None:
        self._patience = PATIENCE + 4 * seconds
        self._settings = [replace(settings, device=_device(settings.device, number)) for number in range(workers)]

    def run(self, tasks: Iterable[int], on_done: Callable[[Done], None], on_video: Callable[[int, int], None]) -> None:
        """Do tasks.

        Args:
            tasks: their numbers. The next one is asked for when a worker is free.
            on_done: is called after each.
            on_video: is called with the task and the id whenever a worker begins a video.

        Raises:
            WorkerError: workers cannot be started.
            StorageError: a part cannot be written.
        """
        coming, again = iter(tasks), deque[int]()
        deaths: Counter[int] = Counter()
        starts = losses = 0
        workers = {number: _Worker(one) for number, one in enumerate(self._settings)}
        try:
            while workers:
                pipes: dict[Any, int] = {worker.pipe: number for number, worker in workers.items()}
                for pipe in wait(list(pipes), timeout=1.0):
                    worker = workers[pipes[pipe]]
                    message = worker.receive()
                    if message is None:
                        starts = 0 if worker.was_ready else starts + 1
                        if starts == DEATHS:
                            raise WorkerError(f"workers die before their first task ({worker.ended()}); see above")
                        losses += 1
                        if losses == LOSSES:
                            raise WorkerError(
                                f"{LOSSES} workers died one after the other ({worker.ended()}); see above"
                            )
                        workers[pipes[pipe]] = _Worker(worker.settings)
                        if worker.task is not None:
                            deaths[worker.video] += 1
                            again.append(worker.task)
                    elif message[0] == "failed":
                        raise message[1]
                    elif message[0] == "begins":
                        on_video(worker.task or 0, worker.video)
                    else:
                        if message[0] == "done":
                            losses = 0
                            on_done(message[1])
                        task = again.popleft() if again else next(coming, None)
                        if task is not None:
                            worker.give(task, [video for video in deaths if deaths[video] >= DEATHS])
                        else:
                            worker.end()
                            del workers[pipes[pipe]]
                for worker in workers.values():
                    if time.monotonic() - worker.heard > self._patience:
                        worker.child.kill()
        finally:
            for worker in workers.values():
                worker.end()


class OwnProcess:
    """Does tasks in the calling process; only decoders are others.

    Args:
        settings: of the worker.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings

    def run(self, tasks: Iterable[int], on_done: Callable[[Done], None], on_video: Callable[[int, int], None]) -> None:
        """Do tasks; see `LocalEngine.run`."""
        runner = TaskRunner(self._settings)
        try:
            for task in tasks:
                on_done(runner.run(task, begins=partial(on_video, task)))
        finally:
            runner.close()


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.pipe, theirs = Pipe()
        number = theirs.fileno()
        threads = {name: str(settings.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tubelet.corpus.worker", str(number)],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the driver
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        theirs.close()
        self.task: int | None = None
        self.video = -1
        self.was_ready = False
        self.heard = time.monotonic()
        self._send(settings)

    def give(self, task: int, deadly: list[int]) -> None:
        self.task, self.video, self.heard = task, -1, time.monotonic()
        self._send((task, deadly))

    def receive(self) -> tuple[Any, ...] | None:
        """What it says; None if it has died."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            return None
        self.heard = time.monotonic()
        self.was_ready = True
        if message[0] == "begins":
            self.video = message[1]
        elif message[0] == "done":
            self.task = None
        return message

    def ended(self) -> str:
        return f"exit code {self.child.wait()}"

    def end(self) -> None:
        self.child.kill()
        self.child.wait()
        self.pipe.close()

    def _send(self, message: Any) -> None:
        with suppress(OSError):  # it died; reading says so
            self.pipe.send(message)


def _device(device: str, number: int) -> str:
    """Of one worker."""
    if device != "cuda":
        return device
    import torch

    return f"cuda:{number % max(1, torch.cuda.device_count())}"
