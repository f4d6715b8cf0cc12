"""Pre-norm transformer blocks: attention, then an MLP, each with a residual connection."""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.nn.activations import ACTIVATIONS
from tubelet.nn.attention import AxisAttention


class DropPath(nn.Module):
    """Stochastic depth: in training, a sample skips the branch with probability `rate` (Huang et al., 2016).

    The branches of the other samples are scaled by 1 / (1 - rate), so that evaluation needs no correction. (Scenic, the
    reference code, does not rescale.)
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

    def forward(self, x: Float[Tensor, "*rest D"]) -> Float[Tensor, "*rest D"]:
        hidden = self.dropout(self.activation(self.fc1(x)))
        return self.dropout(self.fc2(hidden))


class Block(nn.Module):
    """The block of models 1, 2 and 4 (equations 2 and 3), which differ in its attention.

    Args:
        attention: any module, called as `attention(x, mask)` with normalised tokens and a mask (or None).
        mlp: any module, called as `mlp(x)` with normalised tokens. Both return tokens of the same shape.
        dim: width of a token, D.
        eps: of the LayerNorms.
        drop_path: stochastic depth rate of both branches.
    """

    def __init__(self, attention: nn.Module, mlp: nn.Module, dim: int, eps: float, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim, eps=eps)
        self.attention = attention
        self.norm_mlp = nn.LayerNorm(dim, eps=eps)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Float[Tensor, "B *tokens D"], mask: Bool[Tensor, "B _"] | None = None
    ) -> Float[Tensor, "B *tokens D"]:
        x = x + self.drop_path(self.attention(self.norm_attention(x), mask))
        return x + self.drop_path(self.mlp(self.norm_mlp(x)))

    def branches(self) -> list[tuple[Any, Any]]:
        """The attentions in order, each with its norm."""
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
            x = x + self.drop_path(attention(norm(x), mask))
        return x + self.drop_path(self.mlp(self.norm_mlp(x)))

    def branches(self) -> list[tuple[Any, Any]]:
        """The attentions in order, each with its norm."""
        space, time = (self.norm_space, self.space), (self.norm_time, self.time)
        return [space, time] if self.order == "space_time" else [time, space]
