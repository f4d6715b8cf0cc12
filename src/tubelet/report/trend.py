"""A straight line through the last part of a curve, and how sure its slope is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_POINTS = 4
"""A line through fewer says nothing about its own error."""
MOST_POINTS = 30
"""Longer curves are averaged over so many equal parts: single steps are too noisy, and their errors are related."""

Points = Sequence[tuple[float, float]]
"""(place, value), in order."""


@dataclass(frozen=True)
class Trend:
    """The least-squares line over a part of a curve.

    Attributes:
        change: of the line from the part's first place to its last one.
        error: standard error of `change`, from the residuals.
        end: the line's value at the last place.
    """

    change: float
    error: float
    end: float

    @property
    def rises(self) -> bool:
        """Whether the change is above 0 by more than two standard errors."""
        return self.change > 2 * self.error

    @property
    def falls(self) -> bool:
        """Whether the change is below 0 by more than two standard errors."""
        return self.change < -2 * self.error


def trend(points: Points) -> Trend | None:
    """The trend of a curve; None with fewer than `FEWEST_POINTS` points."""
    points = _averaged(points)
    if len(points) < FEWEST_POINTS:
        return None
    count = len(points)
    middle = math.fsum(x for x, _ in points) / count
    mean = math.fsum(y for _, y in points) / count
    spread = math.fsum((x - middle) ** 2 for x, _ in points)
    if not spread:
        return None
    slope = math.fsum((x - middle) * (y - mean) for x, y in points) / spread
    residual = math.fsum((y - mean - slope * (x - middle)) ** 2 for x, y in points) / (count - 2)
    first, last = points[0][0], points[-1][0]
    return Trend(slope * (last - first), math.sqrt(residual / spread) * (last - first), mean + slope * (last - middle))


def second_half(points: Points, end: float) -> list[tuple[float, float]]:
    """The points in the second half of the places up to `end`."""
    return [(x, y) for x, y in points if x > end / 2]


def _averaged(points: Points) -> list[tuple[float, float]]:
    count = len(points)
    if count <= MOST_POINTS:
        return list(points)
    edges = [round(part * count / MOST_POINTS) for part in range(MOST_POINTS + 1)]
    parts = [points[first:last] for first, last in itertools.pairwise(edges)]
    return [(math.fsum(x for x, _ in part) / len(part), math.fsum(y for _, y in part) / len(part)) for part in parts]
