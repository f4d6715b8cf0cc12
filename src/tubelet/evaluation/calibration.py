"""Whether a model is as often right as it is confident: reliability, calibration error, a temperature that fixes it.

Guo et al., "On calibration of modern neural networks" (ICML 2017): logits are divided by one number, fitted on videos
that are not those of the test. The class with the highest logit stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.errors import DataError

BINS = 15
COLDEST, HOTTEST = 1e-2, 1e2
"""Temperatures between which the best one is looked for."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The videos whose top-1 probability lies in one part of [0, 1].

    Attributes:
        low: where the part begins.
        high: where it ends.
        count: videos in it.
        confidence: their top-1 probability, mean; None without videos.
        accuracy: share of them that were right; None without videos.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """What a temperature that was fitted elsewhere does to a head.

    Attributes:
        temperature: that logits are divided by; above 1 the model was too confident.
        fitted_on: videos that it was fitted on, how many.
        split: they are of; None if they have no split.
        loss: cross entropy in nats after it, over the videos that could be read.
        calibration_error: after it.
        reliability: after it.
    """

    temperature: float
    fitted_on: int
    split: str | None
    loss: float
    calibration_error: float
    reliability: tuple[ReliabilityBin, ...]


def reliability(logits: Float[Tensor, "N K"], target: Int[Tensor, "N"]) -> tuple[ReliabilityBin, ...]:
    """Confidence and accuracy in 15 bins of equal width; a bin holds its lower edge, the last one both."""
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    right = (predicted == target).double()
    counts = torch.bincount(bins, minlength=BINS).tolist()
    sums = torch.zeros(BINS, dtype=torch.float64)
    confidences, rights = sums.index_add(0, bins, confidence).tolist(), sums.index_add(0, bins, right).tolist()
    return tuple(
        ReliabilityBin(n / BINS, (n + 1) / BINS, count, *((conf / count, hit / count) if count else (None, None)))
        for n, (count, conf, hit) in enumerate(zip(counts, confidences, rights, strict=True))
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015): |confidence - accuracy|, weighted by the videos."""
    total = sum(one.count for one in bins)
    gaps = [
        one.count * abs(one.confidence - one.accuracy)
        for one in bins
        if one.confidence is not None and one.accuracy is not None
    ]
    return math.fsum(gaps) / total


def fit_temperature(logits: Float[Tensor, "N K"], target: Int[Tensor, "N"]) -> float:
    """The temperature with the lowest cross entropy. In its inverse that is convex, so there is one.

    Raises:
        DataError: no videos; or no temperature is best: every video is right by far, or the logits say nothing.
    """
    if not len(logits):
        raise DataError("no video to fit a temperature on; name a split whose videos can be read")
    logits = logits.double()

    def slope(inverse: float) -> float:
        expected = (logits * (logits * inverse).softmax(dim=1)).sum(dim=1)
        return float((expected - logits.gather(1, target[:, None])[:, 0]).mean())

    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    if slope(math.exp(high)) <= 0:
        raise DataError(
            f"all {len(logits)} videos are right, and the more confident the model the better: no temperature is best; "
            "fit it on more videos"
        )
    if slope(math.exp(low)) >= 0:
        raise DataError("the logits say nothing about these videos: the best temperature is without bound")
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def calibrate(
    logits: Float[Tensor, "N K"], target: Int[Tensor, "N"], temperature: float, fitted_on: int, split: str | None
) -> Calibration:
    """What a temperature does on videos that it was not fitted on."""
    bins = reliability(logits / temperature, target)
    loss = torch.nn.functional.cross_entropy(logits / temperature, target).item()
    return Calibration(temperature, fitted_on, split, loss, calibration_error(bins), bins)
