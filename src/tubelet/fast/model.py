"""The base of the fast forms of a ViViT, and what all forms that share parameters with a model need."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.fast.hooks import hooks_of
from tubelet.model import ViViT

Module = TypeVar("Module", bound=nn.Module)


class FastViViT(ViViT):
    """A ViViT of `FastEncoder`s: its forward pass asks them for pooled vectors, not for all tokens."""

    def forward(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """As `ViViT.forward`."""
        return self.classify(self.forward_pooled(video, frame_mask))

    def forward_pooled(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B D"]:
        """As `ViViT.forward_pooled`."""
        tokens = self.embed(video, frame_mask)
        time_mask, kept = self._time_mask(frame_mask), self._kept_positions(tokens)
        if self.config.variant == "factorised_encoder":
            return self.pool_times(self.encode_space(tokens, kept), time_mask)
        return self.encoder.forward_pooled(tokens, time_mask, kept)


def source_of(model: ViViT) -> ViViT:
    """The model that a result of `optimise` was made from; any other model itself."""
    (source,) = vars(model).get("_source", (model,))
    return source


def copy_sharing_tensors(module: Module) -> Module:
    """A deep copy with the same parameters, buffers and tables of hooks (the same objects)."""
    shared = (*module.parameters(), *module.buffers(), *hooks_of(module))
    return copy.deepcopy(module, {id(kept): kept for kept in shared})


def require_unchanged(module: nn.Module, fn: Callable[[Tensor], Tensor]) -> None:
    """For modules that share tensors with a model: refuse a conversion `fn` (see `nn.Module._apply`) of these alone."""
    if any(fn(tensor) is not tensor for tensor in (*module.parameters(), *module.buffers())):
        raise ConfigError(
            f"a {type(module).__name__} shares its weights with the model that it was made from; move or cast that one "
            "with model.to(...)"
        )
