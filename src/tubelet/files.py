"""Files that are written whole or not at all, and what to do about those that cannot be written."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tubelet.errors import StorageError


def process_name() -> str:
    """This process among those of all machines, for names of unfinished files."""
    return f"{socket.gethostname()}.{os.getpid()}"


def has_ended(process: str) -> bool:
    """Whether a process of this machine, as `process_name` names it, does not run any more."""
    machine, _, number = process.rpartition(".")
    if machine != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # a process of another user
        return False
    return False


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove what killed processes of this machine left: files and folders named `prefix`, `process_name()`, and more.

    Args:
        folder: they are in; it need not exist.
        prefix: of their names; after the name of the process comes nothing, or anything that begins with `.` or `-`.
    """
    named = re.compile(re.escape(f"{prefix}{socket.gethostname()}.") + r"(\d+)([.-].*)?")
    for left in folder.glob(f"{glob.escape(prefix)}*"):
        found = named.fullmatch(left.name)
        if found and has_ended(f"{socket.gethostname()}.{found[1]}"):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


@contextmanager
def replacing_shared(path: Path) -> Iterator[Path]:
    """`replacing` for a file that several processes may write at once; what killed ones left is removed."""
    remove_leftovers(path.parent, f".{path.name}.")
    with replacing(path, f"{process_name()}.partial") as partial:
        yield partial


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """`replacing` for a folder that several processes may write at once.

    A folder that is there is moved aside for the moment between two names. One that a killed process has moved aside
    gets its name back with the next call.

    Raises:
        StorageError: a file cannot be written.
    """
    path = path.absolute()
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for aside in path.parent.glob(f".{glob.escape(path.name)}.before.*"):
            if not path.exists() and has_ended(aside.name.removeprefix(f".{path.name}.before.")):
                aside.rename(path)
        remove_leftovers(path.parent, f".{path.name}.before.")
        remove_leftovers(path.parent, f".{path.name}.")
        partial = path.with_name(f".{path.name}.{process_name()}.partial")
        before = path.with_name(f".{path.name}.before.{process_name()}")
        partial.mkdir()
        try:
            yield partial
            for written in partial.rglob("*"):
                flush(written)
            if path.exists():
                path.rename(before)
            partial.rename(path)
            shutil.rmtree(before, ignore_errors=True)
            flush(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if before.exists() and not path.exists():
                before.rename(path)


@contextmanager
def replacing(path: Path, suffix: str = "partial") -> Iterator[Path]:
    """Give a path to write to; when the `with` ends well, the file stands at `path`, otherwise nothing has changed.

    The file is on the disk before it gets its name, so that a crash at any moment leaves the old file or the new one.

    Args:
        path: of the file.
        suffix: of the path that is given, a hidden file beside `path`; several processes that write the same file need
            one each.

    Raises:
        StorageError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{suffix}")
    with storage_errors(path):
        try:
            yield partial
            flush(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all (see `replacing`)."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Wait until a file (or the names in a folder) are on the disk. Windows has no such thing for folders."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_checksum(file: Path) -> int:
    """CRC-32 of all bytes of a file."""
    value = 0
    with file.open("rb") as opened:
        while part := opened.read(1 << 22):
            value = zlib.crc32(part, value)
    return value


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Inside the `with`, what the system refuses to write is an error that says so, whoever found it.

    Raises:
        StorageError: with the path, the reason and what to do.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        reason = _reason(error, path)
        if reason is None:
            raise
        raise StorageError(f"cannot write {path}: {reason}") from error


_TORCH_CANNOT_WRITE = ("unexpected pos", "PytorchStreamWriter failed", "iostream error")
"""What torch says, without a reason, when a file cannot be written."""

_ADVICE = {
    errno.EACCES: "no permission; name a folder that you may write to",
    errno.EPERM: "no permission; name a folder that you may write to",
    errno.EROFS: "the disk can only be read; name a folder on another one",
    errno.ENOTDIR: "a part of the path is a file, not a folder; name another folder",
    errno.EEXIST: "a part of the path is a file, not a folder; name another folder",
    errno.ENAMETOOLONG: "the name is too long; name a shorter one",
}


def _reason(error: Exception, path: Path) -> str | None:
    """Why something could not be written, and what to do; None if that is not what the error says."""
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    full = number in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in text
    if full or (type(error) is RuntimeError and any(words in text for words in _TORCH_CANNOT_WRITE)):
        return f"the disk is full (No space left on device, {_free(path)} free); make room, or name a folder elsewhere"
    if number in _ADVICE:
        return _ADVICE[number]
    if type(error).__name__ == "SafetensorError" and "os error" in text:
        return text
    return None if number is None else (error.strerror if isinstance(error, OSError) else None) or text


def _free(path: Path) -> str:
    """Room on the disk of a path, of which the last parts need not be there."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return f"{shutil.disk_usage(there).free / 1e6:,.1f} MB"
