"""Files of `torch.save`, read without trusting them: nothing is executed, and no memory is taken that they do not hold.

torch's own unpickler for weights runs no code, but it calls `bytearray(n)` and `torch.FloatTensor(n)` for any n, and it
does not compare the checksums of the zip archive. So the opcodes and the checksums are looked at first.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from tubelet.errors import WeightsError
from tubelet.text import listing

_REBUILD_TENSORS = re.compile(
    r"collections (OrderedDict|Counter|defaultdict)|torch\._utils _rebuild_(tensor_v2|parameter)|builtins (set|complex)"
    r"|torch (\w+Storage|Size|device|[a-z]+\d*(_\w+)?)|torch\.serialization _get_layout|_codecs encode"
)
"""Globals of a pickle (module and name) that tensors and tables of them need; none makes more than it is given."""


def load_pickled(file: Path, *, mmap: bool = False) -> Any:
    """What a file of `torch.save` holds, as far as that is tensors, numbers, strings and tables of them.

    Args:
        file: in torch's zip format (torch 1.6 and newer).
        mmap: map the bytes of the tensors instead of reading them.

    Raises:
        WeightsError: the file cannot be read, is damaged, or holds anything else.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive, file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise _holds_more(file) from error
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{file}: not a whole file of torch.save ({error!s:.200}); it is damaged, or older than torch 1.6"
        ) from error


def _check(archive: zipfile.ZipFile, file: Path) -> None:
    entries = archive.infolist()
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise WeightsError(
            f"{file}: {listing(packed)} compressed, which torch.save never does; the file was tampered with"
        )
    for entry in entries:
        if not entry.CRC:  # torch.serialization.set_crc32_options(False)
            entry.CRC = None  # type: ignore[assignment]  # zipfile then compares nothing
    damaged = archive.testzip()
    if damaged is not None:
        raise WeightsError(
            f"{file} is damaged: its part {damaged} does not have the checksum that was written with it; restore the "
            "file from a copy, or make it anew"
        )
    for entry in entries:
        if entry.filename.endswith("data.pkl"):
            for opcode, argument, _ in pickletools.genops(archive.read(entry)):
                if opcode.name == "GLOBAL" and not _REBUILD_TENSORS.fullmatch(str(argument)):
                    raise _holds_more(file)


def _holds_more(file: Path) -> WeightsError:
    return WeightsError(
        f"{file}: holds more than tensors, so it could run code or take any memory; nothing of it was run. "
        "Save the weights as safetensors, or ask for a file that holds only weights"
    )
