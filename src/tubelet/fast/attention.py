"""The attentions of the four models, added to their tokens in place.

Attention goes over tiles of independent sequences, each from norm to output before the next. In long sequences query,
key and value come from one matrix product without bias, tile by tile; adding the bias also writes them in head-major
layout, which the attention kernel reads fastest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.fast import tiles
from tubelet.fast.linear import LONG
from tubelet.nn.attention import AxisAttention, FactorisedDotProductAttention, SelfAttention, merge_heads, split_heads

Attention = SelfAttention | FactorisedDotProductAttention


def add_attention(
    x: Float[Tensor, "B *tokens D"], norm: nn.LayerNorm, attention: Attention, mask: Bool[Tensor, "B _"] | None
) -> None:
    """x += attention(norm(x), mask), in place."""
    for tile, tile_mask in _sequences(x, attention, mask):
        tokens = tile.contiguous()
        add_product(tokens, attention.out, [merge_heads(part) for part in _attend(tokens, norm, attention, tile_mask)])
        if tokens is not tile:
            tile.copy_(tokens)


def first_with_attention(
    x: Float[Tensor, "B N D"], norm: nn.LayerNorm, attention: SelfAttention, mask: Bool[Tensor, "B N"] | None
) -> Float[Tensor, "B 1 D"]:
    """The first token plus its attention to all tokens; x is not changed."""
    first, dim = x[:, :1].contiguous(), x.shape[-1]
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query = F.linear(norm(first), weight[:dim], bias[:dim])
    if x.shape[1] < LONG:
        parts = F.linear(norm(x), weight[dim:], bias[dim:]).chunk(2, dim=-1)
        key, value = (split_heads(part, attention.num_heads) for part in parts)
    else:
        key, value = _heads(x, norm, attention, parts=2)
    attended = attention.dot_product(split_heads(query, attention.num_heads), key, value, mask)
    add_product(first, attention.out, (merge_heads(attended),))
    return first


def add_product(x: Float[Tensor, "*rest D"], linear: nn.Linear, parts: Sequence[Float[Tensor, "*rest _"]]) -> None:
    """x += linear(parts concatenated), in place."""
    rows = x.view(-1, x.shape[-1])
    kernels = linear.weight.split([part.shape[-1] for part in parts], dim=1)
    for part, kernel in zip(parts, kernels, strict=True):
        rows.addmm_(part.reshape(-1, part.shape[-1]), kernel.T)
    rows.add_(linear.bias)


def _sequences(
    x: Float[Tensor, "B *tokens D"], attention: Attention, mask: Bool[Tensor, "B _"] | None
) -> Iterator[tuple[Float[Tensor, "_ *tokens D"], Bool[Tensor, "_ _"] | None]]:
    """Tiles of x whose sequences do not attend to others, each with its mask; views of x."""
    if not isinstance(attention, SelfAttention):
        yield x, mask
    elif not isinstance(attention, AxisAttention):
        for samples in tiles.even_tiles(len(x), tiles.TILE_TOKENS // x.shape[1]):
            yield x[samples], None if mask is None else mask[samples]
    elif attention.axis == "space":
        frames = x.flatten(0, 1)
        for some in tiles.even_tiles(len(frames), tiles.TILE_TOKENS // frames.shape[1]):
            yield frames[None, some], None
    else:
        for positions in tiles.even_tiles(x.shape[2], tiles.TILE_TOKENS // (x.shape[0] * x.shape[1])):
            yield x[:, :, positions], mask


def _attend(
    x: Float[Tensor, "B *tokens D"], norm: nn.LayerNorm, attention: Attention, mask: Bool[Tensor, "B _"] | None
) -> Sequence[Float[Tensor, "B *_ heads n c"]]:
    """The input of the output layer, by kind of head."""
    over_time = isinstance(attention, AxisAttention) and attention.axis == "time"
    if isinstance(attention, FactorisedDotProductAttention) or over_time or x.shape[-2] < LONG:
        parts, normed = 6 if isinstance(attention, FactorisedDotProductAttention) else 3, norm(x)
        kernels = zip(attention.qkv.weight.chunk(parts), attention.qkv.bias.chunk(parts), strict=True)
        heads = attention.attend([F.linear(normed, *kernel) for kernel in kernels], mask)
        return heads if isinstance(heads, tuple) else (heads,)
    query, key, value = _heads(x.flatten(0, -3), norm, attention, parts=3)
    return (attention.dot_product(query, key, value, mask).unflatten(0, x.shape[:-2]),)


def _heads(
    x: Float[Tensor, "B N D"], norm: nn.LayerNorm, attention: SelfAttention, parts: int
) -> Float[Tensor, "parts B H N c"]:
    """The last `parts` of query, key and value of norm(x), in contiguous head-major layout."""
    samples, length, dim = x.shape
    weight, bias = attention.qkv.weight[-parts * dim :], attention.qkv.bias[-parts * dim :]
    offsets = bias.view(parts, attention.num_heads, -1)
    heads = x.new_empty(parts, samples, attention.num_heads, length, offsets.shape[-1])
    in_order = heads.permute(1, 3, 0, 2, 4)
    buffer = x.new_empty(min(length, tiles.TILE_TOKENS), parts * dim)
    for number in range(samples):
        for tile in tiles.even_tiles(length, tiles.TILE_TOKENS):
            tokens = norm(x[number, tile])
            product = torch.mm(tokens, weight.T, out=buffer[: len(tokens)])
            torch.add(product.view(-1, *offsets.shape), offsets, out=in_order[number, tile])
    return heads
