"""Allocation of large tensors so that the C library can reuse freed memory for them.

torch asks for memory at a multiple of 64 bytes. glibc then searches for a block 96 bytes larger than the one that is
left when such a tensor is freed, so that between two live tensors no other tensor of this size ever fits, and most
tensors of a training step have one size. Memory that is asked for without alignment is reused; docs/performance.md has
figures.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGE = 2**20
"""Bytes of the smallest tensor that is allocated this way."""

ALIGNMENT = 64
"""Bytes; as torch aligns its own tensors."""


def empty_reusable(like: Tensor, *shape: int) -> Tensor:
    """`like.new_empty(shape)`; a large one on a CPU leaves memory that can be reused when it is freed."""
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or size < LARGE:
        return like.new_empty(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return torch.from_numpy(memory)[first : first + size].view(like.dtype).view(shape)
