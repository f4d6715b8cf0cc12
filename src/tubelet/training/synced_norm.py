"""BatchNorm over the batch of all processes, so that it is the one of a single process with the whole batch."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from tubelet.nn.batch_norm import BatchNorm


class SyncedBatchNorm(BatchNorm):
    """A `BatchNorm` whose statistics, in training, are those of all processes; the gradient passes through them.

    torch's own has none for CPUs, and knows no clips that do not count.

    Attributes:
        counts: False while a clip goes through that only keeps the processes in step.
    """

    counts: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        if not self.training or self.forward_in_parts is not None:
            return super().forward(x)
        values = x.float().transpose(0, 1).flatten(1)
        weight = float(self.counts)
        sizes = values.new_tensor([weight * len(x), weight * values.shape[1]])
        (samples, number), mean = _sums(sizes, weight * values.sum(dim=1))
        mean = mean / number.clamp(min=1)
        (variance,) = _sums(weight * (values - mean[:, None]).square().sum(dim=1))
        variance = variance / number.clamp(min=1)
        several = samples > 1  # a single sample has no statistics: those of evaluation are used
        with torch.no_grad():
            unbiased = variance * number / (number - 1).clamp(min=1)
            self.running_mean.lerp_(torch.where(several, mean, self.running_mean), self.momentum)
            self.running_var.lerp_(torch.where(several, unbiased, self.running_var), self.momentum)
        mean = torch.where(several, mean, self.running_mean)
        variance = torch.where(several, variance, self.running_var)
        return self.normalise(x, mean, variance)


def synchronise_norms(model: nn.Module) -> list[SyncedBatchNorm]:
    """Put a `SyncedBatchNorm` with the same parameters and buffers in the place of each BatchNorm; returns them."""
    found = []
    for parent in list(model.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, BatchNorm):
                synced = SyncedBatchNorm(len(norm.running_mean), norm.weight is not None).train(norm.training)
                synced.weight, synced.bias = norm.weight, norm.bias
                synced.running_mean, synced.running_var = norm.running_mean, norm.running_var
                setattr(parent, name, synced)
                found.append(synced)
    return found


def _sums(*values: Tensor) -> list[Tensor]:
    """Each of them added up over the processes, in one exchange."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        whole = all_reduce(torch.cat(values))
    return list(whole.split([len(value) for value in values]))
