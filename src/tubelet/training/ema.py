"""The exponential moving average of the weights, which is often the better model."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from tubelet.training.parallel import load_whole, local

M = TypeVar("M", bound=nn.Module)


class WeightAverage(Generic[M]):
    """A copy of a model with the moving average of its weights, and of the statistics of its BatchNorms.

    After step n (from 1): average = d * average + (1 - d) * weights with d = min(decay, (1 + n) / (10 + n)). The second
    term lets short trainings forget their random start (TensorFlow's `ExponentialMovingAverage`).

    Args:
        model: the model that is trained.
        decay: d in the long run, 0.999 for example: an average over about 1 / (1 - d) steps.
    """

    def __init__(self, model: M, decay: float) -> None:
        self.model: M = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: M, step: int) -> None:
        """Take in the weights after optimiser step `step` (counted from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, weights = _changing(self.model, model)
        torch._foreach_lerp_(local(averages), local(weights), 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        load_whole(self.model, state)


def _changing(average: nn.Module, model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters and buffers of both; without frozen parameters, which are equal."""
    pairs: list[tuple[Tensor, Tensor]] = list(zip(average.buffers(), model.buffers(), strict=True))
    both = zip(average.parameters(), model.parameters(), strict=True)
    pairs += [(mean, weight) for mean, weight in both if weight.requires_grad]
    return [mean for mean, _ in pairs], [weight for _, weight in pairs]
