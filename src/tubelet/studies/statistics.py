"""Means over seeds with their uncertainty, and differences between two cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tubelet.config.confidence import FEWEST_UNITS
from tubelet.evaluation.intervals import all_alike_bound

CONFIDENCE = 0.95
SMALLEST_SPREAD = 1e-12
"""Values with no larger standard deviation count as equal."""


@dataclass(frozen=True)
class Interval:
    """A mean and how far the truth may well be from it.

    Attributes:
        mean: of the values.
        half: half the width of the interval, to both sides; None where the values say nothing about it: a single
            one, or several that are all the same.
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
    """The mean with Student's t-interval, as wide as few values make it; without one where all values are the same.

    Args:
        values: one for each seed; at least one.
        confidence: share of such intervals that hold the truth, if the values are normally distributed.
    """
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(mean, None, count)
    spread = statistics.stdev(values)
    if spread <= SMALLEST_SPREAD:
        return Interval(mean, None, count)
    return Interval(mean, t_quantile(count - 1, confidence) * spread / math.sqrt(count), count)


def difference(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Interval:
    """How much better `ours` is than `theirs`: by seed and by video, paired.

    Two things are chance here: the seeds, and which videos happen to be tested on. There is an interval for each: the
    t-interval of the difference over seeds, and that of the seeds' mean difference over videos. The wider one counts,
    so that three seeds that agree by luck do not pass for certainty. With a single seed, or too few videos, there is
    none.

    Args:
        ours: for each seed, for each test video, how right it was (0 or 1; a share with several heads).
        theirs: of the same seeds and videos.
    """
    by_seed = [_mean(mine) - _mean(other) for mine, other in zip(ours, theirs, strict=True)]
    over_seeds = mean_interval(by_seed)
    by_video = [
        _mean([seed[video] for seed in ours]) - _mean([seed[video] for seed in theirs]) for video in range(len(ours[0]))
    ]
    if over_seeds.count < 2 or len(by_video) < FEWEST_UNITS:
        return Interval(over_seeds.mean, None, over_seeds.count)
    return Interval(over_seeds.mean, max(over_seeds.half or 0.0, _over_videos(by_video)), over_seeds.count)


def _over_videos(differences: Sequence[float]) -> float:
    """Half the interval of a mean difference over videos.

    Where all differ alike there is no spread, and the exact binomial bound says how many others may not.
    """
    interval = mean_interval(differences)
    if interval.half is not None:
        return interval.half
    others = all_alike_bound(len(differences), CONFIDENCE)
    return others * (1 + abs(interval.mean))


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """How many standard errors a two-sided interval of Student's t reaches to each side."""
    from scipy import special  # not above: its import takes a fifth of a second

    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
