"""Generated videos in which one small place and one stretch of time decide the class, and where that is.

A red square moves to the left or to the right for a few frames, in one place of the picture; that is the class. Squares
of other colours move to either side the whole time, elsewhere and in the same place before and after.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FRAMES, SIZE, SQUARE = 16, 48, 6
WINDOW = 6
"""Frames in which the red square is there."""

TUBELET = (2, 8, 8)


@dataclass(frozen=True, eq=False)
class Planted:
    """Clips and the truth about them.

    Attributes:
        video: float32 [N, T, 3, H, W], in [-1, 1].
        label: int64 [N]: 0 to the left, 1 to the right.
        truth: bool [N, t, h, w], True at the tubelets that the red square touches.
    """

    video: Tensor
    label: Tensor
    truth: Tensor


def planted(count: int, seed: int) -> Planted:
    """`count` clips; the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    video = torch.rand(count, 1, 3, SIZE, SIZE, generator=generator).expand(-1, FRAMES, -1, -1, -1) * 0.3
    video = (video + 0.05 * torch.rand(count, FRAMES, 3, SIZE, SIZE, generator=generator)).contiguous()
    label = torch.randint(0, 2, (count,), generator=generator)
    red = torch.zeros(count, FRAMES, SIZE, SIZE, dtype=torch.bool)
    for number in range(count):
        for colour in ((0.1, 0.9, 0.2), (0.2, 0.3, 0.9), (0.8, 0.8, 0.2)):
            _move(video[number], colour, draw(0, SIZE - SQUARE), draw(8, SIZE - 14), 0, FRAMES, 2 * draw(0, 2) - 1)
        first = draw(0, FRAMES // 2 - WINDOW // 2 + 1) * 2
        step = 2 if label[number] else -2
        row, column = draw(0, SIZE - SQUARE), draw(WINDOW * 2, SIZE - SQUARE - WINDOW * 2)
        red[number] = _move(video[number], (1.0, 0.1, 0.1), row, column, first, first + WINDOW, step)
    frames, height, width = TUBELET
    truth = red.unflatten(3, (-1, width)).any(dim=4).unflatten(2, (-1, height)).any(dim=3)
    truth = truth.unflatten(1, (-1, frames)).any(dim=2)
    return Planted(video * 2 - 1, label, truth)


def _move(video: Tensor, colour: tuple[float, ...], row: int, column: int, first: int, last: int, step: int) -> Tensor:
    """Draw a square that moves along its row, bouncing off the sides; returns the pixels that it touched [T, H, W]."""
    touched = torch.zeros(FRAMES, SIZE, SIZE, dtype=torch.bool)
    for frame in range(first, min(last, FRAMES)):
        column = min(max(column, 0), SIZE - SQUARE)
        place = (slice(row, row + SQUARE), slice(column, column + SQUARE))
        video[frame][:, place[0], place[1]] = torch.tensor(colour)[:, None, None]
        touched[frame][place] = True
        column += step
    return touched
