"""LayerNorm and its gradient where autograd does not look; large ones in pieces, into memory that is used again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.nn.pieces import CACHED, pieces
from tubelet.nn.room import room

Statistics = tuple[Float[Tensor, "*rest 1"], Float[Tensor, "*rest 1"]]


def layer_norm(
    x: Float[Tensor, "*rest D"], scale: Float[Tensor, "D"], shift: Float[Tensor, "D"], eps: float
) -> tuple[Float[Tensor, "*rest D"], Statistics]:
    """The norm of x, and of each token the mean and the inverse of the standard deviation."""
    if not _is_large(x):
        normed, *statistics = torch.native_layer_norm(x, scale.shape, scale, shift, eps)
        return normed, (statistics[0], statistics[1])
    result = room(x, *x.shape)
    found = []
    for rows, into in zip(pieces(x), pieces(result), strict=True):
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
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, scale and shift, those that are wanted, from that of the norm of x."""
    compute, mask = torch.ops.aten.native_layer_norm_backward, list(wanted)
    if not _is_large(x):
        return compute(gradient, x, scale.shape, *statistics, scale, shift, mask)
    of_x = room(x, *x.shape) if wanted[0] else None
    of_scale = torch.zeros_like(scale) if wanted[1] else None
    of_shift = torch.zeros_like(shift) if wanted[2] else None
    into = None if of_x is None else pieces(of_x)
    first = 0
    for number, (rows, of_rows) in enumerate(zip(pieces(x), pieces(gradient), strict=True)):
        here = slice(first, first + len(rows))
        first = here.stop
        some = [values.view(-1, 1)[here] for values in statistics]
        parts = compute(of_rows, rows, scale.shape, *some, scale, shift, mask)
        if into is not None:
            into[number].copy_(parts[0])
        if of_scale is not None:
            of_scale += parts[1]
        if of_shift is not None:
            of_shift += parts[2]
    return of_x, of_scale, of_shift


def _is_large(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.numel() > CACHED
