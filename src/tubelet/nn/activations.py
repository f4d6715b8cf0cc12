"""The activations that weights come with, each with its derivative.

They are plain functions, so that a model survives copying and pickling, which spawned processes need.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

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
