"""What is measured of every step besides its loss: the update ratio, and spikes of the loss and the gradient norm."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.config.monitoring import MonitoringConfig
from tubelet.errors import TubeletError
from tubelet.training.step import StepResult

WINDOW, ENOUGH = 128, 32
"""Steps that are remembered, and how many there must be before one can be a spike."""

LEAST_DEVIATION = 0.05
"""Of the logarithm, for a value that hardly varies."""


class SpikeError(TubeletError):
    """A loss or a gradient norm far above the usual, with `on_spike="stop"`."""

    exit_code = 1


@dataclass(frozen=True)
class Spike:
    """A loss or gradient norm far above the usual.

    Attributes:
        what: `loss` or `gradient norm`.
        value: of this step.
        usual: its median over the steps before.
    """

    what: str
    value: float
    usual: float

    def __str__(self) -> str:
        return f"{self.what} {self.value:.4g}, where {self.usual:.4g} is usual"


class StepMonitor:
    """Measures update ratios, and finds spikes.

    Args:
        optimiser: its weights are copied just before a step that is measured, when activations are freed. It may update
            some of them after the others.
        config: what is measured.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, config: MonitoringConfig) -> None:
        self.config = config
        self.spike_steps = 0
        """Steps so far that had a spike."""
        self._measures = False
        self._size = self._change = 0.0
        """Squared norms of the weights of the last step before it and of their change."""
        self._before: list[Tensor] = []
        self._logarithms = {name: deque[float](maxlen=WINDOW) for name in ("loss", "gradient norm")}
        optimiser.register_step_pre_hook(self._keep_weights)
        optimiser.register_step_post_hook(self._compare_weights)

    def begin(self, step: int) -> None:
        """The step with this number, counted from 1, comes next."""
        every = self.config.update_ratio_steps
        self._measures = bool(every) and step % every == 0
        self._size = self._change = 0.0

    @property
    def update_ratio(self) -> float | None:
        """Norm of the update of the last step over that of the weights before; None if it was not measured."""
        if not self._measures:
            return None
        return math.sqrt(self._change / self._size) if self._size else 0.0

    def spikes(self, result: StepResult) -> list[Spike]:
        """The spikes of a step, which counts as usual from now on."""
        found = []
        for name, value in (("loss", result.loss), ("gradient norm", result.gradient_norm)):
            known, logarithm = self._logarithms[name], math.log(max(value, 1e-30))
            deviations = self.config.spike_deviations
            if deviations is not None and len(known) >= ENOUGH:
                middle = statistics.median(known)
                spread = 1.4826 * statistics.median(abs(one - middle) for one in known)
                if logarithm - middle > max(math.log(2), deviations * max(spread, LEAST_DEVIATION)):
                    found.append(Spike(name, value, math.exp(middle)))
            known.append(logarithm)
        self.spike_steps += bool(found)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The values so far."""
        return {name: list(known) for name, known in self._logarithms.items()} | {"spike_steps": self.spike_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.spike_steps = int(state.get("spike_steps", 0))
        for name, known in self._logarithms.items():
            known.clear()
            known.extend(state.get(name, ()))

    # --- hooks of the optimiser ------------------------------------------------------------------------------------

    @torch.no_grad()
    def _keep_weights(self, optimiser: torch.optim.Optimizer, *ignored: Any) -> None:
        if self._measures:
            self._before = [weights.detach().clone() for weights in _weights(optimiser)]

    @torch.no_grad()
    def _compare_weights(self, optimiser: torch.optim.Optimizer, *ignored: Any) -> None:
        if self._measures:
            self._size += _norm(self._before) ** 2
            torch._foreach_sub_(self._before, [weights.detach() for weights in _weights(optimiser)])
            self._change += _norm(self._before) ** 2
            self._before = []


def _weights(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    """Those that a step changes."""
    return [weights for group in optimiser.param_groups for weights in group["params"] if weights.grad is not None]


def _norm(tensors: list[Tensor]) -> float:
    """Of all of them together, those of other processes included where they are sharded."""
    norm = nn.utils.get_total_norm(tensors)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
