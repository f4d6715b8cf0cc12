"""Evaluating with frames in another order: is it time that a model goes by, or what single frames look like?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from tubelet.data import ClipDataset, Failure, FrameCache, Item, Table
from tubelet.data.draws import generator_of
from tubelet.data.items import Draw
from tubelet.device import Precision
from tubelet.evaluation.evaluator import VIEWS_PER_FORWARD, Average, evaluate_clips, set_up
from tubelet.evaluation.results import Evaluation
from tubelet.evaluation.temporal import ORDERS, REVERSED, SHUFFLED, temporal_probe
from tubelet.evaluation.views import ViewPlan
from tubelet.model import ViViT

PROBE_FOLDER = "probe-temporal"
"""Inside the folder of an evaluation: a folder for each order of the frames, with its predictions."""

CACHE_GIGABYTES = 1.0
"""Memory for decoded frames, so that most videos are decoded once and not once for every order."""


def probe_temporal(
    model: ViViT | str | os.PathLike[str],
    data: Table | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    views: str | tuple[int, int] | ViewPlan = (1, 1),
    average: Average = "logits",
    include_learned: bool = False,
    resample: bool = True,
    seed: int = 0,
    views_per_forward: int = VIEWS_PER_FORWARD,
    workers: int | None = None,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    progress: Callable[[int, int], None] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Evaluate a model as usual, and with the frames of every clip shuffled, reversed, and one in place of all.

    All four see the same frames: those that the views choose. A random order depends on the seed, the sample's key in
    its table and the clip alone, so not on the order of the data or on what else is evaluated; all crops of a clip have
    the same. Frames that only fill up a short clip (`short_clips="mask"`) stay at its end.

    The model was not trained on such clips. A loss shows what it goes by; that there is none does not show that the
    videos could not be told apart by time.

    Args:
        model: see `tubelet.evaluate`, as for all that follow.
        data: labelled videos.
        split: of the data.
        views: of each video.
        average: over the views.
        include_learned: measure on videos that the model learned from as well.
        resample: see `tubelet.evaluate`.
        seed: of the random orders.
        views_per_forward: views at once.
        workers: processes that decode.
        device: where the model runs.
        precision: of matrix products.
        progress: called with (videos done, videos in all), four times as many as there are.
        out: folder whose `probe-temporal/ORDER` gets the predictions of each order.

    Returns:
        the ordinary evaluation, with `probe`.
    """
    task = set_up(
        model,
        data,
        split=split,
        views=views,
        include_learned=include_learned,
        resample=resample,
        workers=workers,
        device=device,
    )
    clips = task.clips
    if task.workers == 0:
        clips.cache = FrameCache(len(clips), CACHE_GIGABYTES)
    passes = len(ORDERS) + 1

    def measured(number: int, videos: ClipDataset) -> Evaluation:
        def told(done: int, total: int) -> None:
            if progress is not None:
                progress(number * total + done, passes * total)

        evaluation = evaluate_clips(
            task.model,
            videos,
            average=average,
            views_per_forward=views_per_forward,
            workers=task.workers,
            precision=precision,
            progress=told,
        )
        return task.described(evaluation)

    ordinary = measured(0, clips)
    changed = {order: measured(number, Reordered(clips, order, seed)) for number, order in enumerate(ORDERS, 1)}
    if out is not None:
        for order, evaluation in changed.items():
            evaluation.save(Path(out) / PROBE_FOLDER / order)
    predictions = {order: evaluation.predictions for order, evaluation in changed.items()}
    return replace(ordinary, probe=temporal_probe(ordinary.predictions, predictions, ordinary.classes, seed))


class Reordered(ClipDataset):
    """The same clips with their frames in another order.

    Args:
        clips: for evaluation.
        order: one of `ORDERS`.
        seed: of random ones.
    """

    def __init__(self, clips: ClipDataset, order: str, seed: int) -> None:
        vars(self).update(vars(clips))
        self.order, self.order_seed = order, seed

    def __getitem__(self, wanted: int | Draw) -> Item | Failure:
        item = super().__getitem__(wanted)
        if isinstance(item, Failure):
            return item
        key = self.table.key(self.table.samples[item["index"]])
        generator = generator_of(self.order_seed, key, self.order)
        video = reorder(item["video"], item["frame_mask"], self.crops, self.order, generator)
        return Item(
            video=video, frame_mask=item["frame_mask"], targets=item["targets"], index=item["index"], frames=None
        )


def reorder(
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    crops: int,
    order: str,
    generator: Generator,
) -> Float[Tensor, "V T C H W"]:
    """The views of a video with the real frames of each clip in another order.

    Args:
        video: all crops of the first clip, then all crops of the second, and so on.
        frame_mask: True where a frame is real; None if all are.
        crops: of each clip.
        order: `shuffled`, `reversed`, or `single_frame`: the middle one in place of all.
        generator: of random orders.
    """
    length = video.shape[1]
    changed = torch.empty_like(video)
    for first in range(0, len(video), crops):
        real = length if frame_mask is None else int(frame_mask[first].sum())
        if order == SHUFFLED:
            places = torch.randperm(real, generator=generator)
        elif order == REVERSED:
            places = torch.arange(real - 1, -1, -1)
        else:
            places = torch.full((real,), real // 2)
        places = torch.cat([places, torch.arange(real, length)])
        changed[first : first + crops] = video[first : first + crops, places]
    return changed
