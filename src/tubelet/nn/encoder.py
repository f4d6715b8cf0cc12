"""A transformer encoder over a token grid: class token, positions, blocks, norm and pooling.

The four models are made of it: one encoder over all tokens (1, 3, 4), or a spatial and a temporal one (2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tubelet.config import Pool
from tubelet.nn.pooling import PositionalPooling, pool_tokens
from tubelet.nn.positions import Positions


class Encoder(nn.Module):
    """Tokens of a grid in, tokens out; `pool` makes one vector of them.

    Args:
        blocks: the blocks. If `factorised`, they take [B, t, n, D] and a mask [B, t]; otherwise [B, N, D] and [B, N].
        grid: the token grid (t, h, w) that positions are learned for.
        dim: width of a token, D.
        factorised: whether the blocks attend along the axes of the grid (models 3 and 4).
        pool: `cls` adds a class token; `mean` and `max` are over the tokens, `weighted` is the mean of the tokens times
            `PositionalPooling`; `first` is the first of them.
        positions: `learned` or `sinusoidal`.
        input_norm: a LayerNorm before the first block.
        output_norm: the last LayerNorm stands `before_pool` or `after_pool`.
        eps: of the LayerNorms.
        output_eps: of the last LayerNorm.
        dropout: after the positions.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        grid: tuple[int, int, int],
        dim: int,
        *,
        factorised: bool,
        pool: Pool,
        positions: Literal["learned", "sinusoidal"],
        input_norm: bool,
        output_norm: Literal["before_pool", "after_pool"],
        eps: float,
        output_eps: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, dim)) if pool == "cls" else None
        self.positions = Positions(grid, dim, class_token=pool == "cls", kind=positions)
        self.dropout = nn.Dropout(dropout)
        self.input_norm = nn.LayerNorm(dim, eps=eps) if input_norm else nn.Identity()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim, eps=output_eps)
        self.pool_weights = PositionalPooling(grid, dim) if pool == "weighted" else None
        self.factorised = factorised
        self.pooling = pool
        self.output_norm = output_norm
        self.checkpointing = False
        """Keep only each block's input for the backward pass and recompute the rest: less memory, more time."""

    def forward(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        kept: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Encode all tokens of the grid, or those at some spatial positions.

        Args:
            tokens: [B, t, h, w, D], of any grid: positions are interpolated where it is not the one they are for.
            time_mask: True at real time steps. The others are never attended to.
            kept: spatial positions (row * w + column, ascending) of each sample that are encoded, at every time step;
                the tokens of the others are dropped. None keeps all.

        Returns:
            tokens [B, N, D] in the order (class token), time, row, column; normalised if `output_norm` is
            `before_pool`, and then weighted if `pool` is `weighted`.
        """
        encoded = self.encode(tokens, time_mask, kept)
        return self.weigh(encoded, (tokens.shape[1], tokens.shape[2], tokens.shape[3]), kept)

    def weigh(
        self, tokens: Float[Tensor, "B N D"], size: tuple[int, int, int], kept: Int[Tensor, "B n"] | None = None
    ) -> Float[Tensor, "B N D"]:
        """The last step of `forward`: with weighted pooling, each token times the factors of its position."""
        return tokens if self.pool_weights is None else self.pool_weights(tokens, size, kept)

    def encode(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        kept: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """`forward` without its last step."""
        x, mask = self.before_blocks(tokens, time_mask, kept)
        for block in self.blocks:
            x = self.run_block(block, x, mask)
        return self.after_blocks(x)

    def before_blocks(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        kept: Int[Tensor, "B n"] | None = None,
    ) -> tuple[Float[Tensor, "B *_ D"], Bool[Tensor, "B _"] | None]:
        """The first block's input: tokens with positions, [B, t, n, D] if `factorised`, else [B, N, D]; and a mask."""
        x = self.positions(tokens).flatten(2, 3)
        if kept is not None:
            x = x.take_along_dim(kept[:, None, :, None], dim=2)
        mask = time_mask
        if not self.factorised:
            mask = None if time_mask is None else self._token_mask(time_mask, x.shape[2])
            x = x.flatten(1, 2)
            if self.cls is not None and self.positions.cls is not None:
                first = (self.cls + self.positions.cls).to(x.dtype).expand(x.shape[0], 1, -1)
                x = torch.cat([first, x], dim=1)
        return self.input_norm(self.dropout(x)), mask

    def run_block(self, block: Callable[..., Tensor], x: Tensor, mask: Tensor | None) -> Tensor:
        """`block(x, mask)`, with activation checkpointing in training if `checkpointing` is set."""
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, mask, use_reentrant=False)
        return block(x, mask)

    def after_blocks(self, x: Float[Tensor, "B *_ D"]) -> Float[Tensor, "B N D"]:
        """The last block's output as one sequence; normalised if `output_norm` is `before_pool`."""
        if self.factorised:
            x = x.flatten(1, 2)
        return self.norm(x) if self.output_norm == "before_pool" else x

    def forward_pooled(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        kept: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """`forward`, then `pool`."""
        return self.pool(self(tokens, time_mask, kept), time_mask)

    def pool(
        self, tokens: Float[Tensor, "B N D"], time_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B D"]:
        """One vector of each clip from the output of `forward`; only tokens of real time steps count."""
        mask = None
        if time_mask is not None and self.cls is None:
            mask = self._token_mask(time_mask, tokens.shape[1] // time_mask.shape[1])
        pooled = pool_tokens(tokens, self.pooling, mask)
        return self.norm(pooled) if self.output_norm == "after_pool" else pooled

    def _token_mask(self, time_mask: Bool[Tensor, "B t"], positions: int) -> Bool[Tensor, "B N"]:
        mask = time_mask.repeat_interleave(positions, dim=1)
        return mask if self.cls is None else torch.cat([mask.new_ones(mask.shape[0], 1), mask], dim=1)
