"""Sharded checkpoints: each process writes its shards (torch.distributed.checkpoint).

    checkpoints/last/.metadata, *.distcp   model.NAME, average.NAME, optimiser.NUMBER.NAME: every tensor of the training
    checkpoints/last/state.pt              the rest, as in any checkpoint

Any number of processes, with any strategy, can read them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from tubelet.distributed.world import World
from tubelet.errors import WeightsError
from tubelet.files import file_checksum, flush
from tubelet.training.checkpoint import PARTS, STATE_FILE, finish_writing, start_writing, writing_errors


def save_sharded(
    folder: Path,
    world: World,
    model: nn.Module,
    average: nn.Module | None,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    keep: Path | None = None,
) -> None:
    """Write a checkpoint; all processes call it. A crash at any moment leaves the one before, or this one.

    Args:
        folder: of this checkpoint, which all of them see.
        world: the processes.
        model: that is trained.
        average: of its weights.
        optimiser: over its parameters.
        state: the rest; the first process's counts.
        keep: the name that the checkpoint before it gets; None removes it.
    """
    with writing_errors(folder):
        writing = world.broadcast(lambda: start_writing(folder))
        tensors = _tensors(model, average)
        for number, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in values.items()}
        save(tensors, storage_writer=FileSystemWriter(writing))
        if world.first:
            checksums = {file.name: file_checksum(file) for file in writing.iterdir()}
            torch.save({**state, PARTS: checksums}, writing / STATE_FILE)
            flush(writing / STATE_FILE)
            finish_writing(writing, folder, keep)
        world.wait()


def load_sharded(folder: Path, model: nn.Module, average: nn.Module | None, optimiser: torch.optim.Optimizer) -> None:
    """Read what `save_sharded` wrote into parts of any layout; if there are several processes, all call it.

    Args:
        folder: where the files are.
        model: is given the weights.
        average: likewise.
        optimiser: likewise.

    Raises:
        WeightsError: the files are damaged.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    try:
        reader = FileSystemReader(folder)
        stored = reader.read_metadata().state_dict_metadata
        tensors = _tensors(model, average)
        for key, described in stored.items():
            if key.startswith("optimiser.") and isinstance(described, TensorStorageMetadata):
                tensors[key] = _empty_like(described, parameters[int(key.split(".")[1])])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # which is meant
            load(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
    except (OSError, CheckpointException, KeyError, EOFError) as error:
        raise WeightsError(f"{folder} is damaged ({error})") from error
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimiser":
            number, _, name = rest.partition(".")
            state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _tensors(model: nn.Module, average: nn.Module | None) -> dict[str, Tensor]:
    """Of both state dicts, by the key of a checkpoint."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    return tensors


def _empty_like(described: TensorStorageMetadata, parameter: Tensor) -> Tensor:
    """An empty tensor for a value of the optimiser's state of a parameter, sharded as the parameter is."""
    if described.size == parameter.shape and parameter.ndim:
        return torch.zeros_like(parameter, requires_grad=False)
    return torch.zeros(described.size, dtype=described.properties.dtype)
