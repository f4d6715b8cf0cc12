"""From a model and a video to an explanation."""

from __future__ import annotations

import os
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.explanation.attribution import Progress, each_view, explained_model, no_progress, within
from tubelet.explanation.choice import auto_method
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.hiding import Filling
from tubelet.explanation.methods import DEFAULT, method_of
from tubelet.explanation.result import Explanation, ViewMap
from tubelet.explanation.sanity import compare_redrawn
from tubelet.explanation.score import Score, relevance_gain
from tubelet.explanation.target import Target, find_target
from tubelet.explanation.views import SeenViews, views_of_tensor, views_of_video
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.prediction.ready import ready
from tubelet.prediction.sources import Source
from tubelet.video.views import parse_views

TOP = 5
"""Classes in `Explanation.top`."""


def explain(
    model: nn.Module | str | os.PathLike[str],
    video: Source,
    *,
    target: int | str | None = None,
    against: int | str | None = None,
    method: str = "auto",
    score: bool = False,
    sanity: bool = False,
    filling: Filling = "mean",
    views: str | tuple[int, int] = (1, 1),
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Show which places and which moments of a video decided.

    Args:
        model: a model, or what `tubelet.load` reads: a run, a model folder, a Hub id.
        video: a file, a `Clip`, frames uint8 [T, 3, H, W]; or a preprocessed float tensor [V, T, C, H, W].
        target: the class: an index, a label, or `head:label`; by default the most probable one of the first head.
        against: another class of that head: explain the difference of the two logits.
        method: one of `tubelet.explanation.METHODS`; `auto` is the one with the best score on the run's sample clips,
            which the run remembers, and `balanced_tokens` for a model without sample clips.
        score: also measure how faithful the map is, by some 230 forward passes.
        sanity: also compare the map with those of redrawn weights, once for the head and for each block.
        filling: what hidden tokens are replaced by in the score, and by methods that hide them: `mean`, the clip's mean
            colour; `freeze`, its mean picture; `leave_out`, nothing (models 1 and 2).
        views: "2x3" (2 clips in time, 3 crops in space), or (clips, crops).
        device: where to; by default where the model is.
        progress: called with (done, all) passes.

    Raises:
        ConfigError: no such class or method; a model that the method does not fit.
        DataError: something that is no video.
        VideoError: the video cannot be read.
    """
    if isinstance(video, Tensor) and video.is_floating_point():
        loaded = unwrapped(model)
        if not isinstance(loaded, ViViT):
            from tubelet.weights import load

            loaded = load(os.fspath(loaded))
        seen = views_of_tensor(video)
    else:
        loaded, preprocessing = ready(model, device)
        seen = views_of_video(video, preprocessing, *parse_views(views))
    if method == "auto":
        method, _ = auto_method(loaded, progress)
    return explain_views(
        loaded,
        seen,
        target=target,
        against=against,
        method=method,
        score=score,
        sanity=sanity,
        filling=filling,
        progress=progress,
    )


def explain_views(
    model: ViViT,
    seen: SeenViews,
    *,
    target: Target | int | str | None = None,
    against: int | str | None = None,
    method: str = DEFAULT,
    score: bool = False,
    sanity: bool = False,
    filling: Filling = "mean",
    progress: Progress | None = None,
) -> Explanation:
    """`explain` of views that are decoded already.

    Args:
        model: any form of a ViViT; the plain one that it was made from is explained.
        seen: the views.
        target, against, method, score, sanity, filling, progress: see `explain`.
    """
    attribute, progress = method_of(method, filling), progress or no_progress
    plain = explained_model(model)
    was_training = plain.training
    plain.eval()
    try:
        like = next(plain.parameters())
        video = seen.video.to(like)
        mask = None if seen.frame_mask is None else seen.frame_mask.to(like.device)
        with torch.inference_mode():
            logits = plain(video, mask)
        wanted = target if isinstance(target, Target) else find_target(plain, target, against, logits)
        found = attribute(plain, video, mask, wanted, progress)
        if not bool(found.map.isfinite().all()):
            raise ConfigError(f"the map of method={method!r} is not finite; check the model's weights and the video")
        maps = found.map.double().cpu()
        scored = _scored(plain, video, mask, wanted, maps, filling, progress) if score else None
        sane = compare_redrawn(attribute, plain, video, mask, wanted, maps, progress=progress) if sanity else None
    finally:
        plain.train(was_training)
    return Explanation(
        target=wanted,
        method=method,
        logit=found.logit,
        views=_placed(plain, seen, maps),
        unattributed=found.unattributed,
        split=found.split,
        error=found.error,
        score=scored,
        sanity=sane,
        top=_top(plain, wanted, logits),
        timestamps=seen.timestamps,
        size=seen.size,
        pixel_aspect=seen.pixel_aspect,
        path=seen.path,
    )


def _placed(model: ViViT, seen: SeenViews, maps: Tensor) -> tuple[ViewMap, ...]:
    grid = TokenGrid.of(model.config, (seen.video.shape[1], seen.video.shape[3], seen.video.shape[4]))
    placed = []
    for view, _, mask in each_view(seen.video, seen.frame_mask):
        numbers, real = seen.frames[view], None if mask is None else mask[0].tolist()
        held = [[index for index in frames if real is None or real[index]] for frames in grid.frames]
        frames = tuple(tuple(dict.fromkeys(numbers[index] for index in indices)) for indices in held)
        placed.append(ViewMap(maps[view], frames, seen.boxes[view]))
    return tuple(placed)


def _scored(
    model: ViViT, video: Tensor, mask: Tensor | None, target: Target, maps: Tensor, filling: Filling, progress: Progress
) -> Score:
    """The score of the only view; of several, their mean."""
    scores = [
        relevance_gain(
            model,
            clip,
            real,
            target,
            maps[view],
            filling=filling,
            seed=view,
            progress=within(progress, view, len(video)),
        )
        for view, clip, real in each_view(video, mask)
    ]
    gains = [one.gain for one in scores if one.gain is not None]
    if len(scores) == 1 or not gains:
        return scores[0]
    chance = fmean(one.chance for one in scores) / len(scores) ** 0.5
    curves = [
        tuple(map(fmean, zip(*(getattr(one, name) for one in scores), strict=True)))
        for name in ("most_first", "least_first")
    ]
    return replace(scores[0], gain=fmean(gains), chance=chance, most_first=curves[0], least_first=curves[1])


def _top(model: ViViT, target: Target, logits: Tensor | dict[str, Tensor]) -> tuple[tuple[str, float], ...]:
    values = logits if isinstance(logits, Tensor) else logits[target.head]
    mean = values.mean(dim=0)
    probabilities = mean.sigmoid() if target.head in model.config.multi_label else mean.softmax(dim=0)
    names = model.labels[target.head] if model.labels else [str(index) for index in range(len(probabilities))]
    best = probabilities.argsort(descending=True)[:TOP].tolist()
    return tuple((names[index], float(probabilities[index])) for index in best)
