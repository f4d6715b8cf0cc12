"""Whether a module computes what its class says, and nothing else takes part in its call."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = tuple(f"_global{kind}" for kind in HOOKS)


def has_no_hooks(module: nn.Module) -> bool:
    """No hook of any kind is registered on it, and its `forward` is that of its class."""
    return not any(getattr(module, kind) for kind in HOOKS) and "forward" not in vars(module)


def no_global_hooks() -> bool:
    """No hook is registered for all modules (`torch.nn.modules.module.register_module_forward_hook` and the like)."""
    return not any(getattr(torch_module, kind) for kind in GLOBAL_HOOKS)
