"""Accuracy with the frames of a clip in another order, out of stored predictions: does time matter to a model?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.evaluation.frame_order_verdict import verdict
from tubelet.evaluation.intervals import Range, Resampling
from tubelet.evaluation.paired import Difference, paired_difference
from tubelet.evaluation.predictions import VideoPrediction
from tubelet.evaluation.scores import Scores, scores_of

SHUFFLED, REVERSED, SINGLE_FRAME = "shuffled", "reversed", "single_frame"
ORDERS = (SHUFFLED, REVERSED, SINGLE_FRAME)
"""Frames in random order; last frame first; the middle frame in place of all."""

MOST_REVERSED = 8
"""Pairs of classes that are named."""


@dataclass(frozen=True)
class OrderFigures:
    """What a head does with frames in another order.

    Attributes:
        top1: share right.
        interval: of it, 95 %; None where the data do not support one.
        difference: against the ordinary order, on the same videos; negative where the order is missed.
        same: share of the videos for which the model gives the same answer as with the ordinary order.
        method: how the interval was made, `bootstrap` or `binomial`; None without one.
    """

    top1: float
    interval: Range | None
    difference: Difference
    same: float
    method: str | None = None


@dataclass(frozen=True)
class ClassOrders:
    """Recall of one class in every order; None if no video is of it."""

    name: str
    support: int
    ordinary: float | None
    shuffled: float | None
    reversed: float | None
    single_frame: float | None


@dataclass(frozen=True)
class ReversalConfusion:
    """Videos of a class that are predicted right, and as class `said` when they are played backwards."""

    truth: str
    said: str
    count: int


@dataclass(frozen=True)
class HeadFrameOrders:
    """Whether time matters to one head.

    Attributes:
        top1: with the frames in order.
        interval: of it, 95 %; None where the data do not support one.
        chance: share of the most frequent class, the majority class: what naming it always would reach.
        orders: `shuffled`, `reversed` and `single_frame` to their figures.
        per_class: recall of each class in every order.
        turned: what becomes of right answers when the video is played backwards, the most frequent first.
        verdict: in words.
        method: how the interval was made, `bootstrap` or `binomial`; None without one.
    """

    top1: float
    interval: Range | None
    chance: float
    orders: dict[str, OrderFigures]
    per_class: tuple[ClassOrders, ...]
    turned: tuple[ReversalConfusion, ...]
    verdict: str
    method: str | None = None


@dataclass(frozen=True)
class FrameOrderResult:
    """Whether time matters to a model.

    Attributes:
        seed: of the random orders.
        heads: to their figures.
    """

    seed: int
    heads: dict[str, HeadFrameOrders]


def frame_order_metrics(
    ordinary: Sequence[VideoPrediction],
    changed: Mapping[str, Sequence[VideoPrediction]],
    classes: Mapping[str, Sequence[str]],
    seed: int,
) -> FrameOrderResult:
    """The figures and the verdict.

    Args:
        ordinary: predictions with the frames in order.
        changed: `shuffled`, `reversed` and `single_frame` to the predictions for the same videos, in the same order.
        classes: head to class names.
        seed: that the orders were drawn with.
    """
    resampling = Resampling.over(ordinary)
    return FrameOrderResult(
        seed, {head: _head_metrics(ordinary, changed, head, names, resampling) for head, names in classes.items()}
    )


def _head_metrics(
    ordinary: Sequence[VideoPrediction],
    changed: Mapping[str, Sequence[VideoPrediction]],
    head: str,
    names: Sequence[str],
    resampling: Resampling,
) -> HeadFrameOrders:
    scores = scores_of(ordinary, head, len(names))
    others = {order: scores_of(changed[order], head, len(names)) for order in ORDERS}
    hits, predicted = scores.hits(1), _predicted(scores)
    orders = {}
    for order, other in others.items():
        theirs = other.hits(1)
        between = resampling.share(theirs)
        orders[order] = OrderFigures(
            top1=float(theirs.mean()),
            interval=None if between is None else between.range,
            difference=paired_difference(hits, theirs, resampling),
            same=float((predicted == _predicted(other)).double().mean()),
            method=None if between is None else between.method,
        )
    targets, top1, interval = scores.all_targets, float(hits.mean()), resampling.share(hits)
    majority = (targets == torch.bincount(targets).argmax()).double()
    chance = float(majority.mean())
    turned: Counter[tuple[int, int]] = Counter()
    backwards = _predicted(others[REVERSED])
    for truth, before, after in zip(targets.tolist(), predicted.tolist(), backwards.tolist(), strict=True):
        if before == truth and after not in (truth, -1):
            turned[truth, after] += 1
    return HeadFrameOrders(
        top1=top1,
        interval=None if interval is None else interval.range,
        chance=chance,
        orders=orders,
        per_class=_per_class(names, hits, {order: other.hits(1) for order, other in others.items()}, targets),
        turned=tuple(ReversalConfusion(names[a], names[b], n) for (a, b), n in turned.most_common(MOST_REVERSED)),
        verdict=verdict(
            top1,
            chance,
            paired_difference(majority, hits, resampling),
            resampling.bootstrap,
            shuffled=orders[SHUFFLED].difference,
            backwards=orders[REVERSED].difference,
            single_frame=orders[SINGLE_FRAME].difference,
        ),
        method=None if interval is None else interval.method,
    )


def _predicted(scores: Scores) -> Tensor:
    """int64 [N], the class with the highest logit; -1 for a video that could not be read."""
    predicted = torch.full((len(scores.all_targets),), -1, dtype=torch.int64)
    if len(scores.target):
        predicted[scores.readable] = scores.logits.argmax(dim=1)
    return predicted


def _per_class(
    names: Sequence[str], hits: Float[Tensor, "N"], others: Mapping[str, Float[Tensor, "N"]], targets: Tensor
) -> tuple[ClassOrders, ...]:
    rows = []
    for number, name in enumerate(names):
        of_class = targets == number
        count = int(of_class.sum())
        recalls = {order: float(values[of_class].mean()) if count else None for order, values in others.items()}
        rows.append(ClassOrders(name, count, float(hits[of_class].mean()) if count else None, **recalls))
    return tuple(rows)
