"""The activations that weights come with, each with its derivative, and quicker ways to the same on a CPU.

They are plain functions, so that a model survives copying and pickling, which spawned processes need.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tubelet.nn.pieces import pieces
from tubelet.nn.room import room

Activation = Callable[[Tensor], Tensor]


def gelu_tanh(x: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """GELU by its tanh approximation, as the original has it."""
    return F.gelu(x, approximate="tanh")


def gelu(x: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """x times the normal distribution's probability of less than x."""
    return F.gelu(x)


def gelu_quick(x: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """x * sigmoid(1.702 x), the approximation of CLIP's image models."""
    return x * torch.sigmoid(1.702 * x)


def activated(x: Float[Tensor, "*rest D"], activation: Activation) -> Float[Tensor, "*rest D"]:
    """`activation(x)`, for where autograd does not look."""
    if not _by_sigmoid(x, activation):
        return activation(x)
    result = room(x, *x.shape)
    for rows, into in zip(pieces(x), pieces(result), strict=True):
        torch.mul(rows, _gate(rows), out=into)
    return result


def activate(x: Float[Tensor, "N D"], bias: Float[Tensor, "D"], activation: Activation) -> None:
    """Put `activation(x + bias)` in the place of x, where autograd does not look."""
    by_sigmoid = _by_sigmoid(x, activation)
    for rows in pieces(x):
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
    """What `gelu_tanh` multiplies x by: 0.5 (1 + tanh(u)) = sigmoid(2 u), a third of the time of the tanh."""
    scale = 2 * (2 / torch.pi) ** 0.5
    return torch.addcmul(x.new_tensor(scale), x, x, value=0.044715 * scale).mul_(x).sigmoid_()


def _of_gelu_tanh(gradient: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.gelu_backward.grad_input(gradient, x, approximate="tanh", grad_input=gradient)


def _of_gelu(gradient: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.gelu_backward.grad_input(gradient, x, grad_input=gradient)


def _of_gelu_quick(gradient: Tensor, x: Tensor) -> Tensor:
    gate = torch.sigmoid(1.702 * x)
    return gradient.mul_(gate + 1.702 * x * gate * (1 - gate))


ACTIVATIONS: dict[str, Activation] = {"gelu_tanh": gelu_tanh, "gelu": gelu, "gelu_quick": gelu_quick}

DERIVATIVES: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    gelu_tanh: _of_gelu_tanh,
    gelu: _of_gelu,
    gelu_quick: _of_gelu_quick,
}
"""From the gradient of an activation's output, and its input, to that of its input, put in the place of the first."""
