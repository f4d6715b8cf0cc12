"""Running a model over a set of videos."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import zip_longest

import torch
from torch import nn

from tubelet.data import ClipDataset, Failure, Item, Sample, Table, read_table, split_name
from tubelet.data.known import Selection, select_unlearned
from tubelet.data.run_table import require_any, run_table
from tubelet.device import Precision, autocast, resolve_device, resolve_precision, usable_cores
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD, Average, predict_views
from tubelet.evaluation.cost import evaluation_cost
from tubelet.evaluation.predictions import VideoPrediction
from tubelet.evaluation.reading import read_ahead
from tubelet.evaluation.results import Evaluation
from tubelet.exported.model import device_for
from tubelet.fast import Evaluating
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.text import moment
from tubelet.video.views import ViewPlan, plan_views
from tubelet.weights import load

Progress = Callable[[int, int], None]


def evaluate(
    model: nn.Module | str | os.PathLike[str],
    data: Table | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    views: str | tuple[int, int] | ViewPlan = (1, 1),
    average: Average = "logits",
    include_learned: bool = False,
    resample: bool = True,
    views_per_forward: int = VIEWS_PER_FORWARD,
    workers: int | None = None,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    progress: Progress | None = None,
    world: World = ALONE,
) -> Evaluation:
    """Predict every video from several views and compare with its labels.

    Views are placed as in Scenic: clips evenly from the start of the video to its end (one clip: the
    centre), crops along the longer side (section 4.1 of the paper; `tubelet.video.Preprocessing.views`). The logits of
    all views of a video are averaged; the class with the highest mean is the prediction.

    The views of one video never share a forward pass with those of another, so that a prediction depends on its video
    alone: not on the order of the data, nor on what else is evaluated, to the last bit.

    Videos that the model learned from, or one that it was started from (`model.provenance`), are left out and counted
    in `left_out`. They are known by their path and by their content, wherever they lie. Data without splits is divided
    as it was in the model's own training.

    Args:
        model: with `preprocessing`, put in evaluation mode for the time being; or what `tubelet.load` reads.
        data: a table, or what `tubelet.data.read_table` reads. Class indices are matched to the model's by name. None
            is the videos of the run that `model` names: of the split test, or else val.
        split: evaluate only these samples of it. `train` is evaluated although the model learned from it.
        views: "4x3", or (clips, crops); "dense:16x1", "whole" (see `plan_views`).
        average: what is averaged over the views: `logits` (the paper), or `probabilities`.
        include_learned: leave nothing out; `learned_from` of the result says how many videos it learned from.
        resample: sample videos of another frame rate than the model's (`PreprocessingConfig.frames_per_second`) by
            their timestamps; False takes their frames by number. `resampled` of the result counts them.
        views_per_forward: at most so many views of a video at once; more is faster on a GPU and takes more memory.
            Logits depend on it in the last digits (1e-5 in float32).
        workers: processes that decode; 0 decodes in a thread of this one. None is 0 for a model on the CPU, which needs
            the cores itself, and one for each core, at most 8, for one on a GPU.
        device: where to; by default where the model is, and `auto` for one that is loaded here. The model is moved.
        precision: of matrix products; `auto` is bfloat16 where that is faster.
        progress: called with (videos done, videos in all), those of this process.
        world: processes that share the videos (`tubelet.distributed.world.joined`); each gets the whole result, which
            is that of a single one.

    Returns:
        predictions and metrics. An unreadable video counts as wrong and is named in `failures`.

    Raises:
        ConfigError: the model does not say how to preprocess, or views that do not exist.
        DataError: no videos but those that the model learned from, or classes that the model does not know.
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
    return set_up(model, data, options, world).evaluate(progress=progress)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How to evaluate; the fields are the arguments of `evaluate`."""

    split: str | None = None
    views: ViewPlan = ViewPlan(1, 1)  # noqa: RUF009  # frozen
    average: Average = "logits"
    include_learned: bool = False
    resample: bool = True
    views_per_forward: int = VIEWS_PER_FORWARD
    workers: int | None = None
    device: str | torch.device | None = None
    precision: Precision = "float32"


@dataclass(frozen=True)
class Task:
    """A model and the videos to evaluate it on.

    Attributes:
        model: on its device.
        clips: the views of the videos, with the model's classes.
        selection: the videos and their use in the model's training.
        data: where they are from.
        options: `split` and `workers` are settled.
        world: processes that share the videos.
    """

    model: ViViT
    clips: ClipDataset
    selection: Selection
    data: str
    options: EvaluationOptions
    world: World

    def evaluate(self, clips: ClipDataset | None = None, progress: Progress | None = None) -> Evaluation:
        """Evaluate these clips, or others of the same videos."""
        options, chosen = self.options, self.selection
        evaluation = evaluate_clips(
            self.model,
            self.clips if clips is None else clips,
            average=options.average,
            views_per_forward=options.views_per_forward,
            workers=options.workers or 0,
            precision=options.precision,
            progress=progress,
            world=self.world,
        )
        split = None if options.split is None else split_name(options.split)
        return replace(evaluation, date=moment()).measured_on(
            chosen.uses, left_out=chosen.left_out, unknown=chosen.unknown, data=self.data, split=split
        )


def set_up(
    model: nn.Module | str | os.PathLike[str],
    data: Table | str | os.PathLike[str] | None,
    options: EvaluationOptions,
    world: World = ALONE,
) -> Task:
    """Load the model, choose the videos and the device. Arguments and errors are those of `evaluate`."""
    model, split, device, workers = unwrapped(model), options.split, options.device, options.workers
    if data is None:
        if isinstance(model, ViViT):
            raise ConfigError("a model was given and no data; name a run, or the videos to evaluate")
        table = run_table(model)
        source, split = table.root, split or own_split(table)
    else:
        table = data if isinstance(data, Table) else read_table(os.fspath(data))
        source = table.root if isinstance(data, Table) else os.path.abspath(data)
    if not isinstance(model, ViViT):
        model, device = load(os.fspath(model)), device or "auto"
    if model.preprocessing is None:
        raise ConfigError("the model does not say how videos are preprocessed; set model.preprocessing")
    if data is None:
        require_any(table)
    selection = select_unlearned(table, model.provenance, split=split, include_learned=options.include_learned)
    table = selection.table.with_classes(model_classes(model, table), model.config.multi_label)
    device = device_for(model, device)
    if device is not None:
        model.to(resolve_device(device, world))
    if workers is None:
        on_cpu = next(model.parameters()).device.type == "cpu"
        workers = 0 if on_cpu else min(8, max(1, usable_cores() // world.local_size))
    plan = plan_views(options.views, tubelet_frames=model.config.tubelet_size[0])
    preprocessing = replace(model.preprocessing, resample=model.preprocessing.resample and options.resample)
    clips = ClipDataset(table, preprocessing, mode="evaluate", clips=plan.clips, crops=plan.crops)
    return Task(model, clips, selection, source, replace(options, split=split, workers=workers), world)


def own_split(table: Table) -> str | None:
    """The split of a run that its figures are of: test, or else val, or else all that is there."""
    return next((name for name in ("test", "val") if name in table.splits), None)


def evaluate_clips(
    model: nn.Module,
    clips: ClipDataset,
    *,
    average: Average = "logits",
    views_per_forward: int = VIEWS_PER_FORWARD,
    workers: int = 0,
    precision: Precision = "float32",
    progress: Progress | None = None,
    world: World = ALONE,
) -> Evaluation:
    """`evaluate` for views that are set up already: with a cache, for instance.

    Args:
        model: where it is; put in evaluation mode for the time being. A ViViT, or a head model for cached features.
        clips: `mode="evaluate"`, with the model's classes.
        average: see `evaluate`.
        views_per_forward: see `evaluate`.
        workers: see `evaluate`.
        precision: see `evaluate`.
        progress: see `evaluate`. What it raises is raised in every process, when each has done its part.
        world: see `evaluate`.
    """
    if views_per_forward < 1:
        raise ConfigError(f"views_per_forward={views_per_forward} must be at least 1")
    device = next(model.parameters()).device
    started = time.perf_counter()
    predictions = []
    with (
        Evaluating(model)() as forward,
        autocast(device, resolve_precision(precision, device)),
        closing(read_ahead(clips, workers, world)) as items,
    ):
        samples = world.share(clips.table.samples)
        stopped: Exception | None = None
        for number, (sample, item) in enumerate(zip(samples, items, strict=True), 1):
            predictions.append(_predict(forward, sample, item, views_per_forward, average, clips.table.multi_label))
            try:
                if progress is not None:
                    progress(number, len(samples))
            except Exception as error:  # noqa: BLE001  # raised below, in every process
                stopped = error
                break
    stops, parts = zip(*world.gather((stopped, predictions)), strict=True)
    for stop in stops:
        if stop is not None:
            raise stop
    predictions = _in_order(parts)
    seconds = time.perf_counter() - started
    where = f"{device}, {str(resolve_precision(precision, device)).removeprefix('torch.')}"
    return Evaluation.of(
        predictions,
        clips.table.classes,
        views=ViewPlan(clips.clips, clips.crops),
        average=average,
        seconds=seconds,
        operating_points=model.operating_points if isinstance(model, ViViT) else None,
        cost=(
            evaluation_cost(model.config, clips.preprocessing.config, predictions, where)
            if isinstance(model, ViViT)
            else None
        ),
    )


def model_classes(model: ViViT, table: Table) -> dict[str, list[str]]:
    """The class names of each head: the model's, or the table's if the model has no names.

    Raises:
        DataError: the model has no names and other numbers of classes than the table.
    """
    if model.labels is not None:
        return model.labels
    if model.config.heads != table.heads:
        raise DataError(
            f"the model has {model.config.heads} classes without names, the data {table.heads}; "
            "give the model its labels, or data with as many classes"
        )
    return table.classes


def _in_order(parts: Sequence[list[VideoPrediction]]) -> list[VideoPrediction]:
    """The predictions that the processes made of every `len(parts)`-th video, in the order of the videos."""
    return [prediction for row in zip_longest(*parts) for prediction in row if prediction is not None]


def _predict(
    model: nn.Module,
    sample: Sample,
    item: Item | Failure,
    views_per_forward: int,
    average: Average,
    multi_label: Sequence[str],
) -> VideoPrediction:
    blank = VideoPrediction(
        os.path.abspath(sample.path),
        sample.labels,
        start=sample.start,
        end=sample.end,
        group=sample.group,
        label_sets=sample.label_sets or None,
    )
    if isinstance(item, Failure):
        return replace(blank, error=item.reason)
    video = item["video"]
    logits = predict_views(
        model,
        video,
        item["frame_mask"],
        frames=item["frames"],
        views_per_forward=views_per_forward,
        average=average,
        multi_label=multi_label,
    )
    if not all(bool(values.isfinite().all()) for values in logits.values()):
        return replace(blank, error="the model's output for it is not finite")
    numbers = {head: tuple(float(f"{value:.9g}") for value in values.tolist()) for head, values in logits.items()}
    damaged, resampled = item.get("damaged") or None, item.get("resampled", False) or None
    return replace(
        blank, logits=numbers, views=video.shape[0], frames=video.shape[1], damaged=damaged, resampled=resampled
    )
