"""Videos that show several classes at once, or none: mean average precision.

For predictions whose truth is a set (`VideoPrediction.label_sets`), of multi-label heads or of whatever model. For
average precision only the order of a class's scores over the videos counts, so logits and probabilities give the same;
precision, recall and F1 are at a threshold on the sigmoid of the logit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.config.operating_point import UNFITTED, OperatingPoint
from tubelet.errors import DataError
from tubelet.evaluation.intervals import Range, Resampling, methods_of, ranges_of
from tubelet.evaluation.predictions import VideoPrediction


@dataclass(frozen=True)
class LabelMetrics:
    """Figures of one class.

    Attributes:
        name: of the class.
        support: videos that show it, unreadable ones included.
        average_precision: area under the curve of precision over recall, in steps; None if no video shows it.
        threshold: probability from which on the class is reported.
        precision: share of the videos that it is reported of that show it; None if it is reported of none.
        recall: share of the videos that show it that it is reported of; None if no video shows it.
        f1: harmonic mean of both; None if no video shows it.
    """

    name: str
    support: int
    average_precision: float | None
    threshold: float = UNFITTED
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True)
class MultiLabelMetrics:
    """Figures of a head whose videos may show several classes.

    Attributes:
        mean_average_precision: mean over the classes that some video shows, as Scenic computes it; None if no class
            is shown.
        num_videos: all.
        num_failures: those that could not be read. They are never retrieved: recall without them stays below 1.
        per_class: figures of each class.
        loss: binary cross entropy in nats, mean over classes and over the videos that could be read; None if none
            could.
        macro_f1: F1 at the thresholds, mean over the classes that some video shows.
        micro_f1: F1 of all classes together.
        fitted_on: videos that the thresholds were fitted on; 0 where they are 0.5 for every class.
        split: that these are of.
        intervals: of the mean average precision, by its name, 95 %; see `tubelet.evaluation.intervals`.
        methods: how it was made.
    """

    mean_average_precision: float | None
    num_videos: int
    num_failures: int
    per_class: tuple[LabelMetrics, ...]
    loss: float | None = None
    macro_f1: float | None = None
    micro_f1: float | None = None
    fitted_on: int = 0
    split: str | None = None
    intervals: dict[str, Range] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)


def multi_label_heads(predictions: Sequence[VideoPrediction]) -> list[str]:
    """Heads whose truth is a set of classes."""
    return list(dict.fromkeys(head for one in predictions for head in one.label_sets or {}))


def multi_label_metrics(
    predictions: Sequence[VideoPrediction],
    classes: Mapping[str, Sequence[str]],
    points: Mapping[str, OperatingPoint] | None = None,
    resampling: Resampling | None = None,
) -> dict[str, MultiLabelMetrics]:
    """The figures of every head whose truth is a set.

    Args:
        predictions: of all videos, unreadable ones too.
        classes: head to class names.
        points: with the thresholds of each head; 0.5 for those that have none.
        resampling: draws for the intervals; none without.

    Raises:
        DataError: a video without such a truth, classes or logits that do not fit.
    """
    return {
        head: _head_metrics(predictions, head, _names(classes, head), (points or {}).get(head), resampling)
        for head in multi_label_heads(predictions)
    }


def _names(classes: Mapping[str, Sequence[str]], head: str) -> Sequence[str]:
    if head not in classes:
        raise DataError(f"label_sets name the head {head!r}, which has no classes; heads: {', '.join(classes)}")
    return classes[head]


@dataclass(frozen=True, eq=False)
class LabelScores:
    """What the figures of a multi-label head are made of.

    Attributes:
        logits: float64 [M, K] of the videos that could be read.
        truth: int64 [M, K], 1 where the video shows the class.
        readable: int64 [M], their indices among all.
        all_truth: int64 [N, K], of all videos.
    """

    logits: Float[Tensor, "M K"]
    truth: Int[Tensor, "M K"]
    readable: Int[Tensor, "M"]
    all_truth: Int[Tensor, "N K"]


def label_scores(predictions: Sequence[VideoPrediction], head: str, size: int) -> LabelScores:
    """The logits and classes of a multi-label head.

    Raises:
        DataError: a video without a set of classes, or with other numbers of them.
    """
    rows, readable = [], []
    for index, prediction in enumerate(predictions):
        if prediction.logits is not None:
            scores = prediction.logits.get(head, ())
            if len(scores) != size:
                raise DataError(f"{prediction.path}: {len(scores)} logits for the {size} classes of head {head!r}")
            rows.append(scores)
            readable.append(index)
    truth = torch.stack([_membership(prediction, head, size) for prediction in predictions])
    indices = torch.tensor(readable, dtype=torch.int64)
    return LabelScores(torch.tensor(rows, dtype=torch.float64).view(-1, size), truth[indices], indices, truth)


def _head_metrics(
    predictions: Sequence[VideoPrediction],
    head: str,
    names: Sequence[str],
    point: OperatingPoint | None,
    resampling: Resampling | None,
) -> MultiLabelMetrics:
    scores = label_scores(predictions, head, len(names))
    given = None if point is None else point.thresholds
    thresholds = torch.tensor(given or (UNFITTED,) * len(names), dtype=torch.float64)
    reported = scores.logits.sigmoid() >= thresholds
    hits, called = (reported & scores.truth.bool()).sum(dim=0), reported.sum(dim=0)
    support = scores.all_truth.sum(dim=0)
    per_class = []
    for number, name in enumerate(names):
        shown, right, said = int(support[number]), int(hits[number]), int(called[number])
        per_class.append(
            LabelMetrics(
                name,
                shown,
                _average_precision(scores.logits[:, number], scores.truth[:, number], shown) if shown else None,
                threshold=float(thresholds[number]),
                precision=right / said if said else None,
                recall=right / shown if shown else None,
                f1=2 * right / (said + shown) if shown else None,
            )
        )
    found = [one.average_precision for one in per_class if one.average_precision is not None]
    f1 = [one.f1 for one in per_class if one.f1 is not None]
    loss = None
    if len(scores.truth):
        truth = scores.truth.double()
        loss = float(torch.nn.functional.binary_cross_entropy_with_logits(scores.logits, truth))
    intervals = {}
    if resampling is not None and found:
        intervals["mean_average_precision"] = resampling.interval(lambda weights: _weighted_mean(scores, weights))
    return MultiLabelMetrics(
        math.fsum(found) / len(found) if found else None,
        len(predictions),
        len(predictions) - len(scores.truth),
        tuple(per_class),
        loss=loss,
        macro_f1=math.fsum(f1) / len(f1) if f1 else None,
        micro_f1=2 * int(hits.sum()) / total if (total := int(called.sum() + support.sum())) else None,
        fitted_on=0 if point is None or given is None else point.fitted_on,
        split=None if point is None or given is None else point.split,
        intervals=ranges_of(intervals),
        methods=methods_of(intervals),
    )


def _average_precision(scores: Float[Tensor, "N"], truth: Int[Tensor, "N"], count: int) -> float:
    """The precision at each distinct score, from the highest, weighted by the recall that it adds.

    Args:
        scores: of the videos that could be read.
        truth: 1 where the video shows the class.
        count: of videos that show the class, unreadable ones included.
    """
    groups = scores.unique(return_inverse=True)[1]
    shown = torch.bincount(groups, weights=truth.double()).flip(0)
    precision = shown.cumsum(0) / torch.bincount(groups).flip(0).cumsum(0)
    return float(precision @ shown) / count


def _weighted_mean(scores: LabelScores, weights: Float[Tensor, "R N"]) -> Float[Tensor, "R"]:
    """Mean average precision where each video counts so many times; no number where no class is shown."""
    counts = weights @ scores.all_truth.double()
    total = torch.full_like(counts, math.nan)
    drawn = weights[:, scores.readable]
    for number in range(counts.shape[1]):
        groups = scores.logits[:, number].unique(return_inverse=True)[1]
        blank = torch.zeros(len(weights), int(groups.max()) + 1 if len(groups) else 0, dtype=torch.float64)
        shown = blank.index_add(1, groups, drawn * scores.truth[:, number]).flip(1)
        videos = blank.index_add(1, groups, drawn).flip(1)
        precision = shown.cumsum(1) / videos.cumsum(1).clamp_min(1)
        total[:, number] = (precision * shown).sum(dim=1) / counts[:, number]
    return total.nanmean(dim=1)


def _membership(prediction: VideoPrediction, head: str, size: int) -> Tensor:
    """int64 [K], 1 for each class that the video shows."""
    shown = (prediction.label_sets or {}).get(head)
    if shown is None:
        raise DataError(
            f"{prediction.path}: no label_sets of head {head!r}, which others have; give [] if it shows none"
        )
    if any(not 0 <= label < size for label in shown):
        raise DataError(f"{prediction.path}: classes {list(shown)} of head {head!r}, which has {size}")
    row = torch.zeros(size, dtype=torch.int64)
    row[list(shown)] = 1
    return row
