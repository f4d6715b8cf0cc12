"""Attention in short sequences of a training under autocast to bfloat16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

LONG = 512
"""Tokens of a sequence from which attention trains faster in bfloat16 than in float32, on a CPU with matrix units: at
16 to 25 tokens it takes 10 to 20 times as long, at 197 as long, at 1,568 two thirds."""


@contextmanager
def without_bfloat16(tensors: Sequence[Tensor], tokens: int = 0) -> Iterator[tuple[Tensor, ...]]:
    """Query, key and value in float32 and a context without autocast, for short sequences on a CPU, with gradients.

    The backward pass of attention is slow in bfloat16 there. Elsewhere the tensors are as they were.

    Args:
        tensors: of one attention.
        tokens: of a sequence; 0 along an axis of the grid, which is short.
    """
    slow = tensors[0].dtype == torch.bfloat16 and tensors[0].device.type == "cpu" and tokens < LONG
    if not slow or not torch.is_grad_enabled() or not torch.is_autocast_enabled("cpu"):
        yield tuple(tensors)
        return
    with torch.autocast("cpu", enabled=False):
        yield tuple(tensor.float() for tensor in tensors)
