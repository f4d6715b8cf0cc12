"""Attention weights of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from tubelet.nn.attention import DotProduct


@contextmanager
def manual_attention(model: nn.Module) -> Iterator[None]:
    """Inside the `with`, every attention of `model` takes the manual path; afterwards each has its own setting back."""
    before = {module: module.fused for module in model.modules() if isinstance(module, DotProduct)}
    for module in before:
        module.fused = False
    try:
        yield
    finally:
        for module, fused in before.items():
            module.fused = fused


def takes_manual_path(model: nn.Module) -> bool:
    """Whether an attention of `model` takes the manual path, as all do while their weights are recorded."""
    return any(isinstance(module, DotProduct) and not module.fused for module in model.modules())


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the attention weights of every forward pass inside the `with`.

    Yields:
        a dictionary that fills during the pass: from module name (`encoder.blocks.0.attention.dot_product`) to weights
        [B', H, N, N], softmax over the last axis, before dropout, detached. B' is B for attention over all tokens,
        B * t for attention over space, B * n for attention over time. A later pass replaces an earlier one's.
    """
    weights: dict[str, Tensor] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, DotProduct):

            def keep(_: nn.Module, args: tuple[Tensor], name: str = name) -> None:
                weights[name] = args[0].detach()

            handles.append(module.dropout.register_forward_pre_hook(keep))
    try:
        with manual_attention(model):
            yield weights
    finally:
        for handle in handles:
            handle.remove()
