"""Whether a module computes what its class says, and nobody looks on."""

from __future__ import annotations

from torch import nn


def is_untouched(module: nn.Module) -> bool:
    """Nobody hooked on to its forward pass, or gave it a `forward` of its own: to go round the call shows nowhere."""
    return not module._forward_hooks and not module._forward_pre_hooks and "forward" not in vars(module)


def lets_through(dropout: nn.Module, rate: float) -> bool:
    """Whether something that drops with this rate in training gives out what it is given, and nobody looks on."""
    return is_untouched(dropout) and not (dropout.training and rate)
