"""What is asked of a data set of clips, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from torch import Tensor


@dataclass(frozen=True)
class Failure:
    """A video that could not be read.

    Attributes:
        index: of the sample in its table.
        path: of the video.
        reason: in words, without the path.
    """

    index: int
    path: str
    reason: str


@dataclass(frozen=True)
class Draw:
    """Which clip a sampler asks for.

    Attributes:
        index: of the sample in its table.
        epoch: counted from 0.
        repeat: how many times the sample came up before in this epoch.
    """

    index: int
    epoch: int = 0
    repeat: int = 0


class Item(TypedDict):
    """A clip (training), or all views of a video (evaluation).

    video: float32 [T, C, H, W], or views [V, T, C, H, W].
    frame_mask: bool [T] or [V, T], True where a frame is real; None if all are.
    targets: by head, after a flip that changed the label: the class index; of a multi-label head float32 [K], 0 and 1.
    index: of the sample in its table.
    frames: evaluation: of each clip, the frames of the video that it holds; None in training.
    damaged: how many of its frames are known to be damaged; left out where that is not looked at.
    resampled: evaluation: whether these were chosen by their timestamps.
    """

    video: Tensor
    frame_mask: Tensor | None
    targets: dict[str, int | Tensor]
    index: int
    frames: list[list[int]] | None
    damaged: NotRequired[int]
    resampled: NotRequired[bool]
