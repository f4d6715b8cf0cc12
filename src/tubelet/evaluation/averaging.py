"""The logits of a video: the average over its views."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.evaluation.tubelets import forward_sharing, reused_tubelets
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT

Average = Literal["logits", "probabilities"]

VIEWS_PER_FORWARD = 4


@torch.no_grad()  # not inference_mode: a caller could not change its tensors in place
def predict_views(
    model: nn.Module,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None = None,
    *,
    frames: Sequence[Sequence[int]] | None = None,
    views_per_forward: int = VIEWS_PER_FORWARD,
    average: Average = "logits",
    multi_label: Collection[str] = (),
) -> dict[str, Float[Tensor, "K"]]:
    """Average the predictions of all views of one video.

    Args:
        model: in evaluation mode.
        video: the views, on any device.
        frame_mask: True where a frame is real.
        frames: of each clip, the frames of the video that it holds. With these a factorised encoder encodes tubelets
            once that several clips hold; logits change in the last digits at most (1e-5 in float32).
        views_per_forward: at most so many views at once.
        average: `logits`, or `probabilities` (the result is then their logarithm, so that softmax gives them back;
            their logit in a multi-label head).
        multi_label: heads of which several classes may be shown.

    Returns:
        {head: float64 [K]}, on the CPU.
    """
    if frames is not None and isinstance(model, ViViT) and reused_tubelets(model, frames):
        batch = views_per_forward * model.config.grid_of(video.shape[1], *video.shape[-2:])[0]
        parts = [logits_by_head(model, forward_sharing(model, video, frames, frame_mask, batch=batch))]
    else:
        parts = _forward_in_parts(model, video, frame_mask, views_per_forward)
    averaged = {}
    for head in parts[0]:
        logits = torch.cat([part[head] for part in parts]).cpu().double()
        if average == "logits":
            averaged[head] = logits.mean(dim=0)
        elif head in multi_label:
            averaged[head] = logits.sigmoid().mean(dim=0).clamp(1e-15, 1 - 1e-15).logit()
        else:
            averaged[head] = logits.softmax(dim=1).mean(dim=0).clamp_min(1e-300).log()
    return averaged


def _forward_in_parts(
    model: nn.Module, video: Tensor, frame_mask: Tensor | None, views_per_forward: int
) -> list[dict[str, Tensor]]:
    device = next(model.parameters()).device
    parts = []
    for first in range(0, len(video), views_per_forward):
        chunk = slice(first, first + views_per_forward)
        mask = None if frame_mask is None else frame_mask[chunk].to(device)
        parts.append(logits_by_head(model, model(video[chunk].to(device, non_blocking=True), mask)))
    return parts
