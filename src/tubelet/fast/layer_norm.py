"""LayerNorm and its gradient, outside autograd; large tensors in tiles, into reusable buffers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.fast.buffers import empty_reusable
from tubelet.fast.tiles import TILE_ELEMENTS, row_tiles

Statistics = tuple[Float[Tensor, "*rest 1"], Float[Tensor, "*rest 1"]]


def layer_norm(
    x: Float[Tensor, "*rest D"], scale: Float[Tensor, "D"], shift: Float[Tensor, "D"], eps: float
) -> tuple[Float[Tensor, "*rest D"], Statistics]:
    """The norm of x, and of each token the mean and the inverse of the standard deviation."""
    if not _is_large(x):
        normed, *statistics = torch.native_layer_norm(x, scale.shape, scale, shift, eps)
        return normed, (statistics[0], statistics[1])
    result = empty_reusable(x, *x.shape)
    found = []
    for rows, into in zip(row_tiles(x), row_tiles(result), strict=True):
        normed, *statistics = torch.native_layer_norm(rows, scale.shape, scale, shift, eps)
        into.copy_(normed)
        found.append(statistics)
    mean, inverse = (torch.cat(parts).view(*x.shape[:-1], 1) for parts in zip(*found, strict=True))
    return result, (mean, inverse)


def layer_norm_backward(
    gradient: Float[Tensor, "*rest D"],
    x: Float[Tensor, "*rest D"],
    scale: Float[Tensor, "D"],
    shift: Float[Tensor, "D"],
    statistics: Statistics,
    needs_grad: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, scale and shift, where needed, from that of the normalised x."""
    compute, mask = torch.ops.aten.native_layer_norm_backward, list(needs_grad)
    if not _is_large(x):
        return compute(gradient, x, scale.shape, *statistics, scale, shift, mask)
    rows = row_tiles(x)
    parts = zip(rows, row_tiles(gradient), *(each.view(-1, 1).split(len(rows[0])) for each in statistics), strict=True)
    grad_x = empty_reusable(x, *x.shape) if needs_grad[0] else None
    into = row_tiles(grad_x) if grad_x is not None else ()
    sums: list[list[Tensor]] = [[], []]
    for number, (some, grad_some, mean, inverse) in enumerate(parts):
        grad_rows, *grad_parameters = compute(grad_some, some, scale.shape, mean, inverse, scale, shift, mask)
        if needs_grad[0]:
            into[number].copy_(grad_rows)
        for found, each in zip(sums, grad_parameters, strict=True):
            found.append(each)
    grad_scale, grad_shift = (
        torch.stack(found).sum(dim=0) if asked else None for found, asked in zip(sums, mask[1:], strict=True)
    )
    return grad_x, grad_scale, grad_shift


def _is_large(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.numel() > TILE_ELEMENTS
