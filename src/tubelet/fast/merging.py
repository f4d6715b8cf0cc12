"""Fewer tokens at inference: similar ones are merged, block by block, without retraining.

Token merging (ToMe, Bolya et al., ICLR 2023), for the four models:

    in each block    attention, then the MLP; between the two
                     tokens 0 2 4 ... are matched with the most similar of 1 3 5 ... (cosine of their keys),
                     and the most similar pairs become their mean, weighted by how many tokens each stands for
    attention        a token that stands for s tokens counts s times: log s is added to its scores
    at the end       every token of the grid gets what it was merged into, so that pooling is over all of them

Sequences of models 1 and 2 merge tokens. The blocks of models 3 and 4 attend over space and over time, and need a grid:
there whole places are merged, at all times alike, by the similarity of their keys over all real times. The temporal
encoder of model 2 has few tokens and is left as it is. The class token is never merged.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.fast.model import require_unchanged
from tubelet.model import ViViT
from tubelet.nn.attention import FactorisedDotProductAttention, SelfAttention
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
    """Add up what becomes one token.

    Args:
        values: [G, n], [G, n, D], or [G, t, n, D].
        into: for each token, the number of the one that it becomes part of.
        kept: how many there are then.
    """
    axis = 1 if values.ndim < 4 else 2
    shape = [*values.shape[:axis], kept, *values.shape[axis + 1 :]]
    index = into.view(into.shape[0], *[1] * (axis - 1), -1, *[1] * (values.ndim - axis - 1)).expand_as(values)
    return values.new_zeros(shape).scatter_add_(axis, index, values)


def match(
    keys: Float[Tensor, "G n c"], away: int, protected: int = 0, mask: Bool[Tensor, "G n"] | None = None
) -> tuple[Int[Tensor, "G n"], int]:
    """Bipartite soft matching: which tokens become one.

    Args:
        keys: what similarity is measured by, the cosine between two of them.
        away: how many tokens disappear; at most half of those that are not protected.
        protected: tokens at the start that stay alone.
        mask: True at real tokens, which are matched with real ones only, and others with others.

    Returns:
        for each token the number that it has afterwards, and how many there are then. The order of those that stay is
        kept but for the sources, which come first.
    """
    keys = F.normalize(keys, dim=-1)
    groups, count = keys.shape[:2]
    sources = torch.arange(protected, count, 2, device=keys.device)
    targets = torch.arange(protected + 1, count, 2, device=keys.device)
    likeness = keys[:, sources] @ keys[:, targets].transpose(1, 2)
    if mask is not None:
        alike = mask[:, sources, None] == mask[:, None, targets]
        likeness = likeness.masked_fill(~alike, float("-inf"))
    best, target = likeness.max(dim=2)
    order = best.argsort(dim=1, descending=True, stable=True)
    leaving = order[:, :away]
    stays = torch.ones(groups, count, dtype=torch.bool, device=keys.device)
    stays.scatter_(1, sources[leaving], False)
    into = stays.cumsum(dim=1) - 1
    merged_with = into.gather(1, targets[target.gather(1, leaving)])
    return into.scatter(1, sources[leaving], merged_with), count - away


class _SequenceSteps:
    """Attention of a block over one sequence, with tokens that count as often as their size says."""

    def __init__(self, block: nn.Module, mask: Tensor | None) -> None:
        if not isinstance(block, Block) or not isinstance(block.attention, SelfAttention):
            raise ConfigError(f"tokens cannot be merged in a {type(block).__name__}")
        self.block, self._attention, self._mask = block, block.attention, mask

    def attend(self, x: Float[Tensor, "B N D"], size: Float[Tensor, "B N"]) -> tuple[Tensor, Tensor]:
        """x after attention, and the keys by which tokens are compared."""
        attended, keys = weighted_attention(self._attention, self.block.norm_attention(x), size, self._mask)
        return x + attended, keys


class _GridSteps:
    """The same for blocks that attend along the axes of the grid: sizes are those of places."""

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
            return x, self._of_places(keys, times)
        if isinstance(block.attention, FactorisedDotProductAttention):
            attended, keys = _dot_product(block.attention, block.norm_attention(x), size_of_all, self._mask)
            return x + attended, self._of_places(keys, times)
        raise ConfigError(f"tokens cannot be merged with a {type(block.attention).__name__}")

    def _of_places(self, keys: Float[Tensor, "Bt n c"], times: int) -> Float[Tensor, "B n tc"]:
        """The keys of each place at all real times, side by side."""
        keys = F.normalize(keys, dim=-1).unflatten(0, (-1, times))
        if self._mask is not None:
            keys = keys * self._mask[:, :, None, None]
        return rearrange(keys, "B t n c -> B n (t c)")


def weighted_attention(
    attention: SelfAttention, x: Float[Tensor, "B N D"], size: Float[Tensor, "B N"], mask: Bool[Tensor, "B N"] | None
) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N c"]]:
    """Self-attention in which a token of size s counts s times, and the mean of the keys over the heads."""
    query, key, value = rearrange(attention.qkv(x), "B N (qkv H c) -> qkv B H N c", qkv=3, H=attention.num_heads)
    bias = size.log()[:, None, None, :].to(query.dtype)
    if mask is not None:
        bias = bias.masked_fill(~mask[:, None, None, :], float("-inf"))
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return attention.out(rearrange(attended, "B H N c -> B N (H c)")), key.mean(dim=1)


def _dot_product(
    attention: FactorisedDotProductAttention,
    x: Float[Tensor, "B t n D"],
    size: Float[Tensor, "Bt n"],
    mask: Bool[Tensor, "B t"] | None,
) -> tuple[Tensor, Tensor]:
    """`FactorisedDotProductAttention` whose half over space counts each place as often as its size says."""
    batch, _, places, _ = x.shape
    halves = rearrange(
        attention.qkv(x), "B t n (qkv half H c) -> half qkv B t n H c", qkv=3, half=2, H=attention.num_heads // 2
    )
    query, key, value = rearrange(halves[0], "qkv B t n H c -> qkv (B n) H t c")
    real = None if mask is None else repeat(mask, "B t -> (B n) t", n=places)
    over_time = attention.time(query, key, value, real)
    query, key, value = rearrange(halves[1], "qkv B t n H c -> qkv (B t) H n c")
    bias = size.log()[:, None, None, :].to(query.dtype)
    over_space = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    heads = [
        rearrange(over_time, "(B n) H t c -> B t n (H c)", B=batch),
        rearrange(over_space, "(B t) H n c -> B t n (H c)", B=batch),
    ]
    return attention.out(torch.cat(heads, dim=-1)), key.mean(dim=1)


class MergingViViT(ViViT):
    """What `merge_tokens` gives: modules of its own, in a mode of their own, over the parameters of a model."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MergingViViT:
        require_unchanged(self, fn)
        return self


def merge_tokens(model: ViViT, share: float) -> ViViT:
    """A model that merges similar tokens in evaluation mode: faster, and a little less exact. No retraining.

    It shares all parameters with `model`, which stays as it is; a factorised encoder merges in its spatial encoder.

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
    if type(model) is not ViViT:
        raise ConfigError(f"tokens are merged in a ViViT; a {type(model).__name__} computes in its own way")
    if share == 0:
        return model
    merged = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    merged.__class__ = MergingViViT  # adds no state
    for name, encoder in merged.named_children():
        if not isinstance(encoder, Encoder) or name == "temporal_encoder":
            continue
        if encoder.pooling == "first":
            raise ConfigError(f"{name} pools its first token alone, which must not be merged; use pool='cls' or 'mean'")
        encoder.__class__ = MergingEncoder  # adds nothing but the share
        encoder.share = share  # type: ignore[assignment]
    return merged
