"""A copy of a model, with the same weights and outputs, whose backward pass is linear in what each layer is given.

Attention weights, the divisor of a LayerNorm and the gate of an activation, `gate(x) = activation(x) / x`, count as
constants (Mehri et al., LibraGrad, CVPR 2025). With these held, the network is a linear function of its tokens and of
its additive parameters, so that gradient times value adds up to the logit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
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


class BalancedDotProduct(DotProduct):
    """Attention whose weights are constants: the gradient passes through the values alone."""

    def forward(
        self,
        query: Float[Tensor, "B H M c"],
        key: Float[Tensor, "B H N c"],
        value: Float[Tensor, "B H N c"],
        mask: Bool[Tensor, "B N"] | None = None,
    ) -> Float[Tensor, "B H M c"]:
        return super().forward(query.detach(), key.detach(), value, mask)


class BalancedLayerNorm(nn.LayerNorm):
    """A LayerNorm whose divisor is a constant."""

    def forward(self, input: Float[Tensor, "*rest D"]) -> Float[Tensor, "*rest D"]:  # torch's name
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
                replaced.fused = child.fused  # type: ignore[assignment]
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
