"""Whether time matters to a model: what becomes of its accuracy when the frames of a clip lose their order.

The figures, out of stored predictions; `tubelet.evaluate.probe` makes these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.evaluate.intervals import Range, Resampling
from tubelet.evaluate.metrics import Scores, scores_of
from tubelet.evaluate.paired import Difference, paired_difference
from tubelet.evaluate.predictions import VideoPrediction

SHUFFLED, REVERSED, SINGLE_FRAME = "shuffled", "reversed", "single_frame"
ORDERS = (SHUFFLED, REVERSED, SINGLE_FRAME)
"""Frames in random order; last frame first; the middle frame in place of all."""

TURNED = 8
"""Pairs of classes that are named."""


@dataclass(frozen=True)
class OrderFigures:
    """What a head does with frames in another order.

    Attributes:
        top1: share right.
        interval: of it, 95 %.
        difference: against the ordinary order, on the same videos; negative where the order is missed.
        same: share of the videos for which the model says the same as with the ordinary order.
    """

    top1: float
    interval: Range | None
    difference: Difference
    same: float


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
class Turned:
    """Videos of a class that were called right, and are called `said` when they are played backwards."""

    truth: str
    said: str
    count: int


@dataclass(frozen=True)
class HeadProbe:
    """Whether time matters to one head.

    Attributes:
        top1: with the frames in order.
        interval: of it, 95 %.
        chance: share of the most frequent class among the videos: what naming it always would reach.
        orders: `shuffled`, `reversed` and `single_frame` to their figures.
        per_class: recall of each class in every order.
        turned: what becomes of right answers when the video is played backwards, the most frequent first.
        verdict: in words.
    """

    top1: float
    interval: Range | None
    chance: float
    orders: dict[str, OrderFigures]
    per_class: tuple[ClassOrders, ...]
    turned: tuple[Turned, ...]
    verdict: str


@dataclass(frozen=True)
class TemporalProbe:
    """Whether time matters to a model.

    Attributes:
        seed: of the random orders.
        heads: to their figures.
    """

    seed: int
    heads: dict[str, HeadProbe]


def temporal_probe(
    ordinary: Sequence[VideoPrediction],
    changed: Mapping[str, Sequence[VideoPrediction]],
    classes: Mapping[str, Sequence[str]],
    seed: int,
) -> TemporalProbe:
    """The figures and the verdict.

    Args:
        ordinary: predictions with the frames in order.
        changed: each of `ORDERS` to the predictions for the same videos with it.
        classes: head to class names.
        seed: that the orders were drawn with.
    """
    resampling = Resampling.over(ordinary)
    return TemporalProbe(
        seed, {head: _head_probe(ordinary, changed, head, names, resampling) for head, names in classes.items()}
    )


def _head_probe(
    ordinary: Sequence[VideoPrediction],
    changed: Mapping[str, Sequence[VideoPrediction]],
    head: str,
    names: Sequence[str],
    resampling: Resampling,
) -> HeadProbe:
    scores = scores_of(ordinary, head, len(names))
    others = {order: scores_of(changed[order], head, len(names)) for order in ORDERS}
    hits, said = scores.hits(1), _said(scores)
    orders = {}
    for order, other in others.items():
        theirs = other.hits(1)
        orders[order] = OrderFigures(
            top1=float(theirs.mean()),
            interval=resampling.share(theirs),
            difference=paired_difference(hits, theirs, resampling),
            same=float((said == _said(other)).double().mean()),
        )
    targets, interval = scores.all_targets, resampling.share(hits)
    chance = int(torch.bincount(targets).max()) / len(targets)
    turned: Counter[tuple[int, int]] = Counter()
    for truth, before, after in zip(targets.tolist(), said.tolist(), _said(others[REVERSED]).tolist(), strict=True):
        if before == truth and after not in (truth, -1):
            turned[truth, after] += 1
    return HeadProbe(
        top1=float(hits.mean()),
        interval=interval,
        chance=chance,
        orders=orders,
        per_class=_per_class(names, hits, {order: other.hits(1) for order, other in others.items()}, targets),
        turned=tuple(Turned(names[a], names[b], count) for (a, b), count in turned.most_common(TURNED)),
        verdict=verdict(float(hits.mean()), interval, chance, orders),
    )


def _said(scores: Scores) -> Tensor:
    """int64 [N], the class with the highest logit; -1 for a video that could not be read."""
    said = torch.full((len(scores.all_targets),), -1, dtype=torch.int64)
    if len(scores.target):
        said[scores.readable] = scores.logits.argmax(dim=1)
    return said


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


def verdict(top1: float, interval: Range | None, chance: float, orders: Mapping[str, OrderFigures]) -> str:
    """What the figures say, and what they do not.

    A cost counts as shown where the whole interval of the difference lies below 0.
    """
    if interval is None:
        return "All videos belong to one group (or there is only one): nothing can be said about chance."
    if interval[0] <= chance:
        return (
            f"The model is right for {top1:.1%} of the videos, and always naming the most frequent class would be for "
            f"{chance:.1%}: it is not clearly better than that, so this says nothing about time."
        )
    shuffled, backwards, single = (orders[order] for order in ORDERS)
    in_order, direction = _is_cost(shuffled), _is_cost(backwards)
    if in_order:
        first = f"Time matters to this model: with its frames shuffled it loses {_points(shuffled, -1)}."
    else:
        first = (
            "These videos do not show that the order of frames matters to this model: shuffling them changes its "
            f"accuracy by {_points(shuffled)}."
        )
    if direction:
        word = "matters too" if in_order else "does matter"
        second = f"The direction of time {word}: played backwards it loses {_points(backwards, -1)}."
    else:
        second = f"That the direction of time matters is not shown: playing backwards is {_points(backwards)}."
    alone = f"from the middle frame alone it is right for {single.top1:.1%}."
    third = f"One frame is not enough: {alone}" if _is_cost(single) else f"One frame does as well for it: {alone}"
    return " ".join((first, second, third))


def _is_cost(figures: OrderFigures) -> bool:
    interval = figures.difference.interval
    return interval is not None and interval[1] < 0


def _points(figures: OrderFigures, sign: int = 1) -> str:
    """The difference in points, with its interval; signed, or as a loss where `sign` is -1."""
    form = "+.1f" if sign == 1 else ".1f"
    interval = figures.difference.interval
    ends = sorted(sign * 100 * end for end in interval or ())
    between = f" ({ends[0]:{form}} to {ends[1]:{form}})" if ends else ""
    return f"{sign * 100 * figures.difference.difference:{form}} points{between}"
