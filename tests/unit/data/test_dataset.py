"""Single clips of a table."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tubelet.config import NO_AUGMENTATION, AugmentationConfig, PreprocessingConfig
from tubelet.data import ClipDataset, Draw, Failure, FrameCache, Item, Sample, Table, read_table
from tubelet.errors import ConfigError
from tubelet.video import Preprocessing, open_video, write_video


def item(dataset: ClipDataset, wanted: int | Draw = 0) -> Item:
    found = dataset[wanted]
    assert not isinstance(found, Failure), found
    return found


def same(one: Item | Failure, other: Item | Failure) -> bool:
    if isinstance(one, Failure) or isinstance(other, Failure):
        return one == other
    mask, mask_too = one["frame_mask"], other["frame_mask"]
    return (
        torch.equal(one["video"], other["video"])
        and (mask is None) == (mask_too is None)
        and (mask is None or torch.equal(mask, mask_too))
        and (one["targets"], one["index"]) == (other["targets"], other["index"])
    )


def one_video(path: Path, classes: list[str] | None = None, **sample: float) -> Table:
    return Table((Sample(str(path), {"label": 0}, **sample),), {"label": classes or ["x", "y"]}, str(path.parent))


def grey_levels(found: Item) -> list[int]:
    """Which frames of the ramp a clip holds."""
    pixels = Preprocessing(PreprocessingConfig()).denormalise(found["video"])
    return [round((float(frame.float().mean()) - 20) / 10) for frame in pixels]


def test_a_clip_holds_the_frames_it_should(ramp_video: Path, small: PreprocessingConfig) -> None:
    still = dataclasses.replace(NO_AUGMENTATION)
    assert grey_levels(item(ClipDataset(one_video(ramp_video), small, augmentation=still))) == [6, 8, 10, 12]
    starts = {
        grey_levels(
            item(
                ClipDataset(one_video(ramp_video), small, augmentation=dataclasses.replace(still, temporal="random")),
                Draw(0, epoch),
            )
        )[0]
        for epoch in range(120)
    }
    assert starts == set(range(14))


def test_only_the_part_from_start_to_end_is_used(ramp_video: Path, small: PreprocessingConfig) -> None:
    table = one_video(ramp_video, start=0.5, end=1.3)
    augmentation = dataclasses.replace(NO_AUGMENTATION, temporal="random")
    seen = {
        level
        for epoch in range(20)
        for level in grey_levels(item(ClipDataset(table, small, augmentation=augmentation), Draw(0, epoch)))
    }
    assert seen == set(range(5, 13))
    views = item(ClipDataset(table, small, mode="evaluate", clips=2))["video"]
    assert views.shape == (2, 4, 3, 16, 16)
    assert grey_levels(Item(video=views[0], frame_mask=None, targets={}, index=0, frames=None)) == [5, 7, 9, 11]


def test_evaluation_gives_the_views_of_preprocessing(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    dataset = ClipDataset(table, small, mode="evaluate", clips=2, crops=3)
    for index in (0, 7):
        with open_video(table.samples[index].path) as decoder:
            expected = Preprocessing(small).views(decoder, 2, 3)
        assert torch.equal(item(dataset, index)["video"], expected.video)
        assert item(dataset, index)["targets"] == table.samples[index].labels


def test_an_item_is_settled_by_seed_epoch_and_index(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    one, other = ClipDataset(table, small, seed=3), ClipDataset(table, small, seed=3)
    _ = [other[index] for index in (5, 0, 2)]
    other.set_epoch(4)
    assert same(one[Draw(1, 4)], other[1])
    assert not same(one[Draw(1, 4)], one[Draw(1, 5)])
    assert not same(one[Draw(1, 4)], one[Draw(1, 4, repeat=1)])
    assert not same(one[Draw(1, 4)], ClipDataset(table, small, seed=4)[Draw(1, 4)])


def test_a_flip_moves_the_picture_and_the_label(
    tmp_path: Path, clips: dict[str, Callable[..., torch.Tensor]], small: PreprocessingConfig
) -> None:
    write_video(tmp_path / "left.mp4", clips["bright_left"]())
    table = one_video(tmp_path / "left.mp4", ["left", "right", "up"])
    augmentation = dataclasses.replace(NO_AUGMENTATION, flip=0.5, flip_labels={"label": {"right": "left"}})
    dataset = ClipDataset(table, small, augmentation=augmentation)
    labels = []
    for epoch in range(60):
        found = item(dataset, Draw(0, epoch))
        left, right = found["video"][..., :6].mean(), found["video"][..., -6:].mean()
        assert found["targets"] == {"label": 0 if left > right else 1}
        labels.append(found["targets"]["label"])
    assert 15 < sum(labels) < 45


def test_playing_backwards_changes_the_label_and_spares_classes_without_one(
    ramp_video: Path, small: PreprocessingConfig
) -> None:
    augmentation = dataclasses.replace(NO_AUGMENTATION, reverse=0.5, reverse_labels={"label": {"rise": "fall"}})
    table = one_video(ramp_video, ["rise", "fall", "other"])
    dataset = ClipDataset(table, small, augmentation=augmentation)
    labels = set()
    for epoch in range(30):
        found = item(dataset, Draw(0, epoch))
        levels = grey_levels(found)
        assert levels == ([6, 8, 10, 12] if found["targets"]["label"] == 0 else [12, 10, 8, 6])
        labels.add(found["targets"]["label"])
    assert labels == {0, 1}
    spared = dataclasses.replace(table, samples=(dataclasses.replace(table.samples[0], labels={"label": 2}),))
    assert all(
        grey_levels(item(ClipDataset(spared, small, augmentation=augmentation), Draw(0, epoch)))[0] == 6
        for epoch in range(10)
    )


def test_held_frames_stay_at_the_end_of_a_clip_played_backwards(ramp_video: Path) -> None:
    preprocessing = PreprocessingConfig(num_frames=8, frame_stride=1, short_clips="mask", resize=24, crop_size=(16, 16))
    augmentation = dataclasses.replace(NO_AUGMENTATION, reverse=1.0, reverse_labels={"label": {"x": "y"}})
    found = item(ClipDataset(one_video(ramp_video, end=0.5), preprocessing, augmentation=augmentation))
    assert grey_levels(found) == [4, 3, 2, 1, 0, 0, 0, 0]
    assert found["frame_mask"] is not None
    assert found["frame_mask"].tolist() == [True] * 5 + [False] * 3


def test_a_video_that_cannot_be_read_is_named(folder: Path, tmp_path: Path, small: PreprocessingConfig) -> None:
    shutil.copytree(folder, tmp_path / "data")
    broken = tmp_path / "data" / "jump" / "1.mp4"
    broken.write_bytes(b"no video at all")
    table = read_table(tmp_path / "data")
    Path(table.samples[7].path).unlink()
    for dataset in (ClipDataset(table, small), ClipDataset(table, small, mode="evaluate")):
        failures = [found for found in (dataset[index] for index in range(len(dataset))) if isinstance(found, Failure)]
        assert [(failure.index, failure.path) for failure in failures] == [(5, str(broken)), (7, table.samples[7].path)]
        assert failures[1].reason == "does not exist"
        assert str(broken) not in failures[0].reason


def test_a_window_without_frames_is_a_failure(ramp_video: Path, small: PreprocessingConfig) -> None:
    failure = ClipDataset(one_video(ramp_video, start=50.0, end=60.0), small)[0]
    assert isinstance(failure, Failure)
    assert "no frame from 50 s to 60 s" in failure.reason


def test_there_is_no_item_beyond_the_last(folder: Path, small: PreprocessingConfig) -> None:
    with pytest.raises(IndexError, match="index 12 of 12"):
        ClipDataset(read_table(folder), small)[12]


def test_options_of_the_other_mode_are_errors(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    with pytest.raises(ConfigError, match="belong to mode='evaluate'"):
        ClipDataset(table, small, clips=4)
    with pytest.raises(ConfigError, match="belongs to mode='train'"):
        ClipDataset(table, small, mode="evaluate", augmentation=AugmentationConfig())
    with pytest.raises(ConfigError, match="no class 'claps'"):
        ClipDataset(table, small, augmentation=AugmentationConfig(flip_labels={"label": {"claps": "wave"}}))


# --- the cache --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["dense", "uniform"])
@pytest.mark.parametrize("short", ["loop", "mask"])
def test_a_cache_changes_nothing_but_the_time(folder: Path, sampling: str, short: str) -> None:
    table = read_table(folder)
    table = dataclasses.replace(
        table, samples=(*table.samples, dataclasses.replace(table.samples[3], start=0.3, end=1.4))
    )
    stride = 3 if sampling == "dense" else 1
    preprocessing = PreprocessingConfig(
        num_frames=8, frame_stride=stride, sampling=sampling, short_clips=short, resize=24, crop_size=(16, 16)
    )
    for options in ({"mode": "train"}, {"mode": "evaluate", "clips": 2, "crops": 3}):
        plain = ClipDataset(table, preprocessing, **options)
        cached = ClipDataset(table, preprocessing, cache=FrameCache(len(table), 0.1), **options)
        for epoch in range(3):
            assert all(same(plain[Draw(index, epoch)], cached[Draw(index, epoch)]) for index in range(len(table)))
        assert cached.cache is not None
        assert len(cached.cache) == len(table)


def test_a_cached_video_is_not_opened_again(folder: Path, tmp_path: Path, small: PreprocessingConfig) -> None:
    shutil.copytree(folder, tmp_path / "data")
    table = read_table(tmp_path / "data")
    dataset = ClipDataset(table, small, cache=FrameCache(len(table), 0.1))
    before = [dataset[index] for index in range(len(table))]
    shutil.rmtree(tmp_path / "data")
    assert all(same(one, dataset[index]) for index, one in enumerate(before))


@pytest.mark.parametrize("rate", [10.0, 5.0])
def test_a_cache_of_any_worker_names_the_same_frames(ramp_video: Path, rate: float) -> None:
    table = one_video(ramp_video, start=0.5, end=1.7)
    preprocessing = PreprocessingConfig(
        num_frames=2, frame_stride=1, resize=24, crop_size=(16, 16), frames_per_second=rate
    )
    cache = FrameCache(1, 0.01)
    plain, first, second = (
        item(ClipDataset(table, preprocessing, mode="evaluate", clips=2, cache=kept)) for kept in (None, cache, cache)
    )
    assert plain["frames"][0][0] >= 5
    assert plain["resampled"] == (rate == 5.0)
    for cached in (first, second):
        assert same(plain, cached)
        assert (cached["frames"], cached["resampled"]) == (plain["frames"], plain["resampled"])


def test_a_cache_keeps_within_its_bound(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    video = 23 * 24 * 36 * 3
    cache = FrameCache(len(table), 3.5 * video / 1e9)
    plain, dataset = ClipDataset(table, small), ClipDataset(table, small, cache=cache)
    assert all(same(plain[index], dataset[index]) for index in range(len(table)))
    assert all(same(plain[index], dataset[index]) for index in range(len(table)))
    assert 1 <= len(cache) < len(table)
    assert cache.used <= cache.capacity


def test_grey_videos_take_a_third(ramp_video: Path, small: PreprocessingConfig) -> None:
    cache = FrameCache(1, 0.01)
    dataset = ClipDataset(one_video(ramp_video), small, cache=cache)
    first = item(dataset)
    assert cache.used == 20 * 24 * 36
    assert same(first, dataset[0])


def test_a_video_with_a_damaged_end_is_the_same_with_and_without_a_cache(
    ramp_video: Path, tmp_path: Path, small: PreprocessingConfig, shared: Path
) -> None:
    """Its first clip can be decoded, all of it cannot: the cache must not make it unreadable."""
    damaged = shared / "data" / "edge_videos" / "decord" / "corrupted.mp4"
    table = one_video(damaged)
    plain = ClipDataset(table, small)
    cached = ClipDataset(table, small, cache=FrameCache(1, 0.5))
    found = [plain[Draw(0, epoch)] for epoch in range(12)]
    assert {isinstance(one, Failure) for one in found} == {True, False}
    assert all(same(one, cached[Draw(0, epoch)]) for epoch, one in enumerate(found))
