"""Two matrix products whose backward pass is written out, because autograd's own keeps and copies more than it must.

`split_linear` gives query, key and value apart, each contiguous; their gradients go into one kernel's gradient without
being joined first. `activated_linear` keeps what goes into an activation and computes what comes out of it again.

Both are the plain product, to rounding, forward and backward, and take the plain way where nothing is to be
differentiated and while a graph is traced: compilers decide themselves what is computed again.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tubelet.nn.activations import DERIVATIVES, Activation


def split_linear(linear: nn.Linear, x: Float[Tensor, "*rest D"], parts: int) -> tuple[Float[Tensor, "*rest part"], ...]:
    """`linear(x).chunk(parts, dim=-1)`."""
    if _differentiates(x, linear):
        return _SplitLinear.apply(*_cast(x, linear.weight, linear.bias), parts)
    return linear(x).chunk(parts, dim=-1)


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
    def forward(x: Tensor, weight: Tensor, bias: Tensor, parts: int) -> tuple[Tensor, ...]:
        pieces = zip(weight.chunk(parts), bias.chunk(parts), strict=True)
        return tuple(F.linear(x, kernel, offset) for kernel, offset in pieces)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, weight, _, ctx.parts = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            kernels = weight.chunk(ctx.parts)
            of_x = rows[0] @ kernels[0]
            for row, kernel in zip(rows[1:], kernels[1:], strict=True):
                of_x.addmm_(row, kernel)
            of_x = of_x.view_as(x)
        if ctx.needs_input_grad[1]:
            of_weight = torch.empty_like(weight)
            for row, kernel in zip(rows, of_weight.chunk(ctx.parts), strict=True):
                torch.mm(row.T, x.reshape(-1, x.shape[-1]), out=kernel)
        if ctx.needs_input_grad[2]:
            of_bias = torch.cat([row.sum(dim=0) for row in rows])
        return of_x, of_weight, of_bias, None


class _ActivatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, activation: Activation) -> Tensor:
        return F.linear(activation(x).to(weight.dtype), weight, bias)

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
        if ctx.needs_input_grad[0]:
            of_x = DERIVATIVES[ctx.activation]((gradient @ weight).to(x.dtype), x)
        if ctx.needs_input_grad[1]:
            after = ctx.activation(x).to(weight.dtype)
            of_weight = rows.T @ after.reshape(-1, after.shape[-1])
        if ctx.needs_input_grad[2]:
            of_bias = rows.sum(dim=0)
        return of_x, of_weight, of_bias, None


def _differentiates(x: Tensor, linear: nn.Linear) -> bool:
    """Whether autograd will want gradients, and runs itself: nothing traces, replaced the layer or hooked on to it."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return False
    if type(linear) is not nn.Linear or linear._forward_hooks or linear._forward_pre_hooks:
        return False
    return x.requires_grad or linear.weight.requires_grad or linear.bias.requires_grad


def _cast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """To the type that autocast would compute a product in."""
    device = tensors[0].device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)
