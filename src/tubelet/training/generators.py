"""Torch's generators, restored after a training."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def restored_generators() -> AbstractContextManager[None]:
    """Inside the `with`, torch's generators may be seeded; those of the CPU and of all GPUs are restored."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    context: AbstractContextManager[None] = torch.random.fork_rng(devices=list(devices))
    return context
