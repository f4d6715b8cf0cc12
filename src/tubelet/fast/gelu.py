"""Activations with fewer passes over memory on a CPU, and their derivatives in place; outside autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.fast.buffers import empty_reusable
from tubelet.fast.tiles import row_tiles
from tubelet.nn.activations import Activation, gelu, gelu_quick, gelu_tanh


def activated(x: Float[Tensor, "*rest D"], activation: Activation) -> Float[Tensor, "*rest D"]:
    """`activation(x)`, outside autograd."""
    if not _by_sigmoid(x, activation):
        return activation(x)
    result = empty_reusable(x, *x.shape)
    for rows, into in zip(row_tiles(x), row_tiles(result), strict=True):
        torch.mul(rows, _gate(rows), out=into)
    return result


def activate(x: Float[Tensor, "N D"], bias: Float[Tensor, "D"], activation: Activation) -> None:
    """Replace x by `activation(x + bias)`, in place."""
    by_sigmoid = _by_sigmoid(x, activation)
    for rows in row_tiles(x):
        rows.add_(bias)
        if by_sigmoid:
            rows.mul_(_gate(rows))
        elif activation is gelu:
            torch.ops.aten.gelu_(rows)
        else:
            rows.copy_(activation(rows))


def _by_sigmoid(x: Tensor, activation: Activation) -> bool:
    return activation is gelu_tanh and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def _gate(x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """The factor of x in `gelu_tanh`: 0.5 (1 + tanh(u)) = sigmoid(2 u), in a third of the time of tanh."""
    scale = 2 * (2 / torch.pi) ** 0.5
    return torch.addcmul(x.new_tensor(scale), x, x, value=0.044715 * scale).mul_(x).sigmoid_()


def _gelu_tanh_backward(gradient: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.gelu_backward.grad_input(gradient, x, approximate="tanh", grad_input=gradient)


def _gelu_backward(gradient: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.gelu_backward.grad_input(gradient, x, grad_input=gradient)


def _gelu_quick_backward(gradient: Tensor, x: Tensor) -> Tensor:
    gate = torch.sigmoid(1.702 * x)
    return gradient.mul_(gate + 1.702 * x * gate * (1 - gate))


DERIVATIVES: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    gelu_tanh: _gelu_tanh_backward,
    gelu: _gelu_backward,
    gelu_quick: _gelu_quick_backward,
}
"""Backward passes: (gradient of the output, input) -> gradient of the input, written over the first argument."""
