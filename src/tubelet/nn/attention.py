"""Self-attention over a sequence, along one axis of the token grid, and with its heads split between the axes.

Every attention has a fused path (`torch.nn.functional.scaled_dot_product_attention`) and a manual one with the same
mathematics. The manual one is what `record_attention` switches to, since the fused one never holds the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
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
        query: Float[Tensor, "B H N c"],
        key: Float[Tensor, "B H N c"],
        value: Float[Tensor, "B H N c"],
        mask: Bool[Tensor, "B N"] | None = None,
    ) -> Float[Tensor, "B H N c"]:
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
    """Multi-head self-attention with one product for query, key and value, all with bias.

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

    def forward(self, x: Float[Tensor, "B N D"], mask: Bool[Tensor, "B N"] | None = None) -> Float[Tensor, "B N D"]:
        """Every token attends to all tokens of its sequence that `mask` allows."""
        query, key, value = rearrange(self.qkv(x), "B N (qkv H c) -> qkv B H N c", qkv=3, H=self.num_heads)
        attended = self.dot_product(query, key, value, mask)
        return self.dropout(self.out(rearrange(attended, "B H N c -> B N (H c)")))


class AxisAttention(SelfAttention):
    """Self-attention along one axis of the token grid (model 3, equations 4 and 5).

    `space`: a token attends to those of its own time. `time`: to those at its own place, at every time.
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

    def forward(self, x: Float[Tensor, "B t n D"], mask: Bool[Tensor, "B t"] | None = None) -> Float[Tensor, "B t n D"]:
        """`mask` is True at the times that are real; attention over space stays within one time and needs none."""
        batch, _, places, _ = x.shape
        if self.axis == "space":
            attended = super().forward(rearrange(x, "B t n D -> (B t) n D"))
            return rearrange(attended, "(B t) n D -> B t n D", B=batch)
        attended = super().forward(rearrange(x, "B t n D -> (B n) t D"), _mask_of_places(mask, places))
        return rearrange(attended, "(B n) t D -> B t n D", B=batch)


class FactorisedDotProductAttention(nn.Module):
    """Attention whose first half of heads looks over time and whose second half over space (model 4, equation 6).

    The parameters are those of `SelfAttention`. Which half does which is the original code's choice; the paper's text
    has them the other way round, which is the same model with its heads renamed.

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
        """`mask` is True at the times that are real; only the half over time needs it."""
        batch, _, places, _ = x.shape
        halves = rearrange(
            self.qkv(x), "B t n (qkv half H c) -> half qkv B t n H c", qkv=3, half=2, H=self.num_heads // 2
        )
        query, key, value = rearrange(halves[0], "qkv B t n H c -> qkv (B n) H t c")
        over_time = self.time(query, key, value, _mask_of_places(mask, places))
        query, key, value = rearrange(halves[1], "qkv B t n H c -> qkv (B t) H n c")
        over_space = self.space(query, key, value)
        heads = [
            rearrange(over_time, "(B n) H t c -> B t n (H c)", B=batch),
            rearrange(over_space, "(B t) H n c -> B t n (H c)", B=batch),
        ]
        return self.dropout(self.out(torch.cat(heads, dim=-1)))


def _mask_of_places(mask: Bool[Tensor, "B t"] | None, places: int) -> Bool[Tensor, "Bn t"] | None:
    """The mask of every place's own sequence in time."""
    return None if mask is None else repeat(mask, "B t -> (B n) t", n=places)


@contextmanager
def manual_attention(model: nn.Module) -> Iterator[None]:
    """Inside the `with`, every attention of `model` takes the manual path; afterwards each has its own setting back."""
    products = [module for module in model.modules() if isinstance(module, DotProduct)]
    before = [product.fused for product in products]
    for product in products:
        product.fused = False
    try:
        yield
    finally:
        for product, fused in zip(products, before, strict=True):
            product.fused = fused


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the attention weights of every forward pass inside the `with`.

    Yields:
        a dictionary that fills during the pass: module name (`encoder.blocks.0.attention.dot_product`) to weights
        [B', H, N, N], softmax over the last axis, before dropout, detached. B' is B for attention over all tokens,
        B * t for attention over space, B * n for attention over time. A later pass replaces an earlier one's.
    """
    weights: dict[str, Tensor] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, DotProduct):

            def keep(_: nn.Module, args: tuple[Tensor], name: str = name) -> None:
                weights[name] = args[0].detach()

            handles.append(module.dropout.register_forward_pre_hook(keep))
    try:
        with manual_attention(model):
            yield weights
    finally:
        for handle in handles:
            handle.remove()
