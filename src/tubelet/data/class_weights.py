"""Weights of classes in the loss, against classes of unequal size."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.data.table import Table
from tubelet.errors import ConfigError

SKEWED = 10
"""Samples of the largest class for one of the smallest from which on classes are called skewed."""


def class_weights(table: Table, head: str = "label", *, beta: float | None = None) -> Float[Tensor, "K"]:
    """A weight for each class in the loss, larger for rare ones, 1 on average over the samples.

    The classes of a multi-label head are weighed each for itself: the factor for samples that show it is the number of
    samples that do not over the number of those that do (`pos_weight` of torch), 1 for a class that none shows.

    Args:
        table: whose samples count.
        head: of the table.
        beta: None weights a class of n samples by 1 / n, so that all classes weigh the same in sum. A number weights by
            the effective number of samples, `(1 - beta) / (1 - beta^n)` (Cui et al., CVPR 2019): classes of far more
            than 1 / (1 - beta) samples weigh more in sum than others, and 0 weights not at all.

    Returns:
        [K]; a class without samples weighs 0.

    Raises:
        ConfigError: beta below 0, or 1 and more.
    """
    if beta is not None and not 0 <= beta < 1:
        raise ConfigError(f"beta={beta} must be from 0 to below 1; None lets all classes weigh the same")
    counts = torch.tensor(table.counts(head), dtype=torch.float64)

    def effective_number(counts: Tensor) -> Tensor:
        return counts if beta is None else (1 - beta**counts) / (1 - beta)

    effective = effective_number(counts.clamp(min=1))
    if head in table.multi_label:
        others = effective_number((len(table) - counts).clamp(min=1))
        return torch.where(counts > 0, others / effective, 1.0).float()
    weights = torch.where(counts > 0, 1 / effective, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).float()
