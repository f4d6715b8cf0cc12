"""What goes through the pipes of a guarded process.

A request is a pickle, of the parent, behind its length. An answer is msgpack behind its length, and then the bytes of
its tensors; reading one runs no code of the child, so that a decoder that was taken over cannot reach its parent.
"""

from __future__ import annotations

import math
import os
import select
import struct
import time
from typing import Any

import msgpack
import numpy
import torch
from torch import Tensor

LENGTH = struct.Struct("<Q")

LONGEST_DESCRIPTION = 2**26
"""Bytes of an answer without its tensors: timestamps of a million frames have a tenth of that."""

TENSOR = 1
TYPES = {
    "uint8": torch.uint8,
    "int64": torch.int64,
    "float32": torch.float32,
    "float64": torch.float64,
    "bool": torch.bool,
}


class EndedError(Exception):
    """The other side closed the pipe, or sent what is no answer."""


class LateError(Exception):
    """No whole answer came in time."""


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write a length and so many bytes."""
    _write(descriptor, LENGTH.pack(len(data)))
    _write(descriptor, data)


def _write(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_request(descriptor: int) -> bytes | None:
    """What `write_all` wrote; None at the end."""
    head = _read_plain(descriptor, LENGTH.size)
    return None if head is None else _read_plain(descriptor, LENGTH.unpack(head)[0])


def _read_plain(descriptor: int, size: int) -> bytes | None:
    parts, missing = [], size
    while missing:
        part = os.read(descriptor, missing)
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def write_answer(descriptor: int, kind: str, number: int, value: Any) -> None:
    """Write a kind, the number of the request, and a value of plain values and tensors."""
    tensors: list[Tensor] = []

    def other(thing: Any) -> msgpack.ExtType:
        if not isinstance(thing, Tensor):
            raise TypeError(f"{type(thing).__name__} cannot leave a guarded process")
        tensors.append(thing.detach().contiguous())
        return msgpack.ExtType(TENSOR, msgpack.packb([str(thing.dtype).removeprefix("torch."), list(thing.shape)]))

    write_all(descriptor, msgpack.packb([kind, number, value], default=other))
    for tensor in tensors:
        _write(descriptor, _bytes_of(tensor))


def read_answer(descriptor: int, until: float, most: int) -> tuple[str, int, Any]:
    """What `write_answer` wrote.

    Args:
        descriptor: of the pipe.
        until: when, on the clock of `time.monotonic`.
        most: bytes that all tensors may have.

    Raises:
        EndedError, LateError: there is no answer.
    """
    pipe = _Pipe(descriptor, until)
    head = bytearray(LENGTH.size)
    pipe.fill(memoryview(head))
    size = LENGTH.unpack(head)[0]
    if size > LONGEST_DESCRIPTION:
        raise EndedError
    packed = bytearray(size)
    pipe.fill(memoryview(packed))
    tensors: list[Tensor] = []
    left = most

    def described(code: int, data: bytes) -> Tensor:
        nonlocal left
        name, shape = msgpack.unpackb(data)
        dtype = TYPES[name]
        left -= math.prod(shape) * dtype.itemsize
        if code != TENSOR or left < 0 or any(length < 0 for length in shape):
            raise EndedError
        tensors.append(torch.empty(shape, dtype=dtype))
        return tensors[-1]

    try:
        kind, number, value = msgpack.unpackb(packed, ext_hook=described, strict_map_key=False)
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise EndedError from error
    for tensor in tensors:
        pipe.fill(_bytes_of(tensor))
    return kind, number, value


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    return tensor.numpy().reshape(-1).view(numpy.uint8).data


class _Pipe:
    """The end of a pipe, read until a moment."""

    def __init__(self, descriptor: int, until: float) -> None:
        self._descriptor, self._until = descriptor, until
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def fill(self, buffer: memoryview) -> None:
        while buffer:
            left = self._until - time.monotonic()
            if left <= 0 or not self._poll.poll(min(left, 3600.0) * 1000):
                raise LateError
            count = os.readv(self._descriptor, [buffer])
            if not count:
                raise EndedError
            buffer = buffer[count:]
