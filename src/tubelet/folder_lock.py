"""Locks on folders. Standard library only."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tubelet.errors import InUseError

try:
    import fcntl
except ImportError:  # Windows has no flock: nothing is locked there
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
"""In the locked folder; it names the process that holds the lock, and is removed on release."""

PATIENCE = 3.0
"""Seconds to wait for a lock: children of a killed process may live that long."""

_descriptors: set[int] = set()
"""Of locks that this process holds; closed in children, which would keep the locks when it is killed."""


class FolderLock:
    """A lock on a folder (`flock`), held until the end of the `with`, or of the process, however it ends.

    The lock follows the folder when it is renamed.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self.folder: Path | None = None
        """The locked one, under its present name."""

    def hold(self, folder: Path) -> None:
        """Lock a folder, which exists; an InUseError if another process, or thread, has it and keeps it."""
        if fcntl is None:
            return
        path, until = folder / LOCK_FILE, time.monotonic() + PATIENCE
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_at(descriptor, path):  # the former holder removed the file in between
                    os.close(descriptor)
                    continue
            except BlockingIOError:
                holder = os.read(descriptor, 200).decode(errors="replace") or "another process"
                os.close(descriptor)
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                raise InUseError(
                    f"another process works in {folder} ({holder}); wait until it ends, or stop it, and start again"
                ) from None
            except OSError:  # this file system has no locks
                os.close(descriptor)
                path.unlink(missing_ok=True)
                return
            break
        _descriptors.add(descriptor)
        self._descriptor, self.folder = descriptor, folder
        with contextlib.suppress(OSError):  # the disk may be full
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def renamed(self, folder: Path) -> None:
        """The folder has this name now."""
        self.folder = folder

    def release(self) -> None:
        """Let others in."""
        if self._descriptor is None or self.folder is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        _descriptors.discard(descriptor)
        try:
            with contextlib.suppress(OSError):
                if _is_at(descriptor, self.folder / LOCK_FILE):
                    (self.folder / LOCK_FILE).unlink()
        finally:
            os.close(descriptor)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _close_in_child() -> None:
    for descriptor in _descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()


_register: Any = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_close_in_child)
