"""The loss of supervised training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tubelet.data import Batch

Targets = Mapping[str, Tensor]
"""Head to classes int64 [B], or to shares of classes float [B, K] after `tubelet.data.BatchMix`."""


def classification_loss(
    logits: Tensor | Mapping[str, Tensor],
    targets: Targets,
    *,
    class_weights: Mapping[str, Tensor] | None = None,
) -> Float[Tensor, "B"]:
    """Cross entropy of each clip, in nats; with several heads their unweighted mean (the original's for EPIC-Kitchens).

    Args:
        logits: [B, K], or {head: [B, K]}.
        targets: for each head classes [B], or shares of classes [B, K] that sum to 1.
        class_weights: for each head a factor [K] for clips of that class.

    Returns:
        [B]; the loss of a batch is the mean over it, whatever the weights.
    """
    by_head = {next(iter(targets)): logits} if isinstance(logits, Tensor) else logits
    losses = [
        F.cross_entropy(
            values.float(),
            targets[head],
            weight=None if class_weights is None else class_weights[head],
            reduction="none",
        )
        for head, values in by_head.items()
    ]
    return torch.stack(losses).mean(dim=0)


def batch_losses(
    model: Callable[..., Any], batch: Batch, *, class_weights: Mapping[str, Tensor] | None = None
) -> Float[Tensor, "B"]:
    """`classification_loss` of a model's logits for a batch."""
    return classification_loss(model(batch.video, batch.frame_mask), batch.targets, class_weights=class_weights)
