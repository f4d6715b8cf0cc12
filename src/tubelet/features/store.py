"""Features on disk, one small file for each sample, and some of them in memory.

    FOLDER/3f9c.../about.json             the model, preprocessing and software of all features in this folder
    FOLDER/3f9c.../a1/a1b2....safetensors the features of one sample; the header names its video

The names are digests of everything that a feature depends on (`tubelet.features.identity`): another model, other
preprocessing, a changed video or another release have other names. Header and checksum of a file are compared before
it is used. Files appear whole or not at all, so several processes may use one folder.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.data import Sample
from tubelet.errors import WeightsError
from tubelet.features.identity import describe_sample, digest
from tubelet.files import has_ended, process_name, replacing, storage_errors
from tubelet.weights.tensor_files import load_tensors, save_tensors


@dataclass(frozen=True)
class Features:
    """The features of one sample.

    Attributes:
        values: [V, t, D]: views, time steps, width.
        mask: True at the time steps that are real; None if all are.
    """

    values: Float[Tensor, "V t D"]
    mask: Bool[Tensor, "V t"] | None

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.values.nbytes + (0 if self.mask is None else self.mask.nbytes)


def default_folder() -> Path:
    """Where features are stored by default: below XDG_CACHE_HOME, or `.cache` of the home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tubelet" / "features"


class FeatureStore:
    """Features by the index of the sample.

    Args:
        folder: of all stores; this one has a folder inside it.
        description: of the model and its input (`identity.describe`).
        samples: of the table.
        gigabytes: of memory, 10^9 bytes each. What does not fit is read from the disk each time.

    Raises:
        StorageError: the folder cannot be made, or written to.
    """

    def __init__(
        self, folder: str | Path, description: Mapping[str, Any], samples: tuple[Sample, ...], gigabytes: float
    ) -> None:
        self._made_with = digest(description)
        self.folder = Path(folder).expanduser().absolute() / self._made_with
        self._samples = samples
        self._free = int(gigabytes * 1e9)
        self._memory: dict[int, Features] = {}
        about = self.folder / "about.json"
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not about.exists():
                _write_whole(about, lambda path: path.write_text(json.dumps(description, indent=2), encoding="utf-8"))
            _remove_leftovers(self.folder)

    def __contains__(self, index: int) -> bool:
        """Whether the features of a sample are in memory, or under their name on disk."""
        return index in self._memory or self._file(self._name(index)).is_file()

    def get(self, index: int) -> Features | None:
        """The features of a sample; None if they are not stored, or damaged, and must be computed.

        Raises:
            OSError: the sample's own file cannot be found.
        """
        kept = self._memory.get(index)
        if kept is not None:
            return kept
        name = self._name(index)
        found = _read(self._file(name), self._header(name))
        if found is not None:
            self._remember(index, found)
        return found

    def put(self, index: int, features: Features) -> None:
        """Store the features of a sample, on disk and, if they fit, in memory."""
        name = self._name(index)
        tensors = {"values": features.values} | ({} if features.mask is None else {"mask": features.mask})
        file = self._file(name)
        with storage_errors(file):
            file.parent.mkdir(exist_ok=True)
        _write_whole(file, lambda path: save_tensors(tensors, path, self._header(name)))
        self._remember(index, features)

    def _remember(self, index: int, features: Features) -> None:
        if features.nbytes <= self._free:
            self._free -= features.nbytes
            self._memory[index] = features

    def _name(self, index: int) -> list[Any]:
        return describe_sample(self._samples[index])

    def _file(self, name: list[Any]) -> Path:
        digits = digest(name)
        return self.folder / digits[:2] / f"{digits}.safetensors"

    def _header(self, name: list[Any]) -> dict[str, str]:
        return {"sample": json.dumps(name), "made_with": self._made_with}


def _read(file: Path, header: Mapping[str, str]) -> Features | None:
    if not file.is_file():
        return None
    try:
        tensors, about = load_tensors(file)
    except WeightsError:  # damaged
        return None
    if about != header:
        return None
    copies = {name: tensor.clone() for name, tensor in tensors.items()}  # the loaded tensors are memory-mapped
    return Features(copies["values"], copies.get("mask"))


def _remove_leftovers(folder: Path) -> None:
    """Remove unfinished files of processes on this machine that were killed."""
    machine = socket.gethostname()
    for file in folder.glob("**/.*.unfinished"):
        name, _, number = file.name.removesuffix(".unfinished").rpartition(".")
        if name.endswith(f".{machine}") and has_ended(f"{machine}.{number}"):
            file.unlink(missing_ok=True)


def _write_whole(file: Path, write: Any) -> None:
    with replacing(file, f"{process_name()}.unfinished") as unfinished:
        write(unfinished)
