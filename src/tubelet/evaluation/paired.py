"""Whether two sets of predictions for the same videos differ by more than these videos' luck."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from tubelet.config.confidence import SIGNIFICANT
from tubelet.evaluation.intervals import Range, Resampling


@dataclass(frozen=True)
class Difference:
    """How the second does against the first, on the same videos.

    Attributes:
        difference: share right of the second, minus that of the first.
        interval: of the difference, 95 %, paired: each draw takes the same videos for both. None where the data do not
            support one (see `tubelet.evaluation.intervals`).
        p_value: of McNemar's exact test: how likely so uneven a split of the videos that only one gets right is if both
            are equally good. It takes videos for independent; where they come in groups, trust the interval.
        only_first: videos that the first alone gets right.
        only_second: videos that the second alone gets right.
        both: videos that both get right.
        neither: videos that none gets right.
        method: how the interval was made, `bootstrap` or `binomial`; None without one.
    """

    difference: float
    interval: Range | None
    p_value: float
    only_first: int
    only_second: int
    both: int
    neither: int
    method: str | None = None

    @property
    def shown(self) -> bool:
        """Whether the difference counts as shown: McNemar's p is below 0.05, and no interval there is holds 0."""
        return self.significant and not (self.interval is not None and self.interval[0] <= 0 <= self.interval[1])

    @property
    def significant(self) -> bool:
        """Whether McNemar's p is below 0.05."""
        return self.p_value < SIGNIFICANT


def paired_difference(
    first: Float[Tensor, "N"], second: Float[Tensor, "N"], resampling: Resampling | None = None
) -> Difference:
    """Compare two lists of hits, video for video.

    Args:
        first: 1 where the first is right, 0 where it is wrong.
        second: the same of the second, for the same videos in the same order.
        resampling: draws over these videos, for the interval; none without.
    """
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    both, total = int((first * second).sum()), len(first)
    change = second - first
    interval = None if resampling is None else resampling.change(change)
    return Difference(
        difference=(only_second - only_first) / total,
        interval=None if interval is None else interval.range,
        p_value=mcnemar(only_first, only_second),
        only_first=only_first,
        only_second=only_second,
        both=both,
        neither=total - both - only_first - only_second,
        method=None if interval is None else interval.method,
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p-value of McNemar's test (1947): a fair coin for each video that only one gets right."""
    from scipy import special  # not above: its import takes a fifth of a second

    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for their number (Holm, 1979), in the same order. SciPy does not have it."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
