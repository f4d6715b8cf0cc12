"""Checkpoints on disk: a folder each, whole or not there.

    checkpoints/last/model.safetensors   the weights that are trained
    checkpoints/last/state.pt            everything else that the next step depends on
    checkpoints/best/                    the same, as it was after the best validation

A new checkpoint is written to a folder beside the old one, flushed to the disk, and takes its name in two renames. A
process that is killed in between leaves the old one under the name `last.previous`, which `load_checkpoint` knows.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights.files import file_checksum, load_tensors, save_tensors, storage_errors
from tubelet.weights.pickled import load_pickled

WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "state.pt"
SHARDED_FILE = ".metadata"
"""Of `torch.distributed.checkpoint`: there are tensors in parts beside it."""


PARTS = "parts"
"""Key of the state of a sharded checkpoint: the checksums of its other files, by name."""


@dataclass(frozen=True)
class Checkpoint:
    """What was read.

    Attributes:
        weights: the model's state dict, on the CPU; empty if it is sharded.
        state: the rest.
        folder: where it is.
        sharded: whether several processes wrote the tensors, each its part (`tubelet.train.sharded` reads them).
    """

    weights: dict[str, Tensor]
    state: dict[str, Any]
    folder: Path
    sharded: bool = False


def save_checkpoint(folder: Path, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint; a crash at any moment leaves the one that was there before, or this one.

    Args:
        folder: of this checkpoint.
        weights: the model's state dict.
        state: numbers, strings, tensors, and dictionaries, lists and tuples of them: nothing that runs code on loading.
    """
    with storage_errors(folder):
        writing = start_writing(folder)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        save_tensors(tensors, writing / WEIGHTS_FILE)
        torch.save(state, writing / STATE_FILE)
        flush(writing / WEIGHTS_FILE)
        flush(writing / STATE_FILE)
        finish_writing(writing, folder)


def copy_checkpoint(source: Path, folder: Path) -> None:
    """Make `folder` the same checkpoint as `source`. Files are never changed, so they are shared where the disk can."""
    with storage_errors(folder):
        writing = start_writing(folder)
        for file in source.iterdir():
            try:
                os.link(file, writing / file.name)
            except OSError:  # this file system has no hard links
                shutil.copyfile(file, writing / file.name)
                flush(writing / file.name)
        finish_writing(writing, folder)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is one to load."""
    return any((place / STATE_FILE).is_file() for place in (folder, _beside(folder, "previous")))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        WeightsError: there is none, or it is damaged.
    """
    place = folder if (folder / STATE_FILE).is_file() else _beside(folder, "previous")
    if not (place / STATE_FILE).is_file():
        raise WeightsError(f"{folder} holds no checkpoint; training writes one after each validation, and in between")
    sharded = (place / SHARDED_FILE).is_file()
    try:
        weights = {} if sharded else load_tensors(place / WEIGHTS_FILE)[0]
        state = load_pickled(place / STATE_FILE)
        _compare(place, state.pop(PARTS, {}))
    except WeightsError as error:
        raise WeightsError(f"{error}. If checkpoints/best is whole, copy it to {folder}") from error
    return Checkpoint(weights, state, place, sharded)


def _compare(folder: Path, checksums: dict[str, int]) -> None:
    """Hold that the files of a sharded checkpoint are as they were written."""
    for name, checksum in checksums.items():
        if not (folder / name).is_file() or file_checksum(folder / name) != checksum:
            raise WeightsError(f"{folder / name} is damaged: it is not what was written with the checkpoint")


def start_writing(folder: Path) -> Path:
    """An empty folder beside `folder`, to write a checkpoint in."""
    writing = _beside(folder, "writing")
    _remove(writing)
    writing.mkdir(parents=True)
    return writing


def finish_writing(writing: Path, folder: Path) -> None:
    """Give a checkpoint, whose files are on the disk, its name."""
    flush(writing)
    previous = _beside(folder, "previous")
    if folder.exists():
        _remove(previous)
        folder.rename(previous)
    writing.rename(folder)
    flush(folder.parent)
    _remove(previous)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def flush(path: Path) -> None:
    """Have the disk hold what was written; a folder too, where the system lets one be opened."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
