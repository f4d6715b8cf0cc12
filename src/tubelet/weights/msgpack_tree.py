"""Flax's on-disk form of a tree of arrays (`flax.serialization`), read and written without Flax.

The file is one msgpack map of maps. An array is extension type 1, a scalar type 3: msgpack again, of (shape, name of
the type, bytes in row-major order). An array of more than 2^30 bytes is a map with the key `__msgpack_chunked_array__`.

Nothing in a file is executed, and no claim of a size is believed: what is taken from the memory is bounded by the bytes
that are there. The file is read as a stream, and what is not asked for is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy
import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.files import replacing

NDARRAY, COMPLEX, SCALAR = 1, 2, 3
CHUNKED = "__msgpack_chunked_array__"
LARGEST_CHUNK = 2**30
LARGEST_OBJECT = 2**31 - 1
LONGEST_LIST = 10_000
"""Of a msgpack list, whose memory msgpack takes before it reads; the trees themselves are maps."""
DEEPEST = 64
"""Maps within maps; the trees of models have about ten."""

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint32": torch.uint32,
    "uint16": torch.uint16,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

Wanted = Callable[[tuple[str, ...]], bool | None]
"""Of a path in the tree: True, read all of it; False, skip it; None, it is a map, look at each of its keys."""


def read_tree(file: Path, wanted: Wanted = lambda path: True) -> dict[str, Any]:
    """Read a tree: dictionaries of dictionaries, with tensors, numbers, strings and None at their ends.

    Args:
        file: the file.
        wanted: which parts to read; keys that were skipped map to None. It is asked for every key of the root, and on
            from there as long as it answers None.

    Raises:
        WeightsError: the file is truncated or damaged, is not such a tree, or claims more than it holds.
    """
    try:
        with file.open("rb") as stream:
            unpacker = msgpack.Unpacker(
                stream,
                read_size=1 << 22,
                raw=False,
                strict_map_key=True,
                ext_hook=_extension,
                max_buffer_size=LARGEST_OBJECT,
                max_array_len=LONGEST_LIST,
            )
            tree = _read_map(unpacker, (), wanted)
            if unpacker.read_bytes(1):
                raise ValueError("bytes follow the end of the tree")
    except msgpack.OutOfData as error:
        raise WeightsError(f"{file}: the file ends in the middle; it is truncated, or not a Flax checkpoint") from error
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error}") from error
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{file}: not a whole Flax checkpoint (msgpack): {reason}") from error
    return tree


def write_tree(tree: Mapping[str, Any], file: Path) -> None:
    """Write a tree as `flax.serialization.msgpack_restore` reads it: whole, or not at all."""
    packer = msgpack.Packer(use_bin_type=True)
    with replacing(file) as partial, partial.open("wb") as stream:
        _write(tree, packer, stream.write)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": x}}` as `{"a/b": x}`; empty maps vanish."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}/"))
        else:
            flat[prefix + key] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The tree whose `flatten` is `flat`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


# --- reading ---------------------------------------------------------------------------------------------------------


def _read_map(unpacker: Any, path: tuple[str, ...], wanted: Wanted) -> dict[str, Any]:
    _check_depth(len(path))
    found: dict[str, Any] = {}
    for _ in range(unpacker.read_map_header()):
        key = unpacker.unpack()
        if not isinstance(key, str):
            raise ValueError(f"a key of the tree is {key!r:.40}, not a name")
        answer = wanted((*path, key))
        if answer is None:
            found[key] = _read_map(unpacker, (*path, key), wanted)
        elif answer:
            found[key] = _joined(unpacker.unpack())
        else:
            unpacker.skip()
            found[key] = None
    return found


def _check_depth(depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"a tree that is more than {DEEPEST} maps deep")


def _extension(code: int, payload: bytes) -> Any:
    if code in (NDARRAY, SCALAR):
        return _array(payload)
    if code == COMPLEX:
        return complex(*msgpack.unpackb(payload, max_array_len=2))
    raise ValueError(f"extension type {code}, which Flax does not have")


def _array(payload: bytes) -> Tensor:
    content = msgpack.unpackb(payload, raw=True, max_array_len=32, max_map_len=0, ext_hook=_no_extension)
    if not isinstance(content, list) or len(content) != 3:
        raise ValueError("an array that is not (shape, type, bytes)")
    shape, name, buffer = content
    is_shape = isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)
    if not is_shape or not isinstance(name, bytes) or not isinstance(buffer, bytes):
        raise ValueError("an array that is not (shape, type, bytes)")
    dtype = DTYPES.get(name.decode("ascii", "replace"))
    if dtype is None:
        raise ValueError(f"an array of type {name!r:.40}, which holds no weights")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != len(buffer):
        raise ValueError(f"an array claims the shape {shape} ({claimed} bytes), but {len(buffer)} bytes are there")
    if not buffer:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(buffer), dtype=dtype).view(shape)


def _no_extension(code: int, payload: bytes) -> Any:
    raise ValueError("an array that is not (shape, type, bytes)")


def _joined(node: Any, depth: int = 0) -> Any:
    """Put arrays together that were written in chunks."""
    if not isinstance(node, dict):
        return node
    _check_depth(depth)
    if CHUNKED not in node:
        return {key: _joined(value, depth + 1) for key, value in node.items()}
    shape, chunks = _sequence(node.get("shape"), int), _sequence(node.get("chunks"), Tensor)
    if shape is None or not chunks or any(chunk.dtype != chunks[0].dtype for chunk in chunks):
        raise ValueError("a chunked array without a shape and chunks of one type")
    flat = torch.cat([chunk.flatten() for chunk in chunks])
    if min(shape, default=0) < 0 or math.prod(shape) != flat.numel():
        raise ValueError(f"a chunked array claims the shape {shape}, but {flat.numel()} numbers are there")
    return flat.view(shape)


def _sequence(node: Any, kind: type) -> list[Any] | None:
    """A tuple as Flax writes it: {"0": first, "1": second}."""
    if not isinstance(node, dict) or set(node) != {str(index) for index in range(len(node))}:
        return None
    items = [node[str(index)] for index in range(len(node))]
    return items if all(isinstance(item, kind) for item in items) else None


# --- writing ---------------------------------------------------------------------------------------------------------


def _write(node: Any, packer: Any, write: Callable[[bytes], object]) -> None:
    if isinstance(node, Tensor):
        if node.numel() * node.element_size() > LARGEST_CHUNK:
            _write(_chunks(node), packer, write)
        else:
            write(packer.pack_ext_type(NDARRAY, _packed_array(node)) or b"")
    elif isinstance(node, numpy.generic):
        write(packer.pack_ext_type(SCALAR, _packed_array(torch.tensor(node))) or b"")
    elif isinstance(node, Mapping):
        write(packer.pack_map_header(len(node)))
        for key, value in node.items():
            write(packer.pack(key))
            _write(value, packer, write)
    else:
        write(packer.pack(node))


def _packed_array(tensor: Tensor) -> bytes:
    tensor = tensor.detach().cpu().contiguous()
    content = tensor.flatten().view(torch.uint8).numpy().tobytes()
    return msgpack.packb((tuple(tensor.shape), NAMES[tensor.dtype], content), use_bin_type=True)


def _chunks(tensor: Tensor) -> dict[str, Any]:
    chunks = tensor.detach().flatten().split(LARGEST_CHUNK // tensor.element_size())
    return {
        CHUNKED: True,
        "shape": {str(axis): size for axis, size in enumerate(tensor.shape)},
        "chunks": {str(index): chunk for index, chunk in enumerate(chunks)},
    }
