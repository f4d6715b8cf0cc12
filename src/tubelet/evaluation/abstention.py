"""Answers that a model gives up because they are too doubtful: coverage, and accuracy where it answers.

Selective classification (El-Yaniv and Wiener, JMLR 2010): a video whose highest probability, after a temperature, lies
below a threshold is `unknown`. Threshold and temperature are fitted on validation videos and measured on others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.config import OperatingPoint
from tubelet.errors import DataError
from tubelet.evaluation.calibration import fit_temperature
from tubelet.evaluation.scores import Scores


@dataclass(frozen=True)
class Abstention:
    """What abstaining does on a set of videos.

    Attributes:
        unknown_below: probability below which a video is `unknown`.
        coverage: share of all videos that are answered; unreadable ones are not.
        accuracy: share of the answered videos that are right; None if none is answered. One of the background that is
            answered is wrong.
        answered: how many.
        background: the class that reads `unknown`; None without.
        background_found: share of the videos of it that are `unknown`; None without such.
        fitted_on: videos that the threshold was fitted on.
        split: that these are of.
    """

    unknown_below: float
    coverage: float
    accuracy: float | None
    answered: int
    background: str | None
    background_found: float | None
    fitted_on: int
    split: str | None


def abstains(point: OperatingPoint) -> bool:
    """Whether there is anything that a head with this operating point calls `unknown`."""
    return point.unknown_below > 0 or point.background is not None


def abstention(scores: Scores, point: OperatingPoint, background: int | None) -> Abstention:
    """What the operating point of a head does on videos.

    Args:
        scores: of the head.
        point: of the head.
        background: index of its class that means none of the others.
    """
    confidence, predicted = (scores.logits / point.temperature).softmax(dim=1).max(dim=1)
    unknown = confidence < point.unknown_below
    if background is not None:
        unknown |= predicted == background
    answered = int((~unknown).sum())
    right = int((~unknown & (predicted == scores.target)).sum())
    of_background = scores.target == background if background is not None else torch.zeros_like(unknown)
    found = int(unknown[of_background].sum()) / int(of_background.sum()) if bool(of_background.any()) else None
    return Abstention(
        point.unknown_below,
        answered / len(scores.all_targets),
        right / answered if answered else None,
        answered,
        point.background,
        found,
        point.fitted_on,
        point.split,
    )


def fit_abstention(
    logits: Float[Tensor, "N K"], target: Int[Tensor, "N"], accuracy: float, background: int | None = None
) -> tuple[float, float]:
    """The temperature, and the lowest threshold at which the answered videos are right as often as wanted.

    Args:
        logits: of validation videos.
        target: their classes.
        accuracy: that the answers are to have, above 0 and at most 1.
        background: class that is never an answer.

    Returns:
        (temperature, threshold); the threshold is 0 where all answers together are accurate enough. The temperature is
        1 where none is best (all videos are right).

    Raises:
        DataError: no threshold gives the accuracy.
    """
    try:
        temperature = fit_temperature(logits, target)
    except DataError:
        temperature = 1.0
    confidence, predicted = (logits.double() / temperature).softmax(dim=1).max(dim=1)
    possible = predicted != background if background is not None else torch.ones_like(predicted, dtype=torch.bool)
    order = confidence[possible].argsort(descending=True)
    sure = confidence[possible][order]
    right = (predicted == target)[possible][order].double()
    shares = right.cumsum(0) / torch.arange(1, len(right) + 1, dtype=torch.float64)
    last_of_its_kind = torch.ones_like(shares, dtype=torch.bool)
    last_of_its_kind[:-1] = sure[:-1] > sure[1:]
    reached = torch.nonzero((shares >= accuracy) & last_of_its_kind)[:, 0]
    if not len(reached):
        best = f"{float(shares.max()):.1%}" if len(shares) else "nothing"
        raise DataError(f"no threshold makes {accuracy:.1%} of the answers right; the best is {best}")
    last = int(reached[-1])
    return temperature, 0.0 if last == len(sure) - 1 else float((sure[last] + sure[last + 1]) / 2)
