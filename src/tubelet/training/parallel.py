"""DDP (a copy of the model in each process) and FSDP2 (shards), on torch's implementations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError
from tubelet.given_model import require_as_configured
from tubelet.model import ViViT
from tubelet.nn.encoder import Encoder
from tubelet.training.synced_norm import SyncedBatchNorm, synchronise_norms
from tubelet.weights.tensors import empty_model


class Parallel:
    """DDP or FSDP2 for the processes that take each step together; nothing for one process.

    Both average gradients over the processes: a loss that is to be summed is multiplied by `world.size`.

    Args:
        world: the processes.
        strategy: `fsdp`, or `auto` and `ddp`, which are the same.
    """

    def __init__(self, world: World = ALONE, strategy: Literal["auto", "ddp", "fsdp"] = "auto") -> None:
        self.world = world
        self.sharded = world.size > 1 and strategy == "fsdp"
        self._replicas: DistributedDataParallel | None = None
        self._norms: list[SyncedBatchNorm] = []

    def prepare(self, model: nn.Module, average: nn.Module | None) -> None:
        """Synchronise the BatchNorms of a model; with FSDP, shard it and the average of its weights, block by block."""
        if self.world.size == 1:
            return
        self._norms = synchronise_norms(model)
        if not self.sharded:
            return
        for vivit in [module for module in model.modules() if isinstance(module, ViViT)]:
            require_as_configured(vivit, "strategy='fsdp'")
        mesh = init_device_mesh(next(model.parameters()).device.type, (self.world.size,))
        for sharded in [model] if average is None else [model, average]:
            for encoder in [module for module in sharded.modules() if isinstance(module, Encoder)]:
                for block in encoder.blocks:
                    fully_shard(block, mesh=mesh)
            fully_shard(sharded, mesh=mesh)

    def forward(
        self, model: nn.Module, compiled: Callable[[nn.Module], Callable[..., Any]] | None
    ) -> Callable[..., Any]:
        """The callable of the training step: the model, wrapped and compiled.

        Args:
            model: on its device; with FSDP, sharded already.
            compiled: compiles a module; None for no compilation.

        Raises:
            ConfigError: compilation with FSDP, which has not been made to work together here.
        """
        if self.sharded and compiled is not None:
            raise ConfigError(
                "compile=True with strategy='fsdp' is not supported; use strategy='ddp', or compile=False"
            )
        if self.world.size > 1 and not self.sharded:
            device = next(model.parameters()).device
            own = [device.index] if device.type == "cuda" else None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers has another name in newer releases
                model = self._replicas = DistributedDataParallel(
                    model, device_ids=own, broadcast_buffers=False, gradient_as_bucket_view=True
                )
        return model if compiled is None else compiled(model)

    def part(self, counts: bool, last: bool) -> AbstractContextManager[None]:
        """The context of the passes of one part of a batch: DDP reduces gradients after the last part, FSDP each time.

        Args:
            counts: whether there are clips in it.
            last: whether it is the last one.
        """
        for norm in self._norms:
            norm.counts = counts
        return self._replicas.no_sync() if self._replicas is not None and not last else nullcontext()

    def separately(self) -> AbstractContextManager[None]:
        """The context of passes after which DDP does not reduce gradients; `sum_gradients` does in the end."""
        return self._replicas.no_sync() if self._replicas is not None else nullcontext()

    def sum_gradients(self) -> None:
        """Sum the gradients over the processes, in place."""
        for parameter in () if self._replicas is None else self._replicas.parameters():
            if parameter.grad is not None:
                self.sum(parameter.grad)

    def sum(self, value: Tensor) -> None:
        """Sum a tensor over the processes, in place."""
        if self.world.size > 1:
            dist.all_reduce(value)

    def whole(self, model: ViViT) -> ViViT:
        """The model itself; with FSDP a plain copy with all parameters, in every process, on its device."""
        if not self.sharded:
            return model
        tensors = whole_tensors(model)
        device = next(iter(tensors.values())).device
        plain = empty_model(model.config, model.preprocessing, model.labels)
        plain.load_state_dict(tensors)
        plain.provenance = model.provenance
        plain.operating_points = model.operating_points
        return plain.to(device).eval()


def whole_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state dict with every tensor whole. All processes have to call it."""
    return {name: whole(tensor) for name, tensor in model.state_dict().items()}


def whole(tensor: Tensor) -> Tensor:
    """The full tensor, of a sharded one too."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The local shard of each tensor, which shares its memory."""
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """The local shard of a full tensor, placed as `like`; nothing is sent."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def load_whole(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """`load_state_dict` of full tensors, for a model that may be sharded."""
    own = model.state_dict()
    model.load_state_dict({name: shard_like(value, own.get(name, value)) for name, value in tensors.items()})
