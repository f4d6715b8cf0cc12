"""Linear layers with a hand-written backward pass, which saves and copies fewer tensors than autograd's own.

`normed_linear` saves the input of its LayerNorm, `activated_linear` the input of its activation, and `heads_to_linear`
the output of attention, which attention saves too; the normalised and activated tensors are recomputed in the backward
pass. Query, key and value are separate outputs of one linear layer, and their gradients are not concatenated. The last
two add the residual in the matrix product.

Results and gradients are those of the plain modules, up to rounding. There are no second derivatives: asking for one is
an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.fast.buffers import empty_reusable
from tubelet.fast.gelu import DERIVATIVES, activated
from tubelet.fast.layer_norm import layer_norm, layer_norm_backward
from tubelet.nn.activations import Activation
from tubelet.nn.attention import merge_heads, split_heads

LONG = 512
"""Tokens of a sequence from which a contiguous head-major layout is faster on a CPU."""


def normed_linear(
    linear: nn.Linear, x: Float[Tensor, "*rest D"], norm: nn.LayerNorm, parts: int = 1, heads: int | None = None
) -> tuple[Tensor, ...]:
    """`linear(norm(x)).chunk(parts, dim=-1)`; with `heads` each part [B, N, D] as [B, heads, N, c].

    In long sequences each head's rows are contiguous, which attention reads faster in both passes.
    """
    scale_shift = (norm.weight, norm.bias, norm.eps)
    return _NormedLinear.apply(x, *scale_shift, *_cast(linear.weight, linear.bias), parts, heads)


def activated_linear(
    linear: nn.Linear,
    x: Float[Tensor, "*rest D"],
    activation: Activation,
    residual: Float[Tensor, "*rest out"] | None = None,
) -> Float[Tensor, "*rest out"]:
    """`linear(activation(x))`, added to `residual`. The activation is one of `DERIVATIVES`."""
    weight, bias = _cast(linear.weight, linear.bias)
    inside, outside = _fused_residual(residual, weight)
    return plus(outside, _ActivatedLinear.apply(x, weight, bias, activation, inside))


def heads_to_linear(
    linear: nn.Linear,
    parts: Sequence[Float[Tensor, "*rest _ N c"]],
    residual: Float[Tensor, "*rest N out"] | None = None,
) -> Float[Tensor, "*rest N out"]:
    """`linear` of the heads of all parts side by side, added to `residual`."""
    weight, bias, *parts = _cast(linear.weight, linear.bias, *parts)
    inside, outside = _fused_residual(residual, weight)
    return plus(outside, _HeadsToLinear.apply(weight, bias, inside, *parts))


def plus(residual: Tensor | None, x: Tensor) -> Tensor:
    """`residual + x`, or x without a residual."""
    return x if residual is None else residual + x


def _first_derivative_only(backward: Callable[..., Any]) -> Callable[..., Any]:
    """An error instead of a wrong second derivative (`create_graph=True`)."""

    @wraps(backward)
    def checked(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise ConfigError(
                "the training form has no second derivatives (create_graph=True, torch.func); use the model it was "
                "made from"
            )
        return backward(ctx, *gradients)

    return checked


def _joined_heads(parts: Sequence[Float[Tensor, "*rest _ N c"]]) -> Float[Tensor, "*rest N D"]:
    first, *others = map(merge_heads, parts)
    return torch.cat([first, *others], dim=-1) if others else first


def _fused_residual(residual: Tensor | None, weight: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The residual as (added in the matrix product, added after it); one of the two is None."""
    if residual is None or residual.device.type != "cpu" or residual.dtype != weight.dtype or not _is_exact(weight):
        return None, residual
    return residual, None


class _NormedLinear(torch.autograd.Function):
    """The norm is computed in the dtype of x, the matrix product in that of the weight."""

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
        normed, _ = layer_norm(x, scale, shift, eps)
        return _split(normed.to(weight.dtype), weight, bias, parts, heads)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, scale, shift, ctx.eps, weight, _, _, ctx.heads = inputs
        ctx.save_for_backward(x, scale, shift, weight)

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, weight = ctx.saved_tensors
        needs_grad = ctx.needs_input_grad
        normed, statistics = layer_norm(x, scale, shift, ctx.eps)
        needs_norm = needs_grad[:3]
        grad_normed, grad_weight, grad_bias = _split_backward(
            (any(needs_norm), *needs_grad[4:6]), normed.to(weight.dtype), weight, gradients, ctx.heads
        )
        del normed
        grad_x = grad_scale = grad_shift = None
        if grad_normed is not None:
            grad_x, grad_scale, grad_shift = layer_norm_backward(
                grad_normed.to(x.dtype), x, scale, shift, statistics, needs_norm
            )
        return grad_x, grad_scale, grad_shift, None, grad_weight, grad_bias, None, None


def _split(x: Tensor, weight: Tensor, bias: Tensor, parts: int, heads: int | None) -> tuple[Tensor, ...]:
    layers = _layers(weight, bias, parts)
    if heads is None:
        return tuple(_linear(x, *layer) for layer in layers)
    if x.device.type != "cpu" or not _is_exact(x) or x.shape[1] < LONG:
        return tuple(split_heads(_linear(x, *layer), heads) for layer in layers)
    rows = _rows(x)
    product = empty_reusable(rows, len(rows), len(weight) // parts)
    return tuple(
        _head_major(torch.mm(rows, kernel.T, out=product).view(*x.shape[:-1], -1), offset, heads)
        for kernel, offset in layers
    )


def _layers(weight: Tensor, bias: Tensor, parts: int) -> Iterable[tuple[Tensor, Tensor]]:
    return zip(weight.chunk(parts), bias.chunk(parts), strict=True)


def _head_major(product: Float[Tensor, "B N D"], bias: Float[Tensor, "D"], heads: int) -> Float[Tensor, "B heads N c"]:
    """Add the bias and make each head's rows contiguous, in one pass."""
    cut = split_heads(product, heads)
    return torch.add(cut, bias.view(heads, 1, -1), out=empty_reusable(cut, *cut.shape))


def _split_backward(
    needs_grad: tuple[bool, ...], x: Tensor, weight: Tensor, gradients: tuple[Tensor, ...], heads: int | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, weight and bias (where needed) from those of the parts, one part at a time."""
    grad_x = None
    grad_weight = empty_reusable(weight, *weight.shape) if needs_grad[1] else None
    grad_bias = weight.new_empty(len(weight)) if needs_grad[2] else None
    inputs = _rows(x)
    number = len(gradients)
    for part, gradient in enumerate(gradients):
        rows = _rows(gradient) if heads is None else _token_rows(gradient)
        if grad_weight is not None:
            torch.mm(rows.T, inputs, out=grad_weight.chunk(number)[part])
        if grad_bias is not None:
            torch.sum(rows, dim=0, out=grad_bias.chunk(number)[part])
        if needs_grad[0]:
            kernel = weight.chunk(number)[part]
            grad_x = _product(rows, kernel) if grad_x is None else grad_x.addmm_(rows, kernel)
        del rows  # before the next part's are made
    return None if grad_x is None else grad_x.view_as(x), grad_weight, grad_bias


def _rows(x: Float[Tensor, "*rest D"]) -> Float[Tensor, "N D"]:
    """A row for each token."""
    return x.reshape(-1, x.shape[-1])


def _token_rows(x: Float[Tensor, "*rest heads N c"]) -> Float[Tensor, "_ D"]:
    """A row for each token; copied, into a reusable buffer, unless the heads are contiguous already."""
    tokens = x.transpose(-3, -2)
    return _rows((tokens if tokens.is_contiguous() else empty_reusable(x, *tokens.shape).copy_(tokens)).flatten(-2))


class _ActivatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, activation: Activation, residual: Tensor | None) -> Tensor:
        after = activated(x, activation).to(weight.dtype)
        if residual is None:
            return _linear(after, weight, bias)
        return _added(residual, bias, [_rows(after)], [weight])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, weight, _, ctx.activation, _ = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_grad = ctx.needs_input_grad
        rows = _rows(gradient)
        grad_x = grad_weight = grad_bias = None
        if needs_grad[1]:
            after = activated(x, ctx.activation).to(weight.dtype)
            grad_weight = _product(rows.T, _rows(after))
            del after
        if needs_grad[0]:
            grad_x = DERIVATIVES[ctx.activation](_product(rows, weight).view(x.shape).to(x.dtype), x)
        if needs_grad[2]:
            grad_bias = rows.sum(dim=0)
        return grad_x, grad_weight, grad_bias, None, gradient if needs_grad[4] else None


class _HeadsToLinear(torch.autograd.Function):
    @staticmethod
    def forward(weight: Tensor, bias: Tensor, residual: Tensor | None, *parts: Tensor) -> Tensor:
        if residual is None:
            return _linear(_joined_heads(parts), weight, bias)
        return _added(residual, bias, [_token_rows(part) for part in parts], weight.split(_widths(parts), dim=1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        weight, _, _, *parts = inputs
        ctx.save_for_backward(weight, *parts)

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        needs_weight, needs_bias, needs_residual, *needs_parts = ctx.needs_input_grad
        rows, widths = _rows(gradient), _widths(parts)
        grad_weight = empty_reusable(weight, *weight.shape) if needs_weight else None
        grad_parts: list[Tensor | None] = [None] * len(parts)
        for number, part in enumerate(parts):
            if grad_weight is not None:
                torch.mm(rows.T, _token_rows(part), out=grad_weight.split(widths, dim=1)[number])
            if needs_parts[number]:
                grad_part = _product(rows, weight.split(widths, dim=1)[number])
                grad_parts[number] = grad_part.view(*gradient.shape[:-1], part.shape[-3], -1).transpose(-3, -2)
        grad_bias, grad_residual = rows.sum(dim=0) if needs_bias else None, gradient if needs_residual else None
        return grad_weight, grad_bias, grad_residual, *grad_parts


def _widths(parts: Sequence[Float[Tensor, "*rest _ N c"]]) -> list[int]:
    return [part.shape[-3] * part.shape[-1] for part in parts]


def _linear(x: Float[Tensor, "*rest D"], weight: Tensor, bias: Tensor) -> Float[Tensor, "*rest out"]:
    """`F.linear` into a reusable buffer."""
    if x.device.type != "cpu" or not _is_exact(x):
        return F.linear(x, weight, bias)
    rows = _rows(x)
    return torch.addmm(bias, rows, weight.T, out=empty_reusable(x, len(rows), len(weight))).view(*x.shape[:-1], -1)


def _product(a: Float[Tensor, "N M"], b: Float[Tensor, "M K"]) -> Float[Tensor, "N K"]:
    """`a @ b` into a reusable buffer."""
    return torch.mm(a, b, out=empty_reusable(a, len(a), b.shape[1]))


def _added(
    residual: Float[Tensor, "*rest out"],
    bias: Float[Tensor, "out"],
    parts: Sequence[Float[Tensor, "N _"]],
    kernels: Sequence[Float[Tensor, "out _"]],
) -> Float[Tensor, "*rest out"]:
    """The residual plus `linear` of the joined parts: the bias in one pass, then the matrix products accumulate."""
    result = torch.add(residual, bias, out=empty_reusable(residual, *residual.shape))
    rows = result.view(-1, result.shape[-1])
    for part, kernel in zip(parts, kernels, strict=True):
        rows.addmm_(part, kernel.T)
    return result


def _is_exact(x: Tensor) -> bool:
    """Whether matrix products may accumulate in this dtype: float32 or float64."""
    return x.dtype in (torch.float32, torch.float64)


def _cast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast to the dtype of autocast, where it is on."""
    device = tensors[0].device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)
