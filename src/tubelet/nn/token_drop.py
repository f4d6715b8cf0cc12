"""Token dropping in training: each clip is encoded without a random part of its spatial positions."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def draw_kept_positions(batch: int, positions: int, rate: float) -> Int[Tensor, "B n"]:
    """Draw the spatial positions that are kept, for each sample, in ascending order.

    They are drawn on the CPU, from torch's generator.

    Args:
        batch: number of samples, B.
        positions: h * w of the token grid.
        rate: share that is dropped; at least one position is kept.
    """
    count = max(1, positions - round(rate * positions))
    return torch.rand(batch, positions).argsort(dim=1)[:, :count].sort(dim=1).values
