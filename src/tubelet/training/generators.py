"""Torch's own generators, lent to a training and given back."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def restored_generators() -> AbstractContextManager[None]:
    """Inside the `with`, torch's generators may be seeded; afterwards those of the CPU and of all GPUs are as before.

    `torch.manual_seed` seeds every GPU, so all of them are kept.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    context: AbstractContextManager[None] = torch.random.fork_rng(devices=list(devices))
    return context
