"""Nearest neighbours by cosine similarity."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

TEMPERATURE = 0.07
ROWS = 1024
"""Test vectors in one product with all training vectors."""


def knn_votes(
    train: Float[Tensor, "N D"],
    labels: Int[Tensor, "N"],
    test: Float[Tensor, "M D"],
    num_classes: int,
    neighbours: int = 20,
) -> Float[Tensor, "M K"]:
    """Votes of the nearest training vectors for the classes of each test vector.

    Each of the `neighbours` most similar training vectors votes for its class with exp(similarity / 0.07), similarity
    being the cosine of the angle between the two (Wu et al., CVPR 2018; the protocol of DINO, Caron et al., 2021).

    Args:
        train: training vectors.
        labels: their classes.
        test: vectors to classify.
        num_classes: K.
        neighbours: how many vote, if there are that many.

    Returns:
        votes [M, K]; the class is the largest.
    """
    train, count = F.normalize(train, dim=1), min(neighbours, len(train))
    votes = train.new_zeros(len(test), num_classes)
    for first in range(0, len(test), ROWS):
        rows = slice(first, first + ROWS)
        nearest = (F.normalize(test[rows], dim=1) @ train.T).topk(count, dim=1)
        votes[rows].scatter_add_(1, labels[nearest.indices], (nearest.values / TEMPERATURE).exp())
    return votes
