"""What the machine refuses, in one line: no room, no permission, no memory, a worker that was ended.

None of it is a defect of tubelet, and a traceback would not help. The library lets such errors through as they are;
some come from torch and safetensors in words of their own.
"""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import sys
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM)
NO_MEMORY = re.compile(r"out of memory|can't allocate memory|cannot allocate memory|bad_alloc", re.IGNORECASE)
WORKER_ENDED = re.compile(r"DataLoader worker .*(exited unexpectedly|is killed by signal)")
NOT_WRITTEN_WHOLE = re.compile(r"PytorchStreamWriter|inline_container.* unexpected pos")
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
GO_ON = "a training goes on with --resume"


def of_the_machine(error: Exception) -> str | None:
    """What happened, where, and what to do; None if the machine is not to blame."""
    said = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        return _refused(error.errno, error.filename)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or NO_MEMORY.search(said):
        return _no_memory(said)
    if not isinstance(error, RuntimeError) and type(error).__name__ not in ("SafetensorError", "BrokenProcessPool"):
        return None
    if type(error).__name__ == "BrokenProcessPool" or WORKER_ENDED.search(said):
        return (
            "a worker process was ended from outside, most often by the system for want of memory; use fewer --workers "
            f"or smaller batches; {GO_ON}"
        )
    system = SYSTEM_ERROR.search(said)
    if system is not None:
        return _refused(int(system[1]), None)
    if NOT_WRITTEN_WHOLE.search(said):
        return f"a file could not be written whole, most often as the disk is full; make room; {GO_ON}"
    return None


def reader_went_away() -> bool:
    """Whether standard output, or error, is a pipe that nobody reads any more: another pipe may be the broken one."""
    try:
        poll = select.poll()
        for stream in (sys.stdout, sys.stderr):
            poll.register(stream.fileno(), select.POLLOUT)
        return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on this system, or standard output is no file
        return True


def _refused(number: int, path: str | bytes | int | None) -> str:
    """What the system's error number means here."""
    place = None if path is None or isinstance(path, int) else os.fsdecode(path)
    where = "" if place is None else f"{place}: "
    if number in NO_ROOM:
        room = "" if place is None else _free(place)
        return f"{where}the disk is full{room}; make room, or write somewhere else; {GO_ON}"
    if number == errno.EROFS:
        return f"{where}the disk can only be read; name a folder on another one"
    if number in NOT_ALLOWED:
        return f"{where}{os.strerror(number)}; change the permissions, or name a place that you may read and write"
    if number == errno.ENAMETOOLONG:
        return f"{where}the name is too long for this file system; use a shorter one"
    if number == errno.EMFILE:
        return f"{where}too many open files; raise the limit (`ulimit -n 4096`), or use fewer --workers"
    if number == errno.ENOMEM:
        return _no_memory(os.strerror(number))
    return (
        f"{where}{os.strerror(number)} (error {number} of the system); see that the file or folder is there and whole"
    )


def _no_memory(said: str) -> str:
    short = said if len(said) <= 200 else f"{said[:200]} ..."
    detail = f" ({short})" if short else ""
    return (
        f"not enough memory{detail}; use a smaller --batch-size; in training --batch-size auto, --accumulate-steps 4 "
        f"or --activation-checkpointing; {GO_ON}"
    )


def _free(path: str) -> str:
    """How much room there is at a path, or in the folder that holds it."""
    place = Path(path).absolute()
    try:
        folder = next(one for one in (place, *place.parents) if one.is_dir())
        return f" ({shutil.disk_usage(folder).free / 1e6:,.0f} MB free in {folder})"
    except OSError:
        return ""
