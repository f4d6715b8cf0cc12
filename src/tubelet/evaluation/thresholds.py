"""The threshold of each class of a multi-label head, fitted on validation videos."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

FEWEST = 5
"""Videos that show a class, and that do not, from which on a threshold is fitted for it."""


def fit_thresholds(
    probabilities: Float[Tensor, "N K"], truth: Int[Tensor, "N K"], *, fewest: int = FEWEST
) -> tuple[float | None, ...]:
    """For each class the threshold with the highest F1; of several the one with the widest gap around it.

    Args:
        probabilities: of each class in each video.
        truth: 1 where the video shows the class.
        fewest: videos of each kind that a class needs.

    Returns:
        thresholds midway between two probabilities; None for a class with fewer videos that show it, or do not.
    """
    found: list[float | None] = []
    for column, shown in zip(probabilities.double().T, truth.T, strict=True):
        positives = int(shown.sum())
        if min(positives, len(shown) - positives) < fewest:
            found.append(None)
            continue
        values, groups = column.unique(return_inverse=True)
        of_group = torch.bincount(groups, weights=shown.double()).flip(0)
        hits = of_group.cumsum(0)
        reported = torch.bincount(groups).flip(0).cumsum(0)
        f1 = 2 * hits / (reported + positives)
        from_above = values.flip(0)
        below = torch.cat([from_above[1:], from_above.new_zeros(1)])
        best = f1 >= f1.max() - 1e-12
        place = int(torch.where(best, from_above - below, -1.0).argmax())
        found.append(float((from_above[place] + below[place]) / 2))
    return tuple(found)
