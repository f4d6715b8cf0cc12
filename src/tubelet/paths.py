"""What may be read and written where, found out before anything heavy is imported."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from tubelet.errors import ConfigError, DataError, WeightsError
from tubelet.text import listing

WEIGHTS_SUFFIXES = (".checkpoint", ".msgpack", ".safetensors", ".npz", ".pt", ".pth", ".bin", ".ckpt", ".json")
"""A missing file with such a name is not looked for on the Hub."""

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
SHOWN = 8
"""Names in a folder that an error lists."""


def is_camera(video: str) -> bool:
    """Whether a name is that of a camera, `camera:0`, and no file."""
    kind, _, number = video.partition(":")
    return kind == "camera" and number.isdigit() and not os.path.exists(video)


def require_free(path: str | os.PathLike[str], *, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Hold that a result may be written there: nothing that exists is replaced unless that was asked for.

    Args:
        path: file to write.
        overwrite: an existing file may be replaced.
        inputs: files that are read meanwhile, and are never replaced.

    Raises:
        ConfigError: it exists, is a folder, lies in a folder that does not exist, or is one of `inputs`.
    """
    place = Path(path)
    for source in inputs:
        if place.exists() and os.path.exists(source) and os.path.samefile(place, source):
            raise ConfigError(f"{path} is one of the files to be read, and would be replaced; name another file")
    if place.is_dir():
        raise ConfigError(f"{path} is a folder; name a file in it")
    if place.exists() and not overwrite:
        raise ConfigError(f"{path} exists and is not overwritten; name another file, or replace it with --overwrite")
    if not place.absolute().parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {place.parent}; make it first")


def require_model(source: str | Path) -> bool:
    """Hold that there may be a model of this name, which is a file or a folder, or else one on the Hub.

    Returns:
        whether it is here; otherwise it is to be looked for on the Hub.

    Raises:
        WeightsError: there is none: neither a path that exists, nor a name as the Hub has them. A name whose first part
            is a folder here is a path that was mistyped, and nobody else is asked for it.
    """
    name = os.fspath(source)
    path = Path(name).expanduser()
    if path.exists():
        return True
    if re.match(r"[A-Za-z0-9+]+://", name):
        raise WeightsError(f"{name}: download it first, and load the file")
    hub_name = HUB_NAME.fullmatch(name) is not None and path.suffix not in WEIGHTS_SUFFIXES
    if not hub_name:
        raise WeightsError(f"{name}: no such file or folder{beside(path)}")
    refuse_mistyped(name)
    return False


def refuse_mistyped(hub_name: str) -> None:
    """Hold that a name as the Hub has them is not a mistyped path: whoever owns it there would answer.

    Raises:
        WeightsError: its first part is a folder here.
    """
    path = Path(hub_name)
    if path.parent.is_dir():
        raise WeightsError(
            f"{hub_name}: no such file or folder{beside(path)} (not looked for on the Hugging Face Hub, since there is "
            f"a folder {path.parent} here; from another folder it is)"
        )


def require_data(source: str | Path) -> None:
    """Hold that a data set is there.

    Raises:
        DataError: it is not.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(
            f"{source} does not exist{beside(path)}; expected a folder of videos or a CSV, TSV or JSONL file"
        )


def require_folder(source: str | Path, what: str) -> None:
    """Hold that a folder is there.

    Args:
        source: the folder.
        what: it is, for the error: "a run".

    Raises:
        DataError: it is not.
    """
    path = Path(source)
    if not path.is_dir():
        wrong = "is no folder" if path.exists() else f"no such folder{beside(path)}"
        raise DataError(f"{source}: {wrong}; name the folder of {what}")


def beside(missing: str | Path) -> str:
    """The end of an error about a path that does not exist: what there is instead, names like it first."""
    path = Path(missing)
    try:
        names = sorted(entry for entry in os.listdir(path.parent) if not entry.startswith("."))
    except OSError:
        return f"; there is no folder {path.parent} either"
    near = difflib.get_close_matches(path.name, names, SHOWN, cutoff=0.6)
    if near:
        return f"; did you mean {listing([str(path.parent / name) for name in near], SHOWN)}?"
    if path.parent == Path() or not names:
        return ""
    return f"; {path.parent} has: {listing(names, SHOWN)}"
