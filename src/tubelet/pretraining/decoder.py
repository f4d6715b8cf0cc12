"""The light decoder: from the encoded visible tubelets to all tubelets."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.nn.attention import SelfAttention
from tubelet.nn.blocks import MLP, Block
from tubelet.nn.initialisation import initialise_parameters
from tubelet.nn.positions import sinusoidal_table
from tubelet.pretraining.masking import Visible

MLP_RATIO = 4
EPS = 1e-6


class Decoder(nn.Module):
    """A few narrow blocks over the whole token grid, with a learned token wherever nothing was visible.

        visible [B, v, n, D] -> linear -> put into a grid of mask tokens [B, t, p, d] -> + positions
          all times together:  [B, context + t*p, d]    or  each time alone:  [B*t, context + p, d]
        -> blocks -> norm -> linear -> pixels [B, t, p, P]

    Args:
        grid: the token grid (t, h, w).
        encoder_dim: width of the encoder's tokens, D.
        dim: width here, d; even.
        layers: blocks.
        heads: attention heads.
        pixels: of a tubelet, P.
        each_time_alone: a token attends to those of its own time alone. What it knows of other times, it then has from
            the context.
    """

    positions: Tensor

    def __init__(
        self,
        grid: tuple[int, int, int],
        encoder_dim: int,
        dim: int,
        *,
        layers: int,
        heads: int,
        pixels: int,
        each_time_alone: bool,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(dim))
        self.register_buffer("positions", grid_table(grid, dim), persistent=False)
        self.blocks = nn.ModuleList([_block(dim, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.predict = nn.Linear(dim, pixels)
        self.each_time_alone = each_time_alone
        initialise_parameters(self)
        for linear in (self.embed, self.predict):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, tokens: Float[Tensor, "B v n D"], context: Float[Tensor, "B _ c D"], visible: Visible
    ) -> Float[Tensor, "B t p P"]:
        """Predict every tubelet, the visible ones too (the loss leaves those out).

        Args:
            tokens: of the visible times and positions.
            context: more tokens to attend to: [B, 1, c, D] for the clip, or [B, t, c, D] for each time alone.
            visible: which times and positions.
        """
        grid = self._grid(self.embed(tokens), visible) + self.positions
        context = self.embed(context)
        batch, times, positions = grid.shape[:3]
        if self.each_time_alone:
            grid, context = grid.flatten(0, 1), context.flatten(0, 1)
        else:
            grid, context = grid.flatten(1, 2), context.flatten(1, 2)
        x = torch.cat([context.to(grid.dtype), grid], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.predict(self.norm(x[:, context.shape[1] :]))
        return x.reshape(batch, times, positions, -1)

    def _grid(self, tokens: Float[Tensor, "B v n d"], visible: Visible) -> Float[Tensor, "B t p d"]:
        """Mask tokens, and the visible tokens where they belong."""
        times, positions, dim = self.positions.shape
        index = visible.tokens(positions)[:, :, None].expand(-1, -1, dim)
        grid = self.mask_token.to(tokens.dtype).expand(len(tokens), times * positions, dim)
        filled = grid.scatter(1, index, tokens.flatten(1, 2))
        return filled.unflatten(1, (times, positions))


def _block(dim: int, heads: int) -> Block:
    return Block(SelfAttention(dim, heads), MLP(dim, MLP_RATIO * dim, "gelu_tanh"), dim, EPS)


def grid_table(grid: tuple[int, int, int], dim: int) -> Float[Tensor, "t p d"]:
    """Fixed positions of a grid (t, h, w): sines and cosines of the time, the row and the column, side by side.

    A third of the channels for each, as the original's `sinusoidal_3d`; the column has what is left over.
    """
    time, height, width = grid
    part = dim // 6 * 2
    table = torch.empty(time, height, width, dim)
    table[..., :part] = sinusoidal_table(time, part)[:, None, None]
    table[..., part : 2 * part] = sinusoidal_table(height, part)[None, :, None]
    table[..., 2 * part :] = sinusoidal_table(width, dim - 2 * part)[None, None]
    return table.flatten(1, 2)
