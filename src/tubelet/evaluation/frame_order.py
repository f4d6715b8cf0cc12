"""Evaluating with the frames of every clip in another order: does time matter to a model?"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from tubelet.data import ClipDataset, Failure, FrameCache, Item, Table
from tubelet.data.draws import generator_of
from tubelet.data.items import Draw
from tubelet.device import Precision
from tubelet.errors import ConfigError
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD, Average
from tubelet.evaluation.evaluator import EvaluationOptions, Progress, set_up
from tubelet.evaluation.frame_order_metrics import ORDERS, REVERSED, SHUFFLED, frame_order_metrics
from tubelet.evaluation.results import Evaluation
from tubelet.model import ViViT
from tubelet.video.views import ViewPlan, plan_views

ORDERS_FOLDER = "probe-temporal"
"""Inside the folder of an evaluation: a folder for each order of the frames, with its predictions."""

CACHE_GIGABYTES = 1.0
"""Memory for decoded frames, so that most videos are decoded once and not once for every order."""


def evaluate_frame_orders(
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
    progress: Progress | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Evaluate a model as usual, and with the frames of every clip shuffled, reversed, and replaced by the middle one.

    All four passes see the frames that the views choose. A random order depends on the seed, the sample's key in its
    table and the clip alone; all crops of a clip share it. Padding frames of a short clip (`short_clips="mask"`) stay
    at its end.

    The model was not trained on such clips. A loss of accuracy shows what the model uses; no loss does not show that
    the classes do not differ in time.

    Args:
        model: all arguments that are not named here are those of `tubelet.evaluate`.
        seed: of the random orders.
        progress: called with (videos done, videos in all), four times as many as there are.
        out: folder; `probe-temporal/ORDER` in it gets the predictions of each order.

    Returns:
        the ordinary evaluation, with `probe`.

    Raises:
        ConfigError: a head whose videos may show several classes, which has no top-1.
        DataError, WeightsError: as `tubelet.evaluate`.
    """
    options = EvaluationOptions(
        split=split,
        views=plan_views(views),
        average=average,
        include_learned=include_learned,
        resample=resample,
        views_per_forward=views_per_forward,
        workers=workers,
        device=device,
        precision=precision,
    )
    task = set_up(model, data, options)
    if task.clips.table.multi_label:
        raise ConfigError(
            "the probe of time compares top-1, which there is none of where several classes may be shown at once "
            f"({', '.join(task.clips.table.multi_label)}); leave the probe out"
        )
    clips, passes = task.clips, len(ORDERS) + 1
    if task.options.workers == 0:
        clips.cache = FrameCache(len(clips), CACHE_GIGABYTES)

    def report(number: int, done: int, total: int) -> None:
        if progress is not None:
            progress(number * total + done, passes * total)

    ordinary = task.evaluate(progress=partial(report, 0))
    changed = {
        order: task.evaluate(FrameOrderDataset(clips, order, seed), partial(report, number))
        for number, order in enumerate(ORDERS, 1)
    }
    if out is not None:
        for order, evaluation in changed.items():
            evaluation.save(Path(out) / ORDERS_FOLDER / order)
    predictions = {order: evaluation.predictions for order, evaluation in changed.items()}
    return replace(ordinary, probe=frame_order_metrics(ordinary.predictions, predictions, ordinary.classes, seed))


class FrameOrderDataset(ClipDataset):
    """The same clips with their frames in another order.

    Args:
        clips: for evaluation; the cache is shared.
        order: one of `ORDERS`.
        seed: of random ones.
    """

    def __init__(self, clips: ClipDataset, order: str, seed: int) -> None:
        super().__init__(
            clips.table,
            clips.preprocessing,
            mode="evaluate",
            clips=clips.clips,
            crops=clips.crops,
            cache=clips.cache,
            backend=clips.backend,
            use_damaged=clips.use_damaged,
        )
        self.order, self.order_seed = order, seed

    def __getitem__(self, wanted: int | Draw) -> Item | Failure:
        item = super().__getitem__(wanted)
        if isinstance(item, Failure):
            return item
        key = self.table.key(self.table.samples[item["index"]])
        generator = generator_of(self.order_seed, key, self.order)
        changed = item.copy()
        changed["video"] = reorder(item["video"], item["frame_mask"], self.crops, self.order, generator)
        changed["frames"] = None  # tubelets are not those of other clips any more
        return changed


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
            frames = torch.randperm(real, generator=generator)
        elif order == REVERSED:
            frames = torch.arange(real - 1, -1, -1)
        else:
            frames = torch.full((real,), real // 2)
        frames = torch.cat([frames, torch.arange(real, length)])
        changed[first : first + crops] = video[first : first + crops, frames]
    return changed
