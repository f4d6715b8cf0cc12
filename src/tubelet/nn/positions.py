"""Position embeddings over the token grid, interpolated where the grid has another size."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Positions(nn.Module):
    """Position embeddings over a grid of (t, h, w) tokens, and one for the class token if there is one.

    Args:
        grid: tokens in time, height and width; 1 along an axis that all tokens share.
        dim: width of a token, D.
        class_token: whether there is a class token, which then has a position of its own.
        kind: `learned` (section 3.1), or `sinusoidal`: fixed, over the index of the token in time, row, column order.
    """

    def __init__(
        self, grid: tuple[int, int, int], dim: int, class_token: bool, kind: Literal["learned", "sinusoidal"]
    ) -> None:
        super().__init__()
        cls = torch.zeros(1, dim) if class_token else None
        if kind == "learned":
            self.grid = nn.Parameter(torch.zeros(*grid, dim))
            self.cls = nn.Parameter(cls) if cls is not None else None
            return
        table = sinusoidal_table(grid[0] * grid[1] * grid[2] + class_token, dim)
        self.register_buffer("grid", table[int(class_token) :].view(*grid, dim), persistent=False)
        self.register_buffer("cls", table[:1] if class_token else None, persistent=False)

    def forward(self, tokens: Float[Tensor, "B t h w D"]) -> Float[Tensor, "B t h w D"]:
        """Add its position to every token of any grid; positions of another size are interpolated."""
        size = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
        return tokens + interpolate_grid(self.grid, size).to(tokens.dtype)


def interpolate_grid(grid: Float[Tensor, "t h w D"], size: tuple[int, int, int]) -> Float[Tensor, "t2 h2 w2 D"]:
    """Resize a grid of vectors: bicubic with antialiasing over height and width, linear over time.

    Each axis keeps its own meaning, so that height and width need not be equal and the number of frames may change.
    A grid that has this size already is returned as it is.

    Args:
        grid: [t, h, w, D].
        size: the new (t, h, w).
    """
    time, height, width = size
    if grid.shape[1:3] != (height, width):
        maps = grid.permute(0, 3, 1, 2).float()
        maps = F.interpolate(maps, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
        grid = maps.permute(0, 2, 3, 1).to(grid.dtype)
    if grid.shape[0] != time:
        lines = grid.permute(1, 2, 3, 0).flatten(0, 1).float()
        lines = F.interpolate(lines, size=time, mode="linear", align_corners=False)
        grid = lines.unflatten(0, (height, width)).permute(3, 0, 1, 2).to(grid.dtype)
    return grid


def sinusoidal_table(length: int, dim: int) -> Float[Tensor, "length dim"]:
    """sin(p / 10000^(2i / dim)) in the even columns 2i, cos of the same in the odd ones (Vaswani et al., 2017)."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    angle = position / 10000 ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()
