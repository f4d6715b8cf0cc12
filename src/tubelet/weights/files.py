"""Writing a file whole or not at all, with the mode that it should have, and reading one without trusting it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tubelet.errors import StorageError, WeightsError

CHECKSUM = "tubelet_crc32"
"""Metadata key of the checksum that `save_tensors` writes and `load_tensors` compares."""

LARGEST_JSON = 64 * 1024 * 1024
"""Bytes of a JSON file that is still read: a configuration with the labels of any data set is far below."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; when the `with` ends well, the file stands at `path`, otherwise nothing has changed.

    The file is on the disk before it gets its name, so that a crash at any moment leaves the old file or the new one.
    """
    partial = path.with_name(f".{path.name}.partial")
    with storage_errors(path):
        try:
            yield partial
            _flush(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        _flush(path.parent)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file with a checksum of its tensors and metadata.

    It has the mode of any new file here; safetensors itself lets only its owner read it.

    Args:
        tensors: contiguous, none of which share memory, on the CPU.
        path: of the file.
        metadata: of its header.
    """
    metadata = dict(metadata or {})
    path.unlink(missing_ok=True)
    path.touch()  # with the mode of any new file
    mode = path.stat().st_mode & 0o777
    save_file(dict(tensors), path, {**metadata, CHECKSUM: _checksum(tensors, metadata)})
    path.chmod(mode)


def load_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, on the CPU, and its metadata without the checksum.

    A file that `save_tensors` wrote is compared with its checksum; others have none.

    Raises:
        WeightsError: the file cannot be read, is damaged, or holds a type that torch does not have.
    """
    with _reading(file), safe_open(file, framework="pt") as opened:
        metadata = dict(opened.metadata() or {})
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a dict
    stored = metadata.pop(CHECKSUM, None)
    if stored is not None and stored != _checksum(tensors, metadata):
        raise WeightsError(
            f"{file} is damaged: its contents do not have the checksum that was written with them; restore the file "
            f"from a copy, or make it anew (if a program changed it on purpose, remove {CHECKSUM!r} from its metadata)"
        )
    return tensors, metadata


def load_header(file: Path) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Shape by name, and the metadata, of a safetensors file; no numbers are read, so the checksum is not compared.

    Raises:
        WeightsError: the file cannot be read, or is not a whole safetensors file.
    """
    with _reading(file), safe_open(file, framework="pt") as opened:
        shapes = {name: list(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118  # not a dict
        return shapes, dict(opened.metadata() or {})


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        with file.open("rb"):  # for the system's reason: safetensors says "no such file" where permission is missing
            yield
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        size = file.stat().st_size / 1e9
        raise WeightsError(f"{file}: no memory for its {size:.1f} GB; is it another file?") from error
    except (SafetensorError, AttributeError, RuntimeError) as error:
        raise WeightsError(
            f"{file}: not a whole safetensors file ({error}); it is damaged, or another format"
        ) from error


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """CRC-32 of metadata, names, types, shapes and numbers, in the order of the names."""
    entries = sorted(tensors.items())
    header = [sorted(metadata.items()), [[name, str(tensor.dtype), list(tensor.shape)] for name, tensor in entries]]
    value = zlib.crc32(json.dumps(header).encode())
    for _, tensor in entries:
        value = zlib.crc32(tensor.detach().reshape(-1).view(torch.uint8).numpy().data, value)
    return str(value)


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
    except (OSError, SafetensorError, RuntimeError) as error:
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
    if isinstance(error, SafetensorError) and "os error" in text:
        return text
    return None if number is None else (error.strerror if isinstance(error, OSError) else None) or text


def _free(path: Path) -> str:
    """Room on the disk of a path, of which the last parts need not be there."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return f"{shutil.disk_usage(there).free / 1e6:,.1f} MB"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        WeightsError: the file cannot be read, is not JSON, or is not an object.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes is no configuration; is it another file?")
        return parse_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def parse_json(text: str, where: str) -> dict[str, Any]:
    """A JSON object; `where` it comes from is for the error.

    Raises:
        WeightsError: the text is not JSON, or not an object.
    """
    try:
        data = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        raise WeightsError(f"{where}: expected JSON, but {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{where}: expected a JSON object, got {type(data).__name__}")
    return data


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _flush(path: Path) -> None:
    """Wait until a file (or the names in a folder) are on the disk. Windows has no such thing for folders."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
