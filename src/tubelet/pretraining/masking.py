"""Tube masking, and masking of whole time steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from tubelet.nn.embedding import hold_masked_frames


@dataclass(frozen=True)
class Visible:
    """The part of each clip's token grid that the encoder sees: some positions, at some times.

    Attributes:
        times: ascending, [B, v].
        positions: row * w + column, ascending, the same at every time, [B, n].
    """

    times: Int[Tensor, "B v"]
    positions: Int[Tensor, "B n"]

    def to(self, device: torch.device) -> Visible:
        """The same on a device."""
        return Visible(self.times.to(device), self.positions.to(device))

    def tokens(self, positions: int) -> Int[Tensor, "B vn"]:
        """The visible tokens' numbers in a grid of so many positions a time: time * positions + position."""
        return (self.times[:, :, None] * positions + self.positions[:, None, :]).flatten(1)

    def hidden(self, times: int, positions: int) -> Bool[Tensor, "B t p"]:
        """True at the tokens of a grid of this size that are hidden."""
        batch, device = len(self.times), self.times.device
        seen_times = torch.zeros(batch, times, dtype=torch.bool, device=device).scatter(1, self.times, True)
        seen_positions = torch.zeros(batch, positions, dtype=torch.bool, device=device).scatter(1, self.positions, True)
        return ~(seen_times[:, :, None] & seen_positions[:, None, :])


def draw_visible(
    batch: int,
    times: int,
    positions: int,
    *,
    visible_times: int,
    visible_positions: int,
    time_mask: Bool[Tensor, "B t"] | None = None,
    generators: Sequence[Generator] | None = None,
) -> Visible:
    """Draw what stays visible, for each clip on its own; on the CPU.

    The hidden positions are the same at every time (tube masking; Tong et al., NeurIPS 2022): what is behind a mask
    cannot be looked up a moment earlier or later.

    Args:
        batch: clips, B.
        times: of the token grid.
        positions: of the token grid, h * w.
        visible_times: how many times are not hidden altogether.
        visible_positions: how many positions are visible at those.
        time_mask: True at the times that are real; others are visible only where there are too few real ones.
        generators: one for each clip; None draws from torch's.
    """

    def scores(count: int) -> Tensor:
        if not generators:
            return torch.rand(batch, count)
        return torch.stack([torch.rand(count, generator=generator) for generator in generators])

    of_times = scores(times) if time_mask is None else scores(times) + (~time_mask).cpu()
    return Visible(_lowest(of_times, visible_times), _lowest(scores(positions), visible_positions))


def _lowest(scores: Float[Tensor, "B n"], count: int) -> Int[Tensor, "B k"]:
    """Indices of the lowest scores of each row, ascending."""
    return scores.argsort(dim=1)[:, :count].sort(dim=1).values


def visible_tubes(
    video: Float[Tensor, "B T C H W"], visible: Visible, tubelet_size: tuple[int, int, int]
) -> Float[Tensor, "Bn T C h w"]:
    """Each visible position of each clip as a small video of its own, with nothing in it that is hidden.

    Frames of hidden times show the last visible one again (`hold_masked_frames`): nothing moves where nothing is seen.
    """
    frames, height, width = tubelet_size
    seen = torch.zeros(len(video), video.shape[1] // frames, dtype=torch.bool, device=video.device)
    seen = seen.scatter(1, visible.times, True).repeat_interleave(frames, dim=1)
    held = hold_masked_frames(video, seen)
    grid = rearrange(held, "B T C (y h) (x w) -> B y x T C h w", h=height, w=width)
    rows, columns = visible.positions // grid.shape[2], visible.positions % grid.shape[2]
    return grid[torch.arange(len(grid), device=grid.device)[:, None], rows, columns].flatten(0, 1)
