"""Where a model runs and in which precision: what `auto` means; and how many cores there are."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from tubelet.distributed.process import ProcessInfo
from tubelet.errors import ConfigError

Precision = Literal["auto", "float32", "bfloat16"]


def resolve_device(device: str | torch.device = "auto", among: ProcessInfo = ProcessInfo()) -> torch.device:  # noqa: B008  # frozen
    """The device of that name; `auto` takes the first GPU, or the CPU where there is none.

    Args:
        device: its name.
        among: the place of this process: several on one machine have a GPU each, by their local rank.

    Raises:
        ConfigError: no such device here.
    """
    if among.size > 1:
        return _own_device(device, among)
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device={device!r} is not a device; use auto, cpu, cuda, cuda:1 or mps") from None
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    count = there.get(chosen.type)
    if count is not None and (chosen.index or 0) >= count:
        kind = {"cuda": "CUDA device", "mps": "MPS device"}[chosen.type]
        found = f"no {kind} was found" if not count else f"there are {count} (counted from 0)"
        raise ConfigError(f"device={str(device)!r}: {found}; use auto or cpu")
    return chosen


def _own_device(device: str | torch.device, among: ProcessInfo) -> torch.device:
    """The CPU, or the GPU of this process."""
    name = str(device)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"device={name!r} cannot be shared by {among.size} processes; use auto, cpu or cuda")
    if name == "cpu":
        return torch.device("cpu")
    if among.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"{among.local_size} processes on a machine with {torch.cuda.device_count()} GPUs; start one for each GPU, "
            "or use device=cpu"
        )
    torch.cuda.set_device(among.local_rank)
    return torch.device("cuda", among.local_rank)


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of matrix products; `auto` is bfloat16 on a GPU with matrix units for it, float32 everywhere else."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and has_bfloat16_units(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def has_bfloat16_units(device: torch.device) -> bool:
    """Whether a device multiplies matrices of bfloat16 faster than those of float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """A context in which matrix products have this type; nothing for float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
