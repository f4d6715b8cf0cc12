"""Normalisation over the batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """BatchNorm over all axes but the second (Ioffe and Szegedy, ICML 2015), for any number of axes.

    In evaluation the statistics are constants. In training, a batch of one sample is normalised by the running
    statistics, which it does not change.

    Args:
        channels: size of the second axis.
        affine: learn a scale and a bias after it.

    Attributes:
        forward_in_parts: used instead of `forward` in training while a batch is split over several forward passes,
            which need the statistics of the whole batch; otherwise None.
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
        self.forward_in_parts: Callable[[BatchNorm, Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        if self.training and self.forward_in_parts is not None:
            return self.forward_in_parts(self, x)
        own = self.training and len(x) > 1
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum, self.eps
        )

    def normalise(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Normalise [B, C, ...] by a mean and a variance [C]; the gradient passes through these too."""
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        normed = (x.float() - self.per_channel(x, mean)) * self.per_channel(x, scale)
        if self.bias is not None:
            normed = normed + self.per_channel(x, self.bias)
        return normed.to(x.dtype)

    @torch.no_grad()
    def update_statistics(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics by those of a batch.

        Args:
            mean: [C].
            variance: [C], the mean squared distance from it.
            count: number of values in each channel, more than one.
        """
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)

    @staticmethod
    def per_channel(x: Tensor, values: Tensor) -> Tensor:
        """Values [C] in a shape that broadcasts with x [B, C, ...]."""
        return values.view(1, -1, *[1] * (x.ndim - 2))

    def extra_repr(self) -> str:
        return f"{len(self.running_mean)}, affine={self.weight is not None}"
