"""Memory for large tensors that the C library can use again.

torch asks for memory that begins at a multiple of 64 bytes. For that glibc looks for a place 96 bytes larger than what
is left when such a tensor is freed, so between two tensors that stay no other of its size ever fits, and most tensors
of a training step are of one size. What is asked for without a condition fits exactly; docs/performance.md has figures.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGE = 2**20
"""Bytes of a tensor from which it matters."""

ALIGNMENT = 64
"""Bytes; vector instructions like it, and torch's own tensors have it."""


def empty_reusable(like: Tensor, *shape: int) -> Tensor:
    """`like.new_empty(shape)`, where a large tensor on a CPU leaves a place behind that another one fits in."""
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or size < LARGE:
        return like.new_empty(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return torch.from_numpy(memory)[first : first + size].view(like.dtype).view(shape)
