"""Figures out of stored predictions. The model is not needed, so they can be computed again, and others added.

An unreadable video has no prediction. It counts as wrong: it is in the denominators of top-1, top-5 and its class's
recall, and in no confusion matrix, loss or calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.errors import DataError
from tubelet.evaluation.calibration import ReliabilityBin, calibration_error, reliability
from tubelet.evaluation.intervals import Interval, Range, Resampling, methods_of, ranges_of
from tubelet.evaluation.predictions import VideoPrediction
from tubelet.evaluation.scores import Scores, scores_of

TOP_K = 5


@dataclass(frozen=True)
class ClassMetrics:
    """Figures of one class.

    Attributes:
        name: of the class.
        support: videos of this class, unreadable ones included.
        recall: share of them that were predicted as such; per-class accuracy in papers. None without support.
        precision: share of the videos predicted as this class that are of it. None if there are none.
    """

    name: str
    support: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class HeadMetrics:
    """Figures of one head.

    Attributes:
        top1: share of all videos whose class has the highest logit.
        top5: share of all videos whose class is among the five highest; None with five classes or fewer.
        mean_class_accuracy: recall, mean over the classes that occur.
        loss: cross entropy in nats, mean over the videos that could be read; None if none could.
        calibration_error: expected calibration error of the top-1 confidence: 15 bins of equal width, weighted by the
            videos in them (Naeini et al., 2015), over the videos that could be read; None if none could.
        num_videos: all.
        num_failures: those that could not be read.
        per_class: figures of each class.
        confusion: [true class][predicted class] counts, unreadable videos left out.
        reliability: confidence and accuracy by bins of confidence; empty if no video could be read.
        intervals: of the figures above by name, 95 % (see `tubelet.evaluation.intervals`); those that there are.
        methods: how each of these was made: `bootstrap`, or `binomial` where all videos are right, or all wrong.
    """

    top1: float
    top5: float | None
    mean_class_accuracy: float
    loss: float | None
    calibration_error: float | None
    num_videos: int
    num_failures: int
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...] = ()
    intervals: dict[str, Range] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JointMetrics:
    """Figures of all heads together, as for the actions (verb, noun) of EPIC-Kitchens.

    Attributes:
        top1: share of all videos for which every head is right.
        top5: share whose combination of classes is among the five with the highest product of probabilities; None if
            there are no more than five combinations.
        intervals: of these by name, 95 %; those that there are.
        methods: how each of these was made.
    """

    top1: float
    top5: float | None
    intervals: dict[str, Range] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)


def compute_metrics(
    predictions: Sequence[VideoPrediction],
    classes: Mapping[str, Sequence[str]],
    resampling: Resampling | None = None,
) -> tuple[dict[str, HeadMetrics], JointMetrics | None]:
    """The figures of each head, and of all together if there are several.

    Args:
        predictions: of all videos, unreadable ones too.
        classes: head to class names.
        resampling: draws for the intervals; none without.

    Raises:
        DataError: no predictions, or logits that do not fit the classes.
    """
    if not predictions:
        raise DataError("there are no videos to evaluate; name a split that has some")
    metrics = {head: head_metrics(predictions, head, names, resampling) for head, names in classes.items()}
    return metrics, joint_metrics(predictions, classes, resampling) if len(classes) > 1 else None


def head_metrics(
    predictions: Sequence[VideoPrediction], head: str, names: Sequence[str], resampling: Resampling | None = None
) -> HeadMetrics:
    """The figures of one head; see `compute_metrics`."""
    size, total = len(names), len(predictions)
    scores = scores_of(predictions, head, size)
    support = torch.bincount(scores.all_targets, minlength=size)
    confusion = torch.zeros(size, size, dtype=torch.int64)
    loss: float | None = None
    bins: tuple[ReliabilityBin, ...] = ()
    if len(scores.target):
        cells = scores.target * size + scores.logits.argmax(dim=1)
        confusion = torch.bincount(cells, minlength=size**2).view(size, size)
        loss = torch.nn.functional.cross_entropy(scores.logits, scores.target).item()
        bins = reliability(scores.logits, scores.target)
    hits, called = confusion.diagonal(), confusion.sum(dim=0)
    per_class = tuple(
        ClassMetrics(name, int(all_), _share(int(hit), int(all_)), _share(int(hit), int(count)))
        for name, all_, hit, count in zip(names, support, hits, called, strict=True)
    )
    recalls = [one.recall for one in per_class if one.recall is not None]
    intervals = _intervals(scores, size, resampling)
    return HeadMetrics(
        top1=int(hits.sum()) / total,
        top5=int(scores.hits(TOP_K).sum()) / total if size > TOP_K else None,
        mean_class_accuracy=math.fsum(recalls) / len(recalls),
        loss=loss,
        calibration_error=calibration_error(bins) if bins else None,
        num_videos=total,
        num_failures=total - len(scores.target),
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        reliability=bins,
        intervals=ranges_of(intervals),
        methods=methods_of(intervals),
    )


def _intervals(scores: Scores, size: int, resampling: Resampling | None) -> dict[str, Interval | None]:
    if resampling is None:
        return {}
    hits = scores.hits(1)
    return {
        "top1": resampling.share(hits),
        "top5": resampling.share(scores.hits(TOP_K)) if size > TOP_K else None,
        "mean_class_accuracy": resampling.class_mean(hits, scores.all_targets, size),
        "loss": resampling.mean(scores.losses()) if len(scores.target) else None,
    }


def joint_metrics(
    predictions: Sequence[VideoPrediction],
    classes: Mapping[str, Sequence[str]],
    resampling: Resampling | None = None,
) -> JointMetrics:
    """All heads at once: their probabilities multiplied, as Scenic scores the actions of EPIC-Kitchens."""
    top1, top5 = joint_hits(predictions, classes)
    enough = math.prod(len(names) for names in classes.values()) > TOP_K
    hits = {"top1": top1, **({"top5": top5} if enough else {})}
    intervals = {} if resampling is None else {name: resampling.share(values) for name, values in hits.items()}
    total = len(predictions)
    share5 = int(top5.sum()) / total if enough else None
    return JointMetrics(int(top1.sum()) / total, share5, ranges_of(intervals), methods_of(intervals))


def joint_hits(
    predictions: Sequence[VideoPrediction], classes: Mapping[str, Sequence[str]]
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """1 for each video whose combination of classes is the best one; and is among the best five."""
    top1, top5 = torch.zeros(2, len(predictions), dtype=torch.float64)
    for index, prediction in enumerate(predictions):
        if prediction.logits is not None:
            truth = tuple(prediction.labels[head] for head in classes)
            best = _best_combinations([prediction.logits[head] for head in classes])
            top1[index], top5[index] = float(best[0] == truth), float(truth in best)
    return top1, top5


def _best_combinations(logits: Sequence[Sequence[float]]) -> list[tuple[int, ...]]:
    """The five combinations of one class per head with the highest product of probabilities, best first.

    Only a head's own five best classes can be part of one, so that heads can be added one by one.
    """
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for head in logits:
        scores = torch.tensor(head, dtype=torch.float64).log_softmax(dim=0)
        values, indices = scores.topk(min(TOP_K, len(scores)))
        longer = [
            (score + value, (*chosen, index))
            for score, chosen in best
            for value, index in zip(values.tolist(), indices.tolist(), strict=True)
        ]
        best = sorted(longer, key=lambda pair: -pair[0])[:TOP_K]
    return [chosen for _, chosen in best]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
