"""Videos that show several classes at once, or none: mean average precision.

tubelet trains heads with one class for each video; these figures are for stored predictions whose truth is a set
(`VideoPrediction.label_sets`), from whatever model. Only the order of a class's scores over the videos counts, so
logits and probabilities give the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.errors import DataError
from tubelet.evaluation.predictions import VideoPrediction


@dataclass(frozen=True)
class LabelMetrics:
    """Figures of one class.

    Attributes:
        name: of the class.
        support: videos that show it, unreadable ones included.
        average_precision: area under the curve of precision over recall, in steps; None if no video shows it.
    """

    name: str
    support: int
    average_precision: float | None


@dataclass(frozen=True)
class MultiLabelMetrics:
    """Figures of a head whose videos may show several classes.

    Attributes:
        mean_average_precision: mean over the classes that some video shows, as Scenic computes it; None if no class
            is shown.
        num_videos: all.
        num_failures: those that could not be read. They are never retrieved: recall without them stays below 1.
        per_class: figures of each class.
    """

    mean_average_precision: float | None
    num_videos: int
    num_failures: int
    per_class: tuple[LabelMetrics, ...]


def multi_label_heads(predictions: Sequence[VideoPrediction]) -> list[str]:
    """Heads whose truth is a set of classes."""
    return list(dict.fromkeys(head for one in predictions for head in one.label_sets or {}))


def multi_label_metrics(
    predictions: Sequence[VideoPrediction], classes: Mapping[str, Sequence[str]]
) -> dict[str, MultiLabelMetrics]:
    """The figures of every head whose truth is a set.

    Raises:
        DataError: a video without such a truth, classes or logits that do not fit.
    """
    return {head: _head_metrics(predictions, head, _names(classes, head)) for head in multi_label_heads(predictions)}


def _names(classes: Mapping[str, Sequence[str]], head: str) -> Sequence[str]:
    if head not in classes:
        raise DataError(f"label_sets name the head {head!r}, which has no classes; heads: {', '.join(classes)}")
    return classes[head]


def _head_metrics(predictions: Sequence[VideoPrediction], head: str, names: Sequence[str]) -> MultiLabelMetrics:
    size = len(names)
    rows, shown, support = [], [], torch.zeros(size, dtype=torch.int64)
    for prediction in predictions:
        row = _membership(prediction, head, size)
        support += row
        if prediction.logits is not None:
            scores = prediction.logits.get(head, ())
            if len(scores) != size:
                raise DataError(f"{prediction.path}: {len(scores)} logits for the {size} classes of head {head!r}")
            rows.append(scores)
            shown.append(row)
    logits = torch.tensor(rows, dtype=torch.float64).view(-1, size)
    truth = torch.stack(shown) if shown else torch.zeros(0, size, dtype=torch.int64)
    per_class = []
    for number, (name, count) in enumerate(zip(names, support.tolist(), strict=True)):
        precision = _average_precision(logits[:, number], truth[:, number], count) if count else None
        per_class.append(LabelMetrics(name, count, precision))
    found = [one.average_precision for one in per_class if one.average_precision is not None]
    mean = math.fsum(found) / len(found) if found else None
    return MultiLabelMetrics(mean, len(predictions), len(predictions) - len(rows), tuple(per_class))


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
