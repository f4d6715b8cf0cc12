"""How far a figure could be off because other videos might have been in the test: confidence intervals.

Bootstrap: videos are drawn with replacement, as many as there are, and every figure is computed again (Efron, 1979;
percentiles). Videos that belong together (a person, a source video) are drawn together: they do not err independently,
and intervals over single videos would be too narrow.

Where all are right, or all wrong, drawing shows no spread at all. There the exact binomial bound stands (Clopper and
Pearson, 1934), for as many independent videos as there are units. Where the units agree in another way, and where there
are fewer than `FEWEST_UNITS` of them, there is no interval: the data do not support one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.config.confidence import FEWEST_UNITS, interval_words
from tubelet.data import independent_unit
from tubelet.evaluation.predictions import VideoPrediction

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0
BLOCK = 2_000_000
"""Numbers of a block of resamples."""

NARROWEST = 1e-9
"""An interval that is no wider than this shows that the units agree, not that the figure is certain."""

Range = tuple[float, float]
Method = Literal["bootstrap", "binomial"]


def all_alike_bound(units: int, level: float = LEVEL) -> float:
    """The share of other units that there may be though none is among `units`: the exact binomial bound.

    It is the upper end of the two-sided interval of Clopper and Pearson (1934).
    """
    from scipy import special  # not above: its import takes a fifth of a second

    return float(special.bdtri(0, units, (1 - level) / 2))


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was made.

    Attributes:
        low: its lower end.
        high: its upper end.
        method: `bootstrap`, or `binomial` for the exact binomial bound.
    """

    low: float
    high: float
    method: Method

    @property
    def range(self) -> Range:
        """Both ends."""
        return self.low, self.high


@dataclass(frozen=True)
class Bootstrap:
    """How the intervals of an evaluation were made.

    Attributes:
        unit: what was drawn: a `video` (all of its parts together), or a `group` of videos where the data have groups.
        units: how many there are. With fewer than `FEWEST_UNITS` there are no intervals.
        level: share of intervals made so that would hold the true figure.
        resamples: how often.
        seed: of the draws.
    """

    unit: Literal["video", "group"]
    units: int
    level: float = LEVEL
    resamples: int = RESAMPLES
    seed: int = SEED

    @property
    def enough(self) -> bool:
        """Whether there are enough units for an interval."""
        return self.units >= FEWEST_UNITS

    def describe(self, methods: Iterable[str]) -> str:
        """How the intervals were made, or why there are none.

        Args:
            methods: that were used, of `Interval.method`.
        """
        return interval_words(self.unit, self.units, methods, self.level)


@dataclass(frozen=True, eq=False)
class Resampling:
    """The draws for a set of videos: the same for every figure, so that figures can be compared draw by draw.

    Attributes:
        bootstrap: how.
        unit_of: int64 [N], the unit of each video.
    """

    bootstrap: Bootstrap
    unit_of: Int[Tensor, "N"]

    @classmethod
    def over(
        cls, predictions: Sequence[VideoPrediction], *, resamples: int = RESAMPLES, seed: int = SEED
    ) -> Resampling:
        """Draws over the groups of these videos, or over the videos if they have none."""
        grouped = any(one.group is not None for one in predictions)
        return cls.over_units([independent_unit(one) for one in predictions], grouped, resamples=resamples, seed=seed)

    @classmethod
    def over_units(
        cls, names: Sequence[str], grouped: bool, *, resamples: int = RESAMPLES, seed: int = SEED
    ) -> Resampling:
        """Draws over units that are named for each video; `grouped` says whether the data have groups."""
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        units = torch.tensor([numbers[name] for name in names], dtype=torch.int64)
        how = Bootstrap("group" if grouped else "video", len(numbers), resamples=resamples, seed=seed)
        return cls(how, units)

    def weights(self) -> Iterator[Float[Tensor, "R N"]]:
        """Blocks of resamples: how often each video is in each of them."""
        units, generator = self.bootstrap.units, torch.Generator().manual_seed(self.bootstrap.seed)
        rows = max(1, BLOCK // max(units, len(self.unit_of)))
        for first in range(0, self.bootstrap.resamples, rows):
            count = min(rows, self.bootstrap.resamples - first)
            drawn = torch.randint(units, (count, units), generator=generator)
            times = torch.zeros(count, units, dtype=torch.float64).scatter_add_(
                1, drawn, torch.ones_like(drawn).double()
            )
            yield times[:, self.unit_of]

    def interval(self, statistic: Callable[[Float[Tensor, "R N"]], Float[Tensor, "R"]]) -> Interval | None:
        """The middle `level` of a figure over the resamples; None if there are too few units, or all of them agree.

        Args:
            statistic: weights [R, N] to the figure [R]; no number where a resample does not have it.
        """
        if not self.bootstrap.enough:
            return None
        values = torch.cat([statistic(weights) for weights in self.weights()])
        values = values[values.isfinite()]
        if not len(values):
            return None
        tail = (1 - self.bootstrap.level) / 2
        low, high = torch.quantile(values, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
        return Interval(low, high, "bootstrap") if high - low > NARROWEST else None

    def share(self, hits: Float[Tensor, "N"]) -> Interval | None:
        """The interval of a share of all videos: the exact binomial one where all are right, or all wrong."""
        if not len(hits) or not self.bootstrap.enough:
            return None
        if bool((hits == hits[0]).all()):
            bound = self._bound()
            return Interval(1 - bound, 1.0, "binomial") if hits[0] else Interval(0.0, bound, "binomial")
        return self.interval(lambda weights: weights @ hits / weights.sum(dim=1))

    def change(self, change: Float[Tensor, "N"]) -> Interval | None:
        """The interval of a mean change from wrong (0) to right (1): 1, 0 or -1 for each video.

        Where it is the same for all videos, the exact binomial bound says how many others could differ.
        """
        if not len(change) or not self.bootstrap.enough:
            return None
        if bool((change == change[0]).all()):
            bound, all_of_them = self._bound(), float(change[0])
            if not all_of_them:
                return Interval(-bound, bound, "binomial")
            ends = sorted((all_of_them, all_of_them * (1 - 2 * bound)))
            return Interval(ends[0], ends[1], "binomial")
        return self.interval(lambda weights: weights @ change / weights.sum(dim=1))

    def _bound(self) -> float:
        return all_alike_bound(self.bootstrap.units, self.bootstrap.level)

    def class_mean(self, hits: Float[Tensor, "N"], target: Int[Tensor, "N"], classes: int) -> Interval | None:
        """The interval of the mean over the classes of the share of each; a class that is not drawn is left out."""
        if not len(hits) or bool((hits == hits[0]).all()):
            return self.share(hits)

        def statistic(weights: Tensor) -> Tensor:
            of_class = torch.zeros(len(weights), classes, dtype=torch.float64)
            support = of_class.index_add(1, target, weights)
            return (of_class.index_add(1, target, weights * hits) / support).nanmean(dim=1)

        return self.interval(statistic)

    def mean(self, values: Float[Tensor, "N"]) -> Interval | None:
        """The interval of a mean over the videos that have a value, the others being no number."""
        there = values.isfinite()
        known = values.nan_to_num().double()
        return self.interval(lambda weights: weights @ known / (weights @ there.double()))


def ranges_of(intervals: Mapping[str, Interval | None]) -> dict[str, Range]:
    """The ends of those intervals that there are."""
    return {name: one.range for name, one in intervals.items() if one is not None}


def methods_of(intervals: Mapping[str, Interval | None]) -> dict[str, str]:
    """How those intervals were made that there are."""
    return {name: one.method for name, one in intervals.items() if one is not None}
