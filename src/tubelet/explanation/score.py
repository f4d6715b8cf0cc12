"""Whether a map is to be believed: hide tokens in its order, and see how the logit falls.

Symmetric relevance gain (Blücher et al., TMLR 2024): the mean logit while the least relevant tokens are hidden first,
minus that while the most relevant are, over the range of the logit from the whole clip to the hidden one. Random orders
have an expected gain of 0; their spread says what gain chance can give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.explanation.attribution import Progress, no_progress
from tubelet.explanation.hiding import Filling, logits_of
from tubelet.explanation.target import Target
from tubelet.model import ViViT

STEPS = 20
"""Parts in which the tokens are hidden, each way."""

ORDERS = 5
"""Random orders."""

SMALLEST_RANGE = 1e-3
"""Logits between the whole clip and the hidden one, below which hiding says nothing."""


@dataclass(frozen=True)
class Score:
    """How faithful a map is to the model, on one clip.

    Attributes:
        gain: symmetric relevance gain: about 0 for a map that says nothing, below 0 for one that is wrong. None where
            the logit does not change when everything is hidden.
        chance: gain that a random order stays below in 97.5 % of cases.
        filling: what stood in the place of hidden tokens.
        most_first: the logit with 0, 1/n, ... of the tokens hidden, the most relevant first.
        least_first: the same, the least relevant first.
    """

    gain: float | None
    chance: float
    filling: Filling
    most_first: tuple[float, ...]
    least_first: tuple[float, ...]

    @property
    def better_than_chance(self) -> bool:
        """Whether the gain is above that of random orders."""
        return self.gain is not None and self.gain > self.chance

    def __str__(self) -> str:
        if self.gain is None:
            return "no score: hiding the whole clip does not change this logit"
        words = "better" if self.better_than_chance else "not better"
        return f"relevance gain {self.gain:.2f}, {words} than chance (below {self.chance:.2f})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "gain": self.gain,
            "chance": self.chance,
            "better_than_chance": self.better_than_chance,
            "filling": self.filling,
            "most_first": list(self.most_first),
            "least_first": list(self.least_first),
        }


def relevance_gain(
    model: ViViT,
    video: Float[Tensor, "1 T C H W"],
    frame_mask: Bool[Tensor, "1 T"] | None,
    target: Target,
    heat: Float[Tensor, "t h w"],
    *,
    filling: Filling = "mean",
    steps: int = STEPS,
    orders: int = ORDERS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Score:
    """Score a map on the clip that it is of.

    Args:
        model: any.
        video: one view, preprocessed.
        frame_mask: as the model takes it.
        target: what the map is of.
        heat: the map.
        filling: what stands in the place of hidden tokens.
        steps: parts in which the tokens are hidden.
        orders: random orders.
        seed: of these.
        progress: after each batch.
    """
    count = heat.numel()
    generator = torch.Generator().manual_seed(seed)
    ranked = [heat.flatten().argsort(descending=True, stable=True).cpu()]
    ranked += [torch.randperm(count, generator=generator) for _ in range(orders)]
    hidden = [round(count * step / steps) for step in range(1, steps)]
    shown = [torch.ones(count), torch.zeros(count)]
    for order in ranked:
        for one in (order, order.flip(0)):
            for number in hidden:
                mask = torch.ones(count)
                mask[one[:number]] = 0
                shown.append(mask)
    masks = torch.stack(shown).view(-1, *heat.shape)
    values = logits_of(model, video, frame_mask, filling, masks, target, progress)
    full, empty, rest = float(values[0]), float(values[1]), values[2:].view(len(ranked), 2, len(hidden))
    curves = torch.cat([values[0].expand(len(ranked), 2, 1), rest, values[1].expand(len(ranked), 2, 1)], dim=2)
    if abs(full - empty) < SMALLEST_RANGE:
        return Score(None, 0.0, filling, tuple(curves[0, 0].tolist()), tuple(curves[0, 1].tolist()))
    gains = (curves[:, 1] - curves[:, 0]).mean(dim=1) / abs(full - empty)
    chance = 0.0
    if orders:
        from scipy import special  # not above: its import takes a fifth of a second

        chance = float(special.stdtrit(orders, 0.975)) * math.sqrt(float(gains[1:].square().mean()))
    return Score(float(gains[0]), chance, filling, tuple(curves[0, 0].tolist()), tuple(curves[0, 1].tolist()))
