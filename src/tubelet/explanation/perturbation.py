"""Clips with some of their tokens hidden, and two methods that need nothing but the model's output: occlusion, RISE."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.explanation.attribution import Attribution, Progress, each_view, no_progress
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.target import Target
from tubelet.model import ViViT

Filling = Literal["mean", "freeze"]
"""What stands in the place of a hidden token: the clip's mean colour; or the clip's mean picture at that place, which
takes motion away and leaves appearance."""

BATCH = 8
"""Hidden clips that go through the model at once."""

TUBE = (1, 2, 2)
"""Tokens that occlusion hides at once, in time, height and width."""

MASKS = 500
"""Random masks of RISE."""

COARSE = 4
"""Tokens along each axis for one draw of a mask of RISE."""


def filled(video: Float[Tensor, "1 T C H W"], filling: Filling) -> Float[Tensor, "1 T C H W"]:
    """The clip that stands in the place of what is hidden."""
    if filling not in get_args(Filling):
        raise ConfigError(f"filling={filling!r}: expected one of {', '.join(get_args(Filling))}")
    over = (1,) if filling == "freeze" else (1, 3, 4)
    return video.mean(dim=over, keepdim=True).expand_as(video)


def hidden(
    video: Float[Tensor, "1 T C H W"],
    fill: Float[Tensor, "1 T C H W"],
    grid: TokenGrid,
    shown: Float[Tensor, "S t h w"],
) -> Float[Tensor, "S T C H W"]:
    """The clip, its tokens mixed with the filling: `shown` is 1 where a token is seen, 0 where it is hidden."""
    weight = grid.over_pixels(shown)
    return torch.lerp(fill, video, weight)


def logits_of(
    model: ViViT,
    video: Float[Tensor, "1 T C H W"],
    frame_mask: Bool[Tensor, "1 T"] | None,
    fill: Float[Tensor, "1 T C H W"],
    grid: TokenGrid,
    shown: Float[Tensor, "S t h w"],
    target: Target,
    progress: Progress = no_progress,
) -> Float[Tensor, "S"]:
    """The target's logit of the clip with each of the masks."""
    found, done = [], 0
    with torch.inference_mode():
        for chunk in shown.split(BATCH):
            clips = hidden(video, fill, grid, chunk.to(video))
            mask = None if frame_mask is None else frame_mask.expand(len(chunk), -1)
            found.append(target.of(model(clips, mask)))
            done += len(chunk)
            progress(done, len(shown))
    return torch.cat(found).clone()


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
    grid = TokenGrid.of(model.config, (video.shape[1], video.shape[3], video.shape[4]))
    masks = _tubes(grid.size, tube)
    maps, logit = [], 0.0
    for view, clip, mask in each_view(video, frame_mask):
        shown = torch.cat([torch.ones(1, *grid.size), 1 - masks])

        def advance(done: int, total: int, view: int = view) -> None:
            progress(view * total + done, len(video) * total)

        values = logits_of(model, clip, mask, filled(clip, filling), grid, shown, target, advance).double().cpu()
        fall = (values[0] - values[1:]) / masks.sum(dim=(1, 2, 3))
        maps.append((masks * fall[:, None, None, None]).sum(dim=0))
        logit += float(values[0]) / len(video)
    return Attribution(torch.stack(maps), logit)


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
    grid = TokenGrid.of(model.config, (video.shape[1], video.shape[3], video.shape[4]))
    generator = torch.Generator().manual_seed(seed)
    coarse = [-(-length // COARSE) + 1 for length in grid.size]
    draws = torch.rand(masks, 1, *coarse, generator=generator).lt(0.5).float()
    shown = F.interpolate(draws, size=grid.size, mode="trilinear", align_corners=False)[:, 0]
    maps, logit = [], 0.0
    for view, clip, mask in each_view(video, frame_mask):
        every = torch.cat([torch.ones(1, *grid.size), shown])

        def advance(done: int, total: int, view: int = view) -> None:
            progress(view * total + done, len(video) * total)

        values = logits_of(model, clip, mask, filled(clip, filling), grid, every, target, advance).double().cpu()
        weight = shown.double() - shown.double().mean(dim=0)
        together = (weight * (values[1:] - values[1:].mean())[:, None, None, None]).mean(dim=0)
        maps.append(together / weight.square().mean(dim=0).clamp(min=1e-6) / (COARSE**3))
        logit += float(values[0]) / len(video)
    return Attribution(torch.stack(maps), logit)
