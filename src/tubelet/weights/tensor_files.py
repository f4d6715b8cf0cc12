"""Safetensors files: written with a checksum and the mode of any new file, read without trusting them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tubelet.errors import WeightsError

CHECKSUM = "tubelet_crc32"
"""Metadata key of the checksum that `save_tensors` writes and `load_tensors` compares."""


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
    """Shape by name, and the metadata, of a safetensors file; no numbers are read, so the checksum is not compared."""
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
