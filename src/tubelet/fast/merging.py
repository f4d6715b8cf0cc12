"""Fewer tokens at inference: similar ones are merged, block by block, without retraining.

Token merging (ToMe, Bolya et al., ICLR 2023), for the four models:

    in each block    attention, then the MLP; between the two
                     tokens 0 2 4 ... are matched with the most similar of 1 3 5 ... (cosine of their keys),
                     and the most similar pairs become their mean, weighted by how many tokens each stands for
    attention        a token that stands for s tokens counts s times: log s is added to its scores
    at the end       every token of the grid gets what it was merged into, so that pooling is over all of them

Sequences of models 1 and 2 merge tokens. The blocks of models 3 and 4 attend over space and over time, and need a grid:
there spatial positions are merged, the same ones at every time step, by the similarity of their keys over all real time
steps. The temporal encoder of model 2 has few tokens and does not merge. The class token is never merged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.fast.model import copy_sharing_tensors, require_unchanged
from tubelet.model import ViViT
from tubelet.nn.attention import (
    FactorisedDotProductAttention,
    SelfAttention,
    attend_over_time,
    merge_heads,
    split_heads,
)
from tubelet.nn.blocks import Block, FactorisedSelfAttentionBlock
from tubelet.nn.encoder import Encoder


class MergingEncoder(Encoder):
    """An encoder that merges tokens in evaluation mode; in training it computes what `Encoder` does.

    Attributes:
        share: of the tokens at the start, merged away in each block; at most half of those that are left.
    """

    share: float

    def encode(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        kept: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """See `Encoder.encode`."""
        if self.training:
            return super().encode(tokens, time_mask, kept)
        if kept is not None:
            raise ConfigError("tokens cannot be dropped and merged at once; encode all positions, or do not merge")
        x, mask = self.before_blocks(tokens, time_mask)
        return self.after_blocks(self._merged(x, mask))

    def _merged(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """All blocks; x and mask are as `before_blocks` gives them."""
        protected = 0 if self.cls is None else 1
        count = x.shape[-2]
        away = round(self.share * (count - protected))
        size = torch.ones(x.shape[0], count, device=x.device)
        where = torch.arange(count, device=x.device).expand(x.shape[0], count)
        for block in self.blocks:
            steps = _GridSteps(block, mask) if self.factorised else _SequenceSteps(block, mask)
            x, keys = steps.attend(x, size)
            most = min(away, (x.shape[-2] - protected) // 2)
            if most:
                into, kept = match(keys, most, protected, None if self.factorised else mask)
                where = into.gather(1, where)
                weight = size[:, None, :, None] if self.factorised else size[:, :, None]
                total = merge_sum(size, into, kept)
                x = merge_sum(x * weight, into, kept) / merge_sum(weight.expand(*x.shape[:-1], 1), into, kept)
                size = total
                if mask is not None and not self.factorised:
                    mask = merge_sum(mask.float(), into, kept) > 0
            x = x + steps.block.mlp(steps.block.norm_mlp(x))
        index = where[:, None, :, None] if self.factorised else where[:, :, None]
        return x.take_along_dim(index, dim=-2)


def merge_sum(values: Tensor, into: Int[Tensor, "G n"], kept: int) -> Tensor:
    """Sum the values of tokens that are merged.

    Args:
        values: [G, n], [G, n, D], or [G, t, n, D].
        into: for each token, the index of the merged token that it belongs to.
        kept: number of merged tokens.
    """
    axis = 1 if values.ndim < 4 else 2
    shape = [*values.shape[:axis], kept, *values.shape[axis + 1 :]]
    index = into.view(into.shape[0], *[1] * (axis - 1), -1, *[1] * (values.ndim - axis - 1)).expand_as(values)
    return values.new_zeros(shape).scatter_add_(axis, index, values)


def match(
    keys: Float[Tensor, "G n c"], away: int, protected: int = 0, mask: Bool[Tensor, "G n"] | None = None
) -> tuple[Int[Tensor, "G n"], int]:
    """Bipartite soft matching: which tokens are merged.

    Args:
        keys: what similarity is measured by, the cosine between two of them.
        away: how many tokens disappear; at most half of those that are not protected.
        protected: tokens at the start that stay alone.
        mask: True at real tokens, which are matched with real ones only, and others with others.

    Returns:
        for each token its index after merging, and the number of tokens then.
    """
    keys = F.normalize(keys, dim=-1)
    groups, count = keys.shape[:2]
    sources = torch.arange(protected, count, 2, device=keys.device)
    targets = torch.arange(protected + 1, count, 2, device=keys.device)
    similarity = keys[:, sources] @ keys[:, targets].transpose(1, 2)
    if mask is not None:
        same = mask[:, sources, None] == mask[:, None, targets]
        similarity = similarity.masked_fill(~same, float("-inf"))
    best, target = similarity.max(dim=2)
    order = best.argsort(dim=1, descending=True, stable=True)
    leaving = order[:, :away]
    stays = torch.ones(groups, count, dtype=torch.bool, device=keys.device)
    stays.scatter_(1, sources[leaving], False)
    into = stays.cumsum(dim=1) - 1
    merged_with = into.gather(1, targets[target.gather(1, leaving)])
    return into.scatter(1, sources[leaving], merged_with), count - away


class _SequenceSteps:
    """A block's attention over one sequence, in which a token of size s counts s times."""

    def __init__(self, block: nn.Module, mask: Tensor | None) -> None:
        if not isinstance(block, Block) or not isinstance(block.attention, SelfAttention):
            raise ConfigError(f"tokens cannot be merged in a {type(block).__name__}")
        self.block, self._attention, self._mask = block, block.attention, mask

    def attend(self, x: Float[Tensor, "B N D"], size: Float[Tensor, "B N"]) -> tuple[Tensor, Tensor]:
        """x after attention, and the keys by which tokens are compared."""
        attended, keys = weighted_attention(self._attention, self.block.norm_attention(x), size, self._mask)
        return x + attended, keys


class _GridSteps:
    """The same for blocks that attend along the axes of the grid, with the sizes of spatial positions."""

    def __init__(self, block: nn.Module, mask: Tensor | None) -> None:
        if not isinstance(block, Block | FactorisedSelfAttentionBlock):
            raise ConfigError(f"tokens cannot be merged in a {type(block).__name__}")
        self.block, self._mask = block, mask

    def attend(self, x: Float[Tensor, "B t n D"], size: Float[Tensor, "B n"]) -> tuple[Tensor, Tensor]:
        """x after all attention of the block, and the keys of its attention over space."""
        block, times = self.block, x.shape[1]
        size_of_all = repeat(size, "B n -> (B t) n", t=times)
        if isinstance(block, FactorisedSelfAttentionBlock):
            keys = x
            for axis in block.order.split("_"):
                if axis == "time":
                    x = x + block.time(block.norm_time(x), self._mask)
                    continue
                tokens = rearrange(block.norm_space(x), "B t n D -> (B t) n D")
                attended, keys = weighted_attention(block.space, tokens, size_of_all, None)
                x = x + rearrange(attended, "(B t) n D -> B t n D", t=times)
            return x, self._of_positions(keys, times)
        if isinstance(block.attention, FactorisedDotProductAttention):
            attended, keys = _weighted_halves(block.attention, block.norm_attention(x), size_of_all, self._mask)
            return x + attended, self._of_positions(keys, times)
        raise ConfigError(f"tokens cannot be merged with a {type(block.attention).__name__}")

    def _of_positions(self, keys: Float[Tensor, "Bt n c"], times: int) -> Float[Tensor, "B n tc"]:
        """The keys of each spatial position at all real time steps, concatenated."""
        keys = F.normalize(keys, dim=-1).unflatten(0, (-1, times))
        if self._mask is not None:
            keys = keys * self._mask[:, :, None, None]
        return rearrange(keys, "B t n c -> B n (t c)")


def weighted_attention(
    attention: SelfAttention, x: Float[Tensor, "B N D"], size: Float[Tensor, "B N"], mask: Bool[Tensor, "B N"] | None
) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N c"]]:
    """Self-attention in which a token of size s counts s times, and the mean of the keys over the heads."""
    query, key, value = (split_heads(part, attention.num_heads) for part in attention.qkv(x).chunk(3, dim=-1))
    return attention.out(merge_heads(_weighted(query, key, value, size, mask))), key.mean(dim=1)


def _weighted_halves(
    attention: FactorisedDotProductAttention,
    x: Float[Tensor, "B t n D"],
    size: Float[Tensor, "Bt n"],
    mask: Bool[Tensor, "B t"] | None,
) -> tuple[Float[Tensor, "B t n D"], Float[Tensor, "Bt n c"]]:
    """The same of `FactorisedDotProductAttention`: in its half over space a position of size s counts s times."""
    heads, parts = attention.num_heads // 2, attention.qkv(x).chunk(6, dim=-1)
    over_time = attend_over_time(attention.time, parts[0::2], heads, mask)
    query, key, value = (split_heads(part, heads).flatten(0, 1) for part in parts[1::2])
    over_space = _weighted(query, key, value, size).unflatten(0, x.shape[:2])
    joined = torch.cat([merge_heads(over_time), merge_heads(over_space)], dim=-1)
    return attention.out(joined), key.mean(dim=1)


def _weighted(query: Tensor, key: Tensor, value: Tensor, size: Tensor, mask: Tensor | None = None) -> Tensor:
    bias = size.log()[:, None, None, :].to(query.dtype)
    if mask is not None:
        bias = bias.masked_fill(~mask[:, None, None, :], float("-inf"))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)


class MergingViViT(ViViT):
    """A model that `merge_tokens` returned: its own modules with the parameters of another model."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MergingViViT:
        require_unchanged(self, fn)
        return self


def merge_tokens(model: ViViT, share: float) -> ViViT:
    """A model that merges similar tokens in evaluation mode: faster, less exact, without retraining.

    It shares all parameters with `model`. A factorised encoder merges tokens in its spatial encoder.

    Args:
        model: the model.
        share: of the tokens at the start, merged away in each block: 0.04 over 12 blocks leaves about half of them. 0
            merges nothing: `model` itself comes back.

    Raises:
        ConfigError: a share that is not from 0 to 0.5, something else than a ViViT, or a model whose single first token
            is classified; later, when the result is moved or cast, which is for the model to do.
    """
    if not 0 <= share <= 0.5:
        raise ConfigError(f"share={share} of the tokens cannot be merged in a block; use 0 (none) to 0.5")
    if share == 0:
        return model
    if type(model) is not ViViT:
        raise ConfigError(f"tokens are merged in a ViViT; a {type(model).__name__} computes in its own way")
    merged = copy_sharing_tensors(model)
    merged.__class__ = MergingViViT  # adds no state
    for name, encoder in merged.named_children():
        if not isinstance(encoder, Encoder) or name == "temporal_encoder":
            continue
        if encoder.pooling == "first":
            raise ConfigError(f"{name} pools its first token alone, which must not be merged; use pool='cls' or 'mean'")
        encoder.__class__ = MergingEncoder  # adds nothing but the share
        encoder.share = share  # type: ignore[assignment]
    return merged
