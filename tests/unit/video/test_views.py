"""Which views words name, and what is wrong with other words."""

from __future__ import annotations

import pytest

from tubelet.config import PreprocessingConfig
from tubelet.errors import ConfigError
from tubelet.video import Preprocessing
from tubelet.video.views import format_views, parse_views, plan_views


def starts_of(words: str, total: int, **fields: object) -> list[list[int]]:
    """The frames of each clip that these views take from a video of `total` frames."""
    config = PreprocessingConfig(**{"num_frames": 32, "frame_stride": 2, **fields})
    return Preprocessing(config).clips(total, plan_views(words, tubelet_frames=2).clips)[0]


@pytest.mark.parametrize(("text", "views"), [("4x3", (4, 3)), ("1x1", (1, 1)), ("10X1", (10, 1)), (" 2 × 3 ", (2, 3))])
def test_views_are_clips_times_crops(text: str, views: tuple[int, int]) -> None:
    assert parse_views(text) == views
    assert parse_views(format_views(views)) == views


@pytest.mark.parametrize("words", ["4x3", "2x2", "dense:16x1", "dense:5x3", "wholex1", "wholex3"])
def test_a_plan_is_printed_as_the_words_that_give_it(words: str) -> None:
    assert str(plan_views(words)) == words
    assert plan_views(plan_views(words)) == plan_views(words)


def test_crops_are_one_where_nothing_is_said() -> None:
    assert plan_views("dense:16") == plan_views("dense:16x1")
    assert plan_views("whole") == plan_views("wholex1")


@pytest.mark.parametrize(
    ("text", "advice"),
    [("4", "write 4x3"), ("ax3", "write 4x3"), ("0x3", "1x3"), ("4x0", "4x1"), ("dense:0", "dense:1"), ("-1x3", "4x3")],
)
def test_other_views_are_errors_that_say_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        plan_views(text)


def test_where_a_number_of_clips_is_needed_other_plans_are_refused() -> None:
    with pytest.raises(ConfigError, match="belong to an evaluation"):
        parse_views("whole")


def test_four_clips_start_where_the_original_starts_them() -> None:
    assert [clip[0] for clip in starts_of("4x3", 250)] == [0, 62, 124, 186]


def test_windows_stand_a_hop_apart_and_the_last_one_ends_with_the_video() -> None:
    assert [clip[0] for clip in starts_of("dense:50", 250)] == [0, 50, 100, 150, 186]
    assert [clip[0] for clip in starts_of("dense:62", 250)] == [0, 62, 124, 186]
    assert [clip[0] for clip in starts_of("dense:50", 20)] == [0]
    seen = {frame for clip in starts_of("dense:64", 251, frame_stride=1, num_frames=64) for frame in clip}
    assert seen == set(range(251))


def test_a_whole_video_is_one_clip_of_every_frame_at_the_stride_in_whole_tubelets() -> None:
    assert starts_of("whole", 250) == [list(range(0, 248, 2))]
    assert starts_of("whole", 7, frame_stride=1) == [[0, 1, 2, 3, 4, 5]]
    assert starts_of("whole", 1, frame_stride=1) == [[0, 0]]


def test_uniform_sampling_reaches_over_the_whole_video_already() -> None:
    for words in ("whole", "dense:8"):
        with pytest.raises(ConfigError, match="spread over the whole video already"):
            starts_of(words, 100, sampling="uniform", frame_stride=1)
