"""A model as compilers take it: of one size of clip, with no position that has to be resized, and a list of logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.fast.model import FastViViT, copy_sharing_tensors
from tubelet.fast.optimised import OptimisedViViT
from tubelet.nn.pooling import PositionalPooling
from tubelet.nn.positions import Positions, interpolate_grid


class LogitsGraph(nn.Module):
    """The model with a list of its heads' logits, which is what a graph can give.

    Args:
        model: is not changed; the weights are shared.
        video: a clip [B, T, C, H, W] of the size that the graph is for.

    Raises:
        ConfigError: the size does not fit the model.
    """

    def __init__(self, model: OptimisedViViT, video: Tensor) -> None:
        super().__init__()
        self.model = _at_the_size_of(model, video)

    def forward(self, video: Tensor, frame_mask: Tensor | None = None) -> list[Tensor]:
        """Logits of each head, in the order of `config.heads`.

        Args:
            video: [B, T, C, H, W], as `ViViT.forward` takes it.
            frame_mask: bool [B, T]; frames that it masks must repeat the last real one.
        """
        model = self.model
        if frame_mask is None:
            logits = FastViViT.forward(model, video)
        else:
            tokens, time_mask = model.embed(video), model.embedding.token_mask(frame_mask)
            if model.config.variant == "factorised_encoder":
                pooled = model.pool_times(model.encode_space(tokens), time_mask)
            else:
                pooled = model.encoder.forward_pooled(tokens, time_mask)
            logits = model.classify(pooled)
        return list(logits.values()) if isinstance(logits, dict) else [logits]


def _at_the_size_of(model: OptimisedViViT, video: Tensor) -> OptimisedViViT:
    """A copy that shares the weights, with grids that need no resizing, for which other compilers have no operation."""
    grids: dict[str, Tensor] = {}

    def keep(module: Positions | PositionalPooling, inputs: tuple[Any, ...], _: Any, name: str) -> None:
        size = inputs[0].shape[1:4] if isinstance(module, Positions) else inputs[1]
        grids[name] = interpolate_grid(module.grid, tuple(size))

    grids_of = [(n, module) for n, module in model.named_modules() if isinstance(module, Positions | PositionalPooling)]
    handles = [module.register_forward_hook(partial(keep, name=name)) for name, module in grids_of]
    try:
        with torch.no_grad():
            OptimisedViViT.forward(model, video)  # raises what is wrong with a shape that does not fit
    finally:
        for handle in handles:
            handle.remove()
    twin = copy_sharing_tensors(model)
    for name, grid in grids.items():
        module = twin.get_submodule(name)
        module.grid = nn.Parameter(grid) if isinstance(module.grid, nn.Parameter) else grid
    return twin
