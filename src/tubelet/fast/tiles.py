"""Tiles of tokens that stay in a core's cache during several operations."""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

TILE_ELEMENTS = 64 * 3072
"""Elements of a tile for several element-wise operations."""

TILE_TOKENS = 1600
"""The most tokens of a tile for matrix products: enough for their full rate, few enough for the cache."""


def row_tiles(x: Float[Tensor, "*rest D"]) -> tuple[Float[Tensor, "_ D"], ...]:
    """The rows of x in tiles of at most `TILE_ELEMENTS`."""
    rows = x.reshape(-1, x.shape[-1])
    return rows.split(max(TILE_ELEMENTS // max(rows.shape[-1], 1), 1))


def even_tiles(total: int, most: int) -> Iterator[slice]:
    """`total` rows in as few slices of at most `most` as possible (or 1 each), none much smaller than the rest."""
    count = -(-total // max(most, 1))
    size = max(-(-total // max(count, 1)), 1)
    return (slice(first, min(first + size, total)) for first in range(0, total, size))
