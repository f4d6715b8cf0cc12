"""Figures out of stored predictions. The model is not needed, so they can be computed again, and others added.

An unreadable video has no prediction. It counts as wrong: it is in the denominators of top-1, top-5 and its class's
recall, and in no confusion matrix, loss or calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tubelet.errors import DataError
from tubelet.evaluate.predictions import VideoPrediction

TOP_K = 5
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class ClassMetrics:
    """Figures of one class.

    Attributes:
        name: of the class.
        support: videos of this class, unreadable ones included.
        recall: share of them that were called so; what papers call per-class accuracy. None without support.
        precision: share of the videos called so that are of this class. None if none was called so.
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


@dataclass(frozen=True)
class JointMetrics:
    """Figures of all heads together, as for the actions (verb, noun) of EPIC-Kitchens.

    Attributes:
        top1: share of all videos for which every head is right.
        top5: share whose combination of classes is among the five with the highest product of probabilities; None if
            there are no more than five combinations.
    """

    top1: float
    top5: float | None


def compute_metrics(
    predictions: Sequence[VideoPrediction], classes: Mapping[str, Sequence[str]]
) -> tuple[dict[str, HeadMetrics], JointMetrics | None]:
    """The figures of each head, and of all together if there are several.

    Raises:
        DataError: no predictions, or logits that do not fit the classes.
    """
    if not predictions:
        raise DataError("there are no videos to evaluate; name a split that has some")
    metrics = {head: head_metrics(predictions, head, names) for head, names in classes.items()}
    return metrics, joint_metrics(predictions, classes) if len(classes) > 1 else None


def head_metrics(predictions: Sequence[VideoPrediction], head: str, names: Sequence[str]) -> HeadMetrics:
    """The figures of one head; see `compute_metrics`."""
    # Here and not above: it takes three seconds, and whoever reads stored figures does not need it.
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_calibration_error,
        multiclass_confusion_matrix,
    )

    size, total = len(names), len(predictions)
    logits, target = _tensors(predictions, head, size)
    support = torch.bincount(torch.tensor([p.labels[head] for p in predictions]), minlength=size)
    readable = len(target)
    confusion = torch.zeros(size, size, dtype=torch.int64)
    top5, loss, calibration_error = None, None, None
    if readable:
        confusion = multiclass_confusion_matrix(logits.argmax(dim=1), target, size)
        loss = torch.nn.functional.cross_entropy(logits, target).item()
        calibration_error = multiclass_calibration_error(
            logits.softmax(dim=1), target, size, n_bins=CALIBRATION_BINS, norm="l1"
        ).item()
    if size > TOP_K:
        hit = multiclass_accuracy(logits, target, size, top_k=TOP_K, average="micro").item() if readable else 0.0
        top5 = round(hit * readable) / total
    hits, called = confusion.diagonal(), confusion.sum(dim=0)
    per_class = tuple(
        ClassMetrics(name, int(all_), _share(int(hit), int(all_)), _share(int(hit), int(count)))
        for name, all_, hit, count in zip(names, support, hits, called, strict=True)
    )
    recalls = [one.recall for one in per_class if one.recall is not None]
    return HeadMetrics(
        top1=int(hits.sum()) / total,
        top5=top5,
        mean_class_accuracy=math.fsum(recalls) / len(recalls),
        loss=loss,
        calibration_error=calibration_error,
        num_videos=total,
        num_failures=total - readable,
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def joint_metrics(predictions: Sequence[VideoPrediction], classes: Mapping[str, Sequence[str]]) -> JointMetrics:
    """All heads at once: their probabilities multiplied, as the original scores the actions of EPIC-Kitchens."""
    total = len(predictions)
    combinations = math.prod(len(names) for names in classes.values())
    top1 = top5 = 0
    for prediction in predictions:
        if prediction.logits is None:
            continue
        truth = tuple(prediction.labels[head] for head in classes)
        best = _best_combinations([prediction.logits[head] for head in classes])
        top1 += best[0] == truth
        top5 += truth in best
    return JointMetrics(top1 / total, top5 / total if combinations > TOP_K else None)


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


def _tensors(predictions: Sequence[VideoPrediction], head: str, size: int) -> tuple[Tensor, Tensor]:
    """Logits float64 [N, K] and classes [N] of the videos that could be read."""
    rows, target = [], []
    for prediction in predictions:
        label = prediction.labels.get(head)
        if label is None or not 0 <= label < size:
            raise DataError(f"{prediction.path}: class {label} of head {head!r} is not one of its {size} classes")
        if prediction.logits is None:
            continue
        row = prediction.logits.get(head, ())
        if len(row) != size:
            raise DataError(f"{prediction.path}: {len(row)} logits for the {size} classes of head {head!r}")
        rows.append(row)
        target.append(label)
    return torch.tensor(rows, dtype=torch.float64).view(-1, size), torch.tensor(target, dtype=torch.int64)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
