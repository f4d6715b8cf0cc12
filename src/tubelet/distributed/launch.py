"""Starting the processes of one machine, as `torchrun --standalone` does, and ending as they end.

This process only waits. It keeps the store at which the others meet, passes signals on (a terminal's Ctrl-C reaches it
alone, so that each process gets it once), and ends all when one fails. If it is killed, they end too.

`torch.distributed.launcher` is not used, for three reasons (`tests/integration/test_launch.py` shows them): its
processes live on when it is killed, and hold the GPUs and the lock on the run; it kills after 30 seconds a process that
is writing its checkpoint; and its exit code is not that of the process that failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from tubelet.distributed.process import ProcessInfo
from tubelet.errors import ConfigError

LIFELINE = "TUBELET_LIFELINE"
"""Names the end of a pipe that closes when the process that watches is gone."""

PATIENCE = 20.0
"""Seconds that the others have to end by themselves after one has failed."""


def launch(command: Sequence[str], devices: int) -> int:
    """Run a command in so many processes, which find each other.

    Args:
        command: of a process, program first.
        devices: how many.

    Returns:
        the exit code: 0 if all ended well, else the highest.

    Raises:
        ConfigError: less than one process.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch does not list it

    if devices < 1:
        raise ConfigError(f"devices={devices} must be at least 1")
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    reading, writing = os.pipe()
    children = [
        subprocess.Popen(
            command,
            env=_environment(ProcessInfo(rank, devices, rank, devices), store.port, reading),
            pass_fds=[reading],
            start_new_session=True,
        )
        for rank in range(devices)
    ]
    os.close(reading)
    try:
        with _PassedOn(children):
            return _watch(children)
    finally:
        _end(children)
        os.close(writing)


def hold_on_to_launcher() -> None:
    """End this process at once if the one that watches over it is killed. For the processes that `launch` started."""
    text = os.environ.pop(LIFELINE, None)
    if text is None:
        return
    descriptor = int(text)
    os.set_inheritable(descriptor, False)

    def wait() -> None:
        os.read(descriptor, 1)  # nothing ever comes but the end
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="tubelet-lifeline").start()


def _environment(where: ProcessInfo, port: int, lifeline: int) -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "OMP_NUM_THREADS": str(max(1, cores // where.local_size)),
        **os.environ,
        "RANK": str(where.rank),
        "WORLD_SIZE": str(where.size),
        "LOCAL_RANK": str(where.local_rank),
        "LOCAL_WORLD_SIZE": str(where.local_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # torch's word for: the store is kept by whoever started us
        LIFELINE: str(lifeline),
    }


def _watch(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait until all have ended, or one has failed and the others had time to; the exit code."""
    failed_at = None
    while any(child.poll() is None for child in children):
        if failed_at is None:
            failed_at = time.monotonic() if any(child.poll() for child in children) else None
        elif time.monotonic() - failed_at > PATIENCE:
            break
        time.sleep(0.05)
    codes = [child.poll() or 0 for child in children]
    for rank, code in enumerate(codes):
        if code < 0:  # it could not say so itself
            ended = f"process {rank} of {len(codes)} was ended by {signal.Signals(-code).name}"
            print(f"tubelet: error: {ended}", file=sys.stderr)  # noqa: T201  # there is no console here
    return max(128 - code if code < 0 else code for code in codes)


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()


class _PassedOn:
    """Inside the `with`, Ctrl-C, SIGTERM and SIGHUP go to the children, who know what to do."""

    SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

    def __init__(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        self._children = children
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._pass_on) for number in self.SIGNALS}

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        for child in self._children:
            if child.poll() is None:
                child.send_signal(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
