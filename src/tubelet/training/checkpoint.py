"""Checkpoints on disk: a folder each, whole or not there.

    checkpoints/last/model.safetensors   the weights that are trained
    checkpoints/last/state.pt            everything else that the next step depends on
    checkpoints/previous/                the one before it, for a damaged `last`
    checkpoints/best/                    the same, as it was after the best validation

A new checkpoint is written to a folder beside the old one, flushed to the disk, and takes its name when the old one has
been renamed. At every moment `last` or `previous` is whole. `clear_leftovers` removes what a killed process left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import StorageError, WeightsError
from tubelet.files import file_checksum, flush, storage_errors
from tubelet.weights.pickled import load_pickled
from tubelet.weights.tensor_files import load_tensors, save_tensors

WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "state.pt"
WRITING, REMOVING = "writing", "removing"
"""Suffixes of folders that are not checkpoints yet, or no longer."""

SHARDED_FILE = ".metadata"
"""Of `torch.distributed.checkpoint`."""

PARTS = "parts"
"""Key of the state of a sharded checkpoint: the checksums of its other files, by name."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        weights: the model's state dict, on the CPU; empty if it is sharded (`tubelet.training.sharded` reads it).
        state: the rest.
        folder: where it is.
        sharded: whether each process wrote its shards.
    """

    weights: dict[str, Tensor]
    state: dict[str, Any]
    folder: Path
    sharded: bool = False


def save_checkpoint(folder: Path, weights: dict[str, Tensor], state: dict[str, Any], keep: Path | None = None) -> None:
    """Write a checkpoint; a crash at any moment leaves the one that was there before, or this one.

    Args:
        folder: of this checkpoint, in a folder of checkpoints of a run that exists.
        weights: the model's state dict.
        state: numbers, strings, tensors, and dictionaries, lists and tuples of them: nothing that runs code on loading.
        keep: the name that the checkpoint before it gets; None removes it.

    Raises:
        StorageError: it cannot be written, or the run is gone.
    """
    with writing_errors(folder):
        writing = start_writing(folder)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        save_tensors(tensors, writing / WEIGHTS_FILE)
        torch.save(state, writing / STATE_FILE)
        flush(writing / WEIGHTS_FILE)
        flush(writing / STATE_FILE)
        finish_writing(writing, folder, keep)


def copy_checkpoint(source: Path, folder: Path) -> None:
    """Make `folder` the same checkpoint as `source`. Files are never changed, so they are shared where the disk can."""
    with writing_errors(folder):
        writing = start_writing(folder)
        for file in source.iterdir():
            try:
                os.link(file, writing / file.name)
            except OSError:  # this file system has no hard links
                shutil.copyfile(file, writing / file.name)
                flush(writing / file.name)
        finish_writing(writing, folder)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        WeightsError: there is none, or it is damaged.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder}: there is no such checkpoint")
    sharded = (folder / SHARDED_FILE).is_file()
    try:
        weights = {} if sharded else load_tensors(folder / WEIGHTS_FILE)[0]
        state = load_pickled(folder / STATE_FILE)
        if not isinstance(state, dict) or "position" not in state:
            raise WeightsError(f"{folder / STATE_FILE} is damaged, or no checkpoint of tubelet")
        _compare(folder, state.pop(PARTS, {}))
    except OSError as error:
        raise WeightsError(f"{folder} is damaged ({error})") from error
    return Checkpoint(weights, state, folder, sharded)


def clear_leftovers(checkpoints: Path) -> None:
    """Remove what a process that was killed left beside whole checkpoints."""
    with storage_errors(checkpoints):
        for folder in [*checkpoints.glob(f"*.{WRITING}"), *checkpoints.glob(f"*.{REMOVING}")]:
            shutil.rmtree(folder)
        for folder in checkpoints.glob("*.previous"):  # of versions that kept one checkpoint
            name = folder.with_suffix("")
            shutil.rmtree(folder) if name.exists() else folder.rename(name)


def _compare(folder: Path, checksums: dict[str, int]) -> None:
    """Hold that the files of a sharded checkpoint are as they were written."""
    for name, checksum in checksums.items():
        if not (folder / name).is_file() or file_checksum(folder / name) != checksum:
            raise WeightsError(f"{folder / name} is damaged: it is not what was written with the checkpoint")


@contextmanager
def writing_errors(folder: Path) -> Iterator[None]:
    """Inside the `with`, what keeps a checkpoint from being written is a StorageError, also that its run is gone."""
    run = folder.parent.parent
    try:
        with storage_errors(folder):
            yield
    except StorageError as error:
        if run.is_dir():
            raise
        raise StorageError(
            f"{run} was removed or renamed while it was written to; give it its name back, and go on with --resume"
        ) from error


def start_writing(folder: Path) -> Path:
    """An empty folder beside `folder`, to write a checkpoint in."""
    folder.parent.mkdir(exist_ok=True)
    writing = _beside(folder, WRITING)
    _remove(writing)
    writing.mkdir()
    return writing


def finish_writing(writing: Path, folder: Path, keep: Path | None = None) -> None:
    """Give a checkpoint, whose files are on the disk, its name, and the one before it the name `keep`."""
    flush(writing)
    removing = _beside(keep or folder, REMOVING)
    _remove(removing)
    if folder.exists():
        if keep is None:
            folder.rename(removing)
        else:
            if keep.exists():
                keep.rename(removing)
            folder.rename(keep)
    writing.rename(folder)
    flush(folder.parent)
    _remove(removing)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
