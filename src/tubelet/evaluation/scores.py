"""The logits and classes of one head, as tensors: what metrics are computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tubelet.errors import DataError
from tubelet.evaluation.predictions import VideoPrediction


@dataclass(frozen=True, eq=False)
class Scores:
    """What the figures of a head are made of.

    Attributes:
        logits: float64 [M, K] of the videos that could be read.
        target: int64 [M], their classes.
        readable: int64 [M], their indices among all.
        all_targets: int64 [N], the classes of all videos.
    """

    logits: Float[Tensor, "M K"]
    target: Int[Tensor, "M"]
    readable: Int[Tensor, "M"]
    all_targets: Int[Tensor, "N"]

    def hits(self, k: int) -> Float[Tensor, "N"]:
        """1 for each video whose class is among the `k` with the highest logits, else 0; 0 if it could not be read."""
        found = torch.zeros(len(self.all_targets), dtype=torch.float64)
        if len(self.target):
            best = self.logits.argmax(dim=1, keepdim=True) if k == 1 else self.logits.topk(k, dim=1).indices
            found[self.readable] = (best == self.target[:, None]).any(dim=1).double()
        return found

    def losses(self) -> Float[Tensor, "N"]:
        """Cross entropy of each video; not a number for one that could not be read."""
        found = torch.full((len(self.all_targets),), math.nan, dtype=torch.float64)
        if len(self.target):
            found[self.readable] = torch.nn.functional.cross_entropy(self.logits, self.target, reduction="none")
        return found


def scores_of(predictions: Sequence[VideoPrediction], head: str, size: int) -> Scores:
    """The logits and classes of a head.

    Raises:
        DataError: a class or a number of logits that does not fit.
    """
    rows, readable, targets = [], [], []
    for index, prediction in enumerate(predictions):
        label = prediction.labels.get(head)
        if label is None or not 0 <= label < size:
            raise DataError(f"{prediction.path}: class {label} of head {head!r} is not one of its {size} classes")
        targets.append(label)
        if prediction.logits is None:
            continue
        row = prediction.logits.get(head, ())
        if len(row) != size:
            raise DataError(f"{prediction.path}: {len(row)} logits for the {size} classes of head {head!r}")
        rows.append(row)
        readable.append(index)
    logits = torch.tensor(rows, dtype=torch.float64).view(-1, size)
    indices, all_targets = (torch.tensor(numbers, dtype=torch.int64) for numbers in (readable, targets))
    return Scores(logits, all_targets[indices], indices, all_targets)
