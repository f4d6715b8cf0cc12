"""Small grey pictures of videos, the same number of each, for looks at a data set that need no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data import Sample
from tubelet.device import usable_cores
from tubelet.errors import VideoError
from tubelet.video import open_video
from tubelet.video.decode import window_indices
from tubelet.video.preprocessing import luma
from tubelet.video.resize import resize_frames
from tubelet.video.still import spread

FRAMES, SIDE = 25, 72
"""Of each video, spread over all of it, and the side of a picture in pixels."""


def small_pictures(
    samples: Sequence[Sample], progress: Callable[[int, int], None] | None = None
) -> tuple[UInt8[Tensor, "N T S S"], list[int]]:
    """Grey pictures of the videos that can be read, `FRAMES` of each, squeezed to `SIDE` x `SIDE`.

    Args:
        samples: videos, or parts of them.
        progress: called with (done, all).

    Returns:
        the pictures, and which samples they are of.
    """
    found, kept = [], []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for place, pictures in enumerate(pool.map(_pictures, samples)):
            if pictures is not None:
                found.append(pictures)
                kept.append(place)
            if progress is not None:
                progress(place + 1, len(samples))
    empty = torch.zeros(0, FRAMES, SIDE, SIDE, dtype=torch.uint8)
    return torch.stack(found) if found else empty, kept


def _pictures(sample: Sample) -> UInt8[Tensor, "T S S"] | None:
    try:
        with open_video(sample.path, threads=1) as decoder:
            inside = window_indices(decoder, sample.start, sample.end)
            frames = decoder.frames_at(spread(list(inside), FRAMES)).frames
    except (VideoError, OSError):
        return None
    grey = luma(resize_frames(frames, (SIDE, SIDE)))[:, 0]
    return grey[[part * len(grey) // FRAMES for part in range(FRAMES)]]
