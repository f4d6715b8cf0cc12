"""The activations of published weights, as plain functions: a model that holds one can be copied and pickled."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


def gelu_tanh(x: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """The tanh approximation of GELU, as in Scenic."""
    return F.gelu(x, approximate="tanh")


def gelu(x: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """Exact GELU: x times the standard normal distribution function of x."""
    return F.gelu(x)


def gelu_quick(x: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """x * sigmoid(1.702 x), as in CLIP."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Activation] = {"gelu_tanh": gelu_tanh, "gelu": gelu, "gelu_quick": gelu_quick}
