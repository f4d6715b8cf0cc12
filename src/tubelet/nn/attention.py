"""Self-attention over a sequence, along one axis of the token grid, and with its heads split between the axes.

Every attention has a fused path (`torch.nn.functional.scaled_dot_product_attention`) and a manual one with the same
mathematics. The manual one is what `record_attention` switches to, since the fused one never holds the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.nn.products import heads_linear, heads_to_linear, plus, split_linear
from tubelet.nn.untouched import lets_through


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

    def forward(
        self,
        x: Float[Tensor, "B *tokens D"],
        mask: Bool[Tensor, "B _"] | None = None,
        queries: int | None = None,
        norm: nn.LayerNorm | None = None,
        residual: Float[Tensor, "B *_ D"] | None = None,
    ) -> Float[Tensor, "B *_ D"]:
        """Every token, or each of the first `queries` tokens, attends to all of its sequence that `mask` allows.

        `norm`: of the tokens before anything else; given here, its output is not kept for the backward pass.
        `residual`: what the result is added to.
        """
        return _output(self.out, self.dropout, self.attend(x, mask, queries, norm), residual)

    def attend(
        self,
        x: Float[Tensor, "B N D"],
        mask: Bool[Tensor, "B N"] | None = None,
        queries: int | None = None,
        norm: nn.LayerNorm | None = None,
    ) -> tuple[Float[Tensor, "B H _ c"], ...]:
        """What `out` maps, in parts whose heads belong side by side; here it is one."""
        if queries is None:
            query, key, value = heads_linear(self.qkv, x, 3, self.num_heads, norm)
        else:
            few = self._few_queries(x if norm is None else norm(x), queries)
            query, key, value = (rearrange(part, "B N (H c) -> B H N c", H=self.num_heads) for part in few)
        return (self.dot_product(query, key, value, mask),)

    def _few_queries(self, x: Float[Tensor, "B N D"], queries: int) -> tuple[Tensor, ...]:
        dim = x.shape[-1]
        weight, bias = self.qkv.weight.split((dim, 2 * dim)), self.qkv.bias.split((dim, 2 * dim))
        query = F.linear(x[:, :queries], weight[0], bias[0])
        return query, *F.linear(x, weight[1], bias[1]).chunk(2, dim=-1)


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

    def attend(
        self,
        x: Float[Tensor, "B t n D"],
        mask: Bool[Tensor, "B t"] | None = None,
        queries: int | None = None,
        norm: nn.LayerNorm | None = None,
    ) -> tuple[Float[Tensor, "B t H n c"], ...]:
        """`mask` is True at the times that are real; attention over space stays within one time and needs none.

        Raises:
            ConfigError: `queries`; a grid has no first tokens.
        """
        if queries is not None:
            raise ConfigError("attention along an axis of the grid is for all tokens; leave queries out")
        along = _over_space if self.axis == "space" else _over_time
        return (along(self.dot_product, split_linear(self.qkv, x, 3, norm), self.num_heads, mask),)


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

    def forward(
        self,
        x: Float[Tensor, "B t n D"],
        mask: Bool[Tensor, "B t"] | None = None,
        norm: nn.LayerNorm | None = None,
        residual: Float[Tensor, "B t n D"] | None = None,
    ) -> Float[Tensor, "B t n D"]:
        """`mask` is True at the times that are real; only the half over time needs it. The rest is as in
        `SelfAttention`.
        """
        return _output(self.out, self.dropout, self.attend(x, mask, norm), residual)

    def attend(
        self,
        x: Float[Tensor, "B t n D"],
        mask: Bool[Tensor, "B t"] | None = None,
        norm: nn.LayerNorm | None = None,
    ) -> tuple[Float[Tensor, "B t half n c"], ...]:
        """What `out` maps, in two parts: the heads over time, and the heads over space."""
        parts, heads = split_linear(self.qkv, x, 6, norm), self.num_heads // 2
        over_time = _over_time(self.time, parts[0::2], heads, mask)
        return over_time, _over_space(self.space, parts[1::2], heads, mask)


def _output(out: nn.Linear, dropout: nn.Dropout, parts: tuple[Tensor, ...], residual: Tensor | None) -> Tensor:
    """`residual + dropout(out(parts))`."""
    if lets_through(dropout, dropout.p):
        return heads_to_linear(out, parts, residual)
    return plus(residual, dropout(heads_to_linear(out, parts)))


def _over_space(
    dot_product: DotProduct, qkv: tuple[Float[Tensor, "B t n D"], ...], heads: int, mask: Tensor | None
) -> Float[Tensor, "B t H n c"]:
    """Each token attends to those of its own time, whatever the mask of times."""
    query, key, value = (rearrange(part, "B t n (H c) -> (B t) H n c", H=heads) for part in qkv)
    return rearrange(dot_product(query, key, value), "(B t) H n c -> B t H n c", B=len(qkv[0]))


def _over_time(
    dot_product: DotProduct, qkv: tuple[Float[Tensor, "B t n D"], ...], heads: int, mask: Bool[Tensor, "B t"] | None
) -> Float[Tensor, "B t H n c"]:
    """Each token attends to those of its own place.

    A head of one place is a head like any other: side by side, places and heads are one axis, and nothing is copied.
    Only where the weights are looked at does every place become a sample.
    """
    batch, _, places, _ = qkv[0].shape
    if dot_product.fused:
        query, key, value = (rearrange(part, "B t n (H c) -> B (n H) t c", H=heads) for part in qkv)
        return rearrange(dot_product(query, key, value, mask), "B (n H) t c -> B t H n c", n=places)
    query, key, value = (rearrange(part, "B t n (H c) -> (B n) H t c", H=heads) for part in qkv)
    of_places = None if mask is None else repeat(mask, "B t -> (B n) t", n=places)
    return rearrange(dot_product(query, key, value, of_places), "(B n) H t c -> B t H n c", B=batch)


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


def takes_manual_path(model: nn.Module) -> bool:
    """Whether an attention of `model` does, as all do while they are recorded."""
    return any(isinstance(module, DotProduct) and not module.fused for module in model.modules())


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
