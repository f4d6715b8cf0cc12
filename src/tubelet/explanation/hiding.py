"""The logit of a clip some of whose tokens are hidden: painted over in the pixels, or left out of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.explanation.attribution import Progress, no_progress
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.leaving_out import tokens_left_out
from tubelet.explanation.target import Target
from tubelet.model import ViViT

Filling = Literal["mean", "freeze", "leave_out"]
"""What stands in the place of a hidden token: the clip's mean colour; the clip's mean picture at that place, which
takes motion away and leaves appearance; or nothing: the token is left out (models 1 and 2)."""

BATCH = 8
"""Clips that go through the model at once."""


def filled(video: Float[Tensor, "1 T C H W"], filling: Filling) -> Float[Tensor, "1 T C H W"]:
    """The clip that stands in the place of what is hidden.

    Raises:
        ConfigError: there is none.
    """
    if filling not in ("mean", "freeze"):
        raise ConfigError(f"filling={filling!r}: a clip to start from is needed, that of 'mean' or 'freeze'")
    over = (1,) if filling == "freeze" else (1, 3, 4)
    return video.mean(dim=over, keepdim=True).expand_as(video)


def hidden(
    video: Float[Tensor, "1 T C H W"],
    fill: Float[Tensor, "1 T C H W"],
    grid: TokenGrid,
    shown: Float[Tensor, "S t h w"],
) -> Float[Tensor, "S T C H W"]:
    """The clip, its tokens mixed with the filling: `shown` is 1 where a token is seen, 0 where it is hidden."""
    return torch.lerp(fill, video, grid.over_pixels(shown))


def logits_of(
    model: ViViT,
    video: Float[Tensor, "1 T C H W"],
    frame_mask: Bool[Tensor, "1 T"] | None,
    filling: Filling,
    shown: Float[Tensor, "S t h w"],
    target: Target,
    progress: Progress = no_progress,
) -> Float[Tensor, "S"]:
    """The target's logit of the clip with each of the masks, float64 on the CPU.

    Args:
        model: any.
        video: one view, preprocessed.
        frame_mask: as the model takes it.
        filling: what hidden tokens are replaced by.
        shown: 1 where a token is seen, 0 where it is hidden, between where it is mixed with the filling; `leave_out`
            leaves out what is below 0.5.
        target: the logit.
        progress: after each batch.

    Raises:
        ConfigError: no such filling; a model that no token can be left out of.
    """
    if filling not in get_args(Filling):
        raise ConfigError(f"filling={filling!r}: expected one of {', '.join(get_args(Filling))}")
    found, done = [], 0
    with torch.inference_mode():
        forward = (
            tokens_left_out(model, video, frame_mask)
            if filling == "leave_out"
            else _painted(model, video, frame_mask, filling)
        )
        for chunk in shown.split(BATCH):
            found.append(target.of(forward(chunk.to(video))))
            done += len(chunk)
            progress(done, len(shown))
    return torch.cat(found).double().cpu().clone()


def _painted(
    model: ViViT, video: Tensor, frame_mask: Tensor | None, filling: Filling
) -> Callable[[Tensor], Tensor | dict[str, Tensor]]:
    grid = TokenGrid.of(model.config, (video.shape[1], video.shape[3], video.shape[4]))
    fill = filled(video, filling)

    def forward(shown: Tensor) -> Tensor | dict[str, Tensor]:
        mask = None if frame_mask is None else frame_mask.expand(len(shown), -1)
        return model(hidden(video, fill, grid, shown), mask)

    return forward
