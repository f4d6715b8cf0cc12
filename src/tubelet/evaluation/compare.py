"""Evaluations of several models beside each other, on the videos that all of them were asked about."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.config import to_dict
from tubelet.errors import DataError
from tubelet.evaluation.intervals import RESAMPLES, Bootstrap, Resampling
from tubelet.evaluation.metrics import HeadMetrics, JointMetrics, compute_metrics, joint_hits
from tubelet.evaluation.paired import Difference, holm, paired_difference
from tubelet.evaluation.predictions import VideoPrediction
from tubelet.evaluation.results import Evaluation
from tubelet.evaluation.scores import scores_of

ALL_HEADS = "all heads"
EXAMPLES = 8


@dataclass(frozen=True)
class Pair:
    """Two runs on one head, or on all heads together.

    Attributes:
        first: name of a run.
        second: name of another.
        head: that is compared; `all heads` asks that every head is right.
        difference: of the second against the first.
        adjusted_p_value: allows for the number of pairs on this head (Holm).
        examples: indices into `Comparison.videos` that only one of them gets right; first those whose right class the
            other found least likely.
    """

    first: str
    second: str
    head: str
    difference: Difference
    adjusted_p_value: float
    examples: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """What several runs do on the same videos.

    Attributes:
        names: of the runs, in the order they were given.
        classes: head to class names.
        metrics: run to head to figures, on the shared videos.
        joint: run to the figures of all heads together; None with one head.
        pairs: every two runs on every head.
        num_videos: that all runs were asked about, those included that one of them could not read.
        left_out: run to the number of its videos that another run was not asked about.
        learned_from: shared videos that were left out as well, since a run learned from them.
        chosen_on: run to the shared videos that chose its weights; None where that is not known.
        provenance_unknown: run to the reason why it is not known whether it learned from the shared videos; only runs
            that have one.
        splits: run to the split that it was evaluated on; None for all videos.
        data: run to the data that it was evaluated on; None if unknown.
        bootstrap: what the intervals are over.
        views: run to the views that it looked at.
        multiply_adds: run to those of a video, where they are known.
        videos: those that `examples` name.
    """

    names: tuple[str, ...]
    classes: dict[str, list[str]]
    metrics: dict[str, dict[str, HeadMetrics]]
    joint: dict[str, JointMetrics | None]
    pairs: tuple[Pair, ...]
    num_videos: int
    left_out: dict[str, int]
    learned_from: int
    chosen_on: dict[str, int | None]
    provenance_unknown: dict[str, str]
    splits: dict[str, str | None]
    data: dict[str, str | None]
    bootstrap: Bootstrap
    views: dict[str, str]
    multiply_adds: dict[str, float | None]
    videos: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return to_dict(self)


def compare(evaluations: Mapping[str, Evaluation], *, resamples: int = RESAMPLES) -> Comparison:
    """Compare evaluations with paired tests, on the videos that all of them have.

    Args:
        evaluations: name to evaluation, with its predictions.
        resamples: of the bootstrap.

    Raises:
        DataError: less than two, no shared video, other classes, or a video whose class is not the same in all.
    """
    if len(evaluations) < 2:
        raise DataError("a comparison needs two runs or more")
    classes = _shared_classes(evaluations)
    shared, left_out, learned_from = _shared_videos(evaluations, classes)
    names = tuple(evaluations)
    resampling = Resampling.over(_with_groups(shared), resamples=resamples)
    metrics, joint = {}, {}
    for name, predictions in shared.items():
        metrics[name], joint[name] = compute_metrics(predictions, classes, resampling)
    pairs = _pairs(shared, classes, resampling)
    wanted = sorted({index for pair in pairs for index in pair.examples})
    return Comparison(
        names=names,
        classes=classes,
        metrics=metrics,
        joint=joint,
        pairs=tuple(pairs),
        num_videos=len(shared[names[0]]),
        left_out=left_out,
        learned_from=learned_from,
        chosen_on={name: _chosen_on(evaluations[name], predictions) for name, predictions in shared.items()},
        provenance_unknown={name: reason for name, one in evaluations.items() if (reason := _unknown(one)) is not None},
        splits={name: evaluation.split for name, evaluation in evaluations.items()},
        data={name: evaluation.data for name, evaluation in evaluations.items()},
        bootstrap=resampling.bootstrap,
        views={name: evaluation.views for name, evaluation in evaluations.items()},
        multiply_adds={
            name: None if evaluation.cost is None else evaluation.cost.multiply_adds
            for name, evaluation in evaluations.items()
        },
        videos={index: _video(index, shared) for index in wanted},
    )


def _shared_classes(evaluations: Mapping[str, Evaluation]) -> dict[str, list[str]]:
    """The classes of the first, which the others have too, perhaps in another order."""
    (first_name, first), *others = evaluations.items()
    if not first.metrics or first.multi_label:
        raise DataError("paired tests are for videos of one class each, and these may show several")
    for name, other in others:
        ours, theirs = ({head: set(names) for head, names in one.classes.items()} for one in (first, other))
        if ours != theirs:
            raise DataError(f"{first_name} and {name} do not have the same heads and classes; compare runs that do")
    return first.classes


def _shared_videos(
    evaluations: Mapping[str, Evaluation], classes: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[VideoPrediction]], dict[str, int], int]:
    """The predictions for the videos that all have and none learned from, in the order of the first and with its class
    indices; of each run how many the others lack; and how many shared ones some run learned from."""
    by_key = {name: _by_key(name, evaluation) for name, evaluation in evaluations.items()}
    first = next(iter(by_key.values()))
    both = [key for key in first if all(key in others for others in by_key.values())]
    if not both:
        raise DataError("the runs share no video; evaluate them on the same data and split")
    keys = [key for key in both if all(others[key].use != "learned" for others in by_key.values())]
    if not keys:
        raise DataError(
            f"one of the runs learned from all {len(both)} videos that they share, so nothing can be compared on them; "
            "evaluate them on videos that are new to all"
        )
    shared = {}
    for name, evaluation in evaluations.items():
        orders = {head: [evaluation.classes[head].index(one) for one in names] for head, names in classes.items()}
        shared[name] = [_reordered(by_key[name][key], orders) for key in keys]
    reference = next(iter(shared.values()))
    for name, predictions in shared.items():
        for ours, theirs in zip(reference, predictions, strict=True):
            if ours.labels != theirs.labels:
                raise DataError(f"{theirs.path} has another class in {name} than in the first run; the data changed")
    return shared, {name: len(by_key[name]) - len(both) for name in by_key}, len(both) - len(keys)


def _chosen_on(evaluation: Evaluation, shared: Sequence[VideoPrediction]) -> int | None:
    return None if evaluation.chosen_on is None else sum(one.use == "chose" for one in shared)


def _unknown(evaluation: Evaluation) -> str | None:
    if evaluation.provenance_unknown is None and evaluation.learned_from is None:
        return "its evaluation does not say which videos the model learned from; evaluate it again"
    return evaluation.provenance_unknown


def _with_groups(shared: Mapping[str, list[VideoPrediction]]) -> list[VideoPrediction]:
    """The predictions of the first run that knows the groups of its videos, or of the first of all."""
    grouped = (predictions for predictions in shared.values() if any(one.group is not None for one in predictions))
    return next(grouped, next(iter(shared.values())))


def _by_key(name: str, evaluation: Evaluation) -> dict[Any, VideoPrediction]:
    if not evaluation.predictions:
        raise DataError(f"{name} has no stored predictions; `tubelet evaluate` writes them")
    by_key = {(os.path.normpath(one.path), *one.key[1:]): one for one in evaluation.predictions}
    if len(by_key) < len(evaluation.predictions):
        raise DataError(f"{name} has a video twice, so that its predictions are ambiguous")
    return by_key


def _reordered(prediction: VideoPrediction, orders: Mapping[str, Sequence[int]]) -> VideoPrediction:
    """The same with class indices and logits in another order: `orders` has, for each class, where it was."""
    labels = {head: order.index(prediction.labels[head]) for head, order in orders.items()}
    logits = prediction.logits
    if logits is not None:
        logits = {head: tuple(logits[head][index] for index in order) for head, order in orders.items()}
    return dataclasses.replace(prediction, labels=labels, logits=logits)


def _pairs(
    shared: Mapping[str, list[VideoPrediction]], classes: Mapping[str, Sequence[str]], resampling: Resampling
) -> list[Pair]:
    pairs: list[Pair] = []
    for head in [*classes, *([ALL_HEADS] if len(classes) > 1 else [])]:
        heads = list(classes) if head == ALL_HEADS else [head]
        hits = {name: _hits(predictions, {one: classes[one] for one in heads}) for name, predictions in shared.items()}
        doubts = {name: _doubts(predictions, heads) for name, predictions in shared.items()}
        two_by_two = list(combinations(shared, 2))
        found = [paired_difference(hits[first], hits[second], resampling) for first, second in two_by_two]
        adjusted = holm([one.p_value for one in found])
        for (first, second), difference, p_value in zip(two_by_two, found, adjusted, strict=True):
            changed = hits[first] != hits[second]
            surprise = torch.where(changed, torch.maximum(doubts[first], doubts[second]), -torch.inf)
            order = surprise.argsort(descending=True, stable=True)[: min(EXAMPLES, int(changed.sum()))]
            pairs.append(Pair(first, second, head, difference, p_value, tuple(order.tolist())))
    return pairs


def _hits(predictions: Sequence[VideoPrediction], classes: Mapping[str, Sequence[str]]) -> Float[Tensor, "N"]:
    if len(classes) > 1:
        return joint_hits(predictions, classes)[0]
    ((head, names),) = classes.items()
    return scores_of(predictions, head, len(names)).hits(1)


def _doubts(predictions: Sequence[VideoPrediction], heads: Sequence[str]) -> Float[Tensor, "N"]:
    """Cross entropy of the right classes; 0 for a video that could not be read, which shows nothing."""
    doubts = torch.zeros(len(predictions), dtype=torch.float64)
    for index, prediction in enumerate(predictions):
        for head in heads if prediction.logits is not None else ():
            logits = torch.tensor(prediction.logits[head], dtype=torch.float64)  # type: ignore[index]
            doubts[index] -= logits.log_softmax(0)[prediction.labels[head]]
    return doubts


def _video(index: int, shared: Mapping[str, Sequence[VideoPrediction]]) -> dict[str, Any]:
    """What the page shows of a video: where it is, what it shows, and what each run predicts."""
    one = next(iter(shared.values()))[index]
    predicted = {
        name: None if predictions[index].logits is None else _predicted(predictions[index])
        for name, predictions in shared.items()
    }
    return {"path": one.path, "start": one.start, "end": one.end, "labels": one.labels, "said": predicted}


def _predicted(prediction: VideoPrediction) -> dict[str, tuple[int, float]]:
    """Head to the class with the highest logit, and its probability."""
    found = {}
    for head, logits in (prediction.logits or {}).items():
        shares = torch.tensor(logits, dtype=torch.float64).softmax(0)
        found[head] = (int(shares.argmax()), float(shares.max()))
    return found
