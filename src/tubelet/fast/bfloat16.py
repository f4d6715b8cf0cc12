"""A model whose matrix products are in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from tubelet.fast.optimised import METHODS, OptimisedViViT


class Bfloat16ViViT(OptimisedViViT):
    """The call and the methods of a model, computed under autocast; what they give is float32.

    It is not exact: a product of bfloat16 has eight binary digits. `tubelet.optimise` says where it is fast.

    Args:
        model: is not changed; the weights are shared.
    """


def _in_bfloat16(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Bfloat16ViViT, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(next(self.parameters()).device.type, torch.bfloat16):
            return tree_map(_float32, method(self, *args, **kwargs))

    return call


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


for _name in METHODS:
    setattr(Bfloat16ViViT, _name, _in_bfloat16(getattr(OptimisedViViT, _name)))
