"""Matrix products whose backward pass is written out, because autograd's own keeps and copies more than it must.

`split_linear` gives query, key and value apart, each contiguous; their gradients go into one kernel's gradient without
being joined first. It and `normed_linear` keep what goes into a LayerNorm, `activated_linear` what goes into an
activation; what comes out of these is computed again.

All are the plain product, to rounding, forward and backward, and take the plain way while a graph is traced: compilers
decide themselves what is computed again.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tubelet.nn.activations import DERIVATIVES, Activation, activated
from tubelet.nn.untouched import is_untouched

LONG = 512
"""Length of a sequence from which putting the rows of each head together pays on a CPU."""


def split_linear(
    linear: nn.Linear, x: Float[Tensor, "*rest D"], parts: int, norm: nn.LayerNorm | None = None
) -> tuple[Float[Tensor, "*rest part"], ...]:
    """`linear(norm(x)).chunk(parts, dim=-1)`."""
    return _split_linear(linear, x, parts, norm, None)


def heads_linear(
    linear: nn.Linear, x: Float[Tensor, "B N D"], parts: int, heads: int, norm: nn.LayerNorm | None = None
) -> tuple[Float[Tensor, "B heads N c"], ...]:
    """What `split_linear` gives, each part cut into heads.

    Where autograd wants gradients, each head's rows lie together in long sequences: attention reads them faster, twice.
    """
    return _split_linear(linear, x, parts, norm, heads)


def _split_linear(
    linear: nn.Linear, x: Tensor, parts: int, norm: nn.LayerNorm | None, heads: int | None
) -> tuple[Tensor, ...]:
    if norm is not None and _differentiates(x, linear, norm):
        statistics = (norm.weight, norm.bias, norm.eps)
        return _NormedLinear.apply(x, *statistics, *_cast(linear.weight, linear.bias), parts, heads)
    if norm is not None:
        x = norm(x)
    if _differentiates(x, linear):
        return _SplitLinear.apply(*_cast(x, linear.weight, linear.bias), parts, heads)
    if x.device.type == "cpu" and _is_plain(linear):  # as quick as one product, and attention over time copies nothing
        products = _split(x, linear.weight, linear.bias, parts, None)
    else:
        products = linear(x).chunk(parts, dim=-1)
    return products if heads is None else tuple(_cut(product, heads) for product in products)


def normed_linear(linear: nn.Linear, x: Float[Tensor, "*rest D"], norm: nn.LayerNorm) -> Float[Tensor, "*rest out"]:
    """`linear(norm(x))`."""
    (product,) = split_linear(linear, x, 1, norm)
    return product


def activated_linear(
    linear: nn.Linear, x: Float[Tensor, "*rest D"], activation: Activation
) -> Float[Tensor, "*rest out"]:
    """`linear(activation(x))`."""
    if not _differentiates(x, linear) or activation not in DERIVATIVES:
        return linear(activation(x))
    weight, bias = _cast(linear.weight, linear.bias)
    return _ActivatedLinear.apply(x, weight, bias, activation)


class _SplitLinear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, parts: int, heads: int | None) -> tuple[Tensor, ...]:
        return _split(x, weight, bias, parts, heads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, weight, _, _, ctx.heads = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *_of_split(ctx.needs_input_grad, x, weight, gradients, ctx.heads), None, None


class _NormedLinear(torch.autograd.Function):
    """The norm is computed in the type of x, the product in that of its kernel."""

    @staticmethod
    def forward(
        x: Tensor,
        scale: Tensor,
        shift: Tensor,
        eps: float,
        weight: Tensor,
        bias: Tensor,
        parts: int,
        heads: int | None,
    ) -> tuple[Tensor, ...]:
        normed = F.layer_norm(x, scale.shape, scale, shift, eps)
        return _split(normed.to(weight.dtype), weight, bias, parts, heads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, scale, shift, ctx.eps, weight, _, _, ctx.heads = inputs
        ctx.save_for_backward(x, scale, shift, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        normed, mean, deviation = torch.native_layer_norm(x, scale.shape, scale, shift, ctx.eps)
        of_norm = wanted[:3]
        of_normed, of_weight, of_bias = _of_split(
            (any(of_norm), *wanted[4:6]), normed.to(weight.dtype), weight, gradients, ctx.heads
        )
        del normed
        of_x = of_scale = of_shift = None
        if of_normed is not None:
            of_x, of_scale, of_shift = torch.ops.aten.native_layer_norm_backward(
                of_normed.to(x.dtype), x, scale.shape, mean, deviation, scale, shift, list(of_norm)
            )
        return of_x, of_scale, of_shift, None, of_weight, of_bias, None, None


def _split(x: Tensor, weight: Tensor, bias: Tensor, parts: int, heads: int | None) -> tuple[Tensor, ...]:
    layers = zip(weight.chunk(parts), bias.chunk(parts), strict=True)
    if heads is None:
        return tuple(F.linear(x, *layer) for layer in layers)
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or x.shape[1] < LONG:
        return tuple(_cut(F.linear(x, *layer), heads) for layer in layers)
    rows = x.reshape(-1, x.shape[-1])
    room = rows.new_empty(len(rows), len(weight) // parts)  # for one product after the other
    return tuple(
        _laid_out(torch.mm(rows, kernel.T, out=room).view(*x.shape[:-1], -1), offset, heads)
        for kernel, offset in layers
    )


def _laid_out(product: Float[Tensor, "B N D"], bias: Float[Tensor, "D"], heads: int) -> Float[Tensor, "B heads N c"]:
    """The pass that adds the bias puts each head's rows together."""
    cut = _cut(product, heads)
    result = torch.empty_like(cut, memory_format=torch.contiguous_format)
    return torch.add(cut, bias.view(heads, 1, -1), out=result)


def _cut(x: Float[Tensor, "B N D"], heads: int) -> Float[Tensor, "B heads N c"]:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _of_split(
    wanted: tuple[bool, ...], x: Tensor, weight: Tensor, gradients: tuple[Tensor, ...], heads: int | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, weight and bias, those that are wanted, from those of the parts, one after the other."""
    of_x = None
    of_weight = torch.empty_like(weight) if wanted[1] else None
    of_bias = weight.new_empty(len(weight)) if wanted[2] else None
    inputs = x.reshape(-1, x.shape[-1])
    number = len(gradients)
    for part, gradient in enumerate(gradients):
        rows = _rows(gradient, heads)
        if of_weight is not None:
            torch.mm(rows.T, inputs, out=of_weight.chunk(number)[part])
        if of_bias is not None:
            torch.sum(rows, dim=0, out=of_bias.chunk(number)[part])
        if wanted[0]:
            kernel = weight.chunk(number)[part]
            of_x = rows @ kernel if of_x is None else of_x.addmm_(rows, kernel)
        del rows  # before the next part's are made
    return None if of_x is None else of_x.view_as(x), of_weight, of_bias


def _rows(gradient: Tensor, heads: int | None) -> Float[Tensor, "N part"]:
    """Of one part, a row for each token."""
    if heads is not None:
        gradient = gradient.transpose(1, 2).flatten(2)
    return gradient.reshape(-1, gradient.shape[-1])


class _ActivatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, activation: Activation) -> Tensor:
        return F.linear(activated(x, activation).to(weight.dtype), weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, weight, _, ctx.activation = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[1]:
            after = activated(x, ctx.activation).to(weight.dtype)
            of_weight = rows.T @ after.reshape(-1, after.shape[-1])
            del after
        if ctx.needs_input_grad[0]:
            of_x = DERIVATIVES[ctx.activation]((gradient @ weight).to(x.dtype), x)
        if ctx.needs_input_grad[2]:
            of_bias = rows.sum(dim=0)
        return of_x, of_weight, of_bias, None


def _differentiates(x: Tensor, *layers: nn.Linear | nn.LayerNorm) -> bool:
    """Whether autograd will want gradients, and runs these layers itself."""
    if not torch.is_grad_enabled() or not all(_is_plain(layer) for layer in layers):
        return False
    return x.requires_grad or any(parameter.requires_grad for layer in layers for parameter in layer.parameters())


def _is_plain(layer: nn.Linear | nn.LayerNorm) -> bool:
    """Nothing traces it, replaced it or put itself in the way of its call."""
    if torch.compiler.is_compiling() or type(layer) not in (nn.Linear, nn.LayerNorm):
        return False
    return is_untouched(layer)


def _cast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """To the type that autocast would compute a product in."""
    device = tensors[0].device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)
