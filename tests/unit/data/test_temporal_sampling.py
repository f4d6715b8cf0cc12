"""Which frames a training clip takes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.config import NO_AUGMENTATION, AugmentationConfig, PreprocessingConfig
from tubelet.data.draws import Draws
from tubelet.data.temporal_sampling import check_temporal, training_indices
from tubelet.errors import ConfigError
from tubelet.video import clip_indices, clip_starts, uniform_indices

DENSE = PreprocessingConfig(num_frames=8, frame_stride=2)
UNIFORM = PreprocessingConfig(num_frames=8, frame_stride=1, sampling="uniform")


def chosen(
    total: int, augmentation: AugmentationConfig, preprocessing: PreprocessingConfig, index: int = 0
) -> list[int]:
    return training_indices(total, augmentation, preprocessing, Draws(0, 0, index))[0]


def test_dense_clips_start_everywhere() -> None:
    starts = Counter(chosen(20, AugmentationConfig(), DENSE, index)[0] for index in range(1200))
    assert sorted(starts) == list(range(6))  # a clip reaches over 15 frames
    assert min(starts.values()) > 140
    clip = chosen(20, AugmentationConfig(), DENSE)
    assert clip == list(range(clip[0], clip[0] + 16, 2))


def test_the_centre_is_what_evaluation_takes() -> None:
    assert chosen(57, NO_AUGMENTATION, DENSE) == clip_indices(clip_starts(57, 16, 1)[0], 8, 2, 57)[0]
    assert chosen(57, NO_AUGMENTATION, UNIFORM) == uniform_indices(57, 8)


def test_speed_changes_the_distance_of_frames() -> None:
    augmentation = AugmentationConfig(speed=(0.5, 2.0))
    lengths = [clip[-1] - clip[0] for clip in (chosen(400, augmentation, DENSE, i) for i in range(400))]
    assert min(lengths) <= 8
    assert max(lengths) >= 26
    faster = sum(length > 14 for length in lengths) / 400
    assert faster == pytest.approx(0.5, abs=0.08)


@given(
    total=st.integers(1, 100),
    index=st.integers(0, 50),
    short=st.sampled_from(["loop", "mask"]),
    speed=st.sampled_from([(1.0, 1.0), (0.5, 3.0)]),
)
def test_dense_indices_exist_and_held_frames_are_marked(
    total: int, index: int, short: str, speed: tuple[float, float]
) -> None:
    preprocessing = dataclasses.replace(DENSE, short_clips=short)
    indices, real = training_indices(total, AugmentationConfig(speed=speed), preprocessing, Draws(0, 0, index))
    assert len(indices) == len(real) == 8
    assert all(0 <= frame < total for frame in indices)
    if short == "mask":
        count = sum(real)
        assert real == [True] * count + [False] * (8 - count)
        assert indices[:count] == sorted(indices[:count])
        assert set(indices[count:]) <= {indices[count - 1]}
    else:
        assert all(real)


@pytest.mark.parametrize("temporal", ["random", "segments", "centre"])
@given(total=st.integers(1, 200), index=st.integers(0, 50), coverage=st.sampled_from([(1.0, 1.0), (0.3, 0.9)]))
def test_uniform_indices_ascend_and_exist(temporal: str, total: int, index: int, coverage: tuple[float, float]) -> None:
    augmentation = AugmentationConfig(temporal=temporal, coverage=coverage)
    indices, real = training_indices(total, augmentation, UNIFORM, Draws(0, 0, index))
    assert indices == sorted(indices)
    assert 0 <= indices[0] <= indices[-1] < total
    assert all(real)


def test_segments_take_one_frame_of_each_part() -> None:
    seen = Counter()
    for index in range(300):
        clip = chosen(80, AugmentationConfig(temporal="segments"), UNIFORM, index)
        assert [frame // 10 for frame in clip] == list(range(8))
        seen.update(clip)
    assert len(seen) == 80


def test_random_takes_the_same_place_of_each_part() -> None:
    clips = [chosen(80, AugmentationConfig(), UNIFORM, index) for index in range(200)]
    assert all(b - a == 10 for clip in clips for a, b in pairwise(clip))
    assert {clip[0] for clip in clips} == set(range(10))


def test_coverage_is_the_share_of_the_video() -> None:
    clips = [chosen(1000, AugmentationConfig(coverage=(0.5, 0.5)), UNIFORM, index) for index in range(200)]
    assert all(400 <= clip[-1] - clip[0] < 500 for clip in clips)
    assert min(clip[0] for clip in clips) < 30
    assert max(clip[-1] for clip in clips) > 970


@pytest.mark.parametrize(
    ("augmentation", "preprocessing", "message"),
    [
        (AugmentationConfig(temporal="segments"), DENSE, "sampling='uniform'"),
        (AugmentationConfig(coverage=(0.5, 1)), DENSE, "use speed"),
        (AugmentationConfig(speed=(0.5, 1)), UNIFORM, "use coverage"),
    ],
)
def test_what_means_nothing_is_an_error(
    augmentation: AugmentationConfig, preprocessing: PreprocessingConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_temporal(augmentation, preprocessing)


@pytest.mark.parametrize("temporal", ["random", "segments"])
def test_warp_changes_the_pace_within_a_clip_and_keeps_its_order_and_reach(temporal: str) -> None:
    augmentation = AugmentationConfig(temporal=temporal, warp=0.5)
    paces: list[int] = []
    for index in range(200):
        clip = chosen(800, augmentation, UNIFORM, index)
        assert clip == sorted(clip)
        assert clip[0] < 800 / 8 * 2
        assert clip[-1] >= 800 - 800 / 8 * 2
        paces += [after - before for before, after in pairwise(clip)]
    assert min(paces) < 70
    assert max(paces) > 130


def test_no_warp_keeps_the_pace() -> None:
    clip = chosen(800, AugmentationConfig(), UNIFORM)
    assert {after - before for before, after in pairwise(clip)} == {100}


@pytest.mark.parametrize(
    ("augmentation", "preprocessing"),
    [({"warp": 0.2}, DENSE), ({"warp": 0.2, "temporal": "centre"}, UNIFORM)],
)
def test_warp_where_it_would_do_nothing_is_refused(augmentation: dict[str, object], preprocessing: object) -> None:
    with pytest.raises(ConfigError, match="belongs to sampling='uniform' with temporal"):
        check_temporal(AugmentationConfig(**augmentation), preprocessing)
