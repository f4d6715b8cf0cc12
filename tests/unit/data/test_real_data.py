"""The two real data sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tubelet.config import AugmentationConfig, PreprocessingConfig
from tubelet.data import (
    ClipDataset,
    FrameCache,
    Table,
    assign_splits,
    hold_out,
    make_loader,
    read_table,
    suggest_flip_labels,
)

GRID_HEADS = ("command", "color", "preposition", "letter", "digit", "adverb")


@pytest.fixture(scope="module")
def gestures(shared: Path) -> Table:
    manifest = shared / "data" / "utd_mhad_depth" / "manifest.csv"
    return read_table(manifest, labels=("class",), split_column="cross_subject_split", group_column="subject")


def test_utd_mhad_by_its_manifest(gestures: Table) -> None:
    assert gestures.describe() == "861 samples, 27 classes, 431 train / 430 test"
    assert {sample.group for sample in gestures.split("train").samples} == {"1", "3", "5", "7"}
    held = hold_out(gestures, groups=["7"])
    assert {sample.group for sample in held.split("val").samples} == {"7"}
    assert len(held.split("test")) == 430


def test_utd_mhad_by_its_folders(shared: Path, gestures: Table) -> None:
    table = read_table(shared / "data" / "utd_mhad_depth" / "videos")
    assert [table.key(sample) for sample in table.samples] == sorted(
        gestures.key(sample).removeprefix("videos/") for sample in gestures.samples
    )
    divided = assign_splits(table)
    assert set(Counter(sample.labels["label"] for sample in divided.split("val").samples).values()) == {6}


def test_numbers_as_labels_are_the_data_sets_own(shared: Path) -> None:
    table = read_table(shared / "data" / "utd_mhad_depth")
    assert table.classes["label"] == [str(number) for number in range(27)]
    assert len(table.notes) == 3
    assert "not read: the columns subject, trial" in table.notes[2]


def test_mirror_pairs_of_utd_mhad(gestures: Table) -> None:
    assert suggest_flip_labels(gestures.classes) == {
        "label": {
            "right_arm_swipe_to_the_left": "right_arm_swipe_to_the_right",
            "right_hand_draw_circle_clockwise": "right_hand_draw_circle_counter_clockwise",
        }
    }


def test_grid_has_six_heads(shared: Path) -> None:
    table = read_table(shared / "data" / "grid_s1_lower_face" / "manifest.csv", labels=GRID_HEADS)
    assert table.heads == {"command": 4, "color": 4, "preposition": 4, "letter": 25, "digit": 10, "adverb": 4}
    preprocessing = PreprocessingConfig(num_frames=8, frame_stride=1, sampling="uniform", resize=64, crop_size=(56, 56))
    batch = next(iter(make_loader(ClipDataset(table, preprocessing), 4, workers=0)))
    assert set(batch.targets) == set(GRID_HEADS)
    for place, index in enumerate(batch.indices.tolist()):
        assert {head: int(target[place]) for head, target in batch.targets.items()} == table.samples[index].labels


def test_real_clips_are_the_same_with_a_cache(gestures: Table) -> None:
    table = gestures.select(range(0, 60, 12))
    preprocessing = PreprocessingConfig(
        num_frames=16, frame_stride=1, sampling="uniform", resize=72, crop_size=(64, 64)
    )
    augmentation = AugmentationConfig(temporal="segments", coverage=(0.7, 1.0))
    cache = FrameCache(len(table), 0.1)
    for _ in range(2):
        plain = make_loader(ClipDataset(table, preprocessing, augmentation=augmentation), 5, workers=0)
        cached = make_loader(ClipDataset(table, preprocessing, augmentation=augmentation, cache=cache), 5, workers=0)
        for one, other in zip(plain, cached, strict=True):
            assert (one.video == other.video).all()
    assert len(cache) == len(table)
