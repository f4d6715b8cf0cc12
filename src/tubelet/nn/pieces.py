"""Rows of a tensor, as many together as stay in a core's cache while something goes over them several times."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

CACHED = 64 * 3072
"""Numbers of one piece."""


def pieces(x: Float[Tensor, "*rest D"]) -> tuple[Float[Tensor, "_ D"], ...]:
    """The rows of x, piece by piece."""
    rows = x.reshape(-1, x.shape[-1])
    return rows.split(max(CACHED // max(rows.shape[-1], 1), 1))
