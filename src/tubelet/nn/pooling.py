"""From the tokens of a clip to one vector."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tubelet.config import Pool
from tubelet.nn.positions import interpolate_grid


class PositionalPooling(nn.Module):
    """A learned factor for every position of the token grid and every channel, by which tokens are multiplied.

    The mean that follows forgets where a token was. With factors of either sign, drawn at random, it is a projection
    that keeps it.

    Args:
        grid: tokens in time, height and width.
        dim: width of a token, D.
    """

    def __init__(self, grid: tuple[int, int, int], dim: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.ones(*grid, dim))

    def forward(
        self, tokens: Float[Tensor, "B N D"], size: tuple[int, int, int], kept: Int[Tensor, "B n"] | None = None
    ) -> Float[Tensor, "B N D"]:
        """Multiply.

        Args:
            tokens: [B, t * n, D] in time, row, column order.
            size: the grid (t, h, w) that they come from; factors of another size are interpolated.
            kept: the spatial positions that they have (see `Encoder.forward`); None is all.
        """
        weights = interpolate_grid(self.grid, size).to(tokens.dtype).flatten(1, 2)[None]
        if kept is not None:
            weights = weights.take_along_dim(kept[:, None, :, None], dim=2)
        return tokens * weights.flatten(1, 2)


def pool_tokens(
    tokens: Float[Tensor, "B N D"], pool: Pool, mask: Bool[Tensor, "B N"] | None = None
) -> Float[Tensor, "B D"]:
    """The class token; or the mean (`weighted` too), the maximum or the first of the tokens where `mask` is True."""
    if pool == "cls" or (pool == "first" and mask is None):
        return tokens[:, 0]
    if pool == "first":
        assert mask is not None
        return tokens[torch.arange(len(tokens), device=tokens.device), mask.int().argmax(dim=1)]
    if mask is None:
        return tokens.amax(dim=1) if pool == "max" else tokens.mean(dim=1)
    if pool == "max":
        return tokens.masked_fill(~mask[:, :, None], float("-inf")).amax(dim=1)
    return tokens.masked_fill(~mask[:, :, None], 0).sum(dim=1) / mask.sum(dim=1, keepdim=True)
