"""Features on disk, one small file for each sample, and as many of them in memory as are allowed.

    FOLDER/3f9c.../about.json             what all features in this folder were made with
    FOLDER/3f9c.../a1/a1b2....safetensors the features of one sample; its header says which video they are of

The names are digests of everything that decides a feature (`tubelet.features.identity`), so another model, other
preprocessing, a video that has changed or another release has other names. What lies under a name is compared with
what was asked for, and with its checksum, before it is used. Each file appears whole or not at all, so several
processes may share a folder.
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
from tubelet.errors import ConfigError, WeightsError
from tubelet.features.identity import describe_sample, digest
from tubelet.files import replacing
from tubelet.weights.tensor_files import load_tensors, save_tensors


@dataclass(frozen=True)
class Features:
    """Of one sample.

    Attributes:
        values: [V, t, D]: views, times, width.
        mask: True at the times that are real; None if all are.
    """

    values: Float[Tensor, "V t D"]
    mask: Bool[Tensor, "V t"] | None

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return self.values.nbytes + (0 if self.mask is None else self.mask.nbytes)


def default_folder() -> Path:
    """Where features are kept if nothing is said: below XDG_CACHE_HOME, or `.cache` of the home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tubelet" / "features"


class FeatureStore:
    """Features by number of the sample.

    Args:
        folder: of all features; a folder inside it is this store's own.
        description: what the features are made with (`identity.describe`).
        samples: whose features they are.
        gigabytes: at most so much of them in memory, 10^9 bytes each. The rest is read from the disk each time.

    Raises:
        ConfigError: the folder cannot be made.
    """

    def __init__(
        self, folder: str | Path, description: Mapping[str, Any], samples: tuple[Sample, ...], gigabytes: float
    ) -> None:
        self._made_with = digest(description)
        self.folder = Path(folder).expanduser().absolute() / self._made_with
        self._samples = samples
        self._room = int(gigabytes * 1e9)
        self._memory: dict[int, Features] = {}
        about = self.folder / "about.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not about.exists():
                _write_whole(about, lambda path: path.write_text(json.dumps(description, indent=2), encoding="utf-8"))
            _remove_leftovers(self.folder)
        except OSError as error:
            raise ConfigError(f"no place for features in {folder} ({error.strerror}); name another folder") from error

    def __contains__(self, index: int) -> bool:
        """Whether the features of a sample are in memory, or under their name on disk."""
        return index in self._memory or self._file(self._name(index)).is_file()

    def get(self, index: int) -> Features | None:
        """The features of a sample; None if they are not there, or damaged: then they have to be computed.

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
        """Keep the features of a sample, on disk and, if there is room, in memory."""
        name = self._name(index)
        tensors = {"values": features.values} | ({} if features.mask is None else {"mask": features.mask})
        file = self._file(name)
        file.parent.mkdir(exist_ok=True)
        _write_whole(file, lambda path: save_tensors(tensors, path, self._header(name)))
        self._remember(index, features)

    def _remember(self, index: int, features: Features) -> None:
        if features.nbytes <= self._room:
            self._room -= features.nbytes
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
    copies = {name: tensor.clone() for name, tensor in tensors.items()}  # what is loaded is the file itself, mapped
    return Features(copies["values"], copies.get("mask"))


def _here() -> str:
    """What stands before the number of a process in the name of a file that it has not finished."""
    return f".{socket.gethostname()}."


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that were killed did not finish."""
    for file in folder.glob("**/.*.unfinished"):
        name, _, process = file.name.removesuffix(".unfinished").rpartition(".")
        if f"{name}.".endswith(_here()) and process.isdecimal() and not _runs(int(process)):
            file.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def _write_whole(file: Path, write: Any) -> None:
    with replacing(file, f"{_here()}{os.getpid()}.unfinished".lstrip(".")) as unfinished:
        write(unfinished)
