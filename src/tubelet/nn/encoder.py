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
from tubelet.nn.positions import PlaceWeights, Positions


class Encoder(nn.Module):
    """Tokens of a grid in, tokens out; `pool` makes one vector of them.

    Args:
        blocks: the blocks. If `factorised`, they take [B, t, n, D] and a mask [B, t]; otherwise [B, N, D] and [B, N].
        grid: the token grid (t, h, w) that positions are learned for.
        dim: width of a token, D.
        factorised: whether the blocks attend along the axes of the grid (models 3 and 4).
        pool: `cls` adds a class token; `mean` and `max` are over the tokens, `weighted` is the mean of the tokens times
            `PlaceWeights`; `first` is the first of them.
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
        self.pool_weights = PlaceWeights(grid, dim) if pool == "weighted" else None
        self.factorised = factorised
        self.pooling = pool
        self.output_norm = output_norm
        self.checkpointing = False
        """Keep only each block's input for the backward pass and compute the rest again: less memory, more time."""

    def forward(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        places: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Encode the grid, or some of its places, ready to be pooled.

        Args:
            tokens: [B, t, h, w, D], of any grid: positions are interpolated where it is not the one they are for.
            time_mask: True at the times that are real. The others are never attended to.
            places: of each sample, the places whose tokens are encoded, at every time: row * w + column, ascending.
                The others are left out, as if they were not there; None encodes all.

        Returns:
            tokens [B, N, D] in the order (class token), time, row, column; normalised if `output_norm` is
            `before_pool`, and then weighted if they are pooled so.
        """
        encoded = self.encode(tokens, time_mask, places)
        return self.weigh(encoded, (tokens.shape[1], tokens.shape[2], tokens.shape[3]), places)

    def weigh(
        self, tokens: Float[Tensor, "B N D"], size: tuple[int, int, int], places: Int[Tensor, "B n"] | None = None
    ) -> Float[Tensor, "B N D"]:
        """The last thing that `forward` does: with weighted pooling each token times the weights of its place."""
        return tokens if self.pool_weights is None else self.pool_weights(tokens, size, places)

    def encode(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        places: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """`forward` but for the weights of pooling."""
        x, mask = self.before_blocks(tokens, time_mask, places)
        for block in self.blocks:
            x = self.run(block, x, mask)
        return self.after_blocks(x)

    def before_blocks(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        places: Int[Tensor, "B n"] | None = None,
    ) -> tuple[Float[Tensor, "B *_ D"], Bool[Tensor, "B _"] | None]:
        """The first block's input: tokens with positions, [B, t, n, D] if `factorised`, else [B, N, D]; and a mask."""
        x = self.positions(tokens).flatten(2, 3)
        if places is not None:
            x = x.take_along_dim(places[:, None, :, None], dim=2)
        mask = time_mask
        if not self.factorised:
            mask = None if time_mask is None else self._token_mask(time_mask, x.shape[2])
            x = x.flatten(1, 2)
            if self.cls is not None and self.positions.cls is not None:
                first = (self.cls + self.positions.cls).to(x.dtype).expand(x.shape[0], 1, -1)
                x = torch.cat([first, x], dim=1)
        return self.input_norm(self.dropout(x)), mask

    def run(self, block: Callable[..., Tensor], x: Tensor, mask: Tensor | None) -> Tensor:
        """`block(x, mask)`; with `checkpointing`, in training, what it computes inside is computed again."""
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, mask, use_reentrant=False)
        return block(x, mask)

    def after_blocks(self, x: Float[Tensor, "B *_ D"]) -> Float[Tensor, "B N D"]:
        """What the last block gave, as one sequence; normalised if `output_norm` is `before_pool`."""
        if self.factorised:
            x = x.flatten(1, 2)
        return self.norm(x) if self.output_norm == "before_pool" else x

    def pooled(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        places: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """`pool` of what `forward` gives."""
        return self.pool(self(tokens, time_mask, places), time_mask)

    def pool(
        self, tokens: Float[Tensor, "B N D"], time_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B D"]:
        """One vector of what `forward` gave: the class token; or the mean, maximum or first of the real ones."""
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        elif self.pooling == "first":
            pooled = tokens[:, 0] if time_mask is None else self._first_real(tokens, time_mask)
        elif time_mask is None:
            pooled = tokens.amax(dim=1) if self.pooling == "max" else tokens.mean(dim=1)
        else:
            real = self._token_mask(time_mask, tokens.shape[1] // time_mask.shape[1])[:, :, None]
            if self.pooling == "max":
                pooled = tokens.masked_fill(~real, float("-inf")).amax(dim=1)
            else:
                pooled = tokens.masked_fill(~real, 0).sum(dim=1) / real.sum(dim=1)
        return self.norm(pooled) if self.output_norm == "after_pool" else pooled

    def _first_real(self, tokens: Float[Tensor, "B N D"], time_mask: Bool[Tensor, "B t"]) -> Float[Tensor, "B D"]:
        places = tokens.shape[1] // time_mask.shape[1]
        first = time_mask.int().argmax(dim=1) * places
        return tokens[torch.arange(len(tokens), device=tokens.device), first]

    def _token_mask(self, time_mask: Bool[Tensor, "B t"], places: int) -> Bool[Tensor, "B N"]:
        mask = time_mask.repeat_interleave(places, dim=1)
        return mask if self.cls is None else torch.cat([mask.new_ones(mask.shape[0], 1), mask], dim=1)
