"""Self-attention over a sequence, along one axis of the token grid, and with its heads split between the two axes.

`DotProduct` has a fused path (`torch.nn.functional.scaled_dot_product_attention`) and a manual one with the same
mathematics, which `record_attention` switches to, since the fused one never holds the attention weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class DotProduct(nn.Module):
    """softmax(q k^T / sqrt(c)) v for every head (equation 7). It has no parameters.

    Args:
        dropout: on the attention weights, in training alone.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fused = True

    def forward(
        self,
        query: Float[Tensor, "B H M c"],
        key: Float[Tensor, "B H N c"],
        value: Float[Tensor, "B H N c"],
        mask: Bool[Tensor, "B N"] | None = None,
    ) -> Float[Tensor, "B H M c"]:
        """`mask` is True at the tokens that may be attended to."""
        attend_to = None if mask is None else mask[:, None, None, :]
        if self.fused:
            dropout = self.dropout.p if self.training else 0.0
            return F.scaled_dot_product_attention(query, key, value, attn_mask=attend_to, dropout_p=dropout)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        if attend_to is not None:
            scores = scores.masked_fill(~attend_to, float("-inf"))
        return self.dropout(scores.softmax(dim=-1)) @ value


class SelfAttention(nn.Module):
    """Multi-head self-attention with one linear layer for query, key and value, all with bias.

    Args:
        dim: width of a token, D.
        num_heads: divides `dim`.
        dropout: on the output.
        attention_dropout: on the attention weights.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0, attention_dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.dot_product = DotProduct(attention_dropout)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "B *tokens D"], mask: Bool[Tensor, "B _"] | None = None
    ) -> Float[Tensor, "B *tokens D"]:
        """Every token attends to all of its sequence that `mask` allows (True: may be attended to)."""
        heads = self.attend(self.qkv(x).chunk(3, dim=-1), mask)
        return self.dropout(self.out(merge_heads(heads)))

    def attend(
        self, qkv: Sequence[Float[Tensor, "B N D"]], mask: Bool[Tensor, "B N"] | None = None
    ) -> Float[Tensor, "B H N c"]:
        """From query, key and value to the output of each head."""
        query, key, value = (split_heads(part, self.num_heads) for part in qkv)
        return self.dot_product(query, key, value, mask)


class AxisAttention(SelfAttention):
    """Self-attention along one axis of the token grid (model 3, equations 4 and 5).

    `space`: a token attends to the tokens of its own time step. `time`: to those at its own position of the h * w, at
    every time step. A mask [B, t] is True at real time steps; attention over space stays within one and needs none.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        axis: Literal["space", "time"],
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__(dim, num_heads, dropout, attention_dropout)
        self.axis = axis

    def attend(
        self, qkv: Sequence[Float[Tensor, "B t n D"]], mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B t H n c"]:
        """From query, key and value to the output of each head."""
        if self.axis == "space":
            return attend_over_space(self.dot_product, qkv, self.num_heads)
        return attend_over_time(self.dot_product, qkv, self.num_heads, mask)


class FactorisedDotProductAttention(nn.Module):
    """The first half of the heads attends over time, the second half over space (model 4, equation 6).

    The parameters are those of `SelfAttention`. The order of the halves is Scenic's, the reference code; the paper's
    text has them the other way round, which is the same model with its heads in another order.

    Args:
        dim: width of a token, D.
        num_heads: even, divides `dim`.
        dropout: on the output.
        attention_dropout: on the attention weights.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0, attention_dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.time = DotProduct(attention_dropout)
        self.space = DotProduct(attention_dropout)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B t n D"], mask: Bool[Tensor, "B t"] | None = None) -> Float[Tensor, "B t n D"]:
        """`mask` is True at real time steps; only the half over time needs it."""
        halves = self.attend(self.qkv(x).chunk(6, dim=-1), mask)
        return self.dropout(self.out(torch.cat([merge_heads(half) for half in halves], dim=-1)))

    def attend(
        self, parts: Sequence[Float[Tensor, "B t n half"]], mask: Bool[Tensor, "B t"] | None = None
    ) -> tuple[Float[Tensor, "B t H n c"], Float[Tensor, "B t H n c"]]:
        """From the halves of query, key and value to the outputs of the heads over time, and of those over space."""
        heads = self.num_heads // 2
        return attend_over_time(self.time, parts[0::2], heads, mask), attend_over_space(self.space, parts[1::2], heads)


def split_heads(x: Float[Tensor, "*rest N D"], heads: int) -> Float[Tensor, "*rest H N c"]:
    """The D channels of each token as H heads of c channels, in head-major layout (heads before tokens)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: Float[Tensor, "*rest H N c"]) -> Float[Tensor, "*rest N D"]:
    """The inverse of `split_heads`."""
    return x.transpose(-3, -2).flatten(-2)


def attend_over_space(
    dot_product: DotProduct, qkv: Sequence[Float[Tensor, "B t n D"]], heads: int
) -> Float[Tensor, "B t H n c"]:
    """Attention among the tokens of each time step: time steps become samples."""
    time_steps = qkv[0].shape[1]
    query, key, value = (split_heads(part, heads).flatten(0, 1) for part in qkv)
    return dot_product(query, key, value).unflatten(0, (-1, time_steps))


def attend_over_time(
    dot_product: DotProduct, qkv: Sequence[Float[Tensor, "B t n D"]], heads: int, mask: Bool[Tensor, "B t"] | None
) -> Float[Tensor, "B t H n c"]:
    """Attention among the tokens of each spatial position.

    In the fused path, positions become heads, which copies nothing; in the manual path, which is there to record the
    weights, they become samples.
    """
    positions = qkv[0].shape[2]
    if dot_product.fused:
        query, key, value = (split_heads(part.flatten(2), positions * heads) for part in qkv)
        return dot_product(query, key, value, mask).unflatten(1, (positions, heads)).permute(0, 3, 2, 1, 4)
    query, key, value = (split_heads(part.transpose(1, 2).flatten(0, 1), heads) for part in qkv)
    masks = None if mask is None else mask.repeat_interleave(positions, dim=0)
    return dot_product(query, key, value, masks).unflatten(0, (-1, positions)).permute(0, 3, 2, 1, 4)
