"""Normalisation over the batch: what all clips have in common goes, and what tells them apart is left."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


class BatchNorm(_BatchNorm):
    """BatchNorm over all axes but the second (Ioffe and Szegedy, ICML 2015), for any number of axes.

    In evaluation the statistics are constants, so that a sample depends on itself alone. In training a batch that has a
    single value for each channel has no statistics of its own: those of evaluation are used.

    Args:
        channels: size of the second axis.
        affine: learn a scale and a bias after it.
    """

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__(channels, affine=affine)
        self.register_buffer("num_batches_tracked", None)  # only a cumulative average needs it

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes is meant."""
