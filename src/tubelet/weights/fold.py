"""Fold the norm before the heads into the heads, for formats and models that have no such norm."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from tubelet.model import ViViT
from tubelet.nn.batch_norm import BatchNorm


def fold_head_norm(model: ViViT) -> ViViT:
    """The same function in evaluation, without `head_norm`: W ((x - m) / s) + b is (W / s) x + (b - W m / s).

    Args:
        model: stays as it is.

    Returns:
        a copy with `head_norm="none"`; the model itself if it has none.
    """
    if not isinstance(model.head_norm, BatchNorm):
        return model
    folded = copy.deepcopy(model)
    folded.config = replace(model.config, head_norm="none")
    folded.head_norm = nn.Identity()
    mean, variance = model.head_norm.running_mean, model.head_norm.running_var
    assert mean is not None
    assert variance is not None
    with torch.no_grad():
        scale = (variance + model.head_norm.eps).rsqrt()
        for head in folded.head.modules():
            if isinstance(head, nn.Linear):
                head.weight.mul_(scale)
                head.bias.sub_(head.weight @ mean)
    return folded
