"""Checks of paths that are to be read or written, before anything heavy is imported."""

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

DEMO = "demo"
"""Name of the model that comes with the package."""

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
SHOWN = 8
"""Names in a folder that an error lists."""


def is_camera(video: str) -> bool:
    """Whether a name is that of a camera, `camera:0`, and no file."""
    kind, _, number = video.partition(":")
    return kind == "camera" and number.isdigit() and not os.path.exists(video)


PACKAGED_MODEL = Path(__file__).parent / "demo" / "sample"
"""Folder of the small model that comes with tubelet. Nothing is written to it."""


def packaged_model(source: str | os.PathLike[str]) -> Path | None:
    """The folder of the small model that comes with tubelet, if `demo` is meant: a model that lies here comes first.

    The folder that `tubelet demo` makes holds its models below `runs`, so it is none itself.
    """
    if os.fspath(source) != DEMO or Path(DEMO).is_file() or (Path(DEMO) / "config.json").exists():
        return None
    return PACKAGED_MODEL


def require_free(path: str | os.PathLike[str], *, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Hold that a result may be written to a file.

    A ConfigError if it exists (but for `overwrite`), is a folder, lies in no folder, or is one of `inputs`, which are
    read.
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
    """Hold that there may be a model of this name; returns whether it is a file or a folder, not a name on the Hub.

    A WeightsError if there is neither such a path nor a name of the form of the Hub's. A name that begins with a folder
    that is here is a mistyped path, and is not looked for on the Hub.
    """
    name = os.fspath(source)
    path = Path(name).expanduser()
    if path.exists() or packaged_model(name) is not None:
        return True
    if re.match(r"[A-Za-z0-9+]+://", name):
        raise WeightsError(f"{name}: download it first, and load the file")
    hub_name = HUB_NAME.fullmatch(name) is not None and path.suffix not in WEIGHTS_SUFFIXES
    if not hub_name:
        raise WeightsError(f"{name}: no such file or folder{beside(path)}")
    refuse_mistyped(name)
    return False


def refuse_mistyped(hub_name: str) -> None:
    """Hold that a name of the form of the Hub's is not a mistyped path, which begins with a folder that is here."""
    path = Path(hub_name)
    if path.parent.is_dir():
        raise WeightsError(
            f"{hub_name}: no such file or folder{beside(path)} (not looked for on the Hugging Face Hub, since there is "
            f"a folder {path.parent} here; from another folder it is)"
        )


def require_data(source: str | Path) -> None:
    """Hold that a data set is there."""
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(
            f"{source} does not exist{beside(path)}; expected a folder of videos or a CSV, TSV or JSONL file"
        )


def require_folder(source: str | Path, what: str) -> None:
    """Hold that the folder of `what` ("a run") is there."""
    path = Path(source)
    if not path.is_dir():
        wrong = "is no folder" if path.exists() else f"no such folder{beside(path)}"
        raise DataError(f"{source}: {wrong}; name the folder of {what}")


def beside(missing: str | Path) -> str:
    """The end of an error about a path that does not exist: what there is instead, names like it first."""
    path = Path(missing)
    if path.is_symlink():
        return f"; it is a link to {os.readlink(path)}, which is not there"
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
