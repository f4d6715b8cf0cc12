"""Which frames of a video make a clip. Plain integers: nothing here touches a file.

All functions count frames inside the part of the video that is used (`window`); add its first index to get indices of
the whole video.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor

TIME_TOLERANCE = 1e-6
"""Seconds of tolerance at the edges of a window."""


def window(
    timestamps: Tensor | Sequence[float], start: int | float | None = None, end: int | float | None = None
) -> tuple[int, int]:
    """The frames whose timestamps lie in [start, end).

    Args:
        timestamps: [N], seconds, ascending.
        start: seconds on the same clock; None is the beginning of the video.
        end: seconds; None is the end of the video.

    Returns:
        (first, last): indices of the first frame and of the one after the last; equal if there is no frame in between.
    """
    times = timestamps.tolist() if isinstance(timestamps, Tensor) else timestamps
    first = 0 if start is None else bisect.bisect_left(times, start - TIME_TOLERANCE)
    last = len(times) if end is None else bisect.bisect_left(times, end - TIME_TOLERANCE)
    return first, max(first, last)


def clip_starts(num_frames: int, span: int, clips: int) -> list[int]:
    """Where the clips of an evaluation start.

    One clip is in the middle; several are spread from the beginning to the end. As in DMVR, which Scenic uses
    (`sample_sequence` and `sample_linspace_sequence`), a clip counts as `span = frames * stride` frames long:
    250 frames, 32 frames at stride 2, 4 clips start at 0, 62, 124 and 186.

    Args:
        num_frames: frames there are.
        span: frames that one clip takes up, frames of the clip times stride.
        clips: how many.

    Returns:
        ascending starts; all 0 where the video is not longer than one clip.
    """
    spare = max(0, num_frames - span)
    if clips == 1:
        return [spare // 2]
    return torch.linspace(0, spare, clips, dtype=torch.float32).int().tolist()


def window_starts(num_frames: int, span: int, hop: int) -> list[int]:
    """Where overlapping windows start that cover a video to its end.

    Args:
        num_frames: frames there are.
        span: frames that one clip takes up, as for `clip_starts`.
        hop: frames from one start to the next.

    Returns:
        0, hop, 2 hop and so on; the last window ends with the video, so that its step may be shorter.
    """
    spare = max(0, num_frames - span)
    starts = list(range(0, spare + 1, hop))
    return starts if starts[-1] == spare else [*starts, spare]


def whole_length(num_frames: int, stride: int, multiple: int = 1) -> int:
    """Frames of a clip that takes every `stride`-th frame of a whole video, a multiple of `multiple` and at least that.

    A remainder at the end of the video is left out; a video too short for one multiple is continued as a short clip is.
    """
    frames = -(-num_frames // stride)
    return max(multiple, frames // multiple * multiple)


def clip_indices(
    start: int, num_frames: int, stride: int, total: int, short: Literal["loop", "mask"] = "loop"
) -> tuple[list[int], list[bool]]:
    """The frames of one dense clip.

    Args:
        start: of the clip, in [0, total).
        num_frames: frames of the clip.
        stride: step between the frames of the clip.
        total: frames there are.
        short: what happens where the video ends before the clip: `loop` starts over from its first frame (as Scenic,
            which tiles the list of frames until it is long enough); `mask` holds the clip's last frame.

    Returns:
        indices in [0, total), and which of them are real: held ones are not, all others are.
    """
    wanted = [start + step * stride for step in range(num_frames)]
    if short == "loop":
        return [index % total for index in wanted], [True] * num_frames
    real = [index < total for index in wanted]
    last = max(index for index in wanted if index < total)
    return [min(index, last) for index in wanted], real


def random_start(total: int, span: int, generator: Generator | None = None) -> int:
    """A start for a training clip, each equally likely from 0 to `total - span`; 0 where the video is too short.

    With `span` the frames from the clip's first to its last, `(frames - 1) * stride + 1`, these are the
    random starts of Scenic (`sample_sequence` of DMVR).
    """
    return int(torch.randint(max(0, total - span) + 1, (), generator=generator))


def uniform_indices(total: int, num_frames: int, *, clip: int = 0, clips: int = 1) -> list[int]:
    """Frames spread over the whole video: it is cut into `num_frames` equal parts and each gives one frame.

    A single clip takes the middle of each part. Several clips take different frames of it, in equal steps: together
    `clips * num_frames` evenly spaced frames.

    Returns:
        `num_frames` ascending indices; some repeat if the video has fewer frames than that.
    """
    return [(2 * (part * clips + clip) + 1) * total // (2 * num_frames * clips) for part in range(num_frames)]
