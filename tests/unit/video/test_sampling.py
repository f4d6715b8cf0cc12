from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tubelet.video import clip_indices, clip_starts, random_start, uniform_indices, window


def test_clip_positions_are_the_originals() -> None:
    assert clip_starts(250, 64, 4) == [0, 62, 124, 186]
    assert clip_starts(300, 64, 4) == [0, 78, 157, 236]
    assert clip_starts(250, 64, 1) == [93]
    assert clip_starts(251, 64, 1) == [93]
    assert clip_starts(40, 64, 3) == [0, 0, 0]
    assert clip_starts(40, 64, 1) == [0]


def test_a_short_video_starts_over() -> None:
    indices, real = clip_indices(0, 8, 2, total=5, short="loop")
    assert indices == [0, 2, 4, 1, 3, 0, 2, 4]
    assert all(real)


def test_a_short_video_is_held_and_masked() -> None:
    assert clip_indices(0, 6, 2, total=6, short="mask") == ([0, 2, 4, 4, 4, 4], [True] * 3 + [False] * 3)
    assert clip_indices(3, 4, 1, total=5, short="mask") == ([3, 4, 4, 4], [True, True, False, False])
    assert clip_indices(0, 3, 2, total=9, short="mask") == ([0, 2, 4], [True] * 3)


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 5), st.integers(1, 6), st.sampled_from(["loop", "mask"]))
def test_dense_clips_stay_inside_the_video(total: int, frames: int, stride: int, clips: int, short: str) -> None:
    for start in clip_starts(total, frames * stride, clips):
        indices, real = clip_indices(start, frames, stride, total, short)
        assert len(indices) == len(real) == frames
        assert all(0 <= index < total for index in indices)
        if start + frames * stride <= total:
            assert indices == list(range(start, start + frames * stride, stride))
            assert all(real)


def test_random_starts_reach_every_place_and_no_other() -> None:
    generator = torch.Generator().manual_seed(0)
    starts = {random_start(20, 16, generator) for _ in range(200)}
    assert starts == {0, 1, 2, 3, 4}
    assert random_start(10, 16, generator) == 0
    first = [random_start(1000, 63, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert first[0] == first[1]


def test_uniform_frames_stand_in_the_middle_of_equal_parts() -> None:
    assert uniform_indices(100, 4) == [12, 37, 62, 87]
    assert uniform_indices(8, 8) == list(range(8))
    assert uniform_indices(2, 4) == [0, 0, 1, 1]
    assert uniform_indices(1, 3) == [0, 0, 0]


def test_several_uniform_clips_see_different_frames() -> None:
    clips = [uniform_indices(96, 8, clip=clip, clips=4) for clip in range(4)]
    seen = sorted(index for clip in clips for index in clip)
    assert seen == uniform_indices(96, 32)
    assert len(set(seen)) == 32


def test_a_window_holds_the_frames_shown_in_it() -> None:
    times = torch.arange(10, dtype=torch.float64) * 0.04
    assert window(times) == (0, 10)
    assert window(times, start=0.08, end=0.2) == (2, 5)
    assert window(times, start=0.05) == (2, 10)
    assert window(times, end=0.05) == (0, 2)
    assert window(times, start=0.1, end=0.11) == (3, 3)
    assert window(times, start=5.0) == (10, 10)
    assert window([8.0, 8.5, 9.0], start=8.5) == (1, 3)


def test_the_edge_of_a_window_is_found_in_spite_of_rounding() -> None:
    times = [number * 1001 / 30000 for number in range(100)]
    for number in (1, 7, 33, 98):
        shown = float(f"{times[number]:.6f}")
        assert window(times, start=shown)[0] == number
        assert window(times, end=shown)[1] == number


@pytest.mark.parametrize("clips", [1, 2, 5])
def test_the_last_clip_ends_with_the_video(clips: int) -> None:
    starts = clip_starts(1000, 64, clips)
    assert len(starts) == clips
    assert starts[-1] + 64 <= 1000
    if clips > 1:
        assert (starts[0], starts[-1]) == (0, 936)
