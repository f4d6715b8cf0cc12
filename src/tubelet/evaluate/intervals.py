"""How far a figure could be off because other videos might have been in the test: bootstrap confidence intervals.

Videos are drawn with replacement, as many as there are, and every figure is computed again (Efron, 1979; percentiles).
Videos that belong together (a person, a source video) are drawn together: they do not err independently, and intervals
over single videos would be too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.data import independent_unit
from tubelet.evaluate.predictions import VideoPrediction

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0
BLOCK = 2_000_000
"""Numbers of a block of resamples."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Bootstrap:
    """How the intervals of an evaluation were made.

    Attributes:
        unit: what was drawn: a `video` (all of its parts together), or a `group` of videos where the data have groups.
        units: how many there are. With fewer than about ten, intervals are too narrow.
        level: share of intervals made so that would hold the true figure.
        resamples: how often.
        seed: of the draws.
    """

    unit: Literal["video", "group"]
    units: int
    level: float = LEVEL
    resamples: int = RESAMPLES
    seed: int = SEED


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
        names = [independent_unit(one) for one in predictions]
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

    def interval(self, statistic: Callable[[Float[Tensor, "R N"]], Float[Tensor, "R"]]) -> Range | None:
        """The middle `level` of a figure over the resamples; None if there is only one unit to draw.

        Args:
            statistic: weights [R, N] to the figure [R]; no number where a resample does not have it.
        """
        if self.bootstrap.units < 2:
            return None
        values = torch.cat([statistic(weights) for weights in self.weights()])
        values = values[values.isfinite()]
        if not len(values):
            return None
        tail = (1 - self.bootstrap.level) / 2
        low, high = torch.quantile(values, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
        return low, high

    def share(self, hits: Float[Tensor, "N"]) -> Range | None:
        """The interval of a share of all videos.

        Where all are right, or all wrong, drawing shows no spread at all: then it is the exact binomial bound
        (Clopper and Pearson, 1934) for as many independent videos as there are units.
        """
        if not len(hits) or self.bootstrap.units < 2:
            return None
        if bool((hits == hits[0]).all()):
            bound = ((1 - self.bootstrap.level) / 2) ** (1 / self.bootstrap.units)
            return (bound, 1.0) if hits[0] else (0.0, 1 - bound)
        return self.interval(lambda weights: weights @ hits / weights.sum(dim=1))

    def class_mean(self, hits: Float[Tensor, "N"], target: Int[Tensor, "N"], classes: int) -> Range | None:
        """The interval of the mean over the classes of the share of each; a class that is not drawn is left out."""
        if not len(hits) or bool((hits == hits[0]).all()):
            return self.share(hits)

        def statistic(weights: Tensor) -> Tensor:
            of_class = torch.zeros(len(weights), classes, dtype=torch.float64)
            support = of_class.index_add(1, target, weights)
            return (of_class.index_add(1, target, weights * hits) / support).nanmean(dim=1)

        return self.interval(statistic)

    def mean(self, values: Float[Tensor, "N"]) -> Range | None:
        """The interval of a mean over the videos that have a value, the others being no number."""
        there = values.isfinite()
        known = values.nan_to_num()
        return self.interval(lambda weights: weights @ known / (weights @ there.double()))
