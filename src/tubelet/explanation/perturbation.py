"""Two methods that need nothing but the model's output on clips with hidden tokens: occlusion and RISE."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.explanation.attribution import Attribution, Progress, each_view, no_progress, within
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.hiding import Filling, logits_of
from tubelet.explanation.leaving_out import SEEN
from tubelet.explanation.target import Target
from tubelet.model import ViViT

TUBE = (1, 2, 2)
"""Tokens that occlusion hides at once, in time, height and width."""

MASKS = 500
"""Random masks of RISE."""

COARSE = 4
"""Tokens along each axis for one draw of a mask of RISE."""


def occlusion(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    progress: Progress = no_progress,
    *,
    filling: Filling = "mean",
    tube: tuple[int, int, int] = TUBE,
) -> Attribution:
    """How far the logit falls when a tube of tokens is hidden, spread evenly over the tube (Zeiler and Fergus, 2014).

    Args:
        model: any.
        video: the views of a video, preprocessed.
        frame_mask: as the model takes it.
        target: what is explained.
        progress: after each batch.
        filling: what is shown instead.
        tube: tokens in time, height and width; tubes lie side by side.
    """
    tubes = _tubes(TokenGrid.of(model.config, (video.shape[1], video.shape[3], video.shape[4])).size, tube)

    def heat(whole: Tensor, values: Tensor) -> Tensor:
        fall = (whole - values) / tubes.sum(dim=(1, 2, 3))
        return (tubes * fall[:, None, None, None]).sum(dim=0)

    return _perturbed(model, video, frame_mask, target, progress, filling, 1 - tubes, heat)


def _tubes(size: tuple[int, int, int], tube: tuple[int, int, int]) -> Tensor:
    """[S, t, h, w]: 1 in one tube, 0 elsewhere."""
    numbers = torch.zeros(size, dtype=torch.int64)
    for axis, (length, step) in enumerate(zip(size, tube, strict=True)):
        count = -(-length // step)
        number = torch.arange(length) // step
        numbers = numbers * count + number.view([-1 if other == axis else 1 for other in range(3)])
    return F.one_hot(numbers).permute(3, 0, 1, 2).double()


def rise(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    progress: Progress = no_progress,
    *,
    filling: Filling = "mean",
    masks: int = MASKS,
    seed: int = 0,
) -> Attribution:
    """RISE (Petsiuk et al., BMVC 2018) in space and time: how a token's being seen and the logit vary together.

    Masks are drawn on a grid of one value for every `COARSE` tokens along each axis, and interpolated. A value is the
    covariance of the token's weight with the logit over the variance of the weight: the logit that a token adds.

    Args:
        model: any.
        video: the views of a video, preprocessed.
        frame_mask: as the model takes it.
        target: what is explained.
        progress: after each batch.
        filling: what is shown instead.
        masks: how many.
        seed: of the draws.
    """
    size = TokenGrid.of(model.config, (video.shape[1], video.shape[3], video.shape[4])).size
    generator = torch.Generator().manual_seed(seed)
    coarse = [-(-length // COARSE) + 1 for length in size]
    draws = torch.rand(masks, 1, *coarse, generator=generator).lt(0.5).double()
    shown = F.interpolate(draws, size=size, mode="trilinear", align_corners=False)[:, 0]
    if filling == "leave_out":
        shown = shown.ge(SEEN).double()
    weight = shown - shown.mean(dim=0)

    def heat(_: Tensor, values: Tensor) -> Tensor:
        together = (weight * (values - values.mean())[:, None, None, None]).mean(dim=0)
        return together / weight.square().mean(dim=0).clamp(min=1e-6) / (COARSE**3)

    return _perturbed(model, video, frame_mask, target, progress, filling, shown, heat)


def _perturbed(
    model: ViViT,
    video: Tensor,
    frame_mask: Tensor | None,
    target: Target,
    progress: Progress,
    filling: Filling,
    shown: Float[Tensor, "S t h w"],
    heat: Callable[[Tensor, Tensor], Tensor],
) -> Attribution:
    """Of each view the map that `heat` makes of the whole clip's logit and those under the masks [S]."""
    every = torch.cat([torch.ones_like(shown[:1]), shown])
    maps, logit = [], 0.0
    for view, clip, mask in each_view(video, frame_mask):
        values = logits_of(model, clip, mask, filling, every, target, within(progress, view, len(video)))
        maps.append(heat(values[0], values[1:]))
        logit += float(values[0]) / len(video)
    return Attribution(torch.stack(maps), logit)
