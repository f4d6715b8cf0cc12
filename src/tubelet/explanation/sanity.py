"""Whether a map is about what the model learned: that of a model whose weights are redrawn must look different.

Model randomisation from the top (Adebayo et al., NeurIPS 2018): the head is redrawn, then the last block too, then the
one before, and the rank correlation of each map with that of the trained model is taken.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.explanation.attribution import Progress, no_progress
from tubelet.explanation.methods import Method
from tubelet.explanation.target import Target
from tubelet.model import ViViT

DRAWS = 4
"""Times that the weights are redrawn; a single draw can give the same picture, or its negative, by chance."""

MOST = 0.3
"""Rank correlation with the map of a redrawn model, up to which a map passes."""


@dataclass(frozen=True)
class Sanity:
    """How alike the maps of a model and of models with redrawn weights are.

    Attributes:
        redrawn: what was redrawn last, from the head down; each time with all before it.
        correlation: Spearman's, of the map after each, the mean of the draws.
    """

    redrawn: tuple[str, ...]
    correlation: tuple[float, ...]

    @property
    def passed(self) -> bool:
        """Whether the map changes when head and all blocks are redrawn."""
        return self.correlation[-1] <= MOST

    def __str__(self) -> str:
        words = "the map is about what the model learned" if self.passed else "the map hardly depends on the weights"
        return f"rank correlation {self.correlation[-1]:.2f} with the map of redrawn weights: {words}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"redrawn": list(self.redrawn), "correlation": list(self.correlation), "passed": self.passed}


def compare_redrawn(
    method: Method,
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    maps: Float[Tensor, "V t h w"],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Sanity:
    """Explain again with weights that are redrawn from the top.

    Each parameter is drawn from a normal distribution with its own mean and standard deviation. The embedding stays.

    Args:
        method: that the maps are of.
        model: plain and unwrapped; it is left as it is.
        video, frame_mask, target: what is explained.
        maps: of the model.
        draws: how often all of it is done.
        seed: of the draws.
        progress: after each map.
    """
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(draws):
        redrawn = copy.deepcopy(model)
        parts = _from_the_top(redrawn)
        for _, part in parts:
            _redraw(part, generator)
            heat = method(redrawn, video, frame_mask, target, no_progress).map.double().cpu()
            found.append(rank_correlation(maps.flatten(), heat.flatten()))
            progress(len(found), draws * len(parts))
    correlation = torch.tensor(found).view(draws, -1).mean(dim=0).tolist()
    return Sanity(tuple(name for name, _ in parts), tuple(correlation))


def rank_correlation(one: Float[Tensor, "N"], other: Float[Tensor, "N"]) -> float:
    """Spearman's; equal values share their mean rank. 0 where one has no differences."""
    ranks = torch.stack([_ranks(one), _ranks(other)])
    found = torch.corrcoef(ranks)[0, 1]
    return float(found) if bool(found.isfinite()) else 0.0


def _ranks(values: Tensor) -> Tensor:
    _, which, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(dim=0).double()
    return (last - (counts - 1) / 2)[which]


def _from_the_top(model: ViViT) -> list[tuple[str, nn.Module]]:
    """The head, and the blocks from the last to the first."""
    names = ("temporal_encoder", "spatial_encoder", "encoder")
    parts = [("head", model.head)]
    for name in names:
        blocks = getattr(model, name).blocks if hasattr(model, name) else ()
        parts += [(f"{name}.blocks.{number}", block) for number, block in reversed(list(enumerate(blocks)))]
    return parts


@torch.no_grad()
def _redraw(part: nn.Module, generator: torch.Generator) -> None:
    for parameter in part.parameters():
        noise = torch.randn(parameter.shape, generator=generator).to(parameter)
        spread = parameter.std(correction=0)
        parameter.copy_(parameter.mean() + spread * noise)
