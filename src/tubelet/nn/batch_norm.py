"""Normalisation over the batch: what all clips have in common goes, and what tells them apart is left."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """BatchNorm over all axes but the second (Ioffe and Szegedy, ICML 2015), for any number of axes.

    In evaluation the statistics are constants, so that a sample depends on itself alone. In training a batch that has a
    single value for each channel has no statistics of its own: those of evaluation are used.

    Args:
        channels: size of the second axis.
        affine: learn a scale and a bias after it.
    """

    eps = 1e-5
    momentum = 0.1
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        own = self.training and x.numel() > x.shape[1]
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum, self.eps
        )

    def extra_repr(self) -> str:
        return f"{len(self.running_mean)}, affine={self.weight is not None}"
