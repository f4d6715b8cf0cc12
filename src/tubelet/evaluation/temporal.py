"""Whether time matters to a model: what becomes of its accuracy when the frames of a clip lose their order.

The figures, out of stored predictions; `tubelet.evaluation.probe` makes these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.evaluation.intervals import Bootstrap, Range, Resampling
from tubelet.evaluation.metrics import Scores, scores_of
from tubelet.evaluation.paired import Difference, paired_difference
from tubelet.evaluation.predictions import VideoPrediction

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
    turned: tuple[Turned, ...]
    verdict: str
    method: str | None = None


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
        between = resampling.share(theirs)
        orders[order] = OrderFigures(
            top1=float(theirs.mean()),
            interval=None if between is None else between.range,
            difference=paired_difference(hits, theirs, resampling),
            same=float((said == _said(other)).double().mean()),
            method=None if between is None else between.method,
        )
    targets, interval = scores.all_targets, resampling.share(hits)
    majority = (targets == torch.bincount(targets).argmax()).double()
    chance = float(majority.mean())
    turned: Counter[tuple[int, int]] = Counter()
    for truth, before, after in zip(targets.tolist(), said.tolist(), _said(others[REVERSED]).tolist(), strict=True):
        if before == truth and after not in (truth, -1):
            turned[truth, after] += 1
    return HeadProbe(
        top1=float(hits.mean()),
        interval=None if interval is None else interval.range,
        chance=chance,
        orders=orders,
        per_class=_per_class(names, hits, {order: other.hits(1) for order, other in others.items()}, targets),
        turned=tuple(Turned(names[a], names[b], count) for (a, b), count in turned.most_common(TURNED)),
        verdict=verdict(
            float(hits.mean()), chance, paired_difference(majority, hits, resampling), orders, resampling.bootstrap
        ),
        method=None if interval is None else interval.method,
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


def verdict(
    top1: float,
    chance: float,
    against_majority: Difference,
    orders: Mapping[str, OrderFigures],
    bootstrap: Bootstrap,
) -> str:
    """What the figures say, and what they do not.

    A difference counts as shown where McNemar's exact test says so (p < 0.05) and no interval that there is holds 0.

    Args:
        top1: accuracy with the frames in order.
        chance: accuracy of always naming the most frequent class.
        against_majority: the model against that, video for video.
        orders: each of `ORDERS` to its figures.
        bootstrap: what the intervals are over.
    """
    accuracy = f"Accuracy {_percent(top1)}, majority class {_percent(chance)}"
    caveat = "" if bootstrap.enough else f" {_few(bootstrap)}"
    if not (against_majority.shown and against_majority.difference > 0):
        return (
            f"{accuracy}: not shown to be better than always naming the most frequent class "
            f"({_evidence(against_majority)}), so this says nothing about time.{caveat}"
        )
    shuffled, backwards, single = (orders[order].difference for order in ORDERS)
    sentences = [f"{accuracy} ({_p(against_majority)})."]
    if _is_cost(shuffled):
        sentences.append(f"The order of frames matters to this model: shuffling costs {_points(shuffled, -1)}.")
    else:
        sentences.append(f"It is not shown that the order of frames matters: shuffling changes {_points(shuffled)}.")
    if _is_cost(backwards):
        sentences.append(f"The direction of time matters: playing backwards costs {_points(backwards, -1)}.")
    else:
        sentences.append(f"It is not shown that the direction matters: playing backwards changes {_points(backwards)}.")
    alone = f"accuracy on the middle frame alone is {_percent(orders[SINGLE_FRAME].top1)}"
    if _is_cost(single):
        sentences.append(f"One frame is not enough: {alone} ({_evidence(single)}).")
    else:
        sentences.append(f"It is not shown that one frame is not enough: {alone} ({_evidence(single)}).")
    return " ".join(sentences) + caveat


def _is_cost(difference: Difference) -> bool:
    return difference.shown and difference.difference < 0


def _few(bootstrap: Bootstrap) -> str:
    """What the p-values do not know."""
    units = f"{bootstrap.units} {bootstrap.unit}{'' if bootstrap.units == 1 else 's'}"
    return f"It is of {units}: too few to say whether it holds for other {bootstrap.unit}s."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _p(difference: Difference) -> str:
    return f"p = {difference.p_value:.2g}"


def _points(difference: Difference, sign: int = 1) -> str:
    """The difference in points with its interval and p, signed; or as a loss where `sign` is -1."""
    form = "+.1f" if sign == 1 else ".1f"
    return f"{sign * 100 * difference.difference:{form}} points ({_evidence(difference, sign)})"


def _evidence(difference: Difference, sign: int = 1) -> str:
    """The interval and p; and which of them speaks against it where they disagree."""
    form = "+.1f" if sign == 1 else ".1f"
    ends = sorted(sign * 100 * end for end in difference.interval or ())
    parts = [f"{ends[0]:{form}} to {ends[1]:{form}}"] if ends else []
    parts.append(_p(difference))
    if difference.significant and not difference.shown:
        parts.append("but the interval reaches 0")
    return ", ".join(parts)
