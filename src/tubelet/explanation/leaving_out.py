"""A clip of which the model gets some tokens only: the others are neither attended to nor pooled."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.nn.encoder import Encoder
from tubelet.nn.pooling import pool_tokens

SEEN = 0.5
"""Tokens with a weight below are left out."""


def tokens_left_out(
    model: ViViT, video: Float[Tensor, "1 T C H W"], frame_mask: Bool[Tensor, "1 T"] | None
) -> Callable[[Float[Tensor, "S t h w"]], Tensor | dict[str, Tensor]]:
    """A function from the weights of tokens to logits; the clip is embedded once.

    Tokens are masked in every attention and in pooling. Where none is left, the pooled vector is 0, but for a class
    token's. In a factorised encoder a time without tokens is masked in the temporal encoder.

    Raises:
        ConfigError: models 3 and 4, in which attention along one axis cannot miss a token of the grid.
    """
    if model.config.variant not in ("spatio_temporal", "factorised_encoder"):
        raise ConfigError(
            f"filling='leave_out' is for variant='spatio_temporal' and 'factorised_encoder'; attention along the axes "
            f"of the grid, as in {model.config.variant!r}, needs all of its tokens. Use filling='mean' or 'freeze'"
        )
    tokens, real = model.embed(video, frame_mask), model._time_mask(frame_mask)

    def forward(shown: Tensor) -> Tensor | dict[str, Tensor]:
        seen = shown >= SEEN
        if real is not None:
            seen = seen & real[:, :, None, None]
        grids = tokens.expand(len(seen), -1, -1, -1, -1)
        if model.config.variant == "spatio_temporal":
            return model.classify(_pooled(model.encoder, grids, seen))
        vectors = _pooled(model.spatial_encoder, grids.flatten(0, 1).unsqueeze(1), seen.flatten(0, 1).unsqueeze(1))
        return model.classify(pooled_times(model, vectors.unflatten(0, seen.shape[:2]), seen.flatten(2).any(dim=2)))

    return forward


def pooled_times(model: ViViT, vectors: Float[Tensor, "S t D"], seen: Bool[Tensor, "S t"]) -> Float[Tensor, "S D"]:
    """Factorised encoder: `pool_times` of the times that are seen; 0 where there is none, and no class token."""
    some = seen.any(dim=1)
    if model.config.temporal_layers and model.temporal_encoder.cls is not None:
        some = torch.ones_like(some)
    pooled = vectors.new_zeros(len(vectors), vectors.shape[-1])
    if some.any():
        pooled[some] = model.pool_times(vectors[some], seen[some])
    return pooled


def _pooled(encoder: Encoder, grids: Float[Tensor, "B t h w D"], seen: Bool[Tensor, "B t h w"]) -> Tensor:
    mask = seen.flatten(1)
    some = mask.any(dim=1) if encoder.cls is None else torch.ones_like(mask[:, 0])
    pooled = grids.new_zeros(len(grids), grids.shape[-1])
    if not some.any():
        return pooled
    x, _ = encoder.before_blocks(grids[some])
    mask = mask[some]
    whole = mask if encoder.cls is None else torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
    for block in encoder.blocks:
        x = block(x, whole)
    x = encoder.weigh(encoder.after_blocks(x), (grids.shape[1], grids.shape[2], grids.shape[3]))
    made = pool_tokens(x, encoder.pooling, whole)
    pooled[some] = encoder.norm(made) if encoder.output_norm == "after_pool" else made
    return pooled
