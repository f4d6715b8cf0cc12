"""A copy of a model, with the same weights and outputs, whose backward pass is linear in what each layer is given.

Attention weights, the divisor of a LayerNorm and the gate of an activation, `gate(x) = activation(x) / x`, count as
constants (Mehri et al., LibraGrad, CVPR 2025). With these held, the network is a linear function of its tokens and of
its additive parameters, so that gradient times value adds up to the logit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.nn.attention import AxisAttention, DotProduct, FactorisedDotProductAttention, SelfAttention
from tubelet.nn.batch_norm import BatchNorm
from tubelet.nn.blocks import MLP, Block, DropPath, FactorisedSelfAttentionBlock
from tubelet.nn.encoder import Encoder
from tubelet.nn.pooling import PositionalPooling
from tubelet.nn.positions import Positions

KNOWN = (
    AxisAttention,
    Block,
    DotProduct,
    DropPath,
    Encoder,
    FactorisedDotProductAttention,
    FactorisedSelfAttentionBlock,
    MLP,
    PositionalPooling,
    Positions,
    SelfAttention,
    nn.Dropout,
    nn.Identity,
    nn.LayerNorm,
    nn.Linear,
    nn.ModuleDict,
    nn.ModuleList,
    BatchNorm,
)
"""Layers after the embedding that are linear once the constants are held, by their exact class."""


AT_ONCE = 2**22
"""Attention weights that are in memory at once."""


class BalancedDotProduct(DotProduct):
    """Attention whose weights are constants: the gradient passes through the values alone."""

    def forward(
        self,
        query: Float[Tensor, "B H M c"],
        key: Float[Tensor, "B H N c"],
        value: Float[Tensor, "B H N c"],
        mask: Bool[Tensor, "B N"] | None = None,
    ) -> Float[Tensor, "B H M c"]:
        return ConstantWeights.apply(query.detach(), key.detach(), value, mask)


class ConstantWeights(torch.autograd.Function):
    """Fused attention; in the backward pass the weights are computed again, for some queries at a time.

    The gradient of the values is that of the output times the transposed weights. That of fused attention would compute
    those of queries and keys as well, which costs 2.5 times as much.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """The output."""
        attend_to = None if mask is None else mask[:, None, None, :]
        ctx.save_for_backward(query, key, attend_to)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=attend_to)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor, None]:
        """The gradient of the values."""
        query, key, attend_to = ctx.saved_tensors
        batch, heads, count = key.shape[:3]
        rows = max(1, AT_ONCE // (batch * heads * count))
        of_value = torch.zeros_like(key)
        for some, of_some in zip(query.split(rows, dim=2), gradient.split(rows, dim=2), strict=True):
            scores = (some * some.shape[-1] ** -0.5) @ key.transpose(-2, -1)
            if attend_to is not None:
                scores = scores.masked_fill(~attend_to, float("-inf"))
            of_value += scores.softmax(dim=-1).transpose(-2, -1) @ of_some
        return None, None, of_value, None


class BalancedLayerNorm(nn.LayerNorm):
    """A LayerNorm whose divisor is a constant."""

    def forward(self, input: Float[Tensor, "*rest D"]) -> Float[Tensor, "*rest D"]:  # torch's name
        if not torch.is_grad_enabled():
            return super().forward(input)
        centred = input - input.mean(dim=-1, keepdim=True)
        scale = torch.rsqrt(centred.detach().square().mean(dim=-1, keepdim=True) + self.eps)
        return centred * scale * self.weight + self.bias


class BalancedBatchNorm(nn.Module):
    """A BatchNorm in evaluation, as the scale and the shift that it is."""

    scale: Tensor

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight.detach()
        shift = -norm.running_mean * scale
        if norm.bias is not None:
            shift = shift + norm.bias.detach()
        self.register_buffer("scale", scale)
        self.bias = nn.Parameter(shift)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same shape."""
        return x * BatchNorm.per_channel(x, self.scale) + BatchNorm.per_channel(x, self.bias)


class BalancedActivation:
    """An activation as x times a constant gate. It must be 0 at 0, as those of the GELU family are."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        self.activation = activation

    def __call__(self, x: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        if not torch.is_grad_enabled():
            return self.activation(x)
        with torch.no_grad():
            gate = self.activation(x) / torch.where(x == 0, 1, x)
        return x * gate


def balanced(model: ViViT) -> ViViT:
    """The copy. It shares the memory of the weights, and is in evaluation mode.

    Its additive parameters ask for gradients: biases, positions, class tokens. Its other weights do not.

    Args:
        model: unwrapped and plain (not the result of `optimise`).

    Raises:
        ConfigError: layers after the embedding that are not the library's own.
    """
    unknown = [
        f"{name} ({type(module).__name__})"
        for name, module in model.named_modules()
        if name and not name.startswith("embedding") and type(module) not in KNOWN
    ]
    if unknown:
        raise ConfigError(
            f"balanced gradients need the library's own layers, and {unknown[0]} is another; use method='occlusion', "
            "'rise' or 'integrated_gradients', which take any layer"
        )
    twin = copy.deepcopy(model, _shared(model)).eval()
    for module in list(twin.modules()):
        if isinstance(module, MLP):
            module.activation = BalancedActivation(module.activation)
        for name, child in module.named_children():
            if type(child) is DotProduct:
                replaced: nn.Module = BalancedDotProduct()
            elif type(child) is nn.LayerNorm:
                replaced = BalancedLayerNorm(child.normalized_shape, eps=child.eps, device="meta")
                replaced.weight, replaced.bias = child.weight, child.bias
            elif type(child) is BatchNorm and module is twin:
                replaced = BalancedBatchNorm(child)
            else:
                continue
            setattr(module, name, replaced.eval())
    for positions in (module for module in twin.modules() if isinstance(module, Positions)):
        for name in ("grid", "cls"):
            table = getattr(positions, name)
            if table is not None and not table.requires_grad:  # sinusoidal
                setattr(positions, name, table.detach().requires_grad_())
    return twin


def without_gradients(model: ViViT) -> ViViT:
    """A copy that shares the memory of the weights, in evaluation mode; no weight asks for a gradient."""
    return copy.deepcopy(model, _shared(model)).requires_grad_(False).eval()


def _shared(model: ViViT) -> dict[int, object]:
    """For `deepcopy`: what the copy has instead of each tensor, and what both have."""
    shared: dict[int, object] = {id(value): value for value in vars(model).values() if not isinstance(value, dict)}
    for buffer in model.buffers():
        shared[id(buffer)] = buffer.detach()
    for name, parameter in model.named_parameters():
        last = name.rpartition(".")[2]
        additive = last in ("bias", "cls") or (last == "grid" and "positions" in name)
        shared[id(parameter)] = nn.Parameter(
            parameter.detach(), requires_grad=additive and not name.startswith("embedding")
        )
    return shared
