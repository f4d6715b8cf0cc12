"""Pre-norm transformer blocks: attention, then an MLP, each added to what came in."""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.nn.activations import ACTIVATIONS
from tubelet.nn.attention import AxisAttention, FactorisedDotProductAttention, SelfAttention
from tubelet.nn.products import activated_linear, normed_linear, plus
from tubelet.nn.untouched import is_untouched, lets_through


class DropPath(nn.Module):
    """Stochastic depth: in training, a sample skips the branch with probability `rate` (Huang et al., 2016).

    What is kept is scaled by 1 / (1 - rate), so that evaluation needs no correction. (The original code does not
    rescale, in training or in evaluation.)
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "B *rest"]) -> Float[Tensor, "B *rest"]:
        """One draw for each sample of the first axis."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(keep)
        return x * (kept / keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


class MLP(nn.Module):
    """Two linear layers with an activation between them, dropout after each."""

    def __init__(self, dim: int, hidden_dim: int, activation: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "*rest D"],
        norm: nn.LayerNorm | None = None,
        residual: Float[Tensor, "*rest D"] | None = None,
    ) -> Float[Tensor, "*rest D"]:
        """`norm`: of x before anything else; given here, its output is not kept for the backward pass.

        `residual`: what the result is added to.
        """
        hidden = self.fc1(x) if norm is None else normed_linear(self.fc1, x, norm)
        if lets_through(self.dropout, self.dropout.p):
            return activated_linear(self.fc2, hidden, self.activation, residual)
        return plus(residual, self.dropout(self.fc2(self.dropout(self.activation(hidden)))))


class Block(nn.Module):
    """The block of models 1, 2 and 4 (equations 2 and 3); which model is decided by the attention it is given.

    Args:
        attention: takes tokens, a mask and the norm before it, and keeps the tokens' shape.
        mlp: the MLP.
        dim: width of a token, D.
        eps: of the LayerNorms.
        drop_path: stochastic depth rate of both branches.
    """

    def __init__(self, attention: nn.Module, mlp: MLP, dim: int, eps: float, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim, eps=eps)
        self.attention = attention
        self.norm_mlp = nn.LayerNorm(dim, eps=eps)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(
        self,
        x: Float[Tensor, "B *tokens D"],
        mask: Bool[Tensor, "B _"] | None = None,
        queries: int | None = None,
    ) -> Float[Tensor, "B *_ D"]:
        """`queries`: only the first of the tokens are wanted, though they attend to all (self-attention alone)."""
        wanted, first = ((), x) if queries is None else ((queries,), x[:, :queries])
        x = _add(first, self.drop_path, self.attention, x, mask, *wanted, norm=self.norm_attention)
        return _add(x, self.drop_path, self.mlp, x, norm=self.norm_mlp)

    def branches(self) -> list[tuple[nn.LayerNorm, Any]]:
        """The attentions in their order, each with its norm."""
        return [(self.norm_attention, self.attention)]


class FactorisedSelfAttentionBlock(nn.Module):
    """The block of model 3: attention over one axis, then over the other, each with its own norm; then the MLP.

    Args:
        space: attention over space.
        time: attention over time.
        mlp: the MLP.
        order: which of the two comes first.
        dim: width of a token, D.
        eps: of the LayerNorms.
        drop_path: stochastic depth rate of all three branches.
    """

    def __init__(
        self,
        space: AxisAttention,
        time: AxisAttention,
        mlp: MLP,
        order: Literal["space_time", "time_space"],
        dim: int,
        eps: float,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_space = nn.LayerNorm(dim, eps=eps)
        self.space = space
        self.norm_time = nn.LayerNorm(dim, eps=eps)
        self.time = time
        self.norm_mlp = nn.LayerNorm(dim, eps=eps)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)
        self.order = order

    def forward(self, x: Float[Tensor, "B t n D"], mask: Bool[Tensor, "B t"] | None = None) -> Float[Tensor, "B t n D"]:
        for norm, attention in self.branches():
            x = _add(x, self.drop_path, attention, x, mask, norm=norm)
        return _add(x, self.drop_path, self.mlp, x, norm=self.norm_mlp)

    def branches(self) -> list[tuple[nn.LayerNorm, Any]]:
        """The attentions in their order, each with its norm."""
        space, time = (self.norm_space, self.space), (self.norm_time, self.time)
        return [space, time] if self.order == "space_time" else [time, space]


ADDING = (SelfAttention, AxisAttention, FactorisedDotProductAttention, MLP)
"""Branches of a block that take a residual."""


def _add(residual: Tensor, drop_path: DropPath, branch: nn.Module, *inputs: Any, norm: nn.LayerNorm) -> Tensor:
    """`residual + drop_path(branch(*inputs))`, by the branch itself where nothing and nobody comes between the two."""
    if type(branch) in ADDING and is_untouched(branch) and lets_through(drop_path, drop_path.rate):
        return branch(*inputs, norm=norm, residual=residual)
    return residual + drop_path(branch(*inputs, norm=norm))
