from __future__ import annotations

import pytest
import torch

from tubelet.errors import VideoError
from tubelet.video import Clip
from tubelet.video.clip import why_unreadable


def clip(count: int = 3, *, times: torch.Tensor | None = None, indices: tuple[int, ...] | None = None) -> Clip:
    return Clip(
        frames=torch.zeros(count, 3, 24, 32, dtype=torch.uint8),
        timestamps=torch.arange(count, dtype=torch.float64) / 25 if times is None else times,
        indices=tuple(range(count)) if indices is None else indices,
        path="folder/clip.mp4",
    )


def test_a_clip_says_what_it_holds() -> None:
    assert repr(clip(32)) == "Clip(32 frames, 3x24x32, 0.00-1.24 s, 'clip.mp4')"
    assert repr(clip(1)) == "Clip(1 frame, 3x24x32, 0.00-0.00 s, 'clip.mp4')"
    assert repr(clip(0)) == "Clip(0 frames, 3x24x32, no time, 'clip.mp4')"
    assert (len(clip(5)), clip().height, clip().width) == (5, 24, 32)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(VideoError, match="came with 2 indices"):
        clip(3, indices=(0, 1))
    # With checked signatures jaxtyping is first to complain, with a TypeError.
    with pytest.raises((VideoError, TypeError)):
        clip(3, times=torch.zeros(4, dtype=torch.float64))
    with pytest.raises((VideoError, TypeError)):
        clip(3, times=torch.zeros(3))
    with pytest.raises((VideoError, TypeError)):
        Clip(torch.zeros(3, 3, 24, 32), torch.zeros(3, dtype=torch.float64), (0, 1, 2), "clip.mp4")
    with pytest.raises((VideoError, TypeError)):
        Clip(torch.zeros(3, 24, 32, 3, dtype=torch.uint8), torch.zeros(3, dtype=torch.float64), (0, 1, 2), "clip.mp4")


def test_the_reason_of_an_error_leaves_out_the_path() -> None:
    assert why_unreadable(PermissionError(13, "Permission denied", "/videos/a.mp4")) == "Permission denied"
    assert why_unreadable(VideoError("/videos/a.mp4", "is empty")) == "is empty"
