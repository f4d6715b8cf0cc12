"""Means over seeds with their uncertainty, and differences between two cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and how far the truth may well be from it.

    Attributes:
        mean: of the values.
        half: half the width of the interval, to both sides; None where a single value says nothing about it.
        count: values.
    """

    mean: float
    half: float | None
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.half is not None and abs(self.mean) > self.half


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean with Student's t-interval, as wide as few values make it.

    Args:
        values: one for each seed; at least one.
        confidence: share of such intervals that hold the truth, if the values are normally distributed.
    """
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(mean, None, count)
    error = statistics.stdev(values) / math.sqrt(count)
    return Interval(mean, t_quantile(count - 1, confidence) * error, count)


def difference(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Interval:
    """How much better `ours` is than `theirs`: by seed and by video, paired.

    Two things are chance here: the seeds, and which videos happen to be tested on. There is an interval for each: the
    t-interval of the difference over seeds, and that of the seeds' mean difference over videos. The wider one counts,
    so that three seeds that agree by luck do not pass for certainty.

    Args:
        ours: for each seed, for each test video, how right it was (0 or 1; a share with several heads).
        theirs: of the same seeds and videos.
    """
    by_seed = [_mean(mine) - _mean(other) for mine, other in zip(ours, theirs, strict=True)]
    over_seeds = mean_interval(by_seed)
    by_video = [
        _mean([seed[video] for seed in ours]) - _mean([seed[video] for seed in theirs]) for video in range(len(ours[0]))
    ]
    over_videos = mean_interval(by_video)
    halves = [half for half in (over_seeds.half, over_videos.half) if half is not None]
    if over_seeds.half is None:
        return Interval(over_seeds.mean, None, over_seeds.count)
    return Interval(over_seeds.mean, max(halves), over_seeds.count)


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """How many standard errors a two-sided interval of Student's t reaches to each side.

    The distribution function has a closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4),
    which is inverted by halving.
    """
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """The probability that a variable with Student's t-distribution lies between -t and t."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for power in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * power / (power + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
