"""The activations that weights come with.

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


ACTIVATIONS: dict[str, Activation] = {"gelu_tanh": gelu_tanh, "gelu": gelu, "gelu_quick": gelu_quick}
