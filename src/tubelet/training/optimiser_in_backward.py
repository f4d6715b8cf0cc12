"""The optimiser step within the backward pass: gradients are never all in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from tubelet.config import OptimisationConfig, RuntimeConfig
from tubelet.errors import ConfigError


class OptimiserInBackward:
    """Updates each parameter within `backward()`, as soon as its gradient is there, and frees the gradient.

    The result is that of a step after the backward pass, to the bit: no gradient depends on a parameter that was
    updated before. It saves the memory of all gradients (PyTorch's tutorial on fusing the optimizer step into the
    backward pass; `optimizer_in_bwd` of torchtune). What needs all gradients at once, such as clipping, is impossible.

    Args:
        optimiser: over parameters whose gradients are cleared. Its learning rate has to be set before `backward()`.
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser = optimiser
        self._norms: list[Tensor] = []
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(self._change)

    def gradient_norm(self) -> Tensor:
        """Of all gradients since the last call."""
        norms, self._norms = self._norms, []
        return torch.linalg.vector_norm(torch.stack(norms))

    def _change(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self._norms.append(torch.linalg.vector_norm(parameter.grad))
        self._optimiser.step()  # no other parameter has a gradient now
        parameter.grad = None


def optimiser_in_backward(
    optimiser: torch.optim.Optimizer, optimisation: OptimisationConfig, runtime: RuntimeConfig, processes: int = 1
) -> OptimiserInBackward | None:
    """The above, if the configuration asks for it.

    Raises:
        ConfigError: something else that it asks for needs all gradients at once.
    """
    if not runtime.step_in_backward:
        return None
    for asked, name, instead in (
        (
            optimisation.clip_norm is not None,
            f"clip_norm={optimisation.clip_norm}",
            "clip_norm=None (--clip-norm None)",
        ),
        (optimisation.accumulate_steps > 1, f"accumulate_steps={optimisation.accumulate_steps}", "accumulate_steps=1"),
        (optimisation.fit_memory, "batch_size='auto'", "a number for batch_size"),
        (runtime.compile, "compile=True", "compile=False"),
        (processes > 1, f"a training in {processes} processes", "one process (strategy='fsdp' shards gradients)"),
    ):
        if asked:
            raise ConfigError(
                f"step_in_backward=True lets go of each gradient at once, and {name} needs them all together; "
                f"use {instead}, or leave step_in_backward out"
            )
    return OptimiserInBackward(optimiser)
