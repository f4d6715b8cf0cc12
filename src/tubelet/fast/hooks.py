"""Whether a call of a module runs the `forward` of its class and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)


def has_no_hooks(module: nn.Module) -> bool:
    """No hook of any kind is registered on it, and its `forward` is that of its class."""
    return not (  # not a loop: this runs for every module in every call
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    )


def hooks_of(model: nn.Module) -> Iterator[MutableMapping[int, Any]]:
    """The tables of hooks of every module. A copy that shares them has the hooks that are registered later, too."""
    for module in model.modules():
        yield from (table for name, table in vars(module).items() if "hooks" in name and isinstance(table, dict))


def no_global_hooks() -> bool:
    """No hook is registered for all modules (`torch.nn.modules.module.register_module_forward_hook` and the like)."""
    return not any(getattr(torch_module, kind) for kind in GLOBAL_HOOKS)
