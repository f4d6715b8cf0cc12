"""Many things cut into pieces that are as large as each other."""

from __future__ import annotations

from collections.abc import Iterator

ROWS = 1600
"""The most tokens of one piece of a product: enough for its full rate, few enough for the cache."""


def even(total: int, most: int) -> Iterator[slice]:
    """As few pieces of `total` things as have at most `most` in each, or one; none is much smaller than the rest."""
    count = -(-total // max(most, 1))
    size = max(-(-total // max(count, 1)), 1)
    return (slice(first, min(first + size, total)) for first in range(0, total, size))
