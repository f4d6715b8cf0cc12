"""The loss of supervised training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tubelet.data import Batch

Targets = Mapping[str, Tensor]
"""Head to classes int64 [B], or to shares of classes float [B, K] after `tubelet.data.BatchMix`; of a multi-label head
float [B, K], from 0 (not shown) to 1."""


def classification_loss(
    logits: Tensor | Mapping[str, Tensor],
    targets: Targets,
    *,
    class_weights: Mapping[str, Tensor] | None = None,
    multi_label: Collection[str] = (),
) -> Float[Tensor, "B"]:
    """The loss of each clip, in nats; with several heads their unweighted mean (the original's for EPIC-Kitchens).

    A head that gives one class has cross entropy; a multi-label head the binary cross entropy of each class, mean over
    its classes.

    Args:
        logits: [B, K], or {head: [B, K]}.
        targets: for each head classes [B], or shares of classes [B, K]; they sum to 1 but in multi-label heads.
        class_weights: for a head a factor [K]: for clips of that class, or, multi-label, for the clips that show it
            (`pos_weight` of torch).
        multi_label: heads of which several classes may be shown.

    Returns:
        [B]; the loss of a batch is the mean over it, whatever the weights.
    """
    by_head = {next(iter(targets)): logits} if isinstance(logits, Tensor) else logits
    losses = []
    for head, values in by_head.items():
        weight = None if class_weights is None else class_weights.get(head)
        if head in multi_label:
            loss = F.binary_cross_entropy_with_logits(
                values.float(), targets[head], pos_weight=weight, reduction="none"
            ).mean(dim=1)
        else:
            loss = F.cross_entropy(values.float(), targets[head], weight=weight, reduction="none")
        losses.append(loss)
    return torch.stack(losses).mean(dim=0)


def batch_losses(
    model: Callable[..., Any],
    batch: Batch,
    *,
    class_weights: Mapping[str, Tensor] | None = None,
    multi_label: Collection[str] = (),
) -> Float[Tensor, "B"]:
    """`classification_loss` of a model's logits for a batch."""
    logits = model(batch.video, batch.frame_mask)
    return classification_loss(logits, batch.targets, class_weights=class_weights, multi_label=multi_label)
