"""Integrated gradients (Sundararajan et al., ICML 2017), from the clip's mean colour to the clip."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.explanation.attribution import Attribution, Progress, each_view, no_progress
from tubelet.explanation.balanced_model import without_gradients
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.hiding import Filling, filled
from tubelet.explanation.target import Target
from tubelet.model import ViViT

STEPS = 32
"""Points of the path, in the middle of equal parts."""


def integrated_gradients(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    progress: Progress = no_progress,
    *,
    filling: Filling = "mean",
    steps: int = STEPS,
) -> Attribution:
    """Difference from the baseline times the mean gradient on the way from it, summed over each token's pixels.

    The map and the baseline's logit add up to the logit but for the error of the integral, which is given as a part.

    Args:
        model: any.
        video: the views of a video, preprocessed.
        frame_mask: as the model takes it.
        target: what is explained.
        progress: after each step.
        filling: the baseline, `mean` or `freeze`.
        steps: points of the path.
    """
    twin = without_gradients(model)
    grid = TokenGrid.of(model.config, (video.shape[1], video.shape[3], video.shape[4]))
    maps, logit, base = [], 0.0, 0.0
    for view, clip, mask in each_view(video, frame_mask):
        start = filled(clip, filling)
        total = torch.zeros_like(clip)
        for step in range(steps):
            with torch.enable_grad():
                point = torch.lerp(start, clip, (step + 0.5) / steps).requires_grad_()
                total += torch.autograd.grad(target.of(twin(point, mask)).sum(), point)[0]
            progress(view * steps + step + 1, len(video) * steps)
        maps.append(grid.over_tokens((clip - start) * total / steps)[0])
        with torch.no_grad():
            logit += float(target.of(twin(clip, mask))) / len(video)
            base += float(target.of(twin(start, mask))) / len(video)
    heat = torch.stack(maps)
    rest = logit - base - float(heat.sum(dim=(1, 2, 3)).mean())
    return Attribution(heat, logit, {"baseline": base, "error of the integral": rest})
