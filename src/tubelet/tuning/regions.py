"""Which part of the picture tells the classes apart, by a linear classifier on each part: no model is trained.

Kernel ridge regression on small grey pictures, less their mean over time, each cell divided by its standard deviation,
fitted on three quarters of the units and asked about the rest, four times. A part is worth having if it alone says as
much as the whole picture and all other parts do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

GRID = 12
"""Parts are made of fields of the picture, so many in height and width."""

SIZES = {"two thirds": 8, "half": 6, "third": 4}
"""Sides of the parts that are tried, in fields, by what they are of the side of the picture."""

CELLS = 2
"""A field is seen as so many cells in height and width."""

FAINT = 1.0
"""Grey levels (of 255): a cell that varies less than that from video to video hardly counts."""

FOLDS = 4
RIDGE = 0.03
ALLOWANCE = 2.0
"""Standard errors by which a part may be worse than the best: a model gains from its pixels, a linear classifier on a
few cells does not."""

ABOVE_CHANCE = 3.0
"""Standard errors that the whole picture must be above chance for its parts to be compared."""

Region = tuple[float, float, float, float]


@dataclass(frozen=True)
class Part:
    """A part of the picture.

    Attributes:
        name: what its side is of that of the picture (`SIZES`).
        region: (top, left, bottom, right) as shares of the picture.
        accuracy: share of the labels (mean over heads) that a linear classifier gets right from it.
    """

    name: str
    region: Region
    accuracy: float


@dataclass(frozen=True)
class LinearLook:
    """What a linear classifier makes of the pictures, on units that it was not fitted on.

    Attributes:
        whole: share of the labels (mean over heads) that it gets right from the whole picture.
        chance: the share of the most frequent class, mean over heads.
        error: standard error of `whole`.
        parts: those that say as much as any other and the whole picture, but for `ALLOWANCE` standard errors: the best
            one of each size, largest first.
    """

    whole: float
    chance: float
    error: float
    parts: tuple[Part, ...] = ()


def look_linearly(
    pictures: UInt8[Tensor, "N T S S"], labels: Mapping[str, Sequence[int]], units: Sequence[str]
) -> LinearLook:
    """Find the part of the picture that decides.

    Args:
        pictures: of the training videos.
        labels: head to the class of each video.
        units: which videos belong together (a person); they are held out together.
    """
    folds, targets = _folds(units), [_one_hot(values) for values in labels.values()]
    chance = sum(float(target.mean(dim=0).max()) for target in targets) / len(targets)
    kernels = _kernels(pictures)
    whole = _score(kernels.sum((0, 1)), targets, folds)
    error = math.sqrt(max(whole * (1 - whole), 1e-9) / (len(pictures) * len(targets)))
    if whole < chance + ABOVE_CHANCE * error:
        return LinearLook(whole, chance, error)
    best = [_best_part(kernels, targets, folds, name, error) for name in SIZES]
    highest = max(whole, *(part.accuracy for part in best))
    kept = tuple(part for part in best if part.accuracy >= highest - ALLOWANCE * error)
    return LinearLook(whole, chance, error, kept)


def _kernels(pictures: UInt8[Tensor, "N T S S"]) -> Float[Tensor, "G G N N"]:
    """For each field of the grid the inner products of the videos' cells there: those of a part are their sum."""
    moving = pictures.float()
    cells = F.interpolate(moving - moving.mean(dim=1, keepdim=True), size=(GRID * CELLS,) * 2, mode="area")
    cells = cells / (cells.std(dim=0, keepdim=True) + FAINT)
    fields = cells.unflatten(3, (GRID, CELLS)).unflatten(2, (GRID, CELLS)).permute(2, 4, 0, 1, 3, 5).flatten(3)
    fields = fields - fields.mean(dim=2, keepdim=True)
    return fields @ fields.transpose(2, 3)


def _best_part(
    kernels: Float[Tensor, "G G N N"], targets: Sequence[Tensor], folds: Tensor, name: str, error: float
) -> Part:
    """In the middle of all parts of this size that are within a standard error of the best."""
    size = SIZES[name]
    starts = range(GRID - size + 1)
    scores = {
        (top, left): _score(kernels[top : top + size, left : left + size].sum((0, 1)), targets, folds)
        for top in starts
        for left in starts
    }
    best = max(scores.values())
    near = [place for place, score in scores.items() if score >= best - error]
    top, left = (sum(place[axis] for place in near) / len(near) for axis in (0, 1))
    region = (top, left, top + size, left + size)
    return Part(name, tuple(round(value / GRID, 3) for value in region), best)  # type: ignore[arg-type]


def _score(kernel: Float[Tensor, "N N"], targets: Sequence[Tensor], folds: Float[Tensor, "N"]) -> float:
    kernel = kernel.double()
    kernel = kernel / kernel.diagonal().mean().clamp_min(1e-12)
    together = torch.cat(list(targets), dim=1)
    guesses = torch.zeros_like(together)
    for fold in folds.unique():
        out, fitted = folds == fold, folds != fold
        mean = together[fitted].mean(dim=0)
        inner = kernel[fitted][:, fitted] + RIDGE * torch.eye(int(fitted.sum()), dtype=torch.float64)
        guesses[out] = kernel[out][:, fitted] @ torch.linalg.solve(inner, together[fitted] - mean) + mean
    sizes = [target.shape[1] for target in targets]
    hits = [
        (guess.argmax(dim=1) == target.argmax(dim=1)).double().mean()
        for guess, target in zip(guesses.split(sizes, dim=1), targets, strict=True)
    ]
    return float(torch.stack(hits).mean())


def _folds(units: Sequence[str]) -> Tensor:
    """The fold of each video; those of one unit are in one."""
    number = {unit: place for place, unit in enumerate(dict.fromkeys(units))}
    order = torch.randperm(len(number), generator=torch.Generator().manual_seed(0)) % FOLDS
    return torch.stack([order[number[unit]] for unit in units])


def _one_hot(values: Sequence[int]) -> Tensor:
    known = {value: place for place, value in enumerate(sorted(set(values)))}
    return F.one_hot(torch.tensor([known[value] for value in values]), len(known)).double()
